/**
 * The gossip channel as somebody asked for it: the values of a `[gossip]` section and of
 * `fanway join`, before they meet a host.
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import { refusedError } from '../errors.ts';
import { SEEDS_MAX } from '../limits.ts';
import {
  formatHostAddress,
  isLinkLocal,
  isLoopback,
  isMartianHost,
  parseHostAddress,
  type UnderlayAddress,
} from '../net/underlay-address.ts';
import { listOf, quote, type Setting, setting, ValueError } from './row/setting.ts';
import type { SettingValue } from './schema.ts';

export const GOSSIP_PORT_DEFAULT = 7946;
export const LABEL_DEFAULT = 'fanway';
export const STATE_DIRECTORY_DEFAULT = '/var/lib/fanway';
/** Addresses that a node tells others to reach it at. */
export const ADVERTISE_MAX = 4;
export const NAME_CHARS_MAX = 63;
export const LABEL_CHARS_MAX = 63;
const PATH_BYTES_MAX = 4096;

/** A member to begin with: a host name, an IPv4 or IPv6 address, and the UDP port it gossips on. */
export type Seed = { host: string; port: number };

export type GossipSettings = {
  seeds: readonly Seed[];
  /** UDP and TCP. */
  port: number;
  /** null = every address of this host. */
  bind: UnderlayAddress | null;
  /** The preferred one first; empty = the underlay addresses of the fans. */
  advertise: readonly UnderlayAddress[];
  /** null = the machine's name. */
  name: string | null;
  label: string;
  /** null = in the state directory. */
  keyFile: string | null;
  /** null = that of this router (FANWAY_STATE_DIR). */
  stateDirectory: string | null;
  /** No keys at all: whoever reaches the port is a member. */
  plaintext: boolean;
};

/** Settings with every default filled in. */
export function gossipSettings(given: Partial<GossipSettings> = {}): GossipSettings {
  return {
    seeds: [],
    port: GOSSIP_PORT_DEFAULT,
    bind: null,
    advertise: [],
    name: null,
    label: LABEL_DEFAULT,
    keyFile: null,
    stateDirectory: null,
    plaintext: false,
    ...given,
  };
}

/** From the values of a `[gossip]` section, as the settings table read them. */
export function gossipSettingsOf(values: ReadonlyMap<string, SettingValue>): GossipSettings {
  const value = <T>(key: string): T | undefined => values.get(key) as T | undefined;
  return gossipSettings({
    seeds: value<readonly Seed[]>('seeds') ?? [],
    port: value<number>('port') ?? GOSSIP_PORT_DEFAULT,
    bind: value<readonly UnderlayAddress[]>('bind')?.[0] ?? null,
    advertise: value<readonly UnderlayAddress[]>('advertise') ?? [],
    name: value<string>('name') ?? null,
    label: value<string>('label') ?? LABEL_DEFAULT,
    keyFile: value<string>('key-file') ?? null,
    stateDirectory: value<string>('state-dir') ?? null,
    plaintext: value<boolean>('insecure-plaintext') ?? false,
  });
}

const HOST =
  /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*$/;

/** `fd00::28`, `[fd00::28]`, `[fd00::28]:7946`: the address, and what follows it. */
const IPV6_SEED =
  /^(?:\[([0-9A-Fa-f:.]+)\](?::(.*))?|([0-9A-Fa-f:.]*::[0-9A-Fa-f:.]*|(?:[0-9A-Fa-f]+:){7}[0-9A-Fa-f]+))$/;

/**
 * One seed, `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
 * @throws ValueError
 */
export function parseSeed(text: string): Seed {
  const ipv6 = IPV6_SEED.exec(text);
  if (ipv6 !== null) {
    const host = formatHostAddress(parseReachable(ipv6[1] ?? ipv6[3] ?? ''));
    return { host, port: parseSeed(ipv6[2] === undefined ? 'host' : `host:${ipv6[2]}`).port };
  }
  const [host = '', portText, ...rest] = text.split(':');
  const port = portText === undefined ? GOSSIP_PORT_DEFAULT : Number(portText);
  const portFits = portText === undefined || /^[1-9][0-9]{0,4}$/.test(portText);
  if (rest.length > 0 || !portFits || port > 65535 || !HOST.test(host)) {
    throw new ValueError(
      `${quote(text)} is no seed: write HOST, HOST:PORT or [IPV6]:PORT, with a name or an address`,
    );
  }
  // What looks like an address and is none would go to the resolver as a name.
  if (/^[0-9.]+$/.test(host)) parseReachable(host);
  return { host, port };
}

/** A seed as it is written; the default port is left out. */
export function formatSeed(seed: Seed): string {
  if (seed.port === GOSSIP_PORT_DEFAULT) return seed.host;
  return seed.host.includes(':') ? `[${seed.host}]:${seed.port}` : `${seed.host}:${seed.port}`;
}

