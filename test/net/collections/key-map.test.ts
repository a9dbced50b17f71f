import t from 'tap';
import { KeyMap } from '../../../src/net/collections/key-map.ts';
import { Random } from '../../fuzz/mutate.ts';

type Value = { name: number };

t.test('it says what a Map says, whatever comes and goes', async (t) => {
  const random = new Random(7);
  const map = new KeyMap<number | string, Value>();
  const oracle = new Map<number | string, Value>();
  // Few keys, so that they meet; some above 2^32, some text.
  const keyOf = (number: number): number | string =>
    number % 10 === 9 ? `k${number}` : number * (number % 3 === 0 ? 1 : 0x1_0000_0001);
  let differences = 0;
  for (let step = 0; step < 60_000; step++) {
    // It grows for a while, then shrinks, again and again.
    const grows = step % 20_000 < 12_000;
    const key = keyOf(random.below(4000));
    if (random.below(10) < (grows ? 7 : 2)) {
      const value = { name: step };
      map.set(key, value);
      oracle.set(key, value);
    } else if (map.delete(key) !== oracle.delete(key)) differences++;
    if (map.get(key) !== oracle.get(key) || map.size !== oracle.size) differences++;
  }
  t.equal(differences, 0);
  t.ok(oracle.size > 100, `${oracle.size} are left`);
  t.same(new Map(map), oracle);
  t.same(new Set(map.keys()), new Set(oracle.keys()));
  t.same(new Set(map.values()), new Set(oracle.values()));
});

t.test('a walk goes on over what there was while the map changes', async (t) => {
  const map = new KeyMap<number | string, Value>();
  for (let key = 0; key < 1000; key++) map.set(key, { name: key });
  const seen: number[] = [];
  for (const [key, { name }] of map) {
    if (key !== name) continue;
    seen.push(name);
    map.delete(key);
    map.set(10_000 + name, { name: -1 });
  }
  t.equal(new Set(seen).size, 1000, 'each of those that were there');
  t.equal(seen.length, 1000, 'once');
  t.equal(map.size, 1000);
});
