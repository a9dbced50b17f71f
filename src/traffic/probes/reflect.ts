/**
 * The far end of {@link runProbe}: probes go back to where they came from, no larger than they came,
 * with the TOS byte that they arrived with written into them.
 * @module
 */
import { errno, libc, SystemError } from '../../sys/libc/libc.ts';
import { nowNs } from '../base/clock.ts';
import { CallMemory, layMessages, MMSGHDR_BYTES, MMSGHDR_LENGTH_OFFSET } from '../base/memory.ts';
import type { Options } from '../base/options.ts';
import { report } from '../base/report.ts';
import {
  bindTo,
  bindToDevice,
  EAGAIN,
  EINTR,
  openSocket,
  POLLIN,
  Poller,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  setOption,
} from '../base/socket.ts';

export const IPPROTO_IP = 0;
export const IP_TOS = 1;
export const IP_RECVTOS = 13;
export const ECT0 = 0b10;
export const ECN_MASK = 0b11;
/** A probe: magic u32, stream u16, TOS at the far end u8, 0, sequence u32, 0, time of sending f64 (ns). */
export const PROBE_MAGIC = 0x66_77_70_31;
export const PROBE_BYTES = 64;
export const STREAM_OFFSET = 4;
export const TOS_OFFSET = 6;
export const SEQUENCE_OFFSET = 8;
export const SENT_OFFSET = 16;
/** A `struct cmsghdr` and one byte behind it, with its padding. */
export const TOS_CONTROL_BYTES = 24;
const CONTROL_DATA = 16;
const MSGHDR_CONTROL = 32;
const BATCH = 32;
const NAME_BYTES = 16;
const MSG_DONTWAIT = 0x40;
/** More probes a second than anybody sends; the rest is dropped and counted. */
const PROBES_PER_SECOND = 5000;

/** Where messages of a batch put what `recvmmsg` tells beside the payload. */
export type ControlBatch = ReturnType<typeof layControl>;

/** Lays out `count` messages with a name and room for a TOS byte each. */
export function layControl(arena: CallMemory, count: number, payloadBytes: number) {
  const batch = layMessages(arena, count, payloadBytes, -1);
  const names = arena.take(count * NAME_BYTES);
  const controls = arena.take(count * TOS_CONTROL_BYTES);
  return { ...batch, names, controls };
}

/** Says again how much room there is: the kernel wrote how much it used. */
export function resetControl(arena: CallMemory, batch: ControlBatch): void {
  for (let i = 0; i < batch.count; i += 1) {
    const header = batch.headers + i * MMSGHDR_BYTES;
    arena.setWord(header, arena.base + batch.names + i * NAME_BYTES);
    arena.view.setUint32(header + 8, NAME_BYTES, true);
    arena.setWord(header + MSGHDR_CONTROL, arena.base + batch.controls + i * TOS_CONTROL_BYTES);
    arena.setWord(header + MSGHDR_CONTROL + 8, TOS_CONTROL_BYTES);
  }
}

/** The TOS byte of message `index`, which the kernel gives where IP_RECVTOS is set; 0 without. */
export function tosOf(arena: CallMemory, batch: ControlBatch, index: number): number {
  const header = batch.headers + index * MMSGHDR_BYTES;
  const length = arena.view.getUint32(header + MSGHDR_CONTROL + 8, true);
  const control = batch.controls + index * TOS_CONTROL_BYTES;
  const { view } = arena;
  const isTos = view.getInt32(control + 8, true) === IPPROTO_IP;
  if (length <= CONTROL_DATA || !isTos || view.getInt32(control + 12, true) !== IP_TOS) return 0;
  return view.getUint8(control + CONTROL_DATA);
}

/**
 * `reflect --listen A[,B] --peer C[,D] --port N --seconds S [--device NAME]`: only probes from these peers come back.
 * A device is that of the first address. A reply has the DSCP of its probe, and ECT(0) where the probe could be marked.
 * @throws SystemError, OptionError
 */
