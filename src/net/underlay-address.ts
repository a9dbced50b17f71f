/**
 * The address of a host of either family, as a plain value: a u32 in host order for IPv4, the 32
 * hexadecimal digits of an IPv6 one. The same host is always the same value, so that `===`, the keys of
 * a map, sorting and JSON do; nothing that packets pass through uses it.
 * @module
 */
import { AddressError } from './address-error.ts';
import { formatIpv4, IPV4_MAX, isMartianIpv4, parseIpv4 } from './ipv4.ts';
import { formatIpv6, IPV6_ADDRESS_BYTES, parseIpv6 } from './ipv6.ts';
import { maskOf } from './prefix.ts';

export type UnderlayAddress = number | string;

/** Bits of an address, by family. */
export const ADDRESS_BITS = { 4: 32, 6: 128 } as const;
export type Family = keyof typeof ADDRESS_BITS;

/** A network of hosts. Bits below the mask are kept, as a `Prefix` keeps them. */
export type UnderlayPrefix = { readonly address: UnderlayAddress; readonly length: number };

const WORD_DIGITS = 8;
const WORDS = 4;

export function familyOf(address: UnderlayAddress): Family {
  return typeof address === 'number' ? 4 : 6;
}

/** The address that is nobody's: where a host's own is not known. */
export function noHost(family: Family): UnderlayAddress {
  return family === 4 ? 0 : '0'.repeat(WORDS * WORD_DIGITS);
}

export function isNoHost(address: UnderlayAddress): boolean {
  return address === noHost(familyOf(address));
}

/** Whether it is a value that {@link UnderlayAddress} allows, for what was read from a file. */
export function isUnderlayAddress(value: unknown): value is UnderlayAddress {
  if (typeof value === 'string') return /^[0-9a-f]{32}$/.test(value);
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= IPV4_MAX;
}

/** The words of an address, u32 each: one or four. */
function wordsOf(address: UnderlayAddress): number[] {
  if (typeof address === 'number') return [address];
  return Array.from({ length: WORDS }, (_, word) =>
    Number.parseInt(address.slice(word * WORD_DIGITS, (word + 1) * WORD_DIGITS), 16),
  );
}

function ofWords(words: readonly number[]): UnderlayAddress {
  const [first = 0] = words;
  if (words.length === 1) return first >>> 0;
  return words.map((word) => (word >>> 0).toString(16).padStart(WORD_DIGITS, '0')).join('');
}

/** 4 or 16 fresh bytes, network order. */
export function hostBytes(address: UnderlayAddress): Uint8Array<ArrayBuffer> {
  const words = wordsOf(address);
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of words.entries()) view.setUint32(i * 4, word);
  return bytes;
}

