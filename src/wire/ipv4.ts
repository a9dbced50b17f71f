/**
 * IPv4 headers (RFC 791, RFC 2474 for DSCP, RFC 3168 for ECN). Addresses are u32 in host order.
 * Accessors need 20 bytes at `offset`; `checkIpv4` in classify.ts looks once.
 * @module
 */
import { internetChecksum, updateChecksum16 } from './checksum.ts';

export const IPV4_HEADER_BYTES = 20;
export const IPV4_HEADER_BYTES_MAX = 60;
export const IPV4_PACKET_BYTES_MAX = 65535;

/** IANA registry "Protocol Numbers", 2025-09. */
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_IGMP = 2;
export const PROTOCOL_IPIP = 4;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_IPV6 = 41;
export const PROTOCOL_GRE = 47;
export const PROTOCOL_ESP = 50;
export const PROTOCOL_ICMPV6 = 58;
export const PROTOCOL_SCTP = 132;
export const PROTOCOL_UDPLITE = 136;

export const IPV4_TOS_OFFSET = 1;
export const IPV4_TOTAL_OFFSET = 2;
export const IPV4_IDENTIFICATION_OFFSET = 4;
export const IPV4_FRAGMENT_OFFSET = 6;
export const IPV4_TTL_OFFSET = 8;
export const IPV4_PROTOCOL_OFFSET = 9;
export const IPV4_CHECKSUM_OFFSET = 10;
export const IPV4_SOURCE_OFFSET = 12;
export const IPV4_DESTINATION_OFFSET = 16;

/** Don't fragment, in the word at {@link IPV4_FRAGMENT_OFFSET}. */
export const IPV4_DF = 0x4000;
/** More fragments. */
export const IPV4_MF = 0x2000;
/** The fragment offset, in units of 8 bytes. */
export const IPV4_FRAGMENT_MASK = 0x1fff;

/** The version nibble of any IP packet: 4 or 6. */
export function getIpVersion(view: DataView, offset: number): number {
  return view.getUint8(offset) >>> 4;
}

/** Header length in bytes, options included: 0 to 60; below 20 is a lie. */
export function getIpv4HeaderBytes(view: DataView, offset: number): number {
  return (view.getUint8(offset) & 15) << 2;
}

/** True when `bytes` at `offset` are exactly one IPv4 packet of `protocol`, by its own account. */
export function fillsIpv4(
  view: DataView,
  offset: number,
  bytes: number,
  protocol: number,
): boolean {
  return (
    bytes >= IPV4_HEADER_BYTES &&
    getIpVersion(view, offset) === 4 &&
    getIpv4Protocol(view, offset) === protocol &&
    getIpv4TotalBytes(view, offset) === bytes
  );
}

/** DSCP and ECN together, 8 bits. */
export function getIpv4Tos(view: DataView, offset: number): number {
  return view.getUint8(offset + IPV4_TOS_OFFSET);
}

/** Length of header and payload in bytes, as the header claims. */
export function getIpv4TotalBytes(view: DataView, offset: number): number {
  return view.getUint16(offset + IPV4_TOTAL_OFFSET);
}

export function setIpv4TotalBytes(view: DataView, offset: number, bytes: number): void {
  view.setUint16(offset + IPV4_TOTAL_OFFSET, bytes);
}

export function getIpv4Identification(view: DataView, offset: number): number {
  return view.getUint16(offset + IPV4_IDENTIFICATION_OFFSET);
}

export function setIpv4Identification(view: DataView, offset: number, value: number): void {
  view.setUint16(offset + IPV4_IDENTIFICATION_OFFSET, value);
}

/** Flags and fragment offset as they stand: 16 bits. */
export function getIpv4Fragment(view: DataView, offset: number): number {
  return view.getUint16(offset + IPV4_FRAGMENT_OFFSET);
}

export function hasIpv4Df(view: DataView, offset: number): boolean {
  return (view.getUint16(offset + IPV4_FRAGMENT_OFFSET) & IPV4_DF) !== 0;
}

/** True for every piece of a fragmented datagram, the first and the last included. */
export function isIpv4Fragment(view: DataView, offset: number): boolean {
  return (view.getUint16(offset + IPV4_FRAGMENT_OFFSET) & (IPV4_MF | IPV4_FRAGMENT_MASK)) !== 0;
}

export function getIpv4Ttl(view: DataView, offset: number): number {
  return view.getUint8(offset + IPV4_TTL_OFFSET);
}

