/**
 * Packets and bits a second of each link, from counters sampled once a second.
 * @module
 */
import type { Rates } from '../../api/status.ts';

type Counters = Readonly<Record<string, Readonly<Record<string, number>>>>;
type Sample = { timeMs: number; counters: Counters };

/** How far back the rate looks, in samples. */
const SAMPLES_MAX = 6;
export const SAMPLE_INTERVAL_MS = 1000;

const NO_RATES: Rates = { egressPackets: 0, egressBits: 0, ingressPackets: 0, ingressBits: 0 };

export class RateMeter {
  readonly #samples: Sample[] = [];

  /** Takes the counters as they stand at a monotonic time. */
  sample(counters: Counters, timeMs: number): void {
    this.#samples.push({ timeMs, counters });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }

  /** The rates of a link; zero until there are two samples, and after its counters began anew. */
  of(link: string): Rates {
    const first = this.#samples.find((sample) => sample.counters[link] !== undefined);
    const last = this.#samples.at(-1);
    const before = first?.counters[link];
    const now = last?.counters[link];
    if (first === undefined || last === undefined || before === undefined || now === undefined) {
      return NO_RATES;
    }
    const seconds = (last.timeMs - first.timeMs) / 1000;
    if (seconds <= 0) return NO_RATES;
    const rate = (name: string): number =>
      Math.max(0, Math.round(((now[name] ?? 0) - (before[name] ?? 0)) / seconds));
    return {
      egressPackets: rate('egress.delivered'),
      egressBits: rate('egress.deliveredBytes') * 8,
      ingressPackets: rate('ingress.delivered'),
      ingressBits: rate('ingress.deliveredBytes') * 8,
    };
  }
}
