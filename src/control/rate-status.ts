/**
 * What `status` says of a link's rate.
 * @module
 */
import type { RateStatus } from '../api/networks.ts';
import { flowKeysText, peerRatesText, rateText } from '../config/link/rate.ts';
import { formatHostAddress } from '../net/underlay-address.ts';
import type { RateNow } from './plane/link-state.ts';
import type { RateMeter } from './plane/rates.ts';
import type { AnySpec } from './store/link-spec.ts';

/** The counters that it is told from. */
export const RATE_STATUS_COUNTERS: readonly string[] = [
  ...['queue.entered', 'queue.left', 'queue.flows_began', 'queue.flows_ended', 'queue.marked'],
  ...['egress.drop.queue_delay', 'egress.drop.queue_full'],
];

/**
 * @param counters at least {@link RATE_STATUS_COUNTERS}
 * @returns null for a link without a rate
 */
export function rateStatus(
  spec: AnySpec,
  data: { rateOf(link: string): RateNow },
  meter: RateMeter,
  counters: Readonly<Record<string, number>>,
): RateStatus | null {
  if (spec.rate === undefined && spec.peerRates === undefined) return null;
  const { bytes, roundTrips } = data.rateOf(spec.name);
  const of = (name: string): number => counters[name] ?? 0;
  return {
    asked: rateText(spec),
    bits: bytes * 8,
    flowKeys: flowKeysText(spec),
    roundTrips: roundTrips.map(formatHostAddress),
    waiting: Math.max(0, of('queue.entered') - of('queue.left')),
    flows: Math.max(0, of('queue.flows_began') - of('queue.flows_ended')),
    delayMs: meter.delayMsOf(spec.name),
    marked: of('queue.marked'),
    dropped: of('egress.drop.queue_delay') + of('egress.drop.queue_full'),
    peers: peerRatesText(spec),
  };
}
