/**
 * The packets that are measured with; all are right in every field. Addresses are u32.
 * @module
 */
import { plainSum } from './plain.ts';

/** Containers of the sender's and the receiver's slice of 250.0.0.0/8 over 172.30.0.0/16. */
export const SOURCE = 0xfa001b02;
export const DESTINATION = 0xfa001c02;
/** The first word of fd00:fa::/32 over the same hosts, and the last of both containers' addresses there. */
export const OVERLAY6_WORD = 0xfd0000fa;
const CONTAINER6_WORD = 2;

export type Family = 4 | 6;

type Fields = {
  /** 4 unless given. */
  family?: Family;
  protocol: 6 | 17;
  /** Behind the transport header. */
  payloadBytes: number;
  sourcePort?: number;
  /** Of IPv4; the slices of an IPv6 packet are those of {@link SOURCE} and {@link DESTINATION}. */
  source?: number;
  destination?: number;
};

export const IP_HEADER_BYTES = { 4: 20, 6: 40 } as const;
const HEADER_BYTES = { 6: 32, 17: 8 } as const;
/** Linux sends this option with every segment: two pads, then the timestamps (RFC 7323 §3.2). */
const TIMESTAMPS = [1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9];

function emitIpv4Header(view: DataView, { protocol, source, destination }: Fields): void {
  view.setUint16(0, 0x4500);
  // A super-packet of the device may be longer than its own field can say.
  view.setUint16(2, view.byteLength & 0xffff);
  view.setUint16(4, 0x1234);
  view.setUint16(6, 0x4000);
  view.setUint16(8, (64 << 8) | protocol);
  view.setUint32(12, source ?? SOURCE);
  view.setUint32(16, destination ?? DESTINATION);
}

function emitIpv6Header(view: DataView, { protocol }: Fields): void {
  view.setUint32(0, 0x60012345);
  view.setUint16(4, (view.byteLength - IP_HEADER_BYTES[6]) & 0xffff);
  view.setUint16(6, (protocol << 8) | 64);
  for (const [at, container] of [
    [8, SOURCE],
    [24, DESTINATION],
  ] as const) {
    view.setUint32(at, OVERLAY6_WORD);
    // The host's 16 bits are next.
    view.setUint32(at + 4, (container >>> 8) << 16);
    view.setUint32(at + 12, CONTAINER6_WORD);
  }
}

/** Ports, and what else stands before the payload. */
function emitTransport(
  view: DataView,
  at: number,
  { protocol, sourcePort = 40_000 }: Fields,
): void {
  view.setUint16(at, sourcePort);
  view.setUint16(at + 2, 5001);
  if (protocol === 17) {
    view.setUint16(at + 4, view.byteLength - at);
    return;
  }
  view.setUint32(at + 4, 0xfffff000);
  view.setUint32(at + 8, 77);
  view.setUint16(at + 12, 0x8018);
  view.setUint16(at + 14, 512);
  for (const [i, byte] of TIMESTAMPS.entries()) view.setUint8(at + 20 + i, byte);
}

/** An IP packet; TCP has timestamps, ACK and PSH. */
export function packet(fields: Fields): Uint8Array {
  const { family = 4, protocol, payloadBytes } = fields;
  const l4 = IP_HEADER_BYTES[family];
  const bytes = new Uint8Array(l4 + HEADER_BYTES[protocol] + payloadBytes);
  const view = new DataView(bytes.buffer);
  if (family === 4) emitIpv4Header(view, fields);
  else emitIpv6Header(view, fields);
  emitTransport(view, l4, fields);
  const start = l4 + HEADER_BYTES[protocol];
  for (let at = start; at < bytes.length; at++) bytes[at] = Math.imul(at, 0x9e3779b1) >>> 24;
  if (family === 4) view.setUint16(10, ~plainSum(bytes.subarray(0, l4)) & 0xffff);
  const addresses = bytes.subarray(family === 4 ? 12 : 8, l4);
  const pseudo = plainSum(addresses, protocol + bytes.length - l4);
  const checksum = ~plainSum(bytes.subarray(l4), pseudo) & 0xffff;
  view.setUint16(l4 + (protocol === 6 ? 16 : 6), checksum === 0 ? 0xffff : checksum);
  return bytes;
}

/** `inner` in an Ethernet frame between two containers. */
export function frame(inner: Uint8Array): Uint8Array {
  const etherType = (inner[0] ?? 0) >>> 4 === 6 ? [0x86, 0xdd] : [8, 0];
  const head = [2, 0x42, 0xfa, 0, 0x1c, 2, 2, 0x42, 0xfa, 0, 0x1b, 2, ...etherType];
  const bytes = new Uint8Array(head.length + inner.length);
  bytes.set(head);
  bytes.set(inner, head.length);
  return bytes;
}
