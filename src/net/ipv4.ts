/**
 * IPv4 addresses as unsigned 32-bit numbers in host order: 250.0.28.1 is `0xfa001c01`.
 * @module
 */
import { Address4 } from 'ip-address';
import { AddressError } from './address-error.ts';

/** The highest address, and the mask of a /32. */
export const IPV4_MAX = 0xffffffff;

/**
 * Reads a dotted quad. Leading zeros, short forms, blanks and a `/length` are refused, because
 * tools disagree on what they mean.
 * @throws AddressError `ERR_IPV4`
 */
export function parseIpv4(text: string): number {
  if (text.includes('/')) {
    throw new AddressError('ERR_IPV4', `"${text}" is a prefix; an address alone is wanted here`);
  }
  let octets: number[];
  try {
    octets = new Address4(text).toArray();
  } catch (cause) {
    throw new AddressError('ERR_IPV4', `"${text}" is not an IPv4 address like 172.30.0.28`, {
      cause,
    });
  }
  let address = 0;
  for (const octet of octets) address = ((address << 8) | octet) >>> 0;
  return address;
}

/** Writes a u32 in host order as a dotted quad. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** True for 224.0.0.0/4 (RFC 5771). */
export function isMulticastIpv4(address: number): boolean {
  return address >>> 28 === 14;
}

/**
 * True for an address that can never be the source of a packet between hosts: 0/8 (RFC 791),
 * 127/8 (RFC 1122 §3.2.1.3), 224/4 and 255.255.255.255.
 */
export function isMartianIpv4(address: number): boolean {
  const top = address >>> 24;
  return top === 0 || top === 127 || address >>> 28 === 14 || address >>> 0 === IPV4_MAX;
}
