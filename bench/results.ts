/**
 * One run of the benchmark as a value, and its comparison with bars and with an earlier run.
 * @module
 */

import { movedBeyondNoise, type Spread, spreadOf } from '../src/measure/statistics.ts';
import type { Machine } from './machine.ts';
import { type Bar, bars, type Row, rows } from './rows.ts';

/** Rounds of one figure, in the order they were measured. */
export type Samples = Record<string, Record<string, number[]>>;

/** A table of its own, such as what each variant does with crafted packets of strangers. */
export type ExtraTable = { title: string; note: string; columns: string[]; rows: string[][] };

/** What is written to disk; append fields only, old results are read back. */
export type Results = {
  format: 1;
  date: string;
  quick: boolean;
  rounds: number;
  machine: Machine;
  /** Rounds that began although the machine was busy with something else. */
  noisy: number;
  variants: { key: string; title: string; ours: boolean }[];
  /** Figures by row, then by variant. */
  samples: Samples;
  /** Tables that are not a figure a variant, after the figures. */
  extras?: ExtraTable[];
  /** What could not be measured, and why. */
  notAvailable: { what: string; reason: string }[];
};

/** Median and range of one cell; undefined when it was not measured. */
export function cell(results: Results, row: string, variant: string): Spread | undefined {
  return spreadOf(results.samples[row]?.[variant] ?? []);
}

export type Judged = Bar & {
  title: string;
  unit: string;
  /** The figure that is held against the bar: a ratio, or the median itself. */
  value: number;
  verdict: 'goal' | 'bar' | 'short';
};

/** Every bar that this run has figures for. */
export function judgeBars(results: Results): Judged[] {
  return bars.flatMap((bar): Judged[] => {
    const row = rows.find(({ key }) => key === bar.row);
    const mine = cell(results, bar.row, bar.variant);
    if (row === undefined || mine === undefined) return [];
    const value = valueAgainst(results, bar, mine.median);
    if (value === undefined) return [];
    const reaches = (limit: number) => (row.better === 'more' ? value >= limit : value <= limit);
    const verdict = reaches(bar.goal) ? 'goal' : reaches(bar.bar) ? 'bar' : 'short';
    return [{ ...bar, title: row.title, unit: row.unit, value, verdict }];
  });
}

function valueAgainst(results: Results, bar: Bar, median: number): number | undefined {
  if (bar.against === undefined) return median;
  const other =
    'variant' in bar.against
      ? cell(results, bar.row, bar.against.variant)
      : cell(results, bar.against.row, bar.variant);
  return other === undefined || other.median === 0 ? undefined : median / other.median;
}

export type Moved = { row: Row; variant: string; before: Spread; now: Spread; improved: boolean };

/** What moved beyond noise since `before`, best news last. */
export function compare(before: Results, now: Results): Moved[] {
  const moved: Moved[] = [];
  for (const row of rows) {
    for (const { key } of now.variants) {
      const [a, b] = [cell(before, row.key, key), cell(now, row.key, key)];
      if (a === undefined || b === undefined || !movedBeyondNoise(a, b)) continue;
      const improved = row.better === 'more' ? b.median > a.median : b.median < a.median;
      moved.push({ row, variant: key, before: a, now: b, improved });
    }
  }
  return moved.sort((a, b) => Number(a.improved) - Number(b.improved));
}
