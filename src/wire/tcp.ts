/**
 * TCP headers (RFC 9293 §3.1). Accessors need {@link TCP_HEADER_BYTES} bytes at `offset`.
 * @module
 */
import { updateChecksum16 } from './checksum.ts';

export const TCP_HEADER_BYTES = 20;
export const TCP_HEADER_BYTES_MAX = 60;

export const TCP_SOURCE_OFFSET = 0;
export const TCP_DESTINATION_OFFSET = 2;
export const TCP_SEQUENCE_OFFSET = 4;
export const TCP_ACKNOWLEDGE_OFFSET = 8;
export const TCP_DATA_OFFSET = 12;
export const TCP_FLAGS_OFFSET = 13;
export const TCP_WINDOW_OFFSET = 14;
export const TCP_CHECKSUM_OFFSET = 16;
export const TCP_URGENT_OFFSET = 18;

/** Flags (IANA "TCP Header Flags", 2021-12). */
export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_MSS_BYTES = 4;

export function getTcpSource(view: DataView, offset: number): number {
  return view.getUint16(offset + TCP_SOURCE_OFFSET);
}

export function getTcpDestination(view: DataView, offset: number): number {
  return view.getUint16(offset + TCP_DESTINATION_OFFSET);
}

export function getTcpSequence(view: DataView, offset: number): number {
  return view.getUint32(offset + TCP_SEQUENCE_OFFSET);
}

export function setTcpSequence(view: DataView, offset: number, sequence: number): void {
  view.setUint32(offset + TCP_SEQUENCE_OFFSET, sequence);
}

export function getTcpAcknowledge(view: DataView, offset: number): number {
  return view.getUint32(offset + TCP_ACKNOWLEDGE_OFFSET);
}

/** Header length in bytes, options included: 0 to 60; below 20 is a lie. */
export function getTcpHeaderBytes(view: DataView, offset: number): number {
  return (view.getUint8(offset + TCP_DATA_OFFSET) >>> 4) << 2;
}

export function getTcpFlags(view: DataView, offset: number): number {
  return view.getUint8(offset + TCP_FLAGS_OFFSET);
}

export function setTcpFlags(view: DataView, offset: number, flags: number): void {
  view.setUint8(offset + TCP_FLAGS_OFFSET, flags);
}

export function getTcpWindow(view: DataView, offset: number): number {
  return view.getUint16(offset + TCP_WINDOW_OFFSET);
}

export function getTcpChecksum(view: DataView, offset: number): number {
  return view.getUint16(offset + TCP_CHECKSUM_OFFSET);
}

export function setTcpChecksum(view: DataView, offset: number, checksum: number): void {
  view.setUint16(offset + TCP_CHECKSUM_OFFSET, checksum);
}

/** Fields of a header without options. */
export type TcpFields = {
  source: number;
  destination: number;
  sequence: number;
  acknowledge: number;
  flags: number;
  window: number;
};

/**
 * Writes a 20-byte header without options; checksum and urgent pointer are zero. Not for each packet:
 * the fields are an object.
 */
export function emitTcp(view: DataView, offset: number, fields: TcpFields): void {
  const { source, destination, sequence, acknowledge, flags, window } = fields;
  view.setUint16(offset + TCP_SOURCE_OFFSET, source);
  view.setUint16(offset + TCP_DESTINATION_OFFSET, destination);
  view.setUint32(offset + TCP_SEQUENCE_OFFSET, sequence);
  view.setUint32(offset + TCP_ACKNOWLEDGE_OFFSET, acknowledge);
  view.setUint16(offset + TCP_DATA_OFFSET, 0x5000 | flags);
  view.setUint16(offset + TCP_WINDOW_OFFSET, window);
  view.setUint32(offset + TCP_CHECKSUM_OFFSET, 0);
}

/**
 * Where the value of the MSS option stands (RFC 9293 §3.7.1), or -1 without one or with a list of
 * options that lies about its lengths. Needs a header that `checkTransport` has passed.
 */
export function findTcpMss(view: DataView, offset: number): number {
  const end = offset + getTcpHeaderBytes(view, offset);
  let at = offset + TCP_HEADER_BYTES;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return -1;
    if (kind === OPTION_NOP) {
      at += 1;
      continue;
    }
    if (at + 1 >= end) return -1;
    const bytes = view.getUint8(at + 1);
    if (bytes < 2 || at + bytes > end) return -1;
    if (kind === OPTION_MSS) return bytes === OPTION_MSS_BYTES ? at + 2 : -1;
    at += bytes;
  }
  return -1;
}

/**
 * Lowers the MSS of a SYN to `limit` bytes and repairs the checksum (a partial one, as
 * `NEEDS_CSUM` leaves it, is not to be touched: then pass `repair` false).
 * @returns true when the option was there and too large.
 */
export function clampTcpMss(
  view: DataView,
  offset: number,
  limit: number,
  repair: boolean,
): boolean {
  if ((getTcpFlags(view, offset) & TCP_SYN) === 0) return false;
  const at = findTcpMss(view, offset);
  if (at < 0) return false;
  const before = view.getUint16(at);
  if (before <= limit) return false;
  view.setUint16(at, limit);
  if (repair) {
    // An option may start at an odd byte; then both halves of its value trade places in the sum.
    const odd = ((at - offset) & 1) === 1;
    const from = odd ? ((before & 255) << 8) | (before >>> 8) : before;
    const to = odd ? ((limit & 255) << 8) | (limit >>> 8) : limit;
    setTcpChecksum(view, offset, updateChecksum16(getTcpChecksum(view, offset), from, to));
  }
  return true;
}
