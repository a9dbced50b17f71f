/**
 * UDP source. Every datagram is its own packet (`sendmmsg`, no UDP_SEGMENT), so that what enters
 * the overlay is what a plain application sends. Each carries a sequence number of its flow, the
 * flow and the time of sending; flows differ in their source port.
 * @module
 */
import { errno, libc, SystemError } from '../sys/libc/libc.ts';
import { nowNs } from './base/clock.ts';
import { CallMemory, layMessages, type MessageBatch } from './base/memory.ts';
import type { Options } from './base/options.ts';
import { report } from './base/report.ts';
import {
  bindTo,
  bindToDevice,
  connectTo,
  EAGAIN,
  ECONNREFUSED,
  EINTR,
  ENOBUFS,
  openSocket,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_DGRAM,
  setBuffer,
  setTimeouts,
} from './base/socket.ts';

/** Payload layout: sequence u32, flow u32, time f64 in ns; little-endian, then a fixed filler. */
export const FLOW_OFFSET = 4;
export const TIME_OFFSET = 8;
export const PAYLOAD_BYTES_MIN = 16;
export const PAYLOAD_BYTES_MAX = 65507;
export const FILLER = 0x5a;
export const FLOWS_MAX = 65536;
/** Datagrams a call: enough to make the cost of the call itself small. */
export const BATCH = 64;
const SEND_BUFFER_BYTES = 4 << 20;
/**
 * A paced sender that was kept from the CPU catches up by at most this many datagrams; the rest
 * of the schedule is forgiven, because one great burst would measure the scheduler, not the path.
 */
const CATCH_UP_MAX = 512;
/** Shorter sleeps cost more than they give. */
const SLEEP_NS_MIN = 15_000;
const PR_SET_TIMERSLACK = 29;

/**
 * `udp-send --connect ADDRESS --port N [--size BYTES] [--rate PPS, 0 = all it can]
 * [--seconds S] [--count N] [--flows N] [--source-port FIRST] [--addresses A,B,...]`.
 * Sends at most `count` datagrams in at most `seconds`; with several addresses the flows go to
 * them in turn.
 * @throws SystemError, OptionError
 */
export function runUdpSend(options: Options): void {
  const targets = options.addresses('connect');
  const port = options.integer('port', { min: 1, max: 65535 });
  const size = options.integer('size', {
    min: PAYLOAD_BYTES_MIN,
    max: PAYLOAD_BYTES_MAX,
    default: 64,
  });
  const rate = options.number('rate', { min: 0, max: 1e8, default: 0 });
  const seconds = options.number('seconds', { min: 0.01, max: 3600, default: 1 });
  const count = options.integer('count', { min: 1, max: 2 ** 40, default: 2 ** 40 });
  const flows = options.integer('flows', { min: 1, max: FLOWS_MAX, default: 1 });
  const sourcePort = options.integer('source-port', { min: 0, max: 65535, default: 0 });
  const device = options.device();
  options.done();

  const arena = new CallMemory(BATCH * (size + 256) + (1 << 20) + flows * 512);
  const batch = layMessages(arena, BATCH, size, -1);
  arena.bytes.fill(FILLER, batch.payloads, batch.payloads + BATCH * batch.stride);
  const sockets = openFlows(arena, { targets, port, flows, sourcePort, device });
  libc.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  const source = new Source(arena, batch, sockets);
  const startNs = nowNs();
  if (rate === 0) flood(source, startNs, seconds, count);
  else pace(arena, source, startNs, seconds, count, rate);
  const elapsed = (nowNs() - startNs) / 1e9;
  report({
    event: 'udp-send',
    sent: source.sent,
    refused: source.refused,
    seconds: elapsed,
    pps: source.sent / elapsed,
  });
}

