/**
 * ICMPv4 (RFC 792) echo and "fragmentation needed" (RFC 1191), ICMPv6 (RFC 4443) "packet too big".
 * The two builders write a whole IP packet and return its length; they allocate nothing.
 * @module
 */
import { internetChecksum, pseudoSumIpv6 } from './checksum.ts';
import {
  emitIpv4,
  getIpv4Destination,
  getIpv4Fragment,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Source,
  IPV4_FRAGMENT_MASK,
  IPV4_HEADER_BYTES,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
} from './ipv4.ts';
import {
  copyIpv6Address,
  emitIpv6,
  getIpv6NextHeader,
  IPV6_DESTINATION_OFFSET,
  IPV6_HEADER_BYTES,
  IPV6_MTU_MIN,
  IPV6_SOURCE_OFFSET,
  isIpv6MulticastDestination,
  isIpv6MulticastSource,
  isIpv6SourceUnspecified,
} from './ipv6.ts';

/** Type, code, checksum and four bytes that depend on the type. */
export const ICMP_HEADER_BYTES = 8;

/** IANA registry "ICMP Type Numbers", 2024-09. */
export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_SOURCE_QUENCH = 4;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;
/** Code of {@link ICMP_UNREACHABLE}: fragmentation needed and DF set. */
export const ICMP_CODE_FRAGMENTATION_NEEDED = 4;
/** IANA registry "ICMPv6 type Numbers", 2025-03. */
export const ICMPV6_TOO_BIG = 2;
/** ICMPv6 types below this are errors (RFC 4443 §2.1). */
export const ICMPV6_INFORMATIONAL_MIN = 128;
export const ICMPV6_REDIRECT = 137;

export const ICMP_TYPE_OFFSET = 0;
export const ICMP_CODE_OFFSET = 1;
export const ICMP_CHECKSUM_OFFSET = 2;
/** The low 16 bits of the second word: next-hop MTU of RFC 1191 §4. */
export const ICMP_MTU_OFFSET = 6;
export const ICMP_IDENTIFIER_OFFSET = 4;
export const ICMP_SEQUENCE_OFFSET = 6;

/** An ICMPv4 error stays within 576 bytes, its IP header included (RFC 1812 §4.3.2.3). */
export const ICMP_ERROR_BYTES_MAX = 576;
/** TTL and hop limit of what we originate. */
const TTL = 64;
/** DSCP CS6, as routers mark their own control traffic (RFC 1812 §4.3.2.5). */
const TOS = 0xc0;

export function getIcmpType(view: DataView, offset: number): number {
  return view.getUint8(offset + ICMP_TYPE_OFFSET);
}

export function getIcmpCode(view: DataView, offset: number): number {
  return view.getUint8(offset + ICMP_CODE_OFFSET);
}

/** Next-hop MTU of type 3 code 4; 0 from routers older than RFC 1191. */
export function getIcmpMtu(view: DataView, offset: number): number {
  return view.getUint16(offset + ICMP_MTU_OFFSET);
}

/** MTU of an ICMPv6 packet too big (RFC 4443 §3.2). */
export function getIcmpv6Mtu(view: DataView, offset: number): number {
  return view.getUint32(offset + 4);
}

export function getIcmpIdentifier(view: DataView, offset: number): number {
  return view.getUint16(offset + ICMP_IDENTIFIER_OFFSET);
}

export function getIcmpSequence(view: DataView, offset: number): number {
  return view.getUint16(offset + ICMP_SEQUENCE_OFFSET);
}

/**
 * Writes the 8 bytes of an echo (type 8) or echo reply (type 0) and the checksum over them and the
 * `payloadBytes` that already stand behind.
 */
export function emitIcmpEcho(
  view: DataView,
  offset: number,
  type: number,
  identifier: number,
  sequence: number,
  payloadBytes: number,
): void {
  view.setUint32(offset, (type << 24) >>> 0);
  view.setUint16(offset + ICMP_IDENTIFIER_OFFSET, identifier);
  view.setUint16(offset + ICMP_SEQUENCE_OFFSET, sequence);
  view.setUint16(
    offset + ICMP_CHECKSUM_OFFSET,
    internetChecksum(view, offset, ICMP_HEADER_BYTES + payloadBytes),
  );
}

/**
 * May an error be sent about this IPv4 packet (RFC 1122 §3.2.2)? Not about ICMP errors, later
 * fragments, multicast, broadcast, or a source that names no single host.
 * @param bytes readable from `l3Offset`; the header itself is known to be whole
 */
export function mayAnswerIpv4(view: DataView, l3Offset: number, bytes: number): boolean {
  if ((getIpv4Fragment(view, l3Offset) & IPV4_FRAGMENT_MASK) !== 0) return false;
  const source = getIpv4Source(view, l3Offset);
  const top = source >>> 24;
  if (top === 0 || top === 127 || source >>> 28 === 14 || source === 0xffffffff) return false;
  const destination = getIpv4Destination(view, l3Offset);
  if (destination >>> 28 === 14 || destination === 0xffffffff) return false;
  if (getIpv4Protocol(view, l3Offset) !== PROTOCOL_ICMP) return true;
  const headerBytes = getIpv4HeaderBytes(view, l3Offset);
  if (headerBytes >= bytes) return false;
  const type = getIcmpType(view, l3Offset + headerBytes);
  return (
    type !== ICMP_UNREACHABLE &&
    type !== ICMP_SOURCE_QUENCH &&
    type !== ICMP_REDIRECT &&
    type !== ICMP_TIME_EXCEEDED &&
    type !== ICMP_PARAMETER_PROBLEM
  );
}

