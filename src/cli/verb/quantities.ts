/**
 * Times and shares as text.
 * @module
 */

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

/** How many of something: `1 seed`, `2 seeds`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
