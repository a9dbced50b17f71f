/**
 * Packets and bits a second of each link, from counters sampled once a second.
 * @module
 */
import type { Rates } from '../../api/status.ts';
import type { CounterValues } from './tables/counter-values.ts';

/** The counters that rates are made of: their values in this order are what is sampled. */
export const RATE_COUNTERS = [
  'egress.delivered',
  'egress.deliveredBytes',
  'ingress.delivered',
  'ingress.deliveredBytes',
  'queue.left',
  'queue.waited_us',
  'event.tcp_data_sent',
  'event.tcp_data_again',
] as const;

type Sample = { timeMs: number; counters: CounterValues };
type LinkSample = { timeMs: number; counters: Float64Array };

/** How far back the rate looks, in samples. */
const SAMPLES_MAX = 6;
export const SAMPLE_INTERVAL_MS = 1000;
/** Fewer segments that were sent again are nothing to speak of. */
const AGAIN_MIN = 5;

const NO_RATES: Rates = { egressPackets: 0, egressBits: 0, ingressPackets: 0, ingressBits: 0 };

export class RateMeter {
  readonly #samples: Sample[] = [];

  /** Takes the values of {@link RATE_COUNTERS} as they stand at a monotonic time. */
  sample(counters: CounterValues, timeMs: number): void {
    this.#samples.push({ timeMs, counters });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }

  /** How long a packet of a link that had to wait did so lately, ms; 0 = none did. */
  delayMsOf(link: string): number {
    const left = this.#grown(link, 'queue.left');
    return left === 0 ? 0 : this.#grown(link, 'queue.waited_us') / left / 1000;
  }

  /** The share of large TCP segments of a link that TCP lately sent once more; 0 where it is next to none. */
  againOf(link: string): number {
    const again = this.#grown(link, 'event.tcp_data_again');
    if (again < AGAIN_MIN) return 0;
    return again / Math.max(again, this.#grown(link, 'event.tcp_data_sent'));
  }

  #grown(link: string, name: (typeof RATE_COUNTERS)[number]): number {
    const { before, now } = this.#ends(link);
    const place = RATE_COUNTERS.indexOf(name);
    return Math.max(0, (now?.counters[place] ?? 0) - (before?.counters[place] ?? 0));
  }

  /** The first and the last sample that there is of a link. */
  #ends(link: string): { before: LinkSample | undefined; now: LinkSample | undefined } {
    const of = (sample: Sample | undefined): LinkSample | undefined => {
      const counters = sample?.counters.get(link);
      return sample && counters && { timeMs: sample.timeMs, counters };
    };
    return {
      before: of(this.#samples.find((sample) => sample.counters.has(link))),
      now: of(this.#samples.at(-1)),
    };
  }

  /** The rates of a link; zero until there are two samples, and after its counters began anew. */
  of(link: string): Rates {
    const { before, now } = this.#ends(link);
    if (before === undefined || now === undefined) return NO_RATES;
    const seconds = (now.timeMs - before.timeMs) / 1000;
    if (seconds <= 0) return NO_RATES;
    const rate = (name: (typeof RATE_COUNTERS)[number]): number => {
      const place = RATE_COUNTERS.indexOf(name);
      const grown = (now.counters[place] ?? 0) - (before.counters[place] ?? 0);
      return Math.max(0, Math.round(grown / seconds));
    };
    return {
      egressPackets: rate('egress.delivered'),
      egressBits: rate('egress.deliveredBytes') * 8,
      ingressPackets: rate('ingress.delivered'),
      ingressBits: rate('ingress.deliveredBytes') * 8,
    };
  }
}
