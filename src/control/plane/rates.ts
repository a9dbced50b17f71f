/**
 * Packets and bits a second of each link, from counters sampled once a second.
 * @module
 */
import type { Rates } from '../../api/status.ts';
import type { CounterValues } from './tunnel-set.ts';

/** The counters that rates are made of: their values in this order are what is sampled. */
export const RATE_COUNTERS = [
  'egress.delivered',
  'egress.deliveredBytes',
  'ingress.delivered',
  'ingress.deliveredBytes',
] as const;

type Sample = { timeMs: number; counters: CounterValues };

/** How far back the rate looks, in samples. */
const SAMPLES_MAX = 6;
export const SAMPLE_INTERVAL_MS = 1000;

const NO_RATES: Rates = { egressPackets: 0, egressBits: 0, ingressPackets: 0, ingressBits: 0 };

export class RateMeter {
  readonly #samples: Sample[] = [];

  /** Takes the values of {@link RATE_COUNTERS} as they stand at a monotonic time. */
  sample(counters: CounterValues, timeMs: number): void {
    this.#samples.push({ timeMs, counters });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }

  /** The rates of a link; zero until there are two samples, and after its counters began anew. */
  of(link: string): Rates {
    const first = this.#samples.find((sample) => sample.counters.has(link));
    const last = this.#samples.at(-1);
    const before = first?.counters.get(link);
    const now = last?.counters.get(link);
    if (first === undefined || last === undefined || before === undefined || now === undefined) {
      return NO_RATES;
    }
    const seconds = (last.timeMs - first.timeMs) / 1000;
    if (seconds <= 0) return NO_RATES;
    const rate = (name: (typeof RATE_COUNTERS)[number]): number => {
      const place = RATE_COUNTERS.indexOf(name);
      return Math.max(0, Math.round(((now[place] ?? 0) - (before[place] ?? 0)) / seconds));
    };
    return {
      egressPackets: rate('egress.delivered'),
      egressBits: rate('egress.deliveredBytes') * 8,
      ingressPackets: rate('ingress.delivered'),
      ingressBits: rate('ingress.deliveredBytes') * 8,
    };
  }
}
