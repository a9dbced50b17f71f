/**
 * Echo requests through a raw socket: as fast as answers come (`--interval 0`), or spaced; one
 * target or several in turn. RFC 792.
 * @module
 */

import { formatIpv4 } from '../../net/ipv4.ts';
import { errno, libc, SystemError } from '../../sys/libc/libc.ts';
import { nowNs } from '../base/clock.ts';
import { Histogram } from '../base/histogram.ts';
import { CallMemory, SOCKADDR_IN_BYTES } from '../base/memory.ts';
import type { Options } from '../base/options.ts';
import { type EchoTarget, report } from '../base/report.ts';
import {
  bindToDevice,
  EAGAIN,
  EINTR,
  ENOBUFS,
  openSocket,
  POLLIN,
  Poller,
  SOCK_NONBLOCK,
  SOCK_RAW,
} from '../base/socket.ts';

const IPPROTO_ICMP = 1;
export const SOL_RAW = 255;
export const ICMP_FILTER = 1;
export const ECHO_REPLY = 0;
export const ECHO_REQUEST = 8;
export const ICMP_HEADER_BYTES = 8;
/** Index of the target (u32), then the time of sending (f64), then filler. */
const TIME_OFFSET = ICMP_HEADER_BYTES + 8;
const DATA_BYTES_MIN = 16;
const RECEIVE_BYTES = 65536;
const TARGETS_MAX = 4096;
const EHOSTUNREACH = 113;
const ENETUNREACH = 101;
const EPERM = 1;
const EMSGSIZE = 90;

/** An open socket, the request that goes out of it, and what came back. */
export type Echo = {
  arena: CallMemory;
  fd: number;
  poller: Poller;
  id: number;
  packet: number;
  packetBytes: number;
  name: number;
  receive: number;
  targets: readonly number[];
  sent: Uint32Array;
  received: Uint32Array;
  /** Sequence number of the request that is on its way to each target; −1 = none. */
  awaited: Int32Array;
  histograms: readonly Histogram[];
};

/**
 * `echo --targets A,B,... [--count N] [--interval MS] [--timeout MS] [--size BYTES]
 * [--seconds S] [--first] [--device NAME]`: each round asks every target once and waits for all answers or
 * the timeout; `size` is the data after the ICMP header; `--first` ends with the first answer and
 * reports `ready` before it starts. Needs CAP_NET_RAW.
 * @throws SystemError, OptionError
 */
export function runEcho(options: Options): void {
  const targets = options.addresses('targets');
  if (targets.length > TARGETS_MAX) throw new Error(`at most ${TARGETS_MAX} targets`);
  const count = options.integer('count', { min: 1, max: 2 ** 31, default: 10 });
  const intervalMs = options.number('interval', { min: 0, max: 60_000, default: 0 });
  const timeoutMs = options.number('timeout', { min: 1, max: 60_000, default: 1000 });
  const size = options.integer('size', { min: DATA_BYTES_MIN, max: 65_000, default: 56 });
  const seconds = options.number('seconds', { min: 0.01, max: 3600, default: 3600 });
  const untilFirst = options.flag('first');
  const device = options.device();
  options.done();

  const echo = openEcho(targets, size, device);
  if (untilFirst) report({ event: 'ready' });
  const startNs = nowNs();
  const endNs = startNs + seconds * 1e9;
  for (let round = 0; round < count && nowNs() < endNs; round += 1) {
    const roundNs = nowNs();
    const waiting = askAll(echo, round & 0xffff);
    gather(echo, waiting, roundNs + timeoutMs * 1e6);
    if (untilFirst && echo.received.some((count) => count > 0)) break;
    const spareMs = intervalMs - (nowNs() - roundNs) / 1e6;
    if (intervalMs > 0 && spareMs > 0 && round + 1 < count)
      gather(echo, Number.POSITIVE_INFINITY, nowNs() + spareMs * 1e6);
  }
  report({
    event: 'echo',
    seconds: (nowNs() - startNs) / 1e9,
    targets: targets.map(
      (target, index): EchoTarget => ({
        target: formatIpv4(target),
        sent: echo.sent[index] ?? 0,
        received: echo.received[index] ?? 0,
        rtt: (echo.histograms[index] ?? new Histogram()).summary(),
      }),
    ),
  });
}

