/** Medians and their spread: what a row of interleaved rounds comes down to. @module */

/** One figure over several rounds. */
export type Spread = { median: number; min: number; max: number; rounds: number };

/** Median, least and most of `values`; undefined when there are none. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const min = sorted[0];
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) return undefined;
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? max;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? min) + upper) / 2;
  return { median, min, max, rounds: sorted.length };
}

/**
 * Whether `now` moved against `before` beyond noise: the medians differ by more than 5 % and
 * neither lies inside the other's range. With one round there is no range, and 15 % is asked.
 */
export function movedBeyondNoise(before: Spread, now: Spread): boolean {
  if (before.median === 0 || now.median === 0) return before.median !== now.median;
  const change = Math.abs(now.median / before.median - 1);
  if (before.rounds < 2 || now.rounds < 2) return change > 0.15;
  const inside = (value: number, range: Spread) => value >= range.min && value <= range.max;
  return change > 0.05 && !inside(now.median, before) && !inside(before.median, now);
}

/** Three significant digits, no exponent: 0.0123, 1.23, 12.3, 123, 1,235. */
export function figure(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 100) {
    return Math.round(value)
      .toString()
      .replace(/\B(?=(\d{3})+$)/g, ',');
  }
  const digits = Math.max(0, 2 - Math.floor(Math.log10(size)));
  return value.toFixed(Math.min(digits, 4));
}
