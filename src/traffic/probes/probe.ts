/**
 * Probes of several classes to several addresses, at even times, over UDP and ICMP: what each met on
 * its way is told while it goes on. One stream for each address, class and protocol.
 * @module
 */
import { errno, libc, SystemError } from '../../sys/libc/libc.ts';
import { nowNs } from '../base/clock.ts';
import { CallMemory, MMSGHDR_BYTES, MMSGHDR_LENGTH_OFFSET } from '../base/memory.ts';
import type { Options } from '../base/options.ts';
import { type ProbeSample, report } from '../base/report.ts';
import {
  bindToDevice,
  connectTo,
  EAGAIN,
  EINTR,
  openSocket,
  POLLIN,
  Poller,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  setOption,
} from '../base/socket.ts';
import { ECHO_REPLY, ECHO_REQUEST, ICMP_FILTER, internetChecksum, SOL_RAW } from './icmp.ts';
import {
  type ControlBatch,
  ECT0,
  IP_RECVTOS,
  IP_TOS,
  IPPROTO_IP,
  layControl,
  PROBE_BYTES,
  PROBE_MAGIC,
  resetControl,
  SENT_OFFSET,
  SEQUENCE_OFFSET,
  STREAM_OFFSET,
  TOS_OFFSET,
  tosOf,
} from './reflect.ts';

const IPPROTO_ICMP = 1;
const ICMP_HEADER_BYTES = 8;
const MSG_DONTWAIT = 0x40;
const BATCH = 16;
const REPORT_MS = 200;
/** An answer that is later than this is a lost one. */
const TIMEOUT_MS = 2000;
/** Probes of one stream under way at once: what is sent in {@link TIMEOUT_MS} at the shortest interval. */
const WINDOW = 1024;
const NONE = -1;

type Aim = { targets: number[]; port: number; classes: number[]; device: string };

type Stream = {
  index: number;
  fd: number;
  tos: number;
  isIcmp: boolean;
  sequence: number;
  /** The first whose fate is not told yet. */
  oldest: number;
  sentNs: Float64Array;
  answered: Uint8Array;
};

/**
 * `probe --targets A[,B] --port N --dscp 0,46 [--interval MS] [--seconds S] [--device NAME]`: stream
 * `(target * classes + class) * 2` is UDP, the next one ICMP. A device is
 * that of the first target: the tunnel's.
 * @throws SystemError EPERM without CAP_NET_RAW, OptionError
 */
export function runProbe(options: Options): void {
  const targets = options.addresses('targets');
  const port = options.integer('port', { min: 1, max: 65535 });
  const classes = options.words('dscp').map(Number);
  const intervalMs = options.number('interval', { min: 2, max: 10_000, default: 50 });
  const seconds = options.number('seconds', { min: 0.01, max: 600, default: 10 });
  const device = options.device();
  options.done();

  const arena = new CallMemory(1 << 19);
  const prober = new Prober(arena, { targets, port, classes, device });
  report({ event: 'ready' });
  const startNs = nowNs();
  let endNs = startNs + seconds * 1e9;
  let nextNs = startNs;
  let tellNs = startNs + REPORT_MS * 1e6;
  for (;;) {
    const now = nowNs();
    if (prober.parentIsGone) endNs = Math.min(endNs, now);
    if (now > endNs + TIMEOUT_MS * 1e6) break;
    if (now >= endNs && prober.isQuiet) break;
    if (now >= nextNs && now < endNs) {
      prober.send();
      // What a busy machine missed is not caught up: a burst would measure itself.
      nextNs = Math.max(nextNs + intervalMs * 1e6, nowNs());
    }
    if (now >= tellNs) {
      tellNs = now + REPORT_MS * 1e6;
      report({ event: 'probe-samples', samples: prober.told(now) });
    }
    prober.receive(Math.min((Math.min(nextNs, tellNs) - nowNs()) / 1e6, 100));
  }
  report({ event: 'probe-samples', samples: prober.told(Number.POSITIVE_INFINITY) });
  report({ event: 'probe', startNs, seconds: (nowNs() - startNs) / 1e9 });
}