export function getIpv4Protocol(view: DataView, offset: number): number {
  return view.getUint8(offset + IPV4_PROTOCOL_OFFSET);
}

export function getIpv4Checksum(view: DataView, offset: number): number {
  return view.getUint16(offset + IPV4_CHECKSUM_OFFSET);
}

export function setIpv4Checksum(view: DataView, offset: number, checksum: number): void {
  view.setUint16(offset + IPV4_CHECKSUM_OFFSET, checksum);
}

export function getIpv4Source(view: DataView, offset: number): number {
  return view.getUint32(offset + IPV4_SOURCE_OFFSET);
}

export function setIpv4Source(view: DataView, offset: number, address: number): void {
  view.setUint32(offset + IPV4_SOURCE_OFFSET, address);
}

export function getIpv4Destination(view: DataView, offset: number): number {
  return view.getUint32(offset + IPV4_DESTINATION_OFFSET);
}

export function setIpv4Destination(view: DataView, offset: number, address: number): void {
  view.setUint32(offset + IPV4_DESTINATION_OFFSET, address);
}

/** Computes the header checksum afresh and writes it. */
export function fillIpv4Checksum(view: DataView, offset: number): void {
  view.setUint16(offset + IPV4_CHECKSUM_OFFSET, 0);
  const checksum = internetChecksum(view, offset, getIpv4HeaderBytes(view, offset));
  view.setUint16(offset + IPV4_CHECKSUM_OFFSET, checksum);
}

/** True when the header sums to zero (RFC 791 §3.1). Needs the whole header, options included. */
export function isIpv4ChecksumRight(view: DataView, offset: number): boolean {
  return internetChecksum(view, offset, getIpv4HeaderBytes(view, offset)) === 0;
}

/** Writes the TOS byte and repairs the checksum in place. */
export function replaceIpv4Tos(view: DataView, offset: number, tos: number): void {
  const before = view.getUint16(offset);
  const after = (before & 0xff00) | tos;
  const checksum = view.getUint16(offset + IPV4_CHECKSUM_OFFSET);
  view.setUint16(offset, after);
  view.setUint16(offset + IPV4_CHECKSUM_OFFSET, updateChecksum16(checksum, before, after));
}

/** Takes one from the TTL and repairs the checksum. The caller made sure that it was above 1. */
export function decrementIpv4Ttl(view: DataView, offset: number): void {
  const before = view.getUint16(offset + IPV4_TTL_OFFSET);
  const after = (before - 0x100) & 0xffff;
  const checksum = view.getUint16(offset + IPV4_CHECKSUM_OFFSET);
  view.setUint16(offset + IPV4_TTL_OFFSET, after);
  view.setUint16(offset + IPV4_CHECKSUM_OFFSET, updateChecksum16(checksum, before, after));
}

/** Fields of a header without options. */
export type Ipv4Fields = {
  source: number;
  destination: number;
  protocol: number;
  /** Header and payload, bytes. */
  totalBytes: number;
  /** 0 when it is left out, like the identification. */
  tos?: number;
  /** 64 when it is left out. */
  ttl?: number;
  identification?: number;
  /** Flags and fragment offset, for instance {@link IPV4_DF}; 0 when it is left out. */
  fragment?: number;
};

/** What hosts send with. */
const TTL_USUAL = 64;

/** Writes a 20-byte header with its checksum. Not for each packet: the fields are an object. */
export function emitIpv4(view: DataView, offset: number, fields: Ipv4Fields): void {
  const { source, destination, protocol, totalBytes } = fields;
  const { tos = 0, ttl = TTL_USUAL, identification = 0, fragment = 0 } = fields;
  view.setUint16(offset, 0x4500 | tos);
  view.setUint16(offset + IPV4_TOTAL_OFFSET, totalBytes);
  view.setUint16(offset + IPV4_IDENTIFICATION_OFFSET, identification);
  view.setUint16(offset + IPV4_FRAGMENT_OFFSET, fragment);
  view.setUint16(offset + IPV4_TTL_OFFSET, (ttl << 8) | protocol);
  view.setUint16(offset + IPV4_CHECKSUM_OFFSET, 0);
  view.setUint32(offset + IPV4_SOURCE_OFFSET, source);
  view.setUint32(offset + IPV4_DESTINATION_OFFSET, destination);
  view.setUint16(offset + IPV4_CHECKSUM_OFFSET, internetChecksum(view, offset, IPV4_HEADER_BYTES));
}
