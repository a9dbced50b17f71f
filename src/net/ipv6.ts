/**
 * IPv6 addresses as 16 bytes in network order, parsed and printed at the edges only.
 * @module
 */
import { Address6 } from 'ip-address';
import { AddressError } from './address-error.ts';

/** Bytes of one address. */
export const IPV6_ADDRESS_BYTES = 16;

/**
 * Reads the text forms of RFC 4291 §2.2. Zones (`%eth0`) and `/length` are refused.
 * @returns 16 fresh bytes, network order.
 * @throws AddressError `ERR_IPV6`
 */
export function parseIpv6(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes('/') || text.includes('%')) {
    throw new AddressError('ERR_IPV6', `"${text}": an address without zone and length is wanted`);
  }
  try {
    const digits = new Address6(text).toUnsignedByteArray();
    const bytes = new Uint8Array(IPV6_ADDRESS_BYTES);
    bytes.set(digits, IPV6_ADDRESS_BYTES - digits.length);
    return bytes;
  } catch (cause) {
    throw new AddressError('ERR_IPV6', `"${text}" is not an IPv6 address like fd00::1`, { cause });
  }
}

/**
 * Writes 16 bytes in the canonical form of RFC 5952 (IPv4-mapped addresses too are printed in
 * hexadecimal groups).
 * @throws AddressError `ERR_IPV6` when fewer than 16 bytes follow `offset`.
 */
export function formatIpv6(bytes: Uint8Array, offset = 0): string {
  const slice = bytes.subarray(offset, offset + IPV6_ADDRESS_BYTES);
  if (slice.length !== IPV6_ADDRESS_BYTES) {
    throw new AddressError('ERR_IPV6', `an IPv6 address has 16 bytes, not ${slice.length}`);
  }
  return Address6.fromUnsignedByteArray([...slice]).correctForm();
}
