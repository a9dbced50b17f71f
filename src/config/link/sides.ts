/**
 * The two sides of a fan as they are written, and whether a value from elsewhere is one that could have been.
 * @module
 */
import { formatIpv4, parseIpv4 } from '../../net/ipv4.ts';
import { maskOf, type Prefix } from '../../net/prefix.ts';
import {
  formatPrefix6,
  isNetwork6,
  networkOf6,
  type Prefix6,
  parsePrefix6,
} from '../../net/prefix6.ts';
import {
  ADDRESS_BITS,
  familyOf,
  isLinkLocal,
  isUnderlayAddress,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import { UNDERLAYS_MAX } from '../../net/underlay-modes.ts';
import { integer, isNetwork4, isNetworkOf6 } from '../row/kinds.ts';
import { quote, ValueError } from '../row/setting.ts';
import type { UnderlaySelector } from './underlays.ts';

export const UNDERLAY_LENGTH_DEFAULT = 16;
/** The same where an IPv6 address is written: as many hosts. */
export const UNDERLAY_LENGTH_IPV6_DEFAULT = 112;

const ADDRESS = /^[0-9]+\.[0-9.]*$/;
const IPV6_ADDRESS = /^[0-9A-Fa-f]*:[0-9A-Fa-f:.]*$/;

/** Splits `TEXT/WIDTH`; a width that is no number from 0 to `max` throws. */
function splitWidth(text: string, defaultLength: number, max = 32): [string, number] {
  const slash = text.indexOf('/');
  if (slash < 0) return [text, defaultLength];
  const width = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(width) || Number(width) > max) {
    throw new ValueError(`${quote(text)}: the width after the slash is a number from 0 to ${max}`);
  }
  return [text.slice(0, slash), Number(width)];
}

function parseAddress(text: string, whole: string): number {
  try {
    return parseIpv4(text);
  } catch {
    throw new ValueError(`${quote(whole)}: ${quote(text)} is not an IPv4 address like 172.30.0.28`);
  }
}

/** An overlay of either family: `250.0.0.0/8` or `fd00:fa::/32`. @throws ValueError */
export function parseAnyOverlay(text: string): Prefix | Prefix6 {
  return text.includes(':') ? parseOverlay6(text) : parseOverlay(text);
}

/**
 * An IPv4 overlay: `250.0.0.0/8`, or its first octet alone as fanctl has it (`15` = 15.0.0.0/8).
 * @throws ValueError also for bits below the mask.
 */
export function parseOverlay(text: string): Prefix {
  if (/^[0-9]{1,3}$/.test(text)) {
    const octet = Number(text);
    if (octet <= 255) return { address: (octet << 24) >>> 0, length: 8 };
  }
  if (!text.includes('/')) {
    throw new ValueError(`${quote(text)} is no overlay: write it as 250.0.0.0/8 (or 250)`);
  }
  const [addressText, length] = splitWidth(text, 8);
  const address = parseAddress(addressText, text);
  const network = (address & maskOf(length)) >>> 0;
  if (network !== address) {
    throw new ValueError(
      `${quote(text)} has bits below its mask: the network is ${formatIpv4(network)}/${length}`,
    );
  }
  return { address, length };
}

/** An IPv6 address that a host can have on an underlay. @throws ValueError */
function parseIpv6Underlay(text: string): UnderlaySelector {
  const [name, length] = splitWidth(text, UNDERLAY_LENGTH_IPV6_DEFAULT, ADDRESS_BITS[6]);
  let address: UnderlayAddress;
  try {
    address = parseHostAddress(name);
  } catch {
    throw new ValueError(`${quote(text)}: ${quote(name)} is not an IPv6 address like fd00::28`);
  }
  if (isLinkLocal(address)) {
    throw new ValueError(
      `${quote(text)} is link-local, which means something on one link only: give the hosts addresses of a prefix of their own, such as fd00::/112`,
    );
  }
  return { kind: 'address', address, length };
}