/**
 * May an ICMPv6 packet too big be sent about this packet (RFC 4443 §2.4 e)? Multicast destinations
 * are allowed for type 2 only, which is this one; we refuse them all the same, because a fan sends
 * none. ICMPv6 behind extension headers is not looked for: such packets get no answer.
 */
export function mayAnswerIpv6(view: DataView, l3Offset: number, bytes: number): boolean {
  if (isIpv6SourceUnspecified(view, l3Offset) || isIpv6MulticastSource(view, l3Offset)) {
    return false;
  }
  if (isIpv6MulticastDestination(view, l3Offset)) return false;
  const next = getIpv6NextHeader(view, l3Offset);
  if (next === PROTOCOL_ICMPV6) {
    if (bytes <= IPV6_HEADER_BYTES) return false;
    const type = getIcmpType(view, l3Offset + IPV6_HEADER_BYTES);
    return type >= ICMPV6_INFORMATIONAL_MIN && type !== ICMPV6_REDIRECT;
  }
  return next === 6 || next === 17 || next === 132;
}

/** Copies bytes between views of any two buffers. */
function copyBytes(
  from: DataView,
  fromAt: number,
  to: DataView,
  toAt: number,
  bytes: number,
): void {
  const words = bytes & ~3;
  for (let at = 0; at < words; at += 4) to.setUint32(toAt + at, from.getUint32(fromAt + at));
  for (let at = words; at < bytes; at++) to.setUint8(toAt + at, from.getUint8(fromAt + at));
}

/** The packet that an error is about: its IP header, and how much of it can be read, bytes. */
export type Quoted = { view: DataView; at: number; bytes: number };

/**
 * Builds the IPv4 packet "fragmentation needed, next-hop MTU is `mtu`" (RFC 1191 §4) to the sender
 * of `quoted`, which it quotes as far as 576 bytes in all allow.
 * @param offset where the IPv4 header goes; 576 bytes must be free
 * @param source our own address, u32
 * @param quoted the packet that was too large, at least its header
 * @returns length of the packet in bytes
 */
export function emitIcmpFragmentationNeeded(
  view: DataView,
  offset: number,
  source: number,
  mtu: number,
  quoted: Quoted,
): number {
  const room = ICMP_ERROR_BYTES_MAX - IPV4_HEADER_BYTES - ICMP_HEADER_BYTES;
  const quote = Math.min(quoted.bytes, room);
  const totalBytes = IPV4_HEADER_BYTES + ICMP_HEADER_BYTES + quote;
  const destination = getIpv4Source(quoted.view, quoted.at);
  const icmp = offset + IPV4_HEADER_BYTES;
  emitIpv4(view, offset, {
    source,
    destination,
    protocol: PROTOCOL_ICMP,
    totalBytes,
    tos: TOS,
    ttl: TTL,
  });
  view.setUint32(icmp, (ICMP_UNREACHABLE << 24) | (ICMP_CODE_FRAGMENTATION_NEEDED << 16));
  view.setUint32(icmp + 4, mtu & 0xffff);
  copyBytes(quoted.view, quoted.at, view, icmp + ICMP_HEADER_BYTES, quote);
  view.setUint16(
    icmp + ICMP_CHECKSUM_OFFSET,
    internetChecksum(view, icmp, ICMP_HEADER_BYTES + quote),
  );
  return totalBytes;
}

/**
 * Builds the IPv6 packet "packet too big" (RFC 4443 §3.2), quoting as far as 1,280 bytes allow.
 * @param offset where the IPv6 header goes; 1,280 bytes must be free
 * @param sourceView, sourceAt 16 bytes of our own address; the quoted packet's destination serves
 *   where we have none
 * @returns length of the packet in bytes
 */
export function emitIcmpv6TooBig(
  view: DataView,
  offset: number,
  sourceView: DataView,
  sourceAt: number,
  mtu: number,
  quoted: Quoted,
): number {
  const room = IPV6_MTU_MIN - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES;
  const quote = Math.min(quoted.bytes, room);
  const icmpBytes = ICMP_HEADER_BYTES + quote;
  const icmp = offset + IPV6_HEADER_BYTES;
  emitIpv6(view, offset, icmpBytes, PROTOCOL_ICMPV6, TTL);
  copyIpv6Address(sourceView, sourceAt, view, offset + IPV6_SOURCE_OFFSET);
  copyIpv6Address(
    quoted.view,
    quoted.at + IPV6_SOURCE_OFFSET,
    view,
    offset + IPV6_DESTINATION_OFFSET,
  );
  view.setUint32(icmp, ICMPV6_TOO_BIG << 24);
  view.setUint32(icmp + 4, mtu);
  copyBytes(quoted.view, quoted.at, view, icmp + ICMP_HEADER_BYTES, quote);
  const pseudo = pseudoSumIpv6(view, offset, PROTOCOL_ICMPV6, icmpBytes);
  view.setUint16(icmp + ICMP_CHECKSUM_OFFSET, internetChecksum(view, icmp, icmpBytes, pseudo));
  return IPV6_HEADER_BYTES + icmpBytes;
}