class Prober {
  /** Nobody wants more probes; those on their way are waited for. */
  parentIsGone = false;
  readonly #arena: CallMemory;
  readonly #streams: Stream[] = [];
  readonly #batch: ControlBatch;
  readonly #poller: Poller;
  readonly #echoFd: number;
  readonly #packet: number;
  readonly #id = process.pid & 0xffff;
  #samples: ProbeSample[] = [];

  constructor(arena: CallMemory, to: Aim) {
    this.#arena = arena;
    this.#packet = arena.take(2048);
    this.#batch = layControl(arena, BATCH, PROBE_BYTES + 1);
    this.#echoFd = openEchoSocket(arena, ~(1 << ECHO_REPLY));
    for (const [index, target] of to.targets.entries()) {
      const device = index === 0 ? to.device : '';
      for (const dscp of to.classes) {
        const tos = (dscp << 2) | ECT0;
        const udp = openSocket(SOCK_DGRAM | SOCK_NONBLOCK);
        setOption(arena, udp, IPPROTO_IP, IP_RECVTOS, 1);
        bindToDevice(arena, udp, device);
        connectTo(arena, udp, target, to.port, 1000);
        this.#add(udp, tos, false);
        const icmp = openEchoSocket(arena, ~0);
        bindToDevice(arena, icmp, device);
        connectTo(arena, icmp, target, 0, 1000);
        this.#add(icmp, tos, true);
      }
    }
    const udps = this.#streams.filter(({ isIcmp }) => !isIcmp);
    this.#poller = new Poller(arena, udps.length + 2);
    this.#poller.set(0, this.#echoFd, POLLIN);
    this.#poller.watchParent(1);
    udps.forEach(({ fd }, index) => {
      this.#poller.set(index + 2, fd, POLLIN);
    });
  }

