/**
 * UDP sink: counts what came by flow and sequence number, and how long each datagram was on its
 * way (one machine: both ends read the same clock).
 * @module
 */
import { errno, libc, SystemError } from '../sys/libc/libc.ts';
import { readSocketMemory } from '../sys/sockets/socket-memory.ts';
import { nowNs } from './base/clock.ts';
import { Histogram } from './base/histogram.ts';
import {
  CallMemory,
  layMessages,
  type MessageBatch,
  MMSGHDR_BYTES,
  MMSGHDR_LENGTH_OFFSET,
} from './base/memory.ts';
import type { Options } from './base/options.ts';
import { report } from './base/report.ts';
import {
  bindTo,
  bindToDevice,
  EAGAIN,
  EINTR,
  openSocket,
  POLLIN,
  Poller,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_DGRAM,
  setBuffer,
} from './base/socket.ts';
import {
  BATCH,
  FILLER,
  FLOW_OFFSET,
  FLOWS_MAX,
  PAYLOAD_BYTES_MAX,
  PAYLOAD_BYTES_MIN,
  TIME_OFFSET,
} from './udp.ts';

const MSG_DONTWAIT = 0x40;
const RECEIVE_BUFFER_BYTES = 8 << 20;
/** How far back a datagram may come and still be told apart from its own duplicate. */
const WINDOW = 1024;
const WINDOW_WORDS = WINDOW / 32;
/** After the starter said stop: this long without a datagram means that all have come. */
const DRAIN_MS = 100;
const DRAIN_TOTAL_MS = 2000;

/**
 * `udp-receive --listen ADDRESS --port N [--size BYTES] [--flows N] [--seconds S] [--count N]
 * [--histogram] [--device NAME]`: runs until `count` datagrams came, `seconds` passed, or standard input closes.
 * @throws SystemError, OptionError
 */
