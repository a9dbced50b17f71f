/**
 * What a row of the settings table is, the error that a reader of its value throws, and text made fit to
 * print.
 * @module
 */
import type { Prefix } from '../net/prefix.ts';
import {
  formatPrefix6,
  isNetwork6,
  networkOf6,
  type Prefix6,
  parsePrefix6,
} from '../net/prefix6.ts';

export type SettingType =
  | 'overlay'
  | 'underlay'
  | 'choice'
  | 'integer'
  | 'boolean'
  | 'interface-name'
  | 'seeds'
  | 'addresses'
  | 'host-prefixes'
  | 'text'
  | 'ip'
  | 'ranges'
  | 'vnis'
  | 'path';

export type Setting = {
  key: string;
  section: 'router' | 'gossip' | 'bgp' | 'bgp-neighbor' | 'fan' | 'network';
  type: SettingType;
  /** What the number counts, '' when it is not a quantity. */
  unit: string;
  /** As it would be written; '' = no default, see `doc`. */
  default: string;
  required: boolean;
  choices?: readonly string[];
  min?: number;
  max?: number;
  doc: string;
  /** A running daemon takes the new value on SIGHUP (a fan that changes is stopped and restarted). */
  reloadable: boolean;
};

/** One row of the table, with what most rows have filled in. */
export function setting(
  section: Setting['section'],
  key: string,
  type: SettingType,
  defaultText: string,
  doc: string,
  more: Partial<Setting> = {},
): Setting {
  return {
    section,
    key,
    type,
    unit: '',
    default: defaultText,
    required: false,
    doc,
    reloadable: true,
    ...more,
  };
}

/** A value that is refused; the message says what would be accepted. */
export class ValueError extends Error {
  readonly code = 'bad-value';
}

/** Text from outside, shortened and made printable, for a message. */
export function quote(text: string): string {
  const short = text.length > 40 ? `${text.slice(0, 37)}...` : text;
  return JSON.stringify(short).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
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
