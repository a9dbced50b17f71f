/**
 * TCP sockets with options that Node does not set: MD5 signatures (RFC 2385) and the TTL guard
 * (RFC 5082). What is opened here is handed to Node as a descriptor.
 * @module
 */
import {
  AF_INET,
  AF_INET6,
  EINPROGRESS,
  IP_MINTTL,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_MINHOPCOUNT,
  IPV6_UNICAST_HOPS,
  IPV6_V6ONLY,
  POLLOUT,
  SO_ERROR,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_MD5SIG,
} from '../libc/constants.ts';
import { addressOf, check, errno, libc, SystemError } from '../libc/libc.ts';
import { socketAddress } from './sockets.ts';

/** IPv4 as u32 in host order; IPv6 as 16 bytes. */
export type HostAddress = number | Uint8Array;

/** Longest key, bytes (TCP_MD5SIG_MAXKEYLEN). */
export const MD5_KEY_BYTES_MAX = 80;
/** The TTL that nobody further away can have when a packet arrives. */
const TTL_MAX = 255;

/** A `sockaddr_in` or `sockaddr_in6`; the scope of IPv6 is left to the routing table. */
export function hostAddress(address: HostAddress, port: number): Buffer {
  if (typeof address === 'number') return socketAddress(address, port);
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address, 8);
  return bytes;
}

const word = new Int32Array(1);
const wordAddress = addressOf(word);

function setInt(fd: number, level: number, name: number, value: number, what: string): void {
  word[0] = value;
  check(`setsockopt ${what}`, libc.setsockopt(fd, level, name, wordAddress, 4));
}

/**
 * Signs every segment to and from `peer`; on a listening socket too, for each peer that has a key.
 * @throws SystemError ENOPROTOOPT on a kernel without it, EPERM where it is forbidden (FIPS).
 */
export function setMd5Key(fd: number, peer: HostAddress, key: string): void {
  const bytes = Buffer.from(key, 'utf8');
  if (bytes.length > MD5_KEY_BYTES_MAX) throw new RangeError('an MD5 key has at most 80 bytes');
  // struct tcp_md5sig: sockaddr_storage (128), flags, prefix length, key length u16, interface, key.
  const option = Buffer.alloc(128 + 8 + MD5_KEY_BYTES_MAX);
  option.set(hostAddress(peer, 0), 0);
  option.writeUInt16LE(bytes.length, 130);
  option.set(bytes, 136);
  const result = libc.setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, addressOf(option), option.length);
  check('setsockopt TCP_MD5SIG', result);
}

/**
 * Sends with the highest TTL, and takes only what crossed at most `hops` routers: 1 = the same
 * segment. On a listening socket `hops` 0 sends so without yet asking it of others.
 */
export function setTtlGuard(fd: number, family: 4 | 6, hops: number): void {
  const isV4 = family === 4;
  const level = isV4 ? IPPROTO_IP : IPPROTO_IPV6;
  setInt(fd, level, isV4 ? IP_TTL : IPV6_UNICAST_HOPS, TTL_MAX, 'TTL');
  if (hops === 0) return;
  const least = TTL_MAX + 1 - hops;
  setInt(fd, level, isV4 ? IP_MINTTL : IPV6_MINHOPCOUNT, least, 'minimum TTL');
}

function openStream(address: HostAddress): number {
  const family = typeof address === 'number' ? AF_INET : AF_INET6;
  const type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  return check('socket', libc.socket(family, type, 0));
}

/** Closes `fd` when `work` throws. */
function guarded(fd: number, work: () => void): void {
  try {
    work();
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/**
 * A socket bound and ready for `listen`.
 * @throws SystemError EADDRINUSE, EADDRNOTAVAIL, EACCES for a port below 1024 without the right.
 */
export function openTcpListener(
  address: HostAddress,
  port: number,
  prepare: (fd: number) => void,
): number {
  const fd = openStream(address);
  guarded(fd, () => {
    setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1, 'SO_REUSEADDR');
    if (typeof address !== 'number') setInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, 'IPV6_V6ONLY');
    const name = hostAddress(address, port);
    check('bind', libc.bind(fd, addressOf(name), name.length));
    prepare(fd);
  });
  return fd;
}

/**
 * A socket that connects; {@link connectState} tells when it has.
 * @param from the local address, null = whatever the route says
 * @throws SystemError what connect(2) says at once, as ENETUNREACH.
 */
export function openTcpConnection(
  to: HostAddress,
  port: number,
  from: HostAddress | null,
  prepare: (fd: number) => void,
): number {
  const fd = openStream(to);
  guarded(fd, () => {
    if (from !== null && typeof from === typeof to) {
      const name = hostAddress(from, 0);
      check('bind', libc.bind(fd, addressOf(name), name.length));
    }
    prepare(fd);
    const name = hostAddress(to, port);
    const result = libc.connect(fd, addressOf(name), name.length);
    if (result === -1 && errno() !== EINPROGRESS) throw new SystemError('connect', errno());
  });
  return fd;
}

/** `connecting`, `connected`, or the error that ended it. */
export function connectState(fd: number): 'connecting' | 'connected' | SystemError {
  // struct pollfd {int fd, short events, short revents}
  const poll = Buffer.alloc(8);
  poll.writeInt32LE(fd, 0);
  poll.writeInt16LE(POLLOUT, 4);
  if (libc.poll(addressOf(poll), 1, 0) < 1) return 'connecting';
  const length = new Uint32Array([4]);
  word[0] = 0;
  libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, wordAddress, addressOf(length));
  const error = word[0] ?? 0;
  return error === 0 ? 'connected' : new SystemError('connect', error);
}

/** Closes a descriptor that Node was not given. */
export function closeTcp(fd: number): void {
  libc.close(fd);
}
