/**
 * The rate of a link as it is written: `95M`, `1.5G`, `640k`, bits a second as network people count, or
 * `auto`; the same for single hosts; and the fields of inner packets by which flows are told apart.
 * @module
 */
import { type FlowKeyName, isFlowKeyName } from '../../net/flow-keys.ts';
import {
  formatHostAddress,
  isUnderlayAddress,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';

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

/** What a link of either kind is asked for; what is absent is not limited, or told apart by all fields. */
export type RateRequest = {
  rate?: Rate;
  flowKeys?: readonly FlowKeyName[];
  peerRates?: readonly PeerRate[];
};

/** What the values of settings say of it. */
export function rateOf(values: ReadonlyMap<string, unknown>): RateRequest {
  return pickRate({
    rate: values.get('rate'),
    flowKeys: values.get('flow-keys'),
    peerRates: values.get('peer-rate'),
  });
}

/** What of an object is about the rate, and is what it should be. */
export function pickRate(of: {
  rate?: unknown;
  flowKeys?: unknown;
  peerRates?: unknown;
}): RateRequest {
  const { rate, flowKeys, peerRates } = of;
  return {
    ...(isRate(rate) && { rate }),
    ...(areFlowKeys(flowKeys) && { flowKeys }),
    ...(arePeerRates(peerRates) && { peerRates }),
  };
}

/** Something with another rate, and other flow keys, than it has. */
export function withRate<T extends RateRequest>(of: T, wanted: RateRequest): T {
  const copy = { ...of };
  delete copy.rate;
  delete copy.flowKeys;
  delete copy.peerRates;
  return Object.assign(copy, pickRate(wanted));
}

/** What of two differs, in words; nothing where nothing does. */
export function rateDifferences(now: RateRequest, then: RateRequest): string[] {
  const differences: string[] = [];
  for (const [what, text] of [
    ['rate', rateText],
    ['flow-keys', flowKeysText],
    ['peer-rate', peerRatesText],
  ] as const) {
    if (text(now) !== text(then))
      differences.push(`${what} ${text(then)} from now on, not ${text(now)}`);
  }
  return differences;
}

/** The same in words, `none` and `all` for what is absent. */
export function rateText({ rate }: RateRequest): string {
  return rate === undefined ? 'none' : formatRate(rate);
}

export function peerRatesText({ peerRates = [] }: RateRequest): string {
  const texts = peerRates.map(({ peer, rate }) => `${formatHostAddress(peer)}=${formatRate(rate)}`);
  return texts.join(',') || 'none';
}

export function flowKeysText({ flowKeys }: RateRequest): string {
  return flowKeys === undefined ? 'all' : flowKeys.join(',');
}

const BIT_UNITS = [
  [1e9, 'Gb/s'],
  [1e6, 'Mb/s'],
  [1e3, 'kb/s'],
] as const;

/** What really passes, bits a second, for people: `2.3 Gb/s`, `640 b/s`. */
export function bitsText(bits: number): string {
  const unit = BIT_UNITS.find(([size]) => bits >= size);
  if (unit === undefined) return `${Math.round(bits)} b/s`;
  return `${(bits / unit[0]).toFixed(bits >= unit[0] * 100 ? 0 : 1)} ${unit[1]}`;
}
