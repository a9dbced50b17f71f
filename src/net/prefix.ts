/**
 * IPv4 prefixes. A `Prefix` keeps the address as it was written, bits below the mask included,
 * so that `172.30.0.28/16` can name a host *and* its network; `networkOf` drops those bits.
 * @module
 */
import { AddressError } from './address-error.ts';
import { formatIpv4, parseIpv4 } from './ipv4.ts';

/** `address` is a u32 in host order, `length` 0 to 32 bits. */
export type Prefix = { readonly address: number; readonly length: number };

/** The mask of a prefix length 0 to 32, as u32. A shift by 32 is a shift by 0, hence the branch. */
export function maskOf(length: number): number {
  return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
}

/** The bits a prefix length 0 to 32 leaves to hosts, as u32. */
export function hostMaskOf(length: number): number {
  return ~maskOf(length) >>> 0;
}

/**
 * Reads `250.0.0.0/8`; bits below the mask are kept.
 * @throws AddressError `ERR_PREFIX`, or `ERR_IPV4` for the address part.
 */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf('/');
  if (slash < 0) {
    throw new AddressError('ERR_PREFIX', `"${text}" has no length; write it like 250.0.0.0/8`);
  }
  const lengthText = text.slice(slash + 1);
  const length = Number(lengthText);
  if (!/^(0|[1-9][0-9]?)$/.test(lengthText) || length > 32) {
    throw new AddressError('ERR_PREFIX', `"${text}": the length after / must be 0 to 32`);
  }
  return { address: parseIpv4(text.slice(0, slash)), length };
}

/** Writes `250.0.0.0/8`; bits below the mask are shown as they are. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatIpv4(prefix.address)}/${prefix.length}`;
}

/** The network address: all host bits zero. */
export function networkOf(prefix: Prefix): number {
  return (prefix.address & maskOf(prefix.length)) >>> 0;
}

/** The last address: all host bits one. */
export function broadcastOf(prefix: Prefix): number {
  return (prefix.address | hostMaskOf(prefix.length)) >>> 0;
}

/** True when `address` (u32) lies inside the prefix. */
export function contains(prefix: Prefix, address: number): boolean {
  return ((prefix.address ^ address) & maskOf(prefix.length)) === 0;
}

/** True when the two prefixes share an address, that is when one contains the other. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return contains(a.length < b.length ? a : b, a.length < b.length ? b.address : a.address);
}

/** True when no bit is set below the mask. */
export function isNetwork(prefix: Prefix): boolean {
  return networkOf(prefix) === prefix.address;
}

/** True when both name the same network. */
export function equals(a: Prefix, b: Prefix): boolean {
  return a.length === b.length && networkOf(a) === networkOf(b);
}

/** Addresses for hosts: all but the network and the broadcast address; 0 for a /31 and a /32. */
export function usableHosts(length: number): number {
  return length >= 31 ? 0 : 2 ** (32 - length) - 2;
}
