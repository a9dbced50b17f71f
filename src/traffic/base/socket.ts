/**
 * Blocking and non-blocking IPv4 sockets for the traffic programs, and waiting for them with a
 * bound. Numbers are Linux's, the same on x86-64 and arm64.
 * @module
 */
import { check, errno, libc, SystemError } from '../../sys/libc/libc.ts';
import { type CallMemory, POLLFD_BYTES, SOCKADDR_IN_BYTES } from './memory.ts';

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const AF_INET = 2;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SO_BINDTODEVICE = 25;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;

export const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const TCP_CONGESTION = 13;
const TCP_INFO_BYTES = 136;
/** What {@link tcpInfo} needs: the structure, and its length. */
export const TCP_INFO_ROOM = TCP_INFO_BYTES + 8;

export const POLLIN = 0x001;
export const POLLOUT = 0x004;
const POLLRDHUP = 0x2000;
const POLL_GONE = 0x2018; // POLLRDHUP | POLLHUP | POLLERR

export const EINTR = 4;
export const EAGAIN = 11;
export const ENOBUFS = 105;
export const ECONNREFUSED = 111;
const EINPROGRESS = 115;

/** Opens an IPv4 socket, closed on exec. @throws SystemError */
export function openSocket(type: number, protocol = 0): number {
  return check('socket', libc.socket(AF_INET, type | SOCK_CLOEXEC, protocol));
}

/** Sets an int socket option. @throws SystemError */
export function setOption(
  arena: CallMemory,
  fd: number,
  level: number,
  name: number,
  value: number,
): void {
  check('setsockopt', libc.setsockopt(fd, level, name, arena.base + arena.int(value), 4));
}

/**
 * Asks for a socket buffer of `bytes`, above the system's limit where we are root; smaller is
 * taken silently, because a buffer is a wish.
 */
export function setBuffer(
  arena: CallMemory,
  fd: number,
  force: number,
  plain: number,
  bytes: number,
) {
  const value = arena.base + arena.int(bytes);
  if (libc.setsockopt(fd, SOL_SOCKET, force, value, 4) === -1) {
    libc.setsockopt(fd, SOL_SOCKET, plain, value, 4);
  }
}

/** Blocking calls on `fd` return EAGAIN after `ms`. @throws SystemError */
export function setTimeouts(arena: CallMemory, fd: number, ms: number): void {
  const value = arena.base + arena.timeval(ms);
  check('setsockopt', libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, value, 16));
  check('setsockopt', libc.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, value, 16));
}

/** Binds to `address` (host order, 0 = any) and `port`. @throws SystemError */
export function bindTo(arena: CallMemory, fd: number, address: number, port: number): void {
  const name = arena.base + arena.socketAddress(address, port);
  check('bind', libc.bind(fd, name, SOCKADDR_IN_BYTES));
}

/** Connects within `timeoutMs`, also on a non-blocking socket. @throws SystemError */
export function connectTo(
  arena: CallMemory,
  fd: number,
  address: number,
  port: number,
  timeoutMs: number,
): void {
  const name = arena.base + arena.socketAddress(address, port);
  if (libc.connect(fd, name, SOCKADDR_IN_BYTES) === 0) return;
  if (errno() !== EINPROGRESS) throw new SystemError('connect', errno());
  const poller = new Poller(arena, 1);
  poller.set(0, fd, POLLOUT);
  if (poller.wait(timeoutMs) === 0) throw new SystemError('connect', 110);
  const error = arena.int(0);
  const length = arena.int(4);
  const SO_ERROR = 4;
  check(
    'getsockopt',
    libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, arena.base + error, arena.base + length),
  );
  const code = arena.view.getInt32(error, true);
  if (code !== 0) throw new SystemError('connect', code);
}

/** What the socket sends and gets goes by this device alone; '' = by any. @throws SystemError ENODEV */
export function bindToDevice(arena: CallMemory, fd: number, device: string): void {
  if (device !== '') setText(arena, fd, [SOL_SOCKET, SO_BINDTODEVICE], device);
}

function setText(
  arena: CallMemory,
  fd: number,
  [level, option]: readonly [number, number],
  text: string,
): void {
  const bytes = Buffer.from(text, 'ascii');
  const offset = arena.take(bytes.length);
  arena.bytes.set(bytes, offset);
  check('setsockopt', libc.setsockopt(fd, level, option, arena.base + offset, bytes.length));
}

/** Chooses the congestion control of a TCP socket. @throws SystemError ENOENT when the kernel lacks it. */
export function setCongestion(arena: CallMemory, fd: number, name: string): void {
  setText(arena, fd, [IPPROTO_TCP, TCP_CONGESTION], name);
}

/** What the kernel knows about a TCP connection: `struct tcp_info`, linux/tcp.h. */
export type TcpInfo = {
  retransmits: number;
  mssBytes: number;
  rttUs: number;
  pmtuBytes: number;
  /** Bytes that the other end has acknowledged. */
  ackedBytes: number;
};

/**
 * Reads TCP_INFO of a connected socket; zeros when the kernel refuses.
 * @param room {@link TCP_INFO_ROOM} bytes to use, for who asks often
 */
export function tcpInfo(arena: CallMemory, fd: number, room = arena.take(TCP_INFO_ROOM)): TcpInfo {
  const { view, base } = arena;
  const length = room + TCP_INFO_BYTES;
  view.setInt32(length, TCP_INFO_BYTES, true);
  libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, base + room, base + length);
  const word = (offset: number) => view.getUint32(room + offset, true);
  return {
    mssBytes: word(16),
    pmtuBytes: word(60),
    rttUs: word(68),
    retransmits: word(100),
    ackedBytes: word(120) + word(124) * 2 ** 32,
  };
}

/** A fixed set of descriptors to wait for. */
export class Poller {
  readonly #arena: CallMemory;
  readonly #offset: number;
  readonly #count: number;

  constructor(arena: CallMemory, count: number) {
    this.#arena = arena;
    this.#count = count;
    this.#offset = arena.take(count * POLLFD_BYTES);
    for (let i = 0; i < count; i += 1) this.set(i, -1, 0);
  }

  /** Watches `fd` for `events` at place `index`; fd −1 watches nothing. */
  set(index: number, fd: number, events: number): void {
    const at = this.#offset + index * POLLFD_BYTES;
    this.#arena.view.setInt32(at, fd, true);
    this.#arena.view.setInt16(at + 4, events, true);
    this.#arena.view.setInt16(at + 6, 0, true);
  }

  /** Watches standard input for its end at place `index`: whoever started us is done or dead. */
  watchParent(index: number): void {
    this.set(index, 0, POLLRDHUP);
  }

  /** Waits at most `timeoutMs`; returns how many descriptors have something. */
  wait(timeoutMs: number): number {
    const ready = libc.poll(this.#arena.base + this.#offset, this.#count, Math.ceil(timeoutMs));
    if (ready >= 0) return ready;
    if (errno() === EINTR) return 0;
    throw new SystemError('poll', errno());
  }

  /** What happened at place `index` (POLLIN, POLLOUT, ...). */
  events(index: number): number {
    return this.#arena.view.getInt16(this.#offset + index * POLLFD_BYTES + 6, true);
  }

  /** True when the descriptor at `index` was closed by the other side. */
  gone(index: number): boolean {
    return (this.events(index) & POLL_GONE) !== 0;
  }
}
