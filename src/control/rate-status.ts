/**
 * What `status` says of a link's rate.
 * @module
 */
import type { RateStatus } from '../api/networks.ts';
import { flowKeysText, type RateRequest, rateText } from '../config/link/rate.ts';

/**
 * @param bytes what the link may send in a second now; 0 = no limit
 * @returns null for a link without a rate
 */
export function rateStatus(
  spec: RateRequest,
  bytes: number,
  counters: Readonly<Record<string, number>>,
): RateStatus | null {
  if (spec.rate === undefined) return null;
  const of = (name: string): number => counters[name] ?? 0;
  return {
    asked: rateText(spec),
    bits: bytes * 8,
    flowKeys: flowKeysText(spec),
    waiting: Math.max(0, of('queue.entered') - of('queue.left')),
    marked: of('queue.marked'),
    dropped: of('egress.drop.queue_delay') + of('egress.drop.queue_full'),
  };
}
