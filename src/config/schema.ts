/**
 * Every setting in one table: type, unit, bounds, default, documentation, and whether SIGHUP sets
 * it anew. Command line, configuration file, `fanway check` and the documentation read it.
 * @module
 */
import { QUEUES_MAX } from '../limits.ts';
import { formatIpv4, parseIpv4 } from '../net/ipv4.ts';
import { maskOf, type Prefix } from '../net/prefix.ts';
import type { Prefix6 } from '../net/prefix6.ts';
import {
  ADDRESS_BITS,
  isLinkLocal,
  parseHostAddress,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../net/underlay-address.ts';
import { UNDERLAYS_MAX } from '../net/underlay-modes.ts';
import { BGP_SETTINGS, parseIp, parseRanges, parseRd, parseTargets, parseVnis } from './bgp.ts';
import {
  GOSSIP_SETTINGS,
  parseAddresses,
  parsePath,
  parseSeeds,
  parseText,
  type Seed,
} from './gossip.ts';
import type { PeerRate } from './link/rate.ts';
import type { UnderlaySelector } from './link/underlays.ts';
import { NETWORK_SETTINGS, parseHostPrefixes, parseServers } from './network.ts';
import {
  DATAPATHS,
  ENCAPS,
  HOST_RESERVE_DEFAULT,
  HOST_RESERVE_MAX,
  MTU_BYTES_MAX,
  MTU_BYTES_MIN,
  UNDERLAY_LENGTH_DEFAULT,
  UNDERLAY_LENGTH_IPV6_DEFAULT,
} from './request.ts';
import {
  NAT_SETTINGS,
  parseFlowKeys,
  parseInterfaceName,
  parseOverlay6,
  parsePeerRates,
  parseRate,
  quote,
  rateSettings,
  type Setting,
  setting,
  underlaySettings,
  ValueError,
} from './setting.ts';

export type { Setting } from './setting.ts';

/** How data processes are scheduled. */
export const PRIORITY_CHOICES = ['auto', 'normal', 'realtime'] as const;
export type PriorityChoice = (typeof PRIORITY_CHOICES)[number];
/** Longest busy polling, microseconds. */
export const BUSY_POLL_US_MAX = 100_000;

export const SETTINGS: readonly Setting[] = [
  setting('router', 'log-level', 'choice', 'info', 'How much is written to stderr.', {
    choices: ['error', 'warn', 'info', 'debug'],
  }),
  setting('router', 'queues', 'integer', '1', 'Data processes (and device queues) per link.', {
    ...{ unit: 'processes', min: 1, max: QUEUES_MAX, reloadable: false },
  }),
  setting(
    'router',
    'priority',
    'choice',
    'auto',
    'How data processes are scheduled: auto raises them while the machine is crowded, realtime puts them before all ordinary load within a budget.',
    { choices: PRIORITY_CHOICES, reloadable: false },
  ),
  setting(
    'router',
    'busy-poll',
    'integer',
    '0',
    'Keep asking this long after traffic before sleeping; lower latency for a busy core.',
    { unit: 'microseconds', min: 0, max: BUSY_POLL_US_MAX, reloadable: false },
  ),
  ...GOSSIP_SETTINGS,
  ...BGP_SETTINGS,
  setting(
    'fan',
    'overlay',
    'overlay',
    '',
    'The network all containers share, as 250.0.0.0/8 or fd00:fa::/32.',
    {
      required: true,
    },
  ),
  setting(
    'fan',
    'underlay',
    'underlay',
    '',
    'Where this host is: an address, a network, a device, or `default`, each with an optional /WIDTH (16); up to four, as eth0/16,eth1/16.',
    { required: true },
  ),
  ...underlaySettings('fan'),
  setting('fan', 'encap', 'choice', 'vxlan', 'How packets travel between hosts.', {
    choices: ENCAPS,
  }),
  setting(
    'fan',
    'port',
    'integer',
    '',
    'UDP destination port; 4789 for vxlan (8472 with compat = lxd), 5555 for fou.',
    { unit: 'UDP port', min: 1, max: 65535 },
  ),
  setting('fan', 'vni', 'integer', '', 'VXLAN network identifier; overlay address >> 8.', {
    min: 0,
    max: 0xff_ffff,
  }),
  setting('fan', 'compat', 'choice', 'none', 'Speak to the fans of another system.', {
    choices: ['none', 'lxd'],
  }),
  setting('fan', 'mtu', 'integer', '', "Largest inner packet; from the underlay's MTU.", {
    unit: 'bytes',
    min: MTU_BYTES_MIN,
    max: MTU_BYTES_MAX,
  }),
  setting('fan', 'dhcp', 'boolean', 'no', 'Hand out the slice by DHCP (needs dnsmasq).'),
  setting(
    'fan',
    'host-reserve',
    'integer',
    String(HOST_RESERVE_DEFAULT),
    "The slice's .1 to .N belong to this host.",
    { unit: 'addresses', min: 1, max: HOST_RESERVE_MAX },
  ),
  setting('fan', 'bridge', 'interface-name', '', 'Name of the bridge; fan- and the slice.'),
  setting(
    'fan',
    'device',
    'interface-name',
    '',
    'A TUN or TAP that root made for this user: it is taken as it is, and nothing else of the host is touched.',
  ),
  setting('fan', 'offload', 'choice', 'auto', 'Use the offloads this machine has, or none.', {
    choices: ['auto', 'off'],
  }),
  setting('fan', 'dscp', 'choice', 'pipe', 'RFC 2983: pipe leaves the inner DSCP alone.', {
    choices: ['pipe', 'uniform'],
  }),
  setting(
    'fan',
    'source-port',
    'choice',
    'pool',
    'Outer UDP source port: from a small pool by inner flow, or one fixed port.',
    { choices: ['pool', 'fixed'] },
  ),
  ...NAT_SETTINGS,
  ...rateSettings('fan'),
  setting(
    'fan',
    'datapath',
    'choice',
    'userspace',
    'Who forwards: processes of fanway, the kernel (vxlan over IPv4), or the kernel where it can.',
    { choices: DATAPATHS },
  ),
  setting(
    'fan',
    'masquerade',
    'boolean',
    'yes',
    'Masquerade overlay traffic that leaves the overlay (where nft is there).',
  ),
  setting('fan', 'enabled', 'boolean', 'yes', 'A fan that is not enabled is checked, not started.'),
  setting(
    'fan',
    'force',
    'boolean',
    'no',
    'Go on although the overlay contains a route or an address of this host.',
  ),
  ...NETWORK_SETTINGS,
];

/** The setting of that name, undefined when there is none. */
export function findSetting(section: Setting['section'], key: string): Setting | undefined {
  return SETTINGS.find((setting) => setting.section === section && setting.key === key);
}

export type SettingValue =
  | string
  | number
  | boolean
  | Prefix
  | Prefix6
  | readonly UnderlaySelector[]
  | readonly Seed[]
  | readonly PeerRate[]
  | readonly UnderlayAddress[]
  | readonly UnderlayPrefix[]
  | readonly string[];

/**
 * One value as text, read by its setting's type.
 * @throws ValueError saying what is accepted.
 */
export function parseValue(setting: Setting, text: string): SettingValue {
  switch (setting.type) {
    case 'overlay':
      return parseAnyOverlay(text);
    case 'underlay':
      return parseUnderlays(text);
    case 'choice':
      if (setting.choices?.includes(text)) return text;
      throw new ValueError(
        `${setting.key} is one of ${setting.choices?.join(', ')}, not ${quote(text)}`,
      );
    case 'boolean':
      if (/^(yes|true|on|1)$/.test(text)) return true;
      if (/^(no|false|off|0)$/.test(text)) return false;
      throw new ValueError(`${setting.key} is yes or no, not ${quote(text)}`);
    case 'integer':
      return parseInteger(setting, text);
    case 'interface-name':
      return parseInterfaceName(text);
    case 'seeds':
      return parseSeeds(text);
    case 'addresses':
      return parseAddresses(setting.key, text, setting.max ?? 1);
    case 'host-prefixes':
      return parseHostPrefixes(setting.key, text, setting.max ?? 1);
    case 'text':
      return parseText(setting.key, text, setting.max ?? 1);
    case 'path':
      return parsePath(setting.key, text);
    case 'ip':
      return parseIp(setting.key, text);
    case 'ranges':
      return parseRanges(setting.key, text);
    case 'vnis':
      return parseVnis(setting.key, text);
    case 'rate':
      return parseRate(setting.key, text);
    case 'flow-keys':
      return parseFlowKeys(setting.key, text);
    case 'peer-rates':
      return parsePeerRates(setting.key, text);
    case 'rd':
      return parseRd(setting.key, text);
    case 'targets':
      return parseTargets(setting.key, text);
    case 'macs':
      return parseServers(setting.key, text, setting.max ?? 1);
  }
}

function parseInteger(setting: Setting, text: string): number {
  const value = /^(0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : Number.NaN;
  const min = setting.min ?? 0;
  const max = setting.max ?? Number.MAX_SAFE_INTEGER;
  if (value >= min && value <= max) return value;
  const unit = setting.unit === '' ? '' : ` (${setting.unit})`;
  throw new ValueError(
    `${setting.key} is a number from ${min} to ${max}${unit}, not ${quote(text)}`,
  );
}

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
  // Unlike the names we give, one that exists may hold capitals (enP2p1s0) or a colon.
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}$/.test(name)) {
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
