/**
 * The rate of a link as it is written: `95M`, `1.5G`, `640k`, bits a second as network people count, or
 * `auto`; the same for single hosts; and the fields of inner packets by which flows are told apart.
 * @module
 */
import { FLOW_KEY_NAMES, type FlowKeyName, isFlowKeyName } from '../../net/flow-keys.ts';
import {
  formatHostAddress,
  isUnderlayAddress,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import { known } from '../row/kinds.ts';
import {
  asked,
  carried,
  differencesOf,
  type FieldsOf,
  fieldNames,
  pickFields,
} from '../row/row.ts';
import { quote, ValueError } from '../row/setting.ts';

/** Bits a second, or found out by the delay that the path adds. */
export type Rate = number | 'auto';

/** Slower, one packet would take a quarter of a second; faster, nothing here shapes any more. */
export const RATE_BITS_MIN = 64_000;
export const RATE_BITS_MAX = 34_000_000_000;

const UNIT_BITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };

/** What a text says, undefined where it is no rate. */
export function readRate(text: string): Rate | undefined {
  if (text === 'auto') return 'auto';
  const [, number = '', unit = ''] =
    /^([0-9]{1,11}(?:\.[0-9]{1,6})?)([kmg]?)(?:bit(?:\/s)?)?$/i.exec(text) ?? [];
  const bits = Math.round(Number(number) * (UNIT_BITS[unit.toLowerCase()] ?? 1));
  return number !== '' && isRate(bits) ? bits : undefined;
}

/** Whether a value from outside is a rate. */
export function isRate(value: unknown): value is Rate {
  return (
    value === 'auto' ||
    (typeof value === 'number' &&
      Number.isInteger(value) &&
      value >= RATE_BITS_MIN &&
      value <= RATE_BITS_MAX)
  );
}

/** A rate as it would be written: `95M`. */
export function formatRate(rate: Rate): string {
  if (rate === 'auto') return rate;
  for (const [unit, bits] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (rate % (bits / 10) === 0 && rate >= bits) return `${rate / bits}${unit}`;
  }
  return String(rate);
}

/** What `tunnel-src,tunnel-dst` says, undefined where it is no such list. */
export function readFlowKeys(text: string): readonly FlowKeyName[] | undefined {
  const names = text.split(',').map((name) => name.trim());
  return areFlowKeys(names) ? names : undefined;
}

/** Whether a value from outside is a list of fields, none twice. */
export function areFlowKeys(value: unknown): value is readonly FlowKeyName[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((name) => typeof name === 'string' && isFlowKeyName(name)) &&
    new Set(value).size === value.length
  );
}

/** Most bits a second to one host of the underlay. */
export type PeerRate = { readonly peer: UnderlayAddress; readonly rate: number };
/** Hosts of a link that have a rate of their own: each has queues of its own in every data process. */
export const PEER_RATES_MAX = 32;

/** What `172.30.1.27=20M,172.30.2.30=5M` says, undefined where it is no such list. */
export function readPeerRates(text: string): readonly PeerRate[] | undefined {
  try {
    const rates = text.split(/[\s,]+/).map((word): PeerRate => {
      const [host = '', rate = '', ...rest] = word.split('=');
      const bits = rest.length === 0 ? readRate(rate) : undefined;
      return { peer: parseHostAddress(host), rate: typeof bits === 'number' ? bits : 0 };
    });
    return arePeerRates(rates) ? rates : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a value from outside is a list of rates, no host twice. */
export function arePeerRates(value: unknown): value is readonly PeerRate[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > PEER_RATES_MAX) return false;
  const hosts = value.map((one) => (isPeerRate(one) ? one.peer : undefined));
  return !hosts.includes(undefined) && new Set(hosts).size === value.length;
}

function isPeerRate(value: unknown): value is PeerRate {
  if (typeof value !== 'object' || value === null) return false;
  const rate: unknown = Reflect.get(value, 'rate');
  return rate !== 'auto' && isRate(rate) && isUnderlayAddress(Reflect.get(value, 'peer'));
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

/** Rates of single hosts as they would be written. */
function formatPeerRates(rates: readonly PeerRate[]): string {
  return rates.map(({ peer, rate }) => `${formatHostAddress(peer)}=${formatRate(rate)}`).join(',');
}

/** The settings of a link of either kind. */
export const RATE_ROWS = {
  rate: carried(
    asked(known('rate', isRate), {
      ...{ key: 'rate', onChange: 'follow' },
      doc: 'Most that goes out, as 95M bits a second, just below the bottleneck: what is too much waits here, in queues by flow. auto follows the bottleneck.',
      help: ['--rate RATE|auto', 'most that goes out, as 95M bit/s; more waits in fair queues'],
      text: (rate) => (isRate(rate) ? formatRate(rate) : 'none'),
    }),
  ),
  flowKeys: carried(
    asked(known('flow-keys', areFlowKeys), {
      ...{ key: 'flow-keys', onChange: 'follow' },
      doc: `By which fields of packets inside flows are told apart where they wait: ${FLOW_KEY_NAMES.join(', ')}; all of them.`,
      help: ['--flow-keys KEYS', 'which fields tell flows apart there, as tunnel-src'],
      text: (keys) => (areFlowKeys(keys) ? keys.join(',') : 'all'),
    }),
  ),
  peerRates: carried(
    asked(known('peer-rates', arePeerRates), {
      ...{ key: 'peer-rate', onChange: 'follow' },
      doc: `Most that goes to single hosts of the underlay, as 172.30.1.27=20M, up to ${PEER_RATES_MAX}; each has queues of its own, and what goes there counts for rate, too.`,
      help: ['--peer-rate LIST', 'the most to single hosts, as 172.30.1.27=20M'],
      text: (rates) => (arePeerRates(rates) ? formatPeerRates(rates) : 'none'),
    }),
  ),
} as const;

/** What a link of either kind is asked for; what is absent is not limited, or told apart by all fields. */
export type RateRequest = FieldsOf<typeof RATE_ROWS>;

/** What of an object is about the rate, and is what it should be. */
export function pickRate(of: object): RateRequest {
  return pickFields(RATE_ROWS, of);
}

/** Something with another rate, and other flow keys, than it has. */
export function withRate<T extends RateRequest>(of: T, wanted: RateRequest): T {
  const copy = { ...of };
  for (const field of fieldNames(RATE_ROWS)) Reflect.deleteProperty(copy, field);
  return Object.assign(copy, pickRate(wanted));
}

/** What of two differs, in words; nothing where nothing does. */
export function rateDifferences(now: RateRequest, then: RateRequest): string[] {
  return differencesOf(RATE_ROWS, now, then).map(
    ({ key, now, wanted }) => `${key} ${wanted} from now on, not ${now}`,
  );
}

/** The same in words, `none` and `all` for what is absent. */
export function rateText({ rate }: RateRequest): string {
  return RATE_ROWS.rate.text(rate);
}

export function peerRatesText({ peerRates }: RateRequest): string {
  return RATE_ROWS.peerRates.text(peerRates);
}

export function flowKeysText({ flowKeys }: RateRequest): string {
  return RATE_ROWS.flowKeys.text(flowKeys);
}
