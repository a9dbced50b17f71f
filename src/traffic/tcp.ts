/**
 * TCP source and sink. One process moves N streams through blocking (N = 1) or polled (N > 1)
 * sockets with 256 KiB calls, so that the kernel and not this program sets the pace.
 *
 * With `sha256` the content never repeats (each block carries its number) and both ends hash what
 * passed; hashing costs about half a second per gigabyte, so speed is measured without it.
 * @module
 */
import { createHash, type Hash } from 'node:crypto';
import { check, errno, libc, SystemError } from '../sys/libc/libc.ts';
import { nowNs } from './base/clock.ts';
import { CallMemory, SOCKADDR_IN_BYTES } from './base/memory.ts';
import type { Options } from './base/options.ts';
import { report } from './base/report.ts';
import {
  bindTo,
  bindToDevice,
  connectTo,
  EAGAIN,
  EINTR,
  openSocket,
  POLLIN,
  POLLOUT,
  Poller,
  SO_REUSEADDR,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  setCongestion,
  setOption,
  setTimeouts,
  TCP_INFO_ROOM,
  tcpInfo,
} from './base/socket.ts';

/** Large enough to make calls cheap, small enough to stay in a core's cache. */
const BLOCK_BYTES = 1 << 18;
/** A block is stamped with its number this often, so that no two stretches of data are alike. */
const STAMP_EVERY_BYTES = 4096;
const STREAMS_MAX = 128;
const SHUT_WR = 1;
const ECONNRESET = 104;

type Stream = {
  fd: number;
  bytes: number;
  /** Bytes still to send; Infinity when time is the limit. */
  left: number;
  /** Sender: where the present block goes on; BLOCK_BYTES = a new block is due. */
  position: number;
  blocks: number;
  buffer: number;
  hash: Hash | undefined;
  open: boolean;
};

type Settings = {
  send: boolean;
  seconds: number;
  timeoutMs: number;
  streams: Stream[];
  progress: Progress;
};

/** Tells every so often how far the streams have come. */
class Progress {
  readonly #arena: CallMemory;
  readonly #everyNs: number;
  readonly #room: number;
  #nextNs = 0;

  /** @param everyMs 0 = never */
  constructor(arena: CallMemory, everyMs: number) {
    this.#arena = arena;
    this.#everyNs = everyMs === 0 ? Number.POSITIVE_INFINITY : everyMs * 1e6;
    this.#nextNs = everyMs === 0 ? Number.POSITIVE_INFINITY : 0;
    this.#room = arena.take(TCP_INFO_ROOM);
  }

