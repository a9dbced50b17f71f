/**
 * {@link GossipSettings} that came over the admin socket: those that a client may give, each checked,
 * none unknown.
 * @module
 */
import { usageError } from '../errors.ts';
import { SEEDS_MAX } from '../limits.ts';
import {
  formatHostAddress,
  isUnderlayAddress,
  type UnderlayAddress,
} from '../net/underlay-address.ts';
import { type GossipSettings, parseAddresses, parseSeed, parseText } from './gossip.ts';
import { ValueError } from './row/setting.ts';
import { findSetting, parseValue } from './schema.ts';

type Fields = Record<string, unknown>;

function fieldsOf(value: unknown): Fields {
  if (typeof value === 'object' && value !== null) return { ...value };
  throw usageError('bad-request', 'settings are a JSON object');
}

function textOf(fields: Fields, key: string): string {
  const value = fields[key];
  if (typeof value === 'string') return value;
  throw usageError('bad-request', `${key} is text`);
}

function listOf(fields: Fields, key: string): unknown[] {
  const values = fields[key];
  if (Array.isArray(values) && values.length <= SEEDS_MAX) return values;
  throw usageError('bad-request', `${key} is a list of at most ${SEEDS_MAX}`);
}

function addressOf(value: unknown): UnderlayAddress {
  const text = isUnderlayAddress(value) ? formatHostAddress(value) : '';
  return parseAddresses('address', text, 1)[0] ?? 0;
}

function portOf(value: unknown): number {
  const setting = findSetting('gossip', 'port');
  const port = setting === undefined ? undefined : parseValue(setting, String(value));
  if (typeof port === 'number') return port;
  throw new RangeError('port is no setting');
}

/** One setting. @throws ValueError */
function setting(fields: Fields, key: string): Partial<GossipSettings> {
  switch (key) {
    case 'seeds':
      return {
        seeds: listOf(fields, key).map((seed) => {
          const { host, port } = fieldsOf(seed);
          return parseSeed(String(host).includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
        }),
      };
    case 'port':
      return { port: portOf(fields[key]) };
    case 'bind':
      return { bind: addressOf(fields[key]) };
    case 'advertise':
      return { advertise: listOf(fields, key).map(addressOf) };
    case 'name':
    case 'label':
      return { [key]: parseText(key, textOf(fields, key), 63) };
    case 'plaintext':
      return { plaintext: fields[key] === true };
    default:
      throw usageError('bad-request', `${JSON.stringify(key.slice(0, 40))} is no setting here`);
  }
}

/** Reads the settings that a client may give. @throws FanwayError (exit code 2). */
export function gossipSettingsFromJson(value: unknown): Partial<GossipSettings> {
  const fields = fieldsOf(value);
  try {
    return Object.assign({}, ...Object.keys(fields).map((key) => setting(fields, key)));
  } catch (error) {
    if (error instanceof ValueError) throw usageError('bad-request', error.message);
    throw error;
  }
}
