/**
 * IPv6 addresses and prefixes as values: four u32 words in host order, the highest first. JSON and
 * shared memory carry them as they are, and no arithmetic on them needs more than 32 bits at a time.
 * A prefix keeps the bits below its mask, as prefix.ts does for IPv4.
 * @module
 */
import { AddressError } from './address-error.ts';
import { formatIpv6, parseIpv6 } from './ipv6.ts';
import { maskOf } from './prefix.ts';

/** An address; `[0xfd0000fa, 0, 0, 1]` is fd00:fa::1. */
export type Ipv6 = readonly [number, number, number, number];
/** `length` 0 to 128 bits. */
export type Prefix6 = { readonly address: Ipv6; readonly length: number };

/** Bits of an address. */
export const IPV6_BITS = 128;
/** `::`, which no host has. */
export const IPV6_NOBODY: Ipv6 = [0, 0, 0, 0];

/** The words of 16 bytes in network order. */
export function wordsOfIpv6(bytes: Uint8Array, offset = 0): Ipv6 {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, 16);
  return [view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)];
}

/** 16 fresh bytes in network order. */
export function bytesOfIpv6(address: Ipv6): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of address.entries()) view.setUint32(4 * i, word);
  return bytes;
}

/** Reads `fd00:fa::1`. @throws AddressError `ERR_IPV6` */
export function parseAddress6(text: string): Ipv6 {
  return wordsOfIpv6(parseIpv6(text));
}

/** Writes an address as RFC 5952 has it. */
export function formatAddress6(address: Ipv6): string {
  return formatIpv6(bytesOfIpv6(address));
}

/** The mask of a prefix length 0 to 128. */
export function maskOf6(length: number): Ipv6 {
  const word = (i: number): number => maskOf(Math.min(Math.max(length - 32 * i, 0), 32));
  return [word(0), word(1), word(2), word(3)];
}

function combine(a: Ipv6, b: Ipv6, of: (a: number, b: number) => number): Ipv6 {
  return [of(a[0], b[0]) >>> 0, of(a[1], b[1]) >>> 0, of(a[2], b[2]) >>> 0, of(a[3], b[3]) >>> 0];
}

/** Bits of either. */
export function or6(a: Ipv6, b: Ipv6): Ipv6 {
  return combine(a, b, (x, y) => x | y);
}

/** Bits of both. */
export function and6(a: Ipv6, b: Ipv6): Ipv6 {
  return combine(a, b, (x, y) => x & y);
}

/** The bits of `a` that `b` does not have. */
export function without6(a: Ipv6, b: Ipv6): Ipv6 {
  return combine(a, b, (x, y) => x & ~y);
}

/** Moves all bits by 0 to 128 places towards the front; zeros follow. */
export function shiftLeft6(address: Ipv6, places: number): Ipv6 {
  const skipped = places >>> 5;
  const rest = places & 31;
  const at = (i: number): number => address[i] ?? 0;
  const word = (i: number): number => {
    const high = at(i + skipped);
    // A shift by 32 is a shift by 0: what comes from the next word only where there is a rest.
    return rest === 0 ? high : ((high << rest) | (at(i + skipped + 1) >>> (32 - rest))) >>> 0;
  };
  return [word(0), word(1), word(2), word(3)];
}

/** Moves all bits by 0 to 128 places towards the end; zeros come in front. */
export function shiftRight6(address: Ipv6, places: number): Ipv6 {
  const skipped = places >>> 5;
  const rest = places & 31;
  const at = (i: number): number => address[i] ?? 0;
  const word = (i: number): number => {
    const low = at(i - skipped);
    return rest === 0 ? low : ((low >>> rest) | (at(i - skipped - 1) << (32 - rest))) >>> 0;
  };
  return [word(0), word(1), word(2), word(3)];
}

/** True when both are the same address. */
export function isSameAddress6(a: Ipv6, b: Ipv6): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}

/** The network address: all host bits zero. */
export function networkOf6({ address, length }: Prefix6): Ipv6 {
  return and6(address, maskOf6(length));
}

/** The last address: all host bits one. */
export function lastOf6({ address, length }: Prefix6): Ipv6 {
  const mask = maskOf6(length);
  return combine(address, mask, (bits, kept) => bits | ~kept);
}

/** True when `address` lies inside the prefix. */
export function contains6(prefix: Prefix6, address: Ipv6): boolean {
  const network = networkOf6({ address, length: prefix.length });
  return isSameAddress6(network, networkOf6(prefix));
}

/** True when the two prefixes share an address, that is when one contains the other. */
export function overlaps6(a: Prefix6, b: Prefix6): boolean {
  return a.length < b.length ? contains6(a, b.address) : contains6(b, a.address);
}

/** True when no bit is set below the mask. */
export function isNetwork6(prefix: Prefix6): boolean {
  return isSameAddress6(networkOf6(prefix), prefix.address);
}

/** True when both name the same network. */
export function equals6(a: Prefix6, b: Prefix6): boolean {
  return a.length === b.length && contains6(a, b.address);
}

/**
 * Reads `fd00:fa::/32`; bits below the mask are kept.
 * @throws AddressError `ERR_PREFIX`, or `ERR_IPV6` for the address part.
 */
export function parsePrefix6(text: string): Prefix6 {
  const slash = text.indexOf('/');
  if (slash < 0) {
    throw new AddressError('ERR_PREFIX', `"${text}" has no length; write it like fd00:fa::/32`);
  }
  const lengthText = text.slice(slash + 1);
  const length = Number(lengthText);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(lengthText) || length > IPV6_BITS) {
    throw new AddressError('ERR_PREFIX', `"${text}": the length after / must be 0 to 128`);
  }
  return { address: parseAddress6(text.slice(0, slash)), length };
}

/** Writes `fd00:fa::/32`; bits below the mask are shown as they are. */
export function formatPrefix6({ address, length }: Prefix6): string {
  return `${formatAddress6(address)}/${length}`;
}
