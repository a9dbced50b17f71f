/**
 * UDP headers (RFC 768). Accessors need {@link UDP_HEADER_BYTES} bytes at `offset`.
 * @module
 */

export const UDP_HEADER_BYTES = 8;
/** The most payload one IPv4 datagram holds: 65,535 - 20 - 8. */
export const UDP_PAYLOAD_BYTES_MAX = 65507;

export const UDP_SOURCE_OFFSET = 0;
export const UDP_DESTINATION_OFFSET = 2;
export const UDP_LENGTH_OFFSET = 4;
export const UDP_CHECKSUM_OFFSET = 6;

export function getUdpSource(view: DataView, offset: number): number {
  return view.getUint16(offset + UDP_SOURCE_OFFSET);
}

export function getUdpDestination(view: DataView, offset: number): number {
  return view.getUint16(offset + UDP_DESTINATION_OFFSET);
}

/** Header and payload in bytes, as the header claims. */
export function getUdpBytes(view: DataView, offset: number): number {
  return view.getUint16(offset + UDP_LENGTH_OFFSET);
}

export function setUdpBytes(view: DataView, offset: number, bytes: number): void {
  view.setUint16(offset + UDP_LENGTH_OFFSET, bytes);
}

/** 0 means none was computed; only IPv4 allows that (RFC 768, RFC 8200 §8.1). */
export function getUdpChecksum(view: DataView, offset: number): number {
  return view.getUint16(offset + UDP_CHECKSUM_OFFSET);
}

/** Writes a computed checksum; a computed 0 is sent as all ones, because 0 means "none". */
export function setUdpChecksum(view: DataView, offset: number, checksum: number): void {
  view.setUint16(offset + UDP_CHECKSUM_OFFSET, checksum === 0 ? 0xffff : checksum);
}

/** Writes a whole header. `checksum` is written as it is: 0 for none. */
export function emitUdp(
  view: DataView,
  offset: number,
  source: number,
  destination: number,
  bytes: number,
  checksum: number,
): void {
  view.setUint16(offset + UDP_SOURCE_OFFSET, source);
  view.setUint16(offset + UDP_DESTINATION_OFFSET, destination);
  view.setUint16(offset + UDP_LENGTH_OFFSET, bytes);
  view.setUint16(offset + UDP_CHECKSUM_OFFSET, checksum);
}