function openFlows(
  arena: CallMemory,
  to: {
    targets: readonly number[];
    port: number;
    flows: number;
    sourcePort: number;
    device: string;
  },
): Int32Array {
  const { targets, port, flows, sourcePort, device } = to;
  const fds = new Int32Array(flows);
  for (let flow = 0; flow < flows; flow += 1) {
    const fd = openSocket(SOCK_DGRAM);
    if (flow < 64) setBuffer(arena, fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER_BYTES);
    bindToDevice(arena, fd, device);
    if (sourcePort > 0) bindTo(arena, fd, 0, sourcePort + flow);
    setTimeouts(arena, fd, 200);
    connectTo(arena, fd, targets[flow % targets.length] ?? 0, port, 1000);
    fds[flow] = fd;
  }
  return fds;
}

/** Stamps and sends; keeps the counts. Allocates nothing after construction. */
class Source {
  sent = 0;
  refused = 0;
  readonly #arena: CallMemory;
  readonly #batch: MessageBatch;
  readonly #sockets: Int32Array;
  readonly #sequences: Uint32Array;
  #flow = 0;

  constructor(arena: CallMemory, batch: MessageBatch, sockets: Int32Array) {
    this.#arena = arena;
    this.#batch = batch;
    this.#sockets = sockets;
    this.#sequences = new Uint32Array(sockets.length);
  }

  /** Sends up to `wanted` datagrams, one flow after the other, and returns how many it dealt with. */
  push(wanted: number): number {
    if (this.#sockets.length === 1) return this.#pushOne(0, Math.min(wanted, BATCH));
    const turns = Math.min(wanted, BATCH);
    for (let i = 0; i < turns; i += 1) {
      this.#pushOne(this.#flow, 1);
      this.#flow = this.#flow + 1 === this.#sockets.length ? 0 : this.#flow + 1;
    }
    return turns;
  }

  #pushOne(flow: number, wanted: number): number {
    const { view } = this.#arena;
    const { payloads, stride, headers } = this.#batch;
    const first = this.#sequences[flow] ?? 0;
    const now = nowNs();
    for (let i = 0; i < wanted; i += 1) {
      const at = payloads + i * stride;
      view.setUint32(at, first + i, true);
      view.setUint32(at + FLOW_OFFSET, flow, true);
      view.setFloat64(at + TIME_OFFSET, now, true);
    }
    const base = this.#arena.base + headers;
    const done = libc.sendmmsg(this.#sockets[flow] ?? -1, base, wanted, 0);
    if (done >= 0) {
      this.#sequences[flow] = first + done;
      this.sent += done;
      return done;
    }
    const code = errno();
    if (code !== ENOBUFS && code !== EAGAIN && code !== EINTR && code !== ECONNREFUSED) {
      throw new SystemError('sendmmsg', code);
    }
    this.refused += 1;
    return 1;
  }
}

function flood(source: Source, startNs: number, seconds: number, count: number): void {
  const endNs = startNs + seconds * 1e9;
  while (nowNs() < endNs && source.sent < count) source.push(count - source.sent);
}

function pace(
  arena: CallMemory,
  source: Source,
  startNs: number,
  seconds: number,
  count: number,
  rate: number,
): void {
  const endNs = startNs + seconds * 1e9;
  const intervalNs = 1e9 / rate;
  const request = arena.take(16);
  // A burst is what is due in about 100 µs, so that 300,000 pps come as bursts of 30.
  const burst = Math.max(1, Math.min(BATCH, Math.floor(100_000 / intervalNs)));
  let dealt = 0;
  let originNs = startNs;
  for (;;) {
    const now = nowNs();
    if (now >= endNs || source.sent >= count) return;
    const due = Math.floor((now - originNs) / intervalNs) + 1 - dealt;
    if (due > CATCH_UP_MAX) originNs += (due - CATCH_UP_MAX) * intervalNs;
    if (due >= burst) {
      dealt += source.push(Math.min(due, count - source.sent));
      continue;
    }
    const waitNs = originNs + (dealt + burst - 1) * intervalNs - now;
    const sleepNs = Math.max(SLEEP_NS_MIN, Math.min(waitNs, endNs - now, 200e6));
    arena.view.setUint32(request + 8, sleepNs, true);
    libc.nanosleep(arena.base + request, 0);
  }
}
