/**
 * Arithmetic on sets of sequence numbers, kept as ascending, disjoint ranges. No function looks at
 * single numbers of a range, so a range that claims billions of blocks costs what one of two does.
 * @module
 */
import type { SequenceRange } from '../../wire/gossip/types.ts';

export type Ranges = readonly SequenceRange[];

/** How many numbers there are. */
export function countOf(ranges: Ranges): number {
  let count = 0;
  for (const [first, last] of ranges) count += last - first + 1;
  return count;
}

export function includes(ranges: Ranges, number: number): boolean {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const range = ranges[middle];
    if (range === undefined) return false;
    if (number < range[0]) high = middle - 1;
    else if (number > range[1]) low = middle + 1;
    else return true;
  }
  return false;
}

/** `ranges` and `number`, which is above all of them. */
export function append(ranges: Ranges, number: number): SequenceRange[] {
  const last = ranges.at(-1);
  if (last === undefined || last[1] < number - 1) return [...ranges, [number, number]];
  return [...ranges.slice(0, -1), [last[0], number]];
}

/** The numbers of `from` that are not in `without`. */
export function subtract(from: Ranges, without: Ranges): SequenceRange[] {
  const left: SequenceRange[] = [];
  let at = 0;
  for (const [first, last] of from) {
    let next = first;
    for (; next <= last; at++) {
      const hole = without[at];
      if (hole === undefined || hole[0] > last) break;
      if (hole[0] > next) left.push([next, hole[0] - 1]);
      next = Math.max(next, hole[1] + 1);
      // A hole that reaches past this range may take from the next one too.
      if (hole[1] > last) break;
    }
    if (next <= last) left.push([next, last]);
  }
  return left;
}

/** Ranges of numbers that come in ascending order. */
export function fromAscending(numbers: Iterable<number>): SequenceRange[] {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges;
}

/** Every number in turn. Only for ranges whose count is known to be small. */
export function* eachOf(ranges: Ranges): Generator<number> {
  for (const [first, last] of ranges) {
    for (let number = first; number <= last; number++) yield number;
  }
}
