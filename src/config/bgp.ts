/**
 * BGP as somebody asked for it: the values of a `[bgp]` section, its `[bgp-neighbor]` and `[bgp-network]` sections,
 * before they meet a host. Addresses are text here, as net/ prints them.
 * @module
 */
import { parseAdministered } from '../net/administered.ts';
import { formatIpv4, parseIpv4 } from '../net/ipv4.ts';
import { formatIpv6, parseIpv6 } from '../net/ipv6.ts';
import { quote, type Setting, setting, ValueError } from './row/setting.ts';
import type { SettingValue } from './schema.ts';

export const BGP_PORT = 179;
export const AS_MAX = 0xffff_ffff;
/** Neighbours of one speaker; each has its sessions and a table of what it was told. */
export const NEIGHBOURS_MAX = 64;
/** Networks of one speaker. */
export const BGP_VNIS_MAX = 4096;
const VNI_MAX = 0xff_ffff;
const RANGES_MAX = 64;
const TARGETS_MAX = 32;
const DESCRIPTION_CHARS_MAX = 80;

export type BgpNeighbourSettings = {
  address: string;
  as: number;
  port: number;
  passive: boolean;
  /** Seconds; 0 = the session never times out. */
  holdTime: number;
  /** Seconds. */
  connectRetry: number;
  maxPrefixes: number;
  /** undefined = `all` inside our AS, `none` outside (RFC 8212). */
  import: 'all' | 'none' | undefined;
  export: 'all' | 'none' | undefined;
  /** Path of a private file, null = no MD5. */
  md5File: string | null;
  /** Routers between, at most one less; 0 = not asked. */
  ttlSecurity: number;
  description: string;
};

/** How one network is marked; without it by its VNI. */
export type BgpNetworkSettings = {
  vni: number;
  /** As text, null = derived. */
  rd: string | null;
  /** Route targets as text; empty = derived. */
  importTargets: readonly string[];
  exportTargets: readonly string[];
  gateway: boolean;
};

export type BgpSettings = {
  as: number;
  /** null = the tunnel endpoint's. */
  routerId: string | null;
  /** null = the underlay address of the first fan. */
  vtep: string | null;
  bind: string | null;
  port: number;
  /** Prefixes as text, either family. */
  vteps: readonly string[];
  vnis: readonly number[];
  /** Seconds. */
  restartTime: number;
  staleTime: number;
  transit: boolean;
  /** Gossip hears what BGP says of networks, and BGP what gossip says. */
  redistribute: boolean;
  neighbours: readonly BgpNeighbourSettings[];
  /** Networks that are marked otherwise than by their VNI. */
  networks: readonly BgpNetworkSettings[];
};

const seconds = { unit: 'seconds', reloadable: true };

