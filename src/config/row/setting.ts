/**
 * What a row of the settings table is, the error that a reader of its value throws, and text made fit to
 * print.
 * @module
 */
import { INTERFACE_NAME_CHARS_MAX } from '../../net/fan.ts';

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
  /** The same with blanks. */
  | 'words'
  | 'ip'
  | 'ranges'
  | 'vnis'
  | 'rate'
  | 'flow-keys'
  | 'peer-rates'
  | 'rd'
  | 'targets'
  | 'macs'
  | 'path';

export type Setting = {
  key: string;
  section: 'router' | 'gossip' | 'bgp' | 'bgp-neighbor' | 'bgp-network' | 'fan' | 'network';
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
  /** A value for the example configuration, where there is no default; '' = none. */
  example: string;
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
    example: '',
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

/** Names the kernel keeps for itself below /proc/sys/net/ipv4/conf. */
const RESERVED_NAMES = new Set(['all', 'default', 'lo']);

/**
 * A name for an interface that fanway creates: `[a-z0-9_.-]{1,15}`, which no shell, sysctl path or
 * option parser can read as anything else.
 * @throws ValueError
 */
export function parseInterfaceName(text: string): string {
  if (text.length > INTERFACE_NAME_CHARS_MAX) {
    throw new ValueError(
      `${quote(text)} has ${text.length} characters and Linux takes ${INTERFACE_NAME_CHARS_MAX} in an interface name: choose a shorter one`,
    );
  }
  if (!/^[a-z0-9_][a-z0-9_.-]*$/.test(text) || RESERVED_NAMES.has(text)) {
    throw new ValueError(
      `${quote(text)} cannot name an interface: use a-z, 0-9, _, . and -, beginning with a letter or digit, and not all, default or lo`,
    );
  }
  return text;
}

/** Words with commas or blanks between, at most `max`. @throws ValueError */
export function listOf(key: string, text: string, max: number): string[] {
  const words = text.split(/[\s,]+/).filter(Boolean);
  if (words.length === 0) throw new ValueError(`${key} is empty: leave the line out`);
  if (words.length > max) {
    throw new ValueError(`${key} has ${words.length} entries; at most ${max} are taken`);
  }
  return words;
}
