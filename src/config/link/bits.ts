/**
 * A rate for people. By itself, since the page of `fanway web` has no need of the settings around it.
 * @module
 */

const BIT_UNITS = [
  [1e9, 'Gb/s'],
  [1e6, 'Mb/s'],
  [1e3, 'kb/s'],
] as const;

/** What really passes, bits a second, for people: `2.3 Gb/s`, `640 b/s`. */
export function bitsText(bits: number): string {
  const unit = BIT_UNITS.find(([size]) => bits >= size);
  if (unit === undefined) return `${Math.round(bits)} b/s`;
  return `${(bits / unit[0]).toFixed(bits >= unit[0] * 100 ? 0 : 1)} ${unit[1]}`;
}
