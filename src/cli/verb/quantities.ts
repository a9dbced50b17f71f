/**
 * Times, shares and rates as text.
 * @module
 */

import type { RateStatus } from '../../api/networks.ts';
import { bitsText } from '../../config/link/bits.ts';

const UNITS = [
  [24 * 3600 * 1000, 'd'],
  [3600 * 1000, 'h'],
  [60 * 1000, 'min'],
  [1000, 's'],
] as const;

/** A time as people say it: `0.4 ms`, `12 s`, `3 min`; `-` for none. */
export function timeText(ms: number | null): string {
  if (ms === null) return '-';
  const unit = UNITS.find(([size]) => ms >= size);
  if (unit !== undefined) return `${Math.floor(ms / unit[0])} ${unit[1]}`;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** A share from 0 to 1 as `12 %`. */
export function percentText(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** How many of something: `1 seed`, `2 seeds`, `2 addresses`, `2 prefixes`. */
export function counted(count: number, noun: string): string {
  const plural = /[sx]$/.test(noun) ? 'es' : 's';
  return `${count} ${noun}${count === 1 ? '' : plural}`;
}

/** What a link's rate does; nothing for one without. */
export function rateLine(rate: RateStatus | null): string[] {
  if (rate === null) return [];
  const { asked, bits, flowKeys, roundTrips, waiting, flows, delayMs, marked, dropped, peers } =
    rate;
  const found = bits === 0 ? 'no bottleneck seen yet' : `${bitsText(bits)} now`;
  const force = asked === 'auto' ? `auto, ${found}` : asked;
  const keys = flowKeys === 'all' ? '' : ` by ${flowKeys}`;
  const toPeers = peers === 'none' ? '' : `, to ${peers}`;
  const [first] = roundTrips;
  const more = roundTrips.length > 1 ? ` and ${roundTrips.length - 1} more` : '';
  return [
    `  rate ${force}${toPeers}: ${counted(waiting, 'packet')} of ${counted(flows, 'flow')} waiting${keys}, ${delayMs.toFixed(1)} ms lately; ${marked} marked and ${dropped} given up so far`,
    ...(first === undefined
      ? []
      : [
          `  rate auto knows only round trips to ${first}${more}, and takes what waits on the way back for its own: have a fanway with raw sockets there, or a fixed --rate here`,
        ]),
  ];
}