/** The host of 4 or 16 bytes in network order. @throws AddressError for another count */
export function hostOfBytes(bytes: Uint8Array): UnderlayAddress {
  if (bytes.length !== 4 && bytes.length !== IPV6_ADDRESS_BYTES) {
    throw new AddressError('ERR_IPV4', `an address has 4 or 16 bytes, not ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return ofWords(Array.from({ length: bytes.length / 4 }, (_, word) => view.getUint32(word * 4)));
}

/** Reads either family. @throws AddressError `ERR_IPV4`, `ERR_IPV6` */
export function parseHostAddress(text: string): UnderlayAddress {
  return text.includes(':') ? hostOfBytes(parseIpv6(text)) : parseIpv4(text);
}

/** `172.30.0.28` or `fd00::28` (RFC 5952). */
export function formatHostAddress(address: UnderlayAddress): string {
  return typeof address === 'number' ? formatIpv4(address) : formatIpv6(hostBytes(address));
}

/** An address with a port, `172.30.0.28:7946` or `[fd00::28]:7946`. */
export function formatHostPort(address: UnderlayAddress, port: number): string {
  const text = formatHostAddress(address);
  return typeof address === 'number' ? `${text}:${port}` : `[${text}]:${port}`;
}

/** The last 32 bits, u32: the whole of an IPv4 address. */
export function lastWordOf(address: UnderlayAddress): number {
  return wordsOf(address).at(-1) ?? 0;
}

/** `address` with its last 32 bits replaced by `word`, u32. */
export function withLastWord(address: UnderlayAddress, word: number): UnderlayAddress {
  return ofWords([...wordsOf(address).slice(0, -1), word]);
}

/** An order: IPv4 before IPv6, each by number. */
export function compareHosts(a: UnderlayAddress, b: UnderlayAddress): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === typeof b) return a < b ? -1 : a === b ? 0 : 1;
  return typeof a === 'number' ? -1 : 1;
}

/** Of the word number `at` of an address: the bits that say the network. */
function wordMask(length: number, at: number): number {
  return maskOf(Math.min(32, Math.max(0, length - at * 32)));
}

/** The network address: all bits below the mask zero. */
export function hostNetworkOf({ address, length }: UnderlayPrefix): UnderlayAddress {
  return ofWords(wordsOf(address).map((word, at) => word & wordMask(length, at)));
}

/** The address in `network` with the host bits of another one of its family. */
export function sameHostIn(network: UnderlayPrefix, host: UnderlayAddress): UnderlayAddress {
  const bits = wordsOf(host);
  return ofWords(
    wordsOf(network.address).map((word, at) => {
      const mask = wordMask(network.length, at);
      return (word & mask) | ((bits[at] ?? 0) & ~mask);
    }),
  );
}

/** Whether `address` lies inside the prefix. */
export function holdsHost(prefix: UnderlayPrefix, address: UnderlayAddress): boolean {
  if (familyOf(prefix.address) !== familyOf(address)) return false;
  return hostNetworkOf({ address, length: prefix.length }) === hostNetworkOf(prefix);
}

/** Whether both name the same network. */
export function sameHostPrefix(a: UnderlayPrefix, b: UnderlayPrefix): boolean {
  return a.length === b.length && hostNetworkOf(a) === hostNetworkOf(b);
}

export function formatHostPrefix({ address, length }: UnderlayPrefix): string {
  return `${formatHostAddress(address)}/${length}`;
}

/** Reads `172.30.0.0/16` or `fd00::/112`; bits below the mask are kept. @throws AddressError */
export function parseHostPrefix(text: string): UnderlayPrefix {
  const slash = text.indexOf('/');
  if (slash < 0) {
    throw new AddressError('ERR_PREFIX', `"${text}" has no length; write it like 172.30.0.0/16`);
  }
  const address = parseHostAddress(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  const bits = ADDRESS_BITS[familyOf(address)];
  const length = Number(lengthText);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(lengthText) || length > bits) {
    throw new AddressError('ERR_PREFIX', `"${text}": the length after / must be 0 to ${bits}`);
  }
  return { address, length };
}

// Pure: a bundle that asks nothing of addresses, like that of the page, goes without all this.
const LINK_LOCAL = /* @__PURE__ */ parseHostPrefix('fe80::/10');

/** fe80::/10 (RFC 4291 §2.5.6): means something on one link only. */
export function isLinkLocal(address: UnderlayAddress): boolean {
  return holdsHost(LINK_LOCAL, address);
}

const LOOPBACKS = /* @__PURE__ */ ['127.0.0.0/8', '::1/128'].map(parseHostPrefix);

/** Whether it means this very host (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3). */
export function isLoopback(address: UnderlayAddress): boolean {
  return LOOPBACKS.some((prefix) => holdsHost(prefix, address));
}

/** RFC 4291 §2.5.2, 2.5.3, 2.7, 2.5.5.2: nobody, loopback, groups, IPv4 in other clothes. */
const NO_HOSTS = /* @__PURE__ */ ['::/128', '::1/128', 'ff00::/8', '::ffff:0:0/96'].map(
  parseHostPrefix,
);

/** Whether it can never be the source of a packet between hosts, link-local ones left aside. */
export function isMartianHost(address: UnderlayAddress): boolean {
  if (typeof address === 'number') return isMartianIpv4(address);
  return NO_HOSTS.some((prefix) => holdsHost(prefix, address));
}