/** @param size bytes after the ICMP header. @throws SystemError EPERM without CAP_NET_RAW. */
export function openEcho(targets: readonly number[], size: number, device: string): Echo {
  const arena = new CallMemory(RECEIVE_BYTES + size + 8192);
  const fd = openSocket(SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
  bindToDevice(arena, fd, device);
  const filter = arena.int(~(1 << ECHO_REPLY));
  libc.setsockopt(fd, SOL_RAW, ICMP_FILTER, arena.base + filter, 4);
  const poller = new Poller(arena, 1);
  poller.set(0, fd, POLLIN);
  const packetBytes = ICMP_HEADER_BYTES + size;
  const packet = arena.take(packetBytes);
  const id = process.pid & 0xffff;
  arena.view.setUint8(packet, ECHO_REQUEST);
  arena.view.setUint16(packet + 4, id, false);
  const name = arena.socketAddress(0, 0);
  const receive = arena.take(RECEIVE_BYTES);
  return {
    arena,
    fd,
    poller,
    id,
    packet,
    packetBytes,
    name,
    receive,
    targets,
    sent: new Uint32Array(targets.length),
    received: new Uint32Array(targets.length),
    awaited: new Int32Array(targets.length).fill(-1),
    histograms: targets.map(() => new Histogram()),
  };
}

/** Sends one request to each target; returns how many answers to wait for. */
export function askAll(echo: Echo, sequence: number): number {
  const { arena, packet } = echo;
  const { view } = arena;
  let waiting = 0;
  for (let index = 0; index < echo.targets.length; index += 1) {
    view.setUint16(packet + 6, sequence, false);
    view.setUint32(packet + ICMP_HEADER_BYTES, index, true);
    view.setFloat64(packet + TIME_OFFSET, nowNs(), true);
    view.setUint16(packet + 2, 0, false);
    view.setUint16(packet + 2, internetChecksum(view, packet, echo.packetBytes), false);
    arena.setSocketAddress(echo.name, echo.targets[index] ?? 0, 0);
    echo.sent[index] = (echo.sent[index] ?? 0) + 1;
    const done = libc.sendto(
      echo.fd,
      arena.base + packet,
      echo.packetBytes,
      0,
      arena.base + echo.name,
      SOCKADDR_IN_BYTES,
    );
    if (done === -1) {
      const code = errno();
      const local = [EAGAIN, ENOBUFS, EHOSTUNREACH, ENETUNREACH, EPERM, EINTR, EMSGSIZE].includes(
        code,
      );
      if (!local) throw new SystemError('sendto', code);
      continue;
    }
    echo.awaited[index] = sequence;
    waiting += 1;
  }
  return waiting;
}

/** Takes answers until `waiting` came or the deadline passed. */
export function gather(echo: Echo, waiting: number, deadlineNs: number): void {
  let left = waiting;
  while (left > 0) {
    const got = libc.read(echo.fd, echo.arena.base + echo.receive, RECEIVE_BYTES);
    const now = nowNs();
    if (got > 0) {
      left -= takeAnswer(echo, got, now);
      continue;
    }
    const code = errno();
    if (got === -1 && code !== EAGAIN && code !== EINTR && code !== EHOSTUNREACH) {
      throw new SystemError('read', code);
    }
    const leftMs = (deadlineNs - now) / 1e6;
    if (leftMs <= 0) return;
    echo.poller.wait(leftMs);
  }
}

/** Counts one received IPv4 packet; 1 when it answers a request still open, else 0. */
function takeAnswer(echo: Echo, length: number, now: number): number {
  const { view } = echo.arena;
  const icmp = echo.receive + (view.getUint8(echo.receive) & 15) * 4;
  if (icmp + echo.packetBytes > echo.receive + length) return 0;
  if (view.getUint8(icmp) !== ECHO_REPLY || view.getUint16(icmp + 4, false) !== echo.id) return 0;
  const index = view.getUint32(icmp + ICMP_HEADER_BYTES, true);
  const histogram = echo.histograms[index];
  if (histogram === undefined) return 0;
  if (view.getUint32(echo.receive + 12, false) !== echo.targets[index]) return 0;
  if (echo.awaited[index] !== view.getUint16(icmp + 6, false)) return 0;
  echo.awaited[index] = -1;
  echo.received[index] = (echo.received[index] ?? 0) + 1;
  histogram.record(now - view.getFloat64(icmp + TIME_OFFSET, true));
  return 1;
}

/** Internet checksum, RFC 1071. */
export function internetChecksum(view: DataView, offset: number, length: number): number {
  let sum = 0;
  for (let i = 0; i + 1 < length; i += 2) sum += view.getUint16(offset + i, false);
  if (length % 2 === 1) sum += view.getUint8(offset + length - 1) << 8;
  sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
