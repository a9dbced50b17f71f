/**
 * Addresses of either family as one value, and as text at the edges.
 * @module
 */
import { formatIpv4, parseIpv4 } from './ipv4.ts';
import { formatIpv6, parseIpv6 } from './ipv6.ts';

/** IPv4 as u32 in host order; IPv6 as 16 bytes in network order. */
export type IpAddress = number | Uint8Array;

const HEX = '0123456789abcdef';

/** An address as a key: IPv4 as it is, IPv6 as 32 hexadecimal digits. */
export function ipKey(address: IpAddress): number | string {
  if (typeof address === 'number') return address;
  let key = '';
  for (const byte of address) key += `${HEX[byte >> 4]}${HEX[byte & 15]}`;
  return key;
}

/** @throws AddressError */
export function parseIp(text: string): IpAddress {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

export function formatIpAddress(address: IpAddress): string {
  return typeof address === 'number' ? formatIpv4(address) : formatIpv6(address);
}

/** 4 or 16 bytes in network order, freshly allocated for IPv4. */
export function ipBytes(address: IpAddress): Uint8Array {
  if (typeof address !== 'number') return address;
  return Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address);
}

/** From 4 or 16 bytes; undefined for any other number of them. */
export function ipFromBytes(bytes: Uint8Array): IpAddress | undefined {
  if (bytes.length === 16) return bytes.slice();
  if (bytes.length !== 4) return undefined;
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}
