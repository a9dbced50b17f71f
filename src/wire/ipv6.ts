/**
 * IPv6 headers (RFC 8200 §3). Addresses are 16 bytes and stay in place: accessors say where they
 * are, nobody copies them on the hot path. Accessors need 40 bytes at `offset`.
 * @module
 */

export const IPV6_HEADER_BYTES = 40;
/** Every IPv6 link carries at least this (RFC 8200 §5). */
export const IPV6_MTU_MIN = 1280;

export const IPV6_PAYLOAD_OFFSET = 4;
export const IPV6_NEXT_HEADER_OFFSET = 6;
export const IPV6_HOP_LIMIT_OFFSET = 7;
export const IPV6_SOURCE_OFFSET = 8;
export const IPV6_DESTINATION_OFFSET = 24;

/** Extension headers that a parser has to walk (IANA "IPv6 Extension Header Types", 2025-09). */
export const NEXT_HOP_BY_HOP = 0;
export const NEXT_ROUTING = 43;
export const NEXT_FRAGMENT = 44;
export const NEXT_AUTHENTICATION = 51;
export const NEXT_NONE = 59;
export const NEXT_DESTINATION_OPTIONS = 60;

/** Traffic class: DSCP and ECN together, 8 bits, astride the first two bytes. */
export function getIpv6TrafficClass(view: DataView, offset: number): number {
  return (view.getUint16(offset) >>> 4) & 255;
}

/** Writes the traffic class; version and flow label stay. There is no checksum to repair. */
export function replaceIpv6TrafficClass(view: DataView, offset: number, value: number): void {
  view.setUint16(offset, (view.getUint16(offset) & 0xf00f) | ((value & 255) << 4));
}

/** The 20-bit flow label (RFC 6437). */
export function getIpv6FlowLabel(view: DataView, offset: number): number {
  return view.getUint32(offset) & 0xfffff;
}

/** Bytes after the 40-byte header, as the header claims. */
export function getIpv6PayloadBytes(view: DataView, offset: number): number {
  return view.getUint16(offset + IPV6_PAYLOAD_OFFSET);
}

export function setIpv6PayloadBytes(view: DataView, offset: number, bytes: number): void {
  view.setUint16(offset + IPV6_PAYLOAD_OFFSET, bytes);
}

export function getIpv6NextHeader(view: DataView, offset: number): number {
  return view.getUint8(offset + IPV6_NEXT_HEADER_OFFSET);
}

export function getIpv6HopLimit(view: DataView, offset: number): number {
  return view.getUint8(offset + IPV6_HOP_LIMIT_OFFSET);
}

export function setIpv6HopLimit(view: DataView, offset: number, hops: number): void {
  view.setUint8(offset + IPV6_HOP_LIMIT_OFFSET, hops);
}

/** True for ff00::/8 as destination. */
export function isIpv6MulticastDestination(view: DataView, offset: number): boolean {
  return view.getUint8(offset + IPV6_DESTINATION_OFFSET) === 0xff;
}

/** True for ff00::/8 as source: never valid (RFC 4291 §2.7). */
export function isIpv6MulticastSource(view: DataView, offset: number): boolean {
  return view.getUint8(offset + IPV6_SOURCE_OFFSET) === 0xff;
}

/** True when the source is `::`. */
export function isIpv6SourceUnspecified(view: DataView, offset: number): boolean {
  const at = offset + IPV6_SOURCE_OFFSET;
  return (
    (view.getUint32(at) |
      view.getUint32(at + 4) |
      view.getUint32(at + 8) |
      view.getUint32(at + 12)) ===
    0
  );
}

/** Copies 16 bytes of address from one view to another. */
export function copyIpv6Address(from: DataView, fromAt: number, to: DataView, toAt: number): void {
  for (let at = 0; at < 16; at += 4) to.setUint32(toAt + at, from.getUint32(fromAt + at));
}

/**
 * Writes the first 8 bytes; the caller puts the two addresses with {@link copyIpv6Address}.
 * @param marks the traffic class above the 20 bits of the flow label
 */
export function emitIpv6(
  view: DataView,
  offset: number,
  payloadBytes: number,
  nextHeader: number,
  hopLimit: number,
  marks = 0,
): void {
  view.setUint32(offset, (0x60000000 | marks) >>> 0);
  view.setUint16(offset + IPV6_PAYLOAD_OFFSET, payloadBytes);
  view.setUint8(offset + IPV6_NEXT_HEADER_OFFSET, nextHeader);
  view.setUint8(offset + IPV6_HOP_LIMIT_OFFSET, hopLimit);
}