export function runUdpReceive(options: Options): void {
  const address = options.address('listen');
  const port = options.integer('port', { min: 1, max: 65535 });
  const size = options.integer('size', {
    min: PAYLOAD_BYTES_MIN,
    max: PAYLOAD_BYTES_MAX,
    default: 64,
  });
  const flows = options.integer('flows', { min: 1, max: FLOWS_MAX, default: 1 });
  const seconds = options.number('seconds', { min: 0.01, max: 3700, default: 60 });
  const count = options.integer('count', { min: 1, max: 2 ** 40, default: 2 ** 40 });
  const withHistogram = options.flag('histogram');
  const device = options.device();
  options.done();

  // One byte more than expected, so that a longer datagram is seen as foreign and not cut to fit.
  const arena = new CallMemory(BATCH * (size + 320) + (1 << 16));
  const batch = layMessages(arena, BATCH, size + 1, -1);
  const fd = openSocket(SOCK_DGRAM);
  setBuffer(arena, fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
  bindToDevice(arena, fd, device);
  bindTo(arena, fd, address, port);
  const poller = new Poller(arena, 2);
  poller.set(0, fd, POLLIN);
  poller.watchParent(1);
  report({ event: 'ready' });

  const sink = new Sink(new Tally(flows), batch, size);
  const { tally } = sink;
  const endNs = nowNs() + seconds * 1e9;
  let stopNs = 0;
  while (tally.received < count) {
    const got = libc.recvmmsg(fd, arena.base + batch.headers, BATCH, MSG_DONTWAIT, 0);
    const now = nowNs();
    if (got > 0) {
      sink.take(arena.view, got, now);
      if (now > endNs) break;
      continue;
    }
    if (got === -1 && errno() !== EAGAIN && errno() !== EINTR) {
      throw new SystemError('recvmmsg', errno());
    }
    if (now > endNs) break;
    if (stopNs > 0) {
      const quietSince = Math.max(stopNs, sink.lastNs);
      if (now - quietSince > DRAIN_MS * 1e6 || now - stopNs > DRAIN_TOTAL_MS * 1e6) break;
      poller.wait(20);
    } else {
      poller.wait(Math.min(200, (endNs - now) / 1e6));
      if (poller.gone(1)) {
        stopNs = nowNs();
        poller.set(1, -1, 0);
      }
    }
  }
  const elapsed = Math.max(sink.lastNs - sink.firstNs, 1) / 1e9;
  report({
    event: 'udp-receive',
    received: tally.received,
    bytes: tally.received * size,
    flows: tally.flowsSeen(),
    missing: tally.missing(),
    duplicates: tally.duplicates,
    late: tally.late,
    foreign: tally.foreign,
    socketDrops: readSocketMemory(fd)?.drops ?? 0,
    seconds: elapsed,
    pps: tally.received > 1 ? tally.received / elapsed : 0,
    latency: tally.latency.summary(),
    ...(withHistogram ? { histogram: tally.latency.filled() } : {}),
  });
}

/** Takes batches of datagrams of one size, and when the first and the last of them came. */
class Sink {
  readonly tally: Tally;
  readonly #batch: MessageBatch;
  readonly #size: number;
  firstNs = 0;
  lastNs = 0;

  constructor(tally: Tally, batch: MessageBatch, size: number) {
    this.tally = tally;
    this.#batch = batch;
    this.#size = size;
  }

  /** Counts the first `got` messages of the batch, which came at `now`. */
  take(view: DataView, got: number, now: number): void {
    const { headers, payloads, stride } = this.#batch;
    const { tally } = this;
    const size = this.#size;
    if (this.firstNs === 0) this.firstNs = now;
    this.lastNs = now;
    for (let i = 0; i < got; i += 1) {
      const length = view.getUint32(headers + i * MMSGHDR_BYTES + MMSGHDR_LENGTH_OFFSET, true);
      const at = payloads + i * stride;
      const intact = length === size && (size === 16 || view.getUint8(at + size - 1) === FILLER);
      if (intact) {
        tally.count(
          view.getUint32(at + FLOW_OFFSET, true),
          view.getUint32(at, true),
          now - view.getFloat64(at + TIME_OFFSET, true),
        );
      } else tally.foreign += 1;
    }
  }
}

/** What came, by flow: a bitmap of the last {@link WINDOW} sequence numbers of each. */
export class Tally {
  /** Datagrams that came, each counted once. */
  received = 0;
  duplicates = 0;
  /** Datagrams that came after one with a higher number. */
  late = 0;
  foreign = 0;
  readonly latency = new Histogram();
  readonly #next: Float64Array;
  readonly #seen: Uint32Array;

  constructor(flows: number) {
    this.#next = new Float64Array(flows);
    this.#seen = new Uint32Array(flows * WINDOW_WORDS);
  }

  /** Counts one datagram of `flow` that took `latencyNs`. */
  count(flow: number, sequence: number, latencyNs: number): void {
    if (flow >= this.#next.length) {
      this.foreign += 1;
      return;
    }
    const next = this.#next[flow] ?? 0;
    const word = flow * WINDOW_WORDS + ((sequence >>> 5) & (WINDOW_WORDS - 1));
    const bit = 1 << (sequence & 31);
    this.latency.record(latencyNs);
    if (sequence >= next) {
      this.#forget(flow, next, sequence);
      this.#next[flow] = sequence + 1;
    } else {
      // Older than the window: cannot be told from a duplicate, and counted as one, so that
      // loss is never hidden by it.
      if (sequence + WINDOW < next || ((this.#seen[word] ?? 0) & bit) !== 0) {
        this.duplicates += 1;
        return;
      }
      this.late += 1;
    }
    this.#seen[word] = (this.#seen[word] ?? 0) | bit;
    this.received += 1;
  }

  /** Clears the bits of the numbers from `from` up to `to`, which the window now moves over. */
  #forget(flow: number, from: number, to: number): void {
    const start = to - from >= WINDOW ? to - WINDOW + 1 : from;
    for (let sequence = start; sequence <= to; sequence += 1) {
      const word = flow * WINDOW_WORDS + ((sequence >>> 5) & (WINDOW_WORDS - 1));
      this.#seen[word] = (this.#seen[word] ?? 0) & ~(1 << (sequence & 31));
    }
  }

  /** How many flows something came of. */
  flowsSeen(): number {
    let seen = 0;
    for (const next of this.#next) if (next > 0) seen += 1;
    return seen;
  }

  /** Numbers below the highest seen of each flow that never came. */
  missing(): number {
    let expected = 0;
    for (const next of this.#next) expected += next;
    return Math.max(0, expected - this.received);
  }
}
