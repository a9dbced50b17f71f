/**
 * Figures as people read them.
 * @module
 */

/** `0.42 ms`, `12 ms`, `1.3 s`; `–` for none. */
export function rttText(ms: number | null): string {
  if (ms === null) return '–';
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A share from 0 to 1, `0 %`, `1.6 %`. */
export function percentText(share: number): string {
  const percent = share * 100;
  return `${percent > 0 && percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** `1,234`. */
export function countText(count: number): string {
  return Math.round(count).toLocaleString('en');
}

const AGES = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
] as const;

/** `3 min`, `2 h`; below a second `now`. */
export function ageText(ms: number): string {
  const unit = AGES.find(([, size]) => ms >= size);
  return unit === undefined ? 'now' : `${Math.floor(ms / unit[1])} ${unit[0]}`;
}

/** `14:03:59` of the reader's own clock. */
export function clockText(at: Date): string {
  return at.toLocaleTimeString('en-GB');
}
