/**
 * IP addresses as they stand in BGP: 4 or 16 bytes whose number something else says.
 * @module
 */
import type { ByteReader, Writer } from './bytes.ts';
import { Malformed } from './faults.ts';

/** IPv4 as u32 in host order; IPv6 as 16 bytes in network order. */
export type Ip = number | Uint8Array;

/** Reads an address of `bits` bits, 32 or 128. */
export function readIp(reader: ByteReader, bits: number): Ip {
  if (bits === 32) return reader.u32();
  if (bits === 128) return reader.take(16);
  throw new Malformed(`an address of ${bits} bits`);
}

/** 32 or 128. */
export function bitsOf(ip: Ip): number {
  return typeof ip === 'number' ? 32 : 128;
}

export function writeIp(writer: Writer, ip: Ip): void {
  if (typeof ip === 'number') writer.u32(ip);
  else writer.bytes(ip);
}

/** The address with all bits behind `length` cleared. */
export function maskIp(ip: Ip, length: number): Ip {
  if (typeof ip === 'number') {
    return length === 0 ? 0 : (ip & (0xffff_ffff << (32 - length))) >>> 0;
  }
  return ip.map((byte, index) => {
    const bits = Math.min(8, Math.max(0, length - index * 8));
    return byte & (0xff00 >> bits) & 255;
  });
}

/** True for 0.0.0.0 and ::. */
export function isZeroIp(ip: Ip): boolean {
  return typeof ip === 'number' ? ip === 0 : ip.every((byte) => byte === 0);
}

export function equalIp(a: Ip, b: Ip): boolean {
  if (typeof a === 'number' || typeof b === 'number') return a === b;
  return a.every((byte, index) => byte === b[index]);
}
