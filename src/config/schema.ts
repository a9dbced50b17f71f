/**
 * Every setting in one table: type, unit, bounds, default, documentation, and whether SIGHUP sets
 * it anew. Command line, configuration file, `fanway check` and the documentation read it.
 * @module
 */
import { QUEUES_MAX } from '../limits.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Prefix6 } from '../net/prefix6.ts';
import type { UnderlayAddress, UnderlayPrefix } from '../net/underlay-address.ts';
import { BGP_SETTINGS, parseIp, parseRanges, parseRd, parseTargets, parseVnis } from './bgp.ts';
import {
  GOSSIP_SETTINGS,
  parseAddresses,
  parsePath,
  parseSeeds,
  parseText,
  parseWords,
  type Seed,
} from './gossip.ts';
import { FAN_ROWS } from './link/fan-rows.ts';
import { type PeerRate, parseFlowKeys, parsePeerRates, parseRate } from './link/rate.ts';
import { parseAnyOverlay, parseUnderlays } from './link/sides.ts';
import type { UnderlaySelector } from './link/underlays.ts';
import { NETWORK_ROWS } from './network/rows.ts';
import { parseHostPrefixes, parseServers } from './network.ts';
import { settingsOf } from './row/row.ts';
import { parseInterfaceName, quote, type Setting, setting, ValueError } from './row/setting.ts';

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
  ...settingsOf('fan', FAN_ROWS),
  ...settingsOf('network', NETWORK_ROWS),
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
    case 'words':
      return parseWords(setting.key, text, setting.max ?? 1);
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