export const BGP_SETTINGS: readonly Setting[] = [
  setting('bgp', 'as', 'integer', '', 'Our autonomous system.', {
    ...{ required: true, min: 1, max: AS_MAX },
  }),
  setting('bgp', 'router-id', 'ip', '', 'BGP identifier, as an IPv4 address; the tunnel endpoint.'),
  setting(
    'bgp',
    'vtep',
    'ip',
    '',
    'Where others send what is for us: the next hop of our routes; the first fan’s underlay address.',
  ),
  setting('bgp', 'bind', 'ip', '', 'The one address to listen on and dial from; all of this host.'),
  setting('bgp', 'port', 'integer', String(BGP_PORT), 'Where we listen.', {
    ...{ unit: 'TCP port', min: 1, max: 65535 },
  }),
  setting(
    'bgp',
    'vteps',
    'ranges',
    '',
    'Next hops that may become peers, as prefixes; without it routes are shown and not used.',
  ),
  setting(
    'bgp',
    'vnis',
    'vnis',
    '',
    'Networks beside those of the fans, whose routes are given and taken over the admin socket.',
  ),
  setting(
    'bgp',
    'restart-time',
    'integer',
    '120',
    'Neighbours keep our routes this long while we restart.',
    {
      ...{ ...seconds, min: 0, max: 4095 },
    },
  ),
  setting(
    'bgp',
    'stale-time',
    'integer',
    '180',
    'What a restarted neighbour has not sent again by then is dropped.',
    { ...seconds, min: 1, max: 3600 },
  ),
  setting(
    'bgp',
    'transit',
    'boolean',
    'no',
    'Tell neighbours of other AS what neighbours told us.',
  ),
  setting(
    'bgp',
    'redistribute',
    'boolean',
    'no',
    'Tell gossip what BGP says of networks, and BGP what gossip says: on one or two hosts.',
  ),
  setting('bgp-neighbor', 'address', 'ip', '', 'Its IPv4 or IPv6 address.', { required: true }),
  setting('bgp-neighbor', 'as', 'integer', '', 'Its autonomous system.', {
    ...{ required: true, min: 1, max: AS_MAX },
  }),
  setting('bgp-neighbor', 'port', 'integer', String(BGP_PORT), 'Where it listens.', {
    ...{ unit: 'TCP port', min: 1, max: 65535 },
  }),
  setting('bgp-neighbor', 'passive', 'boolean', 'no', 'Wait for it to connect.'),
  setting(
    'bgp-neighbor',
    'hold-time',
    'integer',
    '90',
    'Silence that ends the session; 0 = none does.',
    {
      ...{ ...seconds, min: 0, max: 65535 },
    },
  ),
  setting('bgp-neighbor', 'connect-retry', 'integer', '10', 'Between two tries.', {
    ...{ ...seconds, min: 1, max: 3600 },
  }),
  setting(
    'bgp-neighbor',
    'max-prefixes',
    'integer',
    '10000',
    'More routes than this end the session; three quarters are a warning.',
    { unit: 'routes', min: 1, max: 1_000_000 },
  ),
  setting(
    'bgp-neighbor',
    'import',
    'choice',
    '',
    'Take its routes; all inside our AS, none from another (RFC 8212).',
    {
      choices: ['all', 'none'],
    },
  ),
  setting(
    'bgp-neighbor',
    'export',
    'choice',
    '',
    'Send it ours; all inside our AS, none to another (RFC 8212).',
    {
      choices: ['all', 'none'],
    },
  ),
  setting('bgp-neighbor', 'md5-file', 'path', '', 'A file, mode 0600, with the key of RFC 2385.'),
  setting(
    'bgp-neighbor',
    'ttl-security',
    'integer',
    '0',
    'At most this many hops away (RFC 5082); 1 = on the same segment, 0 = not asked.',
    { unit: 'hops', min: 0, max: 254 },
  ),
  setting('bgp-neighbor', 'description', 'words', '', 'For people.', {
    max: DESCRIPTION_CHARS_MAX,
  }),
  setting('bgp-network', 'vni', 'integer', '', 'Which network; the label of our routes.', {
    ...{ required: true, min: 1, max: VNI_MAX },
  }),
  setting('bgp-network', 'rd', 'rd', '', 'Its route distinguisher; the router id and the VNI.'),
  setting(
    'bgp-network',
    'import-targets',
    'targets',
    '',
    'Routes with one of these targets are its own, * = any AS; the VNI of any AS.',
  ),
  setting(
    'bgp-network',
    'export-targets',
    'targets',
    '',
    'What its own routes are marked with; our AS and the VNI.',
  ),
  setting(
    'bgp-network',
    'gateway',
    'boolean',
    'no',
    'The addresses of our own bridge are its default gateway (RFC 7432 §10.1).',
  ),
];

/** Values that fit together; problems name the key they are about. */
export function bgpNeighbourOf(values: ReadonlyMap<string, SettingValue>): BgpNeighbourSettings {
  const value = <T>(key: string): T | undefined => values.get(key) as T | undefined;
  return {
    address: value<string>('address') ?? '',
    as: value<number>('as') ?? 0,
    port: value<number>('port') ?? BGP_PORT,
    passive: value<boolean>('passive') ?? false,
    holdTime: value<number>('hold-time') ?? 90,
    connectRetry: value<number>('connect-retry') ?? 10,
    maxPrefixes: value<number>('max-prefixes') ?? 10_000,
    import: value<'all' | 'none'>('import'),
    export: value<'all' | 'none'>('export'),
    md5File: value<string>('md5-file') ?? null,
    ttlSecurity: value<number>('ttl-security') ?? 0,
    description: value<string>('description') ?? '',
  };
}

/** From the values of a `[bgp]` section, as the settings table read them. */
export function bgpSettingsOf(
  values: ReadonlyMap<string, SettingValue>,
  neighbours: readonly BgpNeighbourSettings[],
  networks: readonly BgpNetworkSettings[] = [],
): BgpSettings {
  const value = <T>(key: string): T | undefined => values.get(key) as T | undefined;
  return {
    as: value<number>('as') ?? 0,
    routerId: value<string>('router-id') ?? null,
    vtep: value<string>('vtep') ?? null,
    bind: value<string>('bind') ?? null,
    port: value<number>('port') ?? BGP_PORT,
    vteps: value<readonly string[]>('vteps') ?? [],
    vnis: value<readonly number[]>('vnis') ?? [],
    restartTime: value<number>('restart-time') ?? 120,
    staleTime: value<number>('stale-time') ?? 180,
    transit: value<boolean>('transit') ?? false,
    redistribute: value<boolean>('redistribute') ?? false,
    ...{ neighbours, networks },
  };
}