  /** @param bytesOf what has arrived of one stream */
  tell(now: number, streams: readonly Stream[], bytesOf: (stream: Stream) => number): void {
    if (now < this.#nextNs) return;
    this.#nextNs = now + this.#everyNs;
    const bytes = streams.reduce((sum, stream) => sum + bytesOf(stream), 0);
    report({ event: 'tcp-progress', atNs: now, bytes });
  }

  /** As {@link tell}, of a sender: what it wrote may still stand in its own buffer. */
  tellSent(now: number, streams: readonly Stream[]): void {
    this.tell(now, streams, ({ fd }) => tcpInfo(this.#arena, fd, this.#room).ackedBytes);
  }
}

/**
 * `tcp --listen ADDRESS | --connect ADDRESS --port N [--streams N] [--bytes N | --seconds S]
 * [--sha256] [--reverse] [--congestion NAME] [--timeout S] [--peer ADDRESS] [--progress MS]
 * [--device NAME]`: the connecting side sends unless `--reverse` is given to both. `--bytes` counts all streams together. A listener with
 * `--peer` hangs up on whoever else connects.
 * @throws SystemError, OptionError
 */
export function runTcp(options: Options): void {
  const listen = options.address('listen', true);
  const connect = options.address('connect', true);
  const port = options.integer('port', { min: 1, max: 65535 });
  const streamCount = options.integer('streams', { min: 1, max: STREAMS_MAX, default: 1 });
  const bytes = options.integer('bytes', { min: 0, max: 2 ** 46, default: 0 });
  const seconds = options.number('seconds', { min: 0.01, max: 3600, default: 3600 });
  const timeoutMs = options.number('timeout', { min: 0.1, max: 3700, default: 60 }) * 1000;
  const sha256 = options.flag('sha256');
  const reverse = options.flag('reverse');
  const [congestion] = options.words('congestion');
  const peer = options.address('peer', true);
  const device = options.device();
  const progressMs = options.number('progress', { min: 0, max: 60_000, default: 0 });
  options.done();

  const arena = new CallMemory(BLOCK_BYTES * ((sha256 ? streamCount : 1) + 1));
  const common = { port, count: streamCount, timeoutMs, congestion, device };
  const fds =
    connect !== 0
      ? connectAll(arena, { address: connect, ...common })
      : acceptAll(arena, { address: listen, ...common, peer });
  const shared = arena.take(BLOCK_BYTES);
  fillPattern(arena, shared, 1);
  const perStream = bytes === 0 ? Number.POSITIVE_INFINITY : Math.floor(bytes / streamCount);
  const streams = fds.map((fd, index): Stream => {
    const own = sha256 && index > 0;
    const buffer = own ? arena.take(BLOCK_BYTES) : shared;
    if (own) fillPattern(arena, buffer, index + 1);
    return {
      fd,
      bytes: 0,
      left: index === 0 && bytes > 0 ? bytes - perStream * (streamCount - 1) : perStream,
      position: BLOCK_BYTES,
      blocks: 0,
      buffer,
      hash: sha256 ? createHash('sha256') : undefined,
      open: true,
    };
  });
  const send = (connect !== 0) !== reverse;
  run(arena, { send, seconds, timeoutMs, streams, progress: new Progress(arena, progressMs) });
}

/** Where to connect to or listen, and for how many streams. */
type Endpoint = {
  address: number;
  port: number;
  count: number;
  timeoutMs: number;
  congestion: string | undefined;
  device: string;
};

function connectAll(
  arena: CallMemory,
  { address, port, count, timeoutMs, congestion, device }: Endpoint,
): number[] {
  return Array.from({ length: count }, () => {
    // A blocking connect bounded by SO_SNDTIMEO; made non-blocking later when several are polled.
    const fd = openSocket(SOCK_STREAM);
    setTimeouts(arena, fd, timeoutMs);
    bindToDevice(arena, fd, device);
    if (congestion !== undefined) setCongestion(arena, fd, congestion);
    connectTo(arena, fd, address, port, timeoutMs);
    prepare(arena, fd, count);
    return fd;
  });
}

/** `peer` 0 takes streams from anybody. */
function acceptAll(
  arena: CallMemory,
  { address, port, count, timeoutMs, congestion, device, peer }: Endpoint & { peer: number },
): number[] {
  const listener = openSocket(SOCK_STREAM | SOCK_NONBLOCK);
  setOption(arena, listener, SOL_SOCKET, SO_REUSEADDR, 1);
  bindToDevice(arena, listener, device);
  if (congestion !== undefined) setCongestion(arena, listener, congestion);
  bindTo(arena, listener, address, port);
  check('listen', libc.listen(listener, STREAMS_MAX));
  report({ event: 'ready' });
  const poller = new Poller(arena, 2);
  poller.set(0, listener, POLLIN);
  poller.watchParent(1);
  const deadlineNs = nowNs() + timeoutMs * 1e6;
  const fds: number[] = [];
  const from = arena.socketAddress(0, 0);
  const fromBytes = arena.int(SOCKADDR_IN_BYTES);
  while (fds.length < count) {
    const leftMs = (deadlineNs - nowNs()) / 1e6;
    if (leftMs <= 0) throw new Error(`${count - fds.length} of ${count} connections did not come`);
    poller.wait(leftMs);
    if (poller.gone(1)) throw new Error('stopped before a connection came');
    const fd = libc.accept4(listener, arena.base + from, arena.base + fromBytes, 0o2000000);
    if (fd === -1) {
      if (errno() === EAGAIN || errno() === EINTR) continue;
      throw new SystemError('accept4', errno());
    }
    if (peer !== 0 && arena.view.getUint32(from + 4, false) !== peer) {
      libc.close(fd);
      continue;
    }
    prepare(arena, fd, count);
    fds.push(fd);
  }
  libc.close(listener);
  return fds;
}

/** One stream blocks (one call a step), several are polled. */
function prepare(arena: CallMemory, fd: number, count: number): void {
  const F_SETFL = 4;
  if (count > 1) check('fcntl', libc.fcntl(fd, F_SETFL, SOCK_NONBLOCK));
  else setTimeouts(arena, fd, 200);
}

function run(arena: CallMemory, settings: Settings): void {
  const { send, streams } = settings;
  const startNs = nowNs();
  const moved = send ? sendAll(arena, settings) : receiveAll(arena, settings);
  const infos = streams.map((stream) => tcpInfo(arena, stream.fd));
  const bytes = streams.reduce((sum, stream) => sum + stream.bytes, 0);
  const seconds = Math.max(moved.lastNs - (moved.firstNs || startNs), 1) / 1e9;
  for (const stream of streams) libc.close(stream.fd);
  report({
    event: 'tcp',
    role: send ? 'send' : 'receive',
    bytes,
    seconds,
    gbps: (bytes * 8) / seconds / 1e9,
    retransmits: infos.reduce((sum, info) => sum + info.retransmits, 0),
    mssBytes: infos[0]?.mssBytes ?? 0,
    streams: streams.map((stream) => ({
      bytes: stream.bytes,
      sha256: stream.hash?.digest('hex'),
    })),
  });
}

type Moved = { firstNs: number; lastNs: number };

function sendAll(arena: CallMemory, { seconds, timeoutMs, streams, progress }: Settings): Moved {
  const poller = streams.length > 1 ? pollerFor(arena, streams, POLLOUT) : undefined;
  const firstNs = nowNs();
  const endNs = firstNs + seconds * 1e9;
  const failNs = firstNs + timeoutMs * 1e6;
  let open = streams.length;
  let now = firstNs;
  while (open > 0) {
    if (poller !== undefined) poller.wait(200);
    for (let i = 0; i < streams.length; i += 1) {
      const stream = streams[i];
      if (stream === undefined || !stream.open) continue;
      if (poller !== undefined && poller.events(i) === 0) continue;
      if (stream.left > 0 && now < endNs) writeSome(arena, stream);
      if (stream.left <= 0 || now >= endNs) {
        stream.open = false;
        open -= 1;
        poller?.set(i, -1, 0);
        libc.shutdown(stream.fd, SHUT_WR);
      }
    }
    now = nowNs();
    progress.tellSent(now, streams);
    if (now > failNs) throw new Error('time ran out while sending');
  }
  // The receiver closes after it read everything: only then did the bytes arrive.
  for (const stream of streams) waitForEnd(arena, stream.fd, failNs);
  return { firstNs, lastNs: nowNs() };
}

function writeSome(arena: CallMemory, stream: Stream): void {
  if (stream.position === BLOCK_BYTES) startBlock(arena, stream);
  const length = Math.min(BLOCK_BYTES - stream.position, stream.left);
  const written = libc.write(stream.fd, arena.base + stream.buffer + stream.position, length);
  if (written === -1) {
    const code = errno();
    if (code === EAGAIN || code === EINTR) return;
    throw new SystemError('write', code);
  }
  if (stream.hash !== undefined) {
    const from = stream.buffer + stream.position;
    stream.hash.update(arena.bytes.subarray(from, from + written));
  }
  stream.bytes += written;
  stream.left -= written;
  stream.position += written;
}

function startBlock(arena: CallMemory, stream: Stream): void {
  stream.position = 0;
  if (stream.hash === undefined) return;
  stream.blocks += 1;
  for (let at = 0; at < BLOCK_BYTES; at += STAMP_EVERY_BYTES) {
    arena.view.setUint32(stream.buffer + at, stream.blocks, true);
  }
}

function waitForEnd(arena: CallMemory, fd: number, failNs: number): void {
  const poller = new Poller(arena, 1);
  poller.set(0, fd, POLLIN);
  const scratch = arena.take(64);
  for (;;) {
    const leftMs = (failNs - nowNs()) / 1e6;
    if (leftMs <= 0) throw new Error('the receiver did not take everything in time');
    poller.wait(Math.min(leftMs, 200));
    const got = libc.read(fd, arena.base + scratch, 64);
    if (got === 0) return;
    if (got === -1 && errno() === ECONNRESET) throw new SystemError('read', ECONNRESET);
  }
}

function receiveAll(arena: CallMemory, { timeoutMs, streams, progress }: Settings): Moved {
  const poller = streams.length > 1 ? pollerFor(arena, streams, POLLIN) : undefined;
  const failNs = nowNs() + timeoutMs * 1e6;
  let firstNs = 0;
  let lastNs = 0;
  let open = streams.length;
  while (open > 0) {
    if (poller !== undefined) poller.wait(200);
    for (let i = 0; i < streams.length; i += 1) {
      const stream = streams[i];
      if (stream === undefined || !stream.open) continue;
      if (poller !== undefined && poller.events(i) === 0) continue;
      const got = libc.read(stream.fd, arena.base + stream.buffer, BLOCK_BYTES);
      if (got > 0) {
        if (firstNs === 0) firstNs = nowNs();
        stream.hash?.update(arena.bytes.subarray(stream.buffer, stream.buffer + got));
        stream.bytes += got;
      } else if (got === 0) {
        stream.open = false;
        open -= 1;
        poller?.set(i, -1, 0);
        libc.shutdown(stream.fd, SHUT_WR);
      } else {
        const code = errno();
        if (code !== EAGAIN && code !== EINTR) throw new SystemError('read', code);
      }
    }
    lastNs = nowNs();
    progress.tell(lastNs, streams, ({ bytes }) => bytes);
    if (lastNs > failNs) throw new Error('time ran out while receiving');
  }
  return { firstNs, lastNs };
}

function pollerFor(arena: CallMemory, streams: readonly Stream[], events: number): Poller {
  const poller = new Poller(arena, streams.length);
  streams.forEach((stream, index) => {
    poller.set(index, stream.fd, events);
  });
  return poller;
}

/** Fills a block with a xorshift32 sequence: repeatable, and nothing on the way can compress it. */
function fillPattern(arena: CallMemory, offset: number, seed: number): void {
  const words = new Uint32Array(arena.buffer, offset, BLOCK_BYTES / 4);
  let x = (seed * 0x9e3779b9) >>> 0;
  for (let i = 0; i < words.length; i += 1) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
}
