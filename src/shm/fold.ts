/**
 * Wide keys for tables whose keys are 32 bits: an IPv6 address as a number that nobody outside can
 * choose, because it depends on the seed of the tables. Two addresses may have the same one, so whoever
 * finds an entry by it looks at the address that the entry holds.
 * @module
 */

/** Entries that share a number: the fifth of them finds no room. */
export const FOLD_TRIES = 4;

function absorb(state: number, word: number): number {
  const mixed = Math.imul(state ^ word, 0x9e3779b1);
  return Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b);
}

/** The number of 128 bits, given as four words; i32. */
export function fold128(a: number, b: number, c: number, d: number, seed: number): number {
  const folded = absorb(absorb(absorb(absorb(seed | 0, a | 0), b | 0), c | 0), d | 0);
  return folded ^ (folded >>> 13);
}
