import fc from 'fast-check';
import t, { type Test } from 'tap';
import {
  append,
  countOf,
  eachOf,
  fromAscending,
  includes,
  type Ranges,
  subtract,
} from '../../src/gossip/table/ranges.ts';

/** Sets of small numbers, as ranges that may touch each other but not overlap. */
const numbers = fc
  .uniqueArray(fc.integer({ min: 1, max: 60 }), { size: 'max', maxLength: 40 })
  .map((all) => all.sort((a, b) => a - b));
const touching = fc.tuple(numbers, fc.array(fc.boolean(), { minLength: 60, maxLength: 60 })).map(
  ([all, cuts]): Ranges =>
    fromAscending(all).flatMap(([first, last]) => {
      const pieces: [number, number][] = [[first, first]];
      for (let number = first + 1; number <= last; number++) {
        const piece = pieces.at(-1);
        if (piece === undefined || cuts[number - 1]) pieces.push([number, number]);
        else piece[1] = number;
      }
      return pieces;
    }),
);

function check(t: Test, name: string, property: fc.IPropertyWithHooks<[Ranges, Ranges]>): void {
  t.doesNotThrow(() => fc.assert(property, { numRuns: 2000 }), name);
}

t.test('sets of numbers', (t) => {
  check(
    t,
    'subtract() leaves what only the first has',
    fc.property(touching, touching, (a, b) => {
      const without = new Set(eachOf(b));
      const left = [...eachOf(a)].filter((number) => !without.has(number));
      return JSON.stringify([...eachOf(subtract(a, b))]) === JSON.stringify(left);
    }),
  );
  check(
    t,
    'countOf() and includes() agree with the numbers one by one',
    fc.property(touching, touching, (a, _) => {
      const all = new Set(eachOf(a));
      if (countOf(a) !== all.size) return false;
      for (let number = 0; number <= 61; number++) {
        if (includes(a, number) !== all.has(number)) return false;
      }
      return true;
    }),
  );
  check(
    t,
    'append() adds one above all others',
    fc.property(touching, touching, (a, b) => {
      const next = (a.at(-1)?.[1] ?? 0) + 1 + (b.length % 2);
      const all = [...eachOf(a), next];
      return JSON.stringify([...eachOf(append(a, next))]) === JSON.stringify(all);
    }),
  );
  t.end();
});

t.test('ranges of billions cost no more than short ones', (t) => {
  const all: Ranges = [[1, 2 ** 32 - 2]];
  t.same(subtract(all, [[5, 2 ** 32 - 10]]), [
    [1, 4],
    [2 ** 32 - 9, 2 ** 32 - 2],
  ]);
  t.equal(countOf(all), 2 ** 32 - 2);
  t.ok(includes(all, 2 ** 31));
  t.same(append(all, 2 ** 32 - 1), [[1, 2 ** 32 - 1]]);
  t.end();
});