/**
 * An underlay: address, address/width, device, device/width, `default`, `default/width`.
 * The width is 16 when it is left out, as fanctl has it, and 112 after an IPv6 address; a width over
 * 32 after a device means its IPv6 address.
 * @throws ValueError
 */
export function parseUnderlay(text: string): UnderlaySelector {
  if (IPV6_ADDRESS.test(text.split('/')[0] ?? '')) return parseIpv6Underlay(text);
  const [name, length] = splitWidth(text, UNDERLAY_LENGTH_DEFAULT, ADDRESS_BITS[6]);
  if (name === 'default') return { kind: 'default', length };
  if (ADDRESS.test(name)) {
    splitWidth(text, UNDERLAY_LENGTH_DEFAULT);
    return { kind: 'address', address: parseAddress(name, text), length };
  }
  if (!DEVICE.test(name)) {
    throw new ValueError(
      `${quote(text)} is no underlay: write an address (172.30.0.28/16, fd00::28/112), a device (eth0/16) or default`,
    );
  }
  return { kind: 'device', device: name, length };
}

/** One underlay or several, separated by commas. @throws ValueError */
export function parseUnderlays(text: string): readonly UnderlaySelector[] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > UNDERLAYS_MAX) {
    throw new ValueError(`${quote(text)}: a link has at most ${UNDERLAYS_MAX} underlays`);
  }
  const twice = parts.find((part, i) => parts.indexOf(part) < i);
  if (twice !== undefined) throw new ValueError(`${quote(text)}: ${quote(twice)} is there twice`);
  return parts.map(parseUnderlay);
}

/** An IPv6 overlay: `fd00:fa::/32`. @throws ValueError also for bits below the mask. */
export function parseOverlay6(text: string): Prefix6 {
  let prefix: Prefix6;
  try {
    prefix = parsePrefix6(text);
  } catch {
    throw new ValueError(`${quote(text)} is no overlay: write an IPv6 one as fd00:fa::/32`);
  }
  if (isNetwork6(prefix)) return prefix;
  const network = formatPrefix6({ ...prefix, address: networkOf6(prefix) });
  throw new ValueError(`${quote(text)} has bits below its mask: the network is ${network}`);
}

/** Whether an overlay is an IPv6 one. */
export function isPrefix6(overlay: Prefix | Prefix6): overlay is Prefix6 {
  return typeof overlay.address !== 'number';
}

/** Whether a value is a list of selectors, as the settings have it. */
export function areSelectors(value: unknown): value is readonly UnderlaySelector[] {
  return Array.isArray(value) && value.every(isSelector);
}

/** Whether a value from outside is a selector that could have been written. */
export function isSelector(value: unknown): value is UnderlaySelector {
  if (typeof value !== 'object' || value === null) return false;
  const [kind, length, address, device]: unknown[] = ['kind', 'length', 'address', 'device'].map(
    (field) => Reflect.get(value, field),
  );
  if (!isLength(length)) return false;
  switch (kind) {
    case 'address':
      return isUnderlayAddress(address) && length <= ADDRESS_BITS[familyOf(address)];
    case 'device':
      return typeof device === 'string' && isDeviceName(device);
    default:
      return kind === 'default';
  }
}

const isLength = integer(0, ADDRESS_BITS[6]).is;

/** A device that exists: unlike the names we give, it may hold capitals (enP2p1s0) or a colon. */
const DEVICE = /^[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}$/;

/** A name that could have been written, and was not read as something else. */
function isDeviceName(name: string): boolean {
  return name !== 'default' && !ADDRESS.test(name) && !IPV6_ADDRESS.test(name) && DEVICE.test(name);
}

/** Whether a value is an overlay of either family. */
export function isOverlay(value: unknown): value is Prefix | Prefix6 {
  return isNetwork4(value) || isNetworkOf6(value);
}