  #add(fd: number, tos: number, isIcmp: boolean): void {
    setOption(this.#arena, fd, IPPROTO_IP, IP_TOS, tos);
    this.#streams.push({
      index: this.#streams.length,
      ...{ fd, tos, isIcmp, sequence: 0, oldest: 0 },
      sentNs: new Float64Array(WINDOW),
      answered: new Uint8Array(WINDOW),
    });
  }

  /** Nothing is awaited any more. */
  get isQuiet(): boolean {
    return this.#streams.every(({ oldest, sequence, answered }) => {
      for (let at = oldest; at < sequence; at += 1) if (answered[at % WINDOW] === 0) return false;
      return true;
    });
  }

  /** One probe of each stream. */
  send(): void {
    const { view, base } = this.#arena;
    for (const stream of this.#streams) {
      const at = this.#packet;
      const payload = stream.isIcmp ? at + ICMP_HEADER_BYTES : at;
      const now = nowNs();
      view.setUint32(payload, PROBE_MAGIC, true);
      view.setUint16(payload + STREAM_OFFSET, stream.index, true);
      view.setUint16(payload + TOS_OFFSET, 0, true);
      view.setUint32(payload + SEQUENCE_OFFSET, stream.sequence, true);
      view.setFloat64(payload + SENT_OFFSET, now, true);
      const bytes = PROBE_BYTES + payload - at;
      if (stream.isIcmp) {
        view.setUint16(at, ECHO_REQUEST << 8, false);
        view.setUint16(at + 2, 0, false);
        view.setUint16(at + 4, this.#id, false);
        view.setUint16(at + 6, stream.sequence & 0xffff, false);
        view.setUint16(at + 2, internetChecksum(view, at, bytes), false);
      }
      const slot = stream.sequence % WINDOW;
      stream.sentNs[slot] = now;
      stream.answered[slot] = 0;
      stream.sequence += 1;
      // What is not taken here (no route, no buffer, an ICMP error) is a lost probe like any other.
      libc.sendto(stream.fd, base + at, bytes, MSG_DONTWAIT, 0, 0);
    }
  }

  /** Takes what comes within `ms`. */
  receive(ms: number): void {
    if (ms > 0) this.#poller.wait(ms);
    if (this.#poller.gone(1)) {
      this.parentIsGone = true;
      this.#poller.set(1, -1, 0);
    }
    this.#takeEchoes();
    for (const { fd, isIcmp } of this.#streams) if (!isIcmp) this.#takeDatagrams(fd);
  }

  #takeDatagrams(fd: number): void {
    const { view, base } = this.#arena;
    const { headers, payloads, stride } = this.#batch;
    for (;;) {
      resetControl(this.#arena, this.#batch);
      const got = libc.recvmmsg(fd, base + headers, BATCH, MSG_DONTWAIT, 0);
      // ICMP errors stand here too (nobody listens any more): lost probes, which their time tells.
      if (got === -1) return;
      const now = nowNs();
      for (let i = 0; i < got; i += 1) {
        const length = view.getUint32(headers + i * MMSGHDR_BYTES + MMSGHDR_LENGTH_OFFSET, true);
        const at = payloads + i * stride;
        const tosThere = view.getUint8(at + TOS_OFFSET);
        const tosBack = tosOf(this.#arena, this.#batch, i);
        if (length === PROBE_BYTES) this.#answer(at, { now, isIcmp: false, tosThere, tosBack });
      }
    }
  }

  #takeEchoes(): void {
    const { view, base } = this.#arena;
    const at = this.#packet;
    for (;;) {
      const got = libc.read(this.#echoFd, base + at, 2048);
      if (got === -1) {
        const code = errno();
        if (code === EAGAIN || code === EINTR) return;
        throw new SystemError('read', code);
      }
      const icmp = at + (view.getUint8(at) & 15) * 4;
      const isOurs = got - (icmp - at) === ICMP_HEADER_BYTES + PROBE_BYTES;
      if (!isOurs || view.getUint16(icmp + 4, false) !== this.#id) continue;
      const seen = { now: nowNs(), isIcmp: true, tosThere: NONE, tosBack: view.getUint8(at + 1) };
      this.#answer(icmp + ICMP_HEADER_BYTES, seen);
    }
  }

  #answer(
    at: number,
    seen: { now: number; isIcmp: boolean; tosThere: number; tosBack: number },
  ): void {
    const { view } = this.#arena;
    if (view.getUint32(at, true) !== PROBE_MAGIC) return;
    const stream = this.#streams[view.getUint16(at + STREAM_OFFSET, true)];
    const sequence = view.getUint32(at + SEQUENCE_OFFSET, true);
    if (stream === undefined || stream.isIcmp !== seen.isIcmp) return;
    // Too late, twice, or never sent.
    if (sequence < stream.oldest || sequence >= stream.sequence) return;
    const slot = sequence % WINDOW;
    if (stream.answered[slot] !== 0) return;
    stream.answered[slot] = 1;
    const sentNs = stream.sentNs[slot] ?? 0;
    const rttUs = Math.round((seen.now - sentNs) / 1e3);
    this.#samples.push([stream.index, sentNs, rttUs, seen.tosThere, seen.tosBack]);
  }

  /** What was answered since the last time, and what has been lost by now. */
  told(now: number): ProbeSample[] {
    for (const stream of this.#streams) {
      while (stream.oldest < stream.sequence) {
        const slot = stream.oldest % WINDOW;
        const sentNs = stream.sentNs[slot] ?? 0;
        const isFull = stream.sequence - stream.oldest > WINDOW - 2;
        if (stream.answered[slot] === 0) {
          if (now - sentNs < TIMEOUT_MS * 1e6 && !isFull) break;
          this.#samples.push([stream.index, sentNs, NONE, NONE, NONE]);
        }
        stream.oldest += 1;
      }
    }
    const samples = this.#samples;
    this.#samples = [];
    return samples;
  }
}

/** A raw ICMP socket that is given the types whose bit in `filter` is 0. */
function openEchoSocket(arena: CallMemory, filter: number): number {
  const fd = openSocket(SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
  setOption(arena, fd, SOL_RAW, ICMP_FILTER, filter);
  return fd;
}