/** Both lists, no seed twice. @throws FanwayError `too-many`, over {@link SEEDS_MAX} */
export function joinSeeds(seeds: readonly Seed[], more: readonly Seed[]): Seed[] {
  const all = new Map([...seeds, ...more].map((seed) => [formatSeed(seed), seed]));
  if (all.size > SEEDS_MAX) throw refusedError('too-many', `at most ${SEEDS_MAX} seeds`);
  return [...all.values()];
}

/** Several seeds with commas or blanks between. @throws ValueError */
export function parseSeeds(text: string): Seed[] {
  return listOf('seeds', text, SEEDS_MAX).map(parseSeed);
}

/** An address that a packet between hosts can have. @throws ValueError */
function parseReachable(text: string): UnderlayAddress {
  let address: UnderlayAddress;
  try {
    address = parseHostAddress(text);
  } catch {
    throw new ValueError(`${quote(text)} is not an address like 172.30.0.28 or fd00::28`);
  }
  if (isLinkLocal(address)) {
    throw new ValueError(
      `${quote(text)} is link-local, which means something on one link only: name an address that all hosts reach`,
    );
  }
  if (isMartianHost(address) && !isLoopback(address)) {
    throw new ValueError(`${formatHostAddress(address)} is not the address of a host`);
  }
  return address;
}

/** Up to `max` addresses with commas or blanks between. @throws ValueError */
export function parseAddresses(key: string, text: string, max: number): UnderlayAddress[] {
  return listOf(key, text, max).map(parseReachable);
}

/** Up to `max` printable ASCII characters without a blank. @throws ValueError */
export function parseText(key: string, text: string, max: number): string {
  if (text.length > max || !/^[\x21-\x7e]+$/.test(text)) {
    throw new ValueError(
      `${key} is 1 to ${max} printable ASCII characters without blanks, not ${quote(text)}`,
    );
  }
  return text;
}

/** Up to `max` printable ASCII characters, blanks among them. @throws ValueError */
export function parseWords(key: string, text: string, max: number): string {
  if (text.length > max || !/^[\x20-\x7e]+$/.test(text)) {
    throw new ValueError(`${key} is 1 to ${max} printable ASCII characters, not ${quote(text)}`);
  }
  return text;
}

/** An absolute path. @throws ValueError */
export function parsePath(key: string, text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  const printable = !/[\u0000-\u001f]/.test(text);
  if (!text.startsWith('/') || Buffer.byteLength(text) > PATH_BYTES_MAX || !printable) {
    throw new ValueError(`${key} is an absolute path, not ${quote(text)}`);
  }
  return text;
}

/** Running settings with more seeds. @throws FanwayError when anything else is another. */
export function extendedSettings(
  now: GossipSettings,
  given: Partial<GossipSettings>,
): GossipSettings {
  const { seeds = [], ...rest } = given;
  if (!isDeepStrictEqual({ ...now, ...rest }, now)) {
    throw refusedError('joined', 'gossip runs here with other settings: fanway leave ends it');
  }
  const all = joinSeeds(now.seeds, seeds);
  return { ...now, seeds: all };
}

/** The settings of a `[gossip]` section. */
export const GOSSIP_SETTINGS: readonly Setting[] = [
  setting(
    'gossip',
    'seeds',
    'seeds',
    '',
    'Members to begin with, as HOST or HOST:PORT, with commas between; names are looked up again and again.',
  ),
  setting('gossip', 'port', 'integer', String(GOSSIP_PORT_DEFAULT), 'Gossip: UDP and TCP port.', {
    unit: 'UDP and TCP port',
    min: 1,
    max: 65535,
    reloadable: false,
  }),
  setting('gossip', 'bind', 'addresses', '', 'The one address to listen on; all of this host.', {
    max: 1,
    reloadable: false,
  }),
  setting(
    'gossip',
    'advertise',
    'addresses',
    '',
    "Where others reach this host, the best first; its fans' underlay addresses.",
    { max: ADVERTISE_MAX },
  ),
  setting('gossip', 'name', 'text', '', "What others call this host; the machine's name.", {
    max: NAME_CHARS_MAX,
    reloadable: false,
  }),
  setting(
    'gossip',
    'label',
    'text',
    LABEL_DEFAULT,
    'Which cluster this is: members with another label are not heard.',
    { max: LABEL_CHARS_MAX, reloadable: false },
  ),
  setting(
    'gossip',
    'key-file',
    'path',
    '',
    'The keys of the cluster, mode 0600 (`fanway keygen`); gossip.key in the state directory.',
    { reloadable: false },
  ),
  setting(
    'gossip',
    'state-dir',
    'path',
    STATE_DIRECTORY_DEFAULT,
    'Where the identity of this host and its epoch are kept.',
    { reloadable: false },
  ),
  setting(
    'gossip',
    'insecure-plaintext',
    'boolean',
    'no',
    'Without keys: anybody who reaches the port is a member.',
    { reloadable: false },
  ),
];
