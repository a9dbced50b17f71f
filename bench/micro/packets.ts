/**
 * The packets that are measured with; all are right in every field. Addresses are u32.
 * @module
 */
import { plainSum } from './plain.ts';

/** Containers of the sender's and the receiver's slice of 250.0.0.0/8 over 172.30.0.0/16. */
export const SOURCE = 0xfa001b02;
export const DESTINATION = 0xfa001c02;

type Fields = {
  protocol: 6 | 17;
  /** Behind the transport header. */
  payloadBytes: number;
  sourcePort?: number;
  source?: number;
  destination?: number;
};

const HEADER_BYTES = { 6: 32, 17: 8 } as const;
/** Linux sends this option with every segment: two pads, then the timestamps (RFC 7323 §3.2). */
const TIMESTAMPS = [1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9];

/** An IPv4 packet; TCP has timestamps, ACK and PSH. */
export function packet(fields: Fields): Uint8Array {
  const { protocol, payloadBytes } = fields;
  const { sourcePort = 40_000, source = SOURCE, destination = DESTINATION } = fields;
  const bytes = new Uint8Array(20 + HEADER_BYTES[protocol] + payloadBytes);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x4500);
  // A super-packet of the device may be longer than its own field can say.
  view.setUint16(2, bytes.length & 0xffff);
  view.setUint16(4, 0x1234);
  view.setUint16(6, 0x4000);
  view.setUint16(8, (64 << 8) | protocol);
  view.setUint32(12, source);
  view.setUint32(16, destination);
  view.setUint16(20, sourcePort);
  view.setUint16(22, 5001);
  if (protocol === 6) {
    view.setUint32(24, 0xfffff000);
    view.setUint32(28, 77);
    view.setUint16(32, 0x8018);
    view.setUint16(34, 512);
    bytes.set(TIMESTAMPS, 40);
  } else {
    view.setUint16(24, bytes.length - 20);
  }
  const start = 20 + HEADER_BYTES[protocol];
  for (let at = start; at < bytes.length; at++) bytes[at] = Math.imul(at, 0x9e3779b1) >>> 24;
  view.setUint16(10, ~plainSum(bytes.subarray(0, 20)) & 0xffff);
  const pseudo = plainSum(bytes.subarray(12, 20), protocol + bytes.length - 20);
  const checksum = ~plainSum(bytes.subarray(20), pseudo) & 0xffff;
  view.setUint16(protocol === 6 ? 36 : 26, checksum === 0 ? 0xffff : checksum);
  return bytes;
}

/** `inner` in an Ethernet frame between two containers. */
export function frame(inner: Uint8Array): Uint8Array {
  const head = [2, 0x42, 0xfa, 0, 0x1c, 2, 2, 0x42, 0xfa, 0, 0x1b, 2, 8, 0];
  const bytes = new Uint8Array(head.length + inner.length);
  bytes.set(head);
  bytes.set(inner, head.length);
  return bytes;
}