/** What no single value can show, as problems of the `[bgp]` section or of one neighbour. */
export function bgpProblems(
  settings: BgpSettings,
): { neighbour: number | null; message: string }[] {
  const problems: { neighbour: number | null; message: string }[] = [];
  if (settings.routerId?.includes(':')) {
    problems.push({ neighbour: null, message: 'router-id is an IPv4 address, also on IPv6' });
  }
  if (settings.vtep?.includes(':') && settings.routerId === null) {
    problems.push({ neighbour: null, message: 'with a vtep of IPv6 router-id must be given' });
  }
  if (settings.neighbours.length > NEIGHBOURS_MAX) {
    problems.push({
      neighbour: null,
      message: `more than ${NEIGHBOURS_MAX} [bgp-neighbor] sections`,
    });
  }
  for (const [index, { address, holdTime }] of settings.neighbours.entries()) {
    const before = settings.neighbours.findIndex((other) => other.address === address);
    if (before < index) problems.push({ neighbour: index, message: `${address} is there twice` });
    if (holdTime === 1 || holdTime === 2) {
      problems.push({ neighbour: index, message: 'hold-time is 0, or 3 and more (RFC 4271)' });
    }
  }
  return problems;
}

/** An address of either family, in the one form that it is compared by. @throws ValueError */
export function parseIp(key: string, text: string): string {
  try {
    return text.includes(':') ? formatIpv6(parseIpv6(text)) : formatIpv4(parseIpv4(text));
  } catch {
    throw new ValueError(`${key} is an address like 172.30.0.28 or fd00::1, not ${quote(text)}`);
  }
}

function words(key: string, text: string, max: number): string[] {
  const list = text.split(/[\s,]+/).filter(Boolean);
  if (list.length === 0) throw new ValueError(`${key} is empty: leave the line out`);
  if (list.length > max) throw new ValueError(`${key} has ${list.length} entries; at most ${max}`);
  return list;
}

/** Prefixes of either family with commas or blanks between. @throws ValueError */
export function parseRanges(key: string, text: string): string[] {
  return words(key, text, RANGES_MAX).map((word) => {
    const [address = '', length = '', ...rest] = word.split('/');
    const bits = address.includes(':') ? 128 : 32;
    if (rest.length > 0 || !/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > bits) {
      throw new ValueError(`${key}: ${quote(word)} is no prefix; write it as 172.30.0.0/16`);
    }
    return `${parseIp(key, address)}/${length}`;
  });
}

/** VNIs with commas or blanks between. @throws ValueError */
export function parseVnis(key: string, text: string): number[] {
  return words(key, text, BGP_VNIS_MAX).map((word) => {
    const vni = /^[1-9][0-9]{0,7}$/.test(word) ? Number(word) : Number.NaN;
    if (vni <= VNI_MAX) return vni;
    throw new ValueError(`${key}: ${quote(word)} is no VNI; one is 1 to ${VNI_MAX}`);
  });
}

/** A route distinguisher: `65000:100`, `172.30.0.28:100`. @throws ValueError */
export function parseRd(key: string, text: string): string {
  if ((parseAdministered(text)?.administrator ?? null) !== null) return text;
  throw new ValueError(`${key} is 65000:100, or 172.30.0.28:100, not ${quote(text)}`);
}

/** Route targets with commas or blanks between. @throws ValueError */
export function parseTargets(key: string, text: string): string[] {
  const list = words(key, text, TARGETS_MAX);
  for (const word of list) {
    const target = parseAdministered(word);
    if (target === undefined) {
      throw new ValueError(`${key}: ${quote(word)} is no route target; write it as 65000:100`);
    }
    if (target.administrator === null && key === 'export-targets') {
      throw new ValueError(`${key}: ${quote(word)} cannot be sent: * is for import`);
    }
  }
  return list;
}

/** From the values of a `[bgp-network]` section. */
export function bgpNetworkOf(values: ReadonlyMap<string, SettingValue>): BgpNetworkSettings {
  const value = <T>(key: string): T | undefined => values.get(key) as T | undefined;
  return {
    vni: value<number>('vni') ?? 0,
    rd: value<string>('rd') ?? null,
    importTargets: value<readonly string[]>('import-targets') ?? [],
    exportTargets: value<readonly string[]>('export-targets') ?? [],
    gateway: value<boolean>('gateway') ?? false,
  };
}
