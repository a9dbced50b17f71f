/**
 * Socket addresses in the arena (`struct sockaddr_in`, ip(7), and `sockaddr_in6`, ipv6(7)). A place
 * for one is {@link SOCKADDR_BYTES} long, whichever it is.
 *
 * ```
 *            0        2      4           8
 * IPv4       family   port   address     -
 * IPv6       family   port   flow label  address (16 bytes), scope
 * ```
 * @module
 */
import { AF_INET, AF_INET6 } from '../../sys/libc/constants.ts';

/** Room for any socket address of ours. */
export const SOCKADDR_BYTES = 32;
/** `struct sockaddr_in` and `struct sockaddr_in6`. */
export const SOCKADDR_IN_BYTES = 16;
export const SOCKADDR_IN6_BYTES = 28;
const PORT_OFFSET = 2;
/** Of the four bytes of IPv4, and of the flow label of IPv6. */
const ADDRESS_OFFSET = 4;
/** Of the sixteen bytes of IPv6, and of the last four of them. */
const IPV6_OFFSET = 8;
const IPV6_LAST_OFFSET = 20;

/** Writes an IPv4 one; `address` is a u32. */
export function emitSockaddr(
  view: DataView,
  at: number,
  address: number,
  port: number,
  family: number = AF_INET,
): void {
  view.setUint16(at, family, true);
  view.setUint16(at + PORT_OFFSET, port);
  view.setUint32(at + ADDRESS_OFFSET, address);
}

/** Writes an IPv6 one of four words of address, u32 each, without a flow label and with no scope. */
export function emitSockaddrIpv6(
  view: DataView,
  at: number,
  first: number,
  second: number,
  third: number,
  last: number,
): void {
  view.setUint16(at, AF_INET6, true);
  view.setUint32(at + ADDRESS_OFFSET, 0);
  view.setUint32(at + IPV6_OFFSET, first);
  view.setUint32(at + IPV6_OFFSET + 4, second);
  view.setUint32(at + IPV6_OFFSET + 8, third);
  view.setUint32(at + IPV6_LAST_OFFSET, last);
  view.setUint32(at + IPV6_OFFSET + 16, 0);
}

export function getSockaddrPort(view: DataView, at: number): number {
  return view.getUint16(at + PORT_OFFSET);
}

export function setSockaddrPort(view: DataView, at: number, port: number): void {
  view.setUint16(at + PORT_OFFSET, port);
}

export function isSockaddrIpv6(view: DataView, at: number): boolean {
  return view.getUint16(at, true) === AF_INET6;
}

/** Length of the one at `at`, bytes. */
export function sockaddrBytes(view: DataView, at: number): number {
  return isSockaddrIpv6(view, at) ? SOCKADDR_IN6_BYTES : SOCKADDR_IN_BYTES;
}

/** The IPv4 address of the one at `at`, u32. */
export function getSockaddrIpv4(view: DataView, at: number): number {
  return view.getUint32(at + ADDRESS_OFFSET);
}

/** The last 32 bits of the IPv6 address of the one at `at`, u32. */
export function getSockaddrLastWord(view: DataView, at: number): number {
  return view.getUint32(at + IPV6_LAST_OFFSET);
}

/** Writes the flow label (RFC 6437), 20 bits, of an IPv6 one. */
export function setSockaddrFlowLabel(view: DataView, at: number, label: number): void {
  view.setUint32(at + ADDRESS_OFFSET, label & 0xfffff);
}

/** Offset of the address from the beginning of the one at `at`, and its length, 4 or 16 bytes. */
export function addressOffset(view: DataView, at: number): number {
  return isSockaddrIpv6(view, at) ? IPV6_OFFSET : ADDRESS_OFFSET;
}

export function addressBytes(view: DataView, at: number): 4 | 16 {
  return isSockaddrIpv6(view, at) ? 16 : 4;
}

/** Whether the first 96 bits of an IPv6 one are these words. */
export function hasPrefix96(
  view: DataView,
  at: number,
  first: number,
  second: number,
  third: number,
): boolean {
  return (
    view.getUint32(at + IPV6_OFFSET) === first &&
    view.getUint32(at + IPV6_OFFSET + 4) === second &&
    view.getUint32(at + IPV6_OFFSET + 8) === third
  );
}

/** Whether both name the same host, ports left aside. */
export function isSameHost(view: DataView, a: number, b: number): boolean {
  if (view.getUint16(a) !== view.getUint16(b)) return false;
  if (!isSockaddrIpv6(view, a)) return getSockaddrIpv4(view, a) === getSockaddrIpv4(view, b);
  for (let word = 0; word < 16; word += 4) {
    if (view.getUint32(a + IPV6_OFFSET + word) !== view.getUint32(b + IPV6_OFFSET + word)) {
      return false;
    }
  }
  return true;
}

/** Of the address alone, 32 bits: for hashes. An IPv4 one is what it is. */
export function addressHash(view: DataView, at: number): number {
  if (!isSockaddrIpv6(view, at)) return getSockaddrIpv4(view, at);
  let hash = 0x9e3779b1;
  for (let word = 0; word < 16; word += 4) {
    hash = Math.imul(hash ^ view.getUint32(at + IPV6_OFFSET + word), 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}