export function runReflect(options: Options): void {
  const listen = options.addresses('listen');
  const peers = options.addresses('peer');
  const port = options.integer('port', { min: 1, max: 65535 });
  const seconds = options.number('seconds', { min: 0.01, max: 600 });
  const device = options.device();
  options.done();

  const arena = new CallMemory(1 << 17);
  const poller = new Poller(arena, listen.length + 1);
  const batch = layControl(arena, BATCH, PROBE_BYTES);
  const mirrors = listen.map((address, index) => {
    const fd = openSocket(SOCK_DGRAM | SOCK_NONBLOCK);
    setOption(arena, fd, IPPROTO_IP, IP_RECVTOS, 1);
    bindToDevice(arena, fd, index === 0 ? device : '');
    bindTo(arena, fd, address, port);
    poller.set(index, fd, POLLIN);
    return new Mirror(arena, batch, fd, peers);
  });
  poller.watchParent(listen.length);
  report({ event: 'ready' });
  const startNs = nowNs();
  const endNs = startNs + seconds * 1e9;
  for (;;) {
    const leftMs = (endNs - nowNs()) / 1e6;
    if (leftMs <= 0) break;
    poller.wait(Math.min(leftMs, 500));
    if (poller.gone(listen.length)) break;
    const most = PROBES_PER_SECOND * (1 + (nowNs() - startNs) / 1e9);
    for (const mirror of mirrors) mirror.take(most);
  }
  report({
    event: 'reflect',
    reflected: mirrors.reduce((sum, { reflected }) => sum + reflected, 0),
    foreign: mirrors.reduce((sum, { foreign }) => sum + foreign, 0),
    seconds: (nowNs() - startNs) / 1e9,
  });
}

/** One socket whose probes go back. */
class Mirror {
  reflected = 0;
  foreign = 0;
  readonly #arena: CallMemory;
  readonly #batch: ControlBatch;
  readonly #fd: number;
  readonly #peers: ReadonlySet<number>;
  readonly #value: number;
  #tos = -1;

  constructor(arena: CallMemory, batch: ControlBatch, fd: number, peers: readonly number[]) {
    this.#arena = arena;
    this.#batch = batch;
    this.#fd = fd;
    this.#peers = new Set(peers);
    this.#value = arena.int(0);
  }

  /** @param most of all probes since the start, this many are answered. */
  take(most: number): void {
    for (;;) {
      resetControl(this.#arena, this.#batch);
      const headers = this.#arena.base + this.#batch.headers;
      const got = libc.recvmmsg(this.#fd, headers, BATCH, MSG_DONTWAIT, 0);
      if (got === -1) {
        const code = errno();
        // What else stands there is an ICMP error for a reply that nobody took.
        if (code === EAGAIN || code === EINTR) return;
        continue;
      }
      for (let i = 0; i < got; i += 1) this.#reflect(i, most);
    }
  }

  #reflect(index: number, most: number): void {
    const { view, base } = this.#arena;
    const { headers, payloads, stride, names } = this.#batch;
    const length = view.getUint32(headers + index * MMSGHDR_BYTES + MMSGHDR_LENGTH_OFFSET, true);
    const at = payloads + index * stride;
    const name = names + index * NAME_BYTES;
    const isOurs =
      length === PROBE_BYTES &&
      view.getUint32(at, true) === PROBE_MAGIC &&
      this.#peers.has(view.getUint32(name + 4, false));
    if (!isOurs || this.reflected >= most) {
      this.foreign += 1;
      return;
    }
    const tos = tosOf(this.#arena, this.#batch, index);
    view.setUint8(at + TOS_OFFSET, tos);
    this.#setTos((tos & ~ECN_MASK) | ((tos & ECN_MASK) === 0 ? 0 : ECT0));
    if (libc.sendto(this.#fd, base + at, PROBE_BYTES, MSG_DONTWAIT, base + name, NAME_BYTES) >= 0) {
      this.reflected += 1;
    }
  }

  #setTos(tos: number): void {
    if (tos === this.#tos) return;
    this.#arena.view.setInt32(this.#value, tos, true);
    const done = libc.setsockopt(this.#fd, IPPROTO_IP, IP_TOS, this.#arena.base + this.#value, 4);
    if (done === -1) throw new SystemError('setsockopt(IP_TOS)', errno());
    this.#tos = tos;
  }
}
