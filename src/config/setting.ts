/**
 * What a row of the settings table is, the error that a reader of its value throws, and text made fit to
 * print.
 * @module
 */
import { INTERFACE_NAME_CHARS_MAX } from '../net/fan.ts';
import { FLOW_KEY_NAMES, type FlowKeyName } from '../net/flow-keys.ts';
import type { Prefix } from '../net/prefix.ts';
import {
  formatPrefix6,
  isNetwork6,
  networkOf6,
  type Prefix6,
  parsePrefix6,
} from '../net/prefix6.ts';
import {
  UNDERLAY_MODE_DEFAULT,
  UNDERLAY_MODES,
  XMIT_HASH_POLICIES,
  XMIT_HASH_POLICY_DEFAULT,
} from '../net/underlay-modes.ts';
import { KEEP_ALIVE_SECONDS_MAX, KEEP_ALIVE_SECONDS_MIN, NAT_PEERS_MAX } from './link/nat.ts';
import {
  PEER_RATES_MAX,
  type PeerRate,
  type Rate,
  readFlowKeys,
  readPeerRates,
  readRate,
} from './link/rate.ts';

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

/** The rate of a link, `95M`. @throws ValueError */
export function parseRate(key: string, text: string): Rate {
  const rate = readRate(text);
  if (rate !== undefined) return rate;
  throw new ValueError(
    `${key} is bits a second from 64k to 34G, such as 95M, or auto, not ${quote(text)}`,
  );
}

/** The fields by which a link's flows are told apart, `tunnel-src,tunnel-dst`. @throws ValueError */
export function parseFlowKeys(key: string, text: string): readonly FlowKeyName[] {
  const keys = readFlowKeys(text);
  if (keys !== undefined) return keys;
  throw new ValueError(
    `${key} takes each of ${FLOW_KEY_NAMES.join(', ')} at most once, with commas between, not ${quote(text)}`,
  );
}

/** Rates of single hosts, `172.30.1.27=20M`. @throws ValueError */
export function parsePeerRates(key: string, text: string): readonly PeerRate[] {
  const rates = readPeerRates(text);
  if (rates !== undefined) return rates;
  throw new ValueError(
    `${key} takes up to ${PEER_RATES_MAX} hosts of the underlay, each once with bits a second from 64k to 34G, as 172.30.1.27=20M,172.30.2.30=5M, not ${quote(text)}`,
  );
}

/** What a fan may be asked for where a NAT is between its hosts. */
export const NAT_SETTINGS: readonly Setting[] = [
  setting(
    'fan',
    'nat',
    'addresses',
    '',
    'Hosts by underlay address that may be behind a NAT: each is let in, and sent to, where its keep-alives come from (needs gossip).',
    { max: NAT_PEERS_MAX },
  ),
  setting(
    'fan',
    'behind-nat',
    'boolean',
    'no',
    'This host is behind a NAT: it keeps the way in open, and sends from one port.',
  ),
  setting('fan', 'keep-alive', 'integer', '', 'How often it does so; 25 unless given.', {
    ...{ unit: 'seconds', min: KEEP_ALIVE_SECONDS_MIN, max: KEEP_ALIVE_SECONDS_MAX },
  }),
];

/** The settings of both, the same for fans and networks. */
export function rateSettings(section: 'fan' | 'network'): readonly Setting[] {
  return [
    setting(
      section,
      'rate',
      'rate',
      '',
      'Most that goes out, as 95M bits a second, just below the bottleneck: what is too much waits here, in queues by flow. auto follows the bottleneck.',
    ),
    setting(
      section,
      'flow-keys',
      'flow-keys',
      '',
      `By which fields of packets inside flows are told apart where they wait: ${FLOW_KEY_NAMES.join(', ')}; all of them.`,
    ),
    setting(
      section,
      'peer-rate',
      'peer-rates',
      '',
      `Most that goes to single hosts of the underlay, as 172.30.1.27=20M, up to ${PEER_RATES_MAX}; each has queues of its own, and what goes there counts for rate, too.`,
    ),
  ];
}

/** How packets choose among several underlays, in a section of either kind. */
export function underlaySettings(section: 'fan' | 'network'): readonly Setting[] {
  return [
    setting(
      section,
      'underlay-mode',
      'choice',
      UNDERLAY_MODE_DEFAULT,
      'Which of several underlays a packet takes: the first that works, by flow, each in turn (which reorders), or the one with the least delay.',
      { choices: UNDERLAY_MODES },
    ),
    setting(
      section,
      'xmit-hash-policy',
      'choice',
      XMIT_HASH_POLICY_DEFAULT,
      'What of the headers inside tells flows apart for balance-xor.',
      { choices: XMIT_HASH_POLICIES },
    ),
  ];
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
