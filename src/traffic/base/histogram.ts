/**
 * A histogram of durations with logarithmic buckets: 16 to each doubling, so a quantile is right
 * to about 6 %. Recording touches one typed array and allocates nothing.
 * @module
 */

const SUB_BITS = 4;
const SUB_BUCKETS = 1 << SUB_BITS;
const BUCKETS = (33 - SUB_BITS) * SUB_BUCKETS;
/** Longer durations are counted in the last bucket: 2^32 ns, about 4.3 s. */
const VALUE_NS_MAX = 0xffff_ffff;

/** What a histogram tells, all in microseconds but the count. */
export type LatencySummary = {
  count: number;
  minUs: number;
  avgUs: number;
  p50Us: number;
  p90Us: number;
  p99Us: number;
  maxUs: number;
};

export class Histogram {
  readonly #buckets = new Float64Array(BUCKETS);
  // [count, sum, min, max] in a typed array: plain fields would box each new double.
  readonly #totals = new Float64Array([0, 0, Number.POSITIVE_INFINITY, 0]);

  /** Records one duration in nanoseconds; negative ones count as 0. */
  record(durationNs: number): void {
    const totals = this.#totals;
    const clamped = Math.max(0, Math.min(durationNs, VALUE_NS_MAX));
    const value = clamped >>> 0;
    const exponent = 31 - Math.clz32(value | 1);
    const shift = exponent > SUB_BITS ? exponent - SUB_BITS : 0;
    const index = shift * SUB_BUCKETS + (value >>> shift);
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
    totals[0] = (totals[0] ?? 0) + 1;
    totals[1] = (totals[1] ?? 0) + clamped;
    if (clamped < (totals[2] ?? 0)) totals[2] = clamped;
    if (clamped > (totals[3] ?? 0)) totals[3] = clamped;
  }

  /** The duration in ns below which `fraction` (0 to 1) of the records lie; 0 when empty. */
  quantileNs(fraction: number): number {
    const [count = 0, , , max = 0] = this.#totals;
    const wanted = Math.ceil(count * fraction);
    let seen = 0;
    for (let index = 0; index < BUCKETS; index += 1) {
      seen += this.#buckets[index] ?? 0;
      if (seen >= wanted && seen > 0) return Math.min(bucketMiddleNs(index), max);
    }
    return 0;
  }

  /** Count, least, mean, quantiles and most, in microseconds. */
  summary(): LatencySummary {
    const [count = 0, sum = 0, min = 0, max = 0] = this.#totals;
    if (count === 0) {
      return { count: 0, minUs: 0, avgUs: 0, p50Us: 0, p90Us: 0, p99Us: 0, maxUs: 0 };
    }
    return {
      count,
      minUs: toUs(min),
      avgUs: toUs(sum / count),
      p50Us: toUs(this.quantileNs(0.5)),
      p90Us: toUs(this.quantileNs(0.9)),
      p99Us: toUs(this.quantileNs(0.99)),
      maxUs: toUs(max),
    };
  }

  /** The buckets that hold something: [middle in ns, count], shortest first. */
  filled(): [number, number][] {
    const rows: [number, number][] = [];
    for (let index = 0; index < BUCKETS; index += 1) {
      const count = this.#buckets[index] ?? 0;
      if (count > 0) rows.push([bucketMiddleNs(index), count]);
    }
    return rows;
  }
}

function bucketMiddleNs(index: number): number {
  // The first two rows of buckets (values below 2 * SUB_BUCKETS) hold exact values.
  const shift = Math.max(0, Math.floor(index / SUB_BUCKETS) - 1);
  const width = 2 ** shift;
  return (index - shift * SUB_BUCKETS) * width + (width - 1) / 2;
}

function toUs(ns: number): number {
  return Math.round(ns / 10) / 100;
}
