import t from 'tap';
import { ENTRIES_MAX } from '../../src/limits.ts';
import { Random } from '../fuzz/mutate.ts';
import { TestTables } from '../support/tables.ts';

const LINK = 3;

function netmask(length: number): number {
  return (0xffffffff << (32 - length)) >>> 0;
}

type Entry = { address: number; length: number; peer: number };

/** The plain way: the longest of all that contain the address, the last of equal ones. */
function plainFind(entries: readonly Entry[], address: number): number {
  let best: Entry | undefined;
  for (const entry of entries) {
    const mask = netmask(entry.length);
    if ((address & mask) >>> 0 !== (entry.address & mask) >>> 0) continue;
    if (best === undefined || entry.length >= best.length) best = entry;
  }
  return best?.peer ?? 0;
}

t.test('an empty table knows nobody', async (t) => {
  const { prefixes } = new TestTables();
  for (const address of [0, 1, 0xfa001b02, 0xffffffff]) t.equal(prefixes.find(LINK, address), 0);
});

t.test('the longest prefix wins, and each link has its own', async (t) => {
  const { prefixes, prefixWriter } = new TestTables();
  const wanted: Entry[] = [
    { address: 0xfa001b02, length: 24, peer: 1 },
    { address: 0xfa001b80, length: 25, peer: 2 },
    { address: 0xfa001b81, length: 32, peer: 3 },
  ];
  for (const { address, length, peer } of wanted) prefixWriter.set(LINK, address, length, peer);
  t.equal(prefixes.find(LINK, 0xfa001b02), 1);
  t.equal(prefixes.find(LINK, 0xfa001b82), 2);
  t.equal(prefixes.find(LINK, 0xfa001b81), 3);
  t.equal(prefixes.find(LINK, 0xfa001c02), 0);
  t.equal(prefixes.find(LINK + 1, 0xfa001b81), 0, 'another link');
  t.ok(prefixWriter.delete(LINK, 0xfa001b81, 32));
  t.equal(prefixes.find(LINK, 0xfa001b81), 2, 'the next longer one');
  t.notOk(prefixWriter.delete(LINK, 0xfa001b81, 32), 'it is not there twice');
});

t.test('random changes: what is found is what a search through all of them finds', async (t) => {
  const random = new Random(4242);
  const { prefixes, prefixWriter } = new TestTables();
  let entries: Entry[] = [];
  for (let round = 0; round < 4000; round++) {
    // Few networks, so that prefixes overlap and equal each other.
    const length = 1 + random.below(32);
    const address = (0xfa000000 | random.below(0x400)) & netmask(length);
    entries = entries.filter((entry) => entry.address !== address || entry.length !== length);
    if (random.below(3) === 0) prefixWriter.delete(LINK, address, length);
    else {
      const peer = 1 + random.below(60_000);
      entries.push({ address, length, peer });
      prefixWriter.set(LINK, address, length, peer);
    }
    for (let i = 0; i < 10; i++) {
      const asked = (0xfa000000 | random.below(0x500)) >>> 0;
      if (prefixes.find(LINK, asked) === plainFind(entries, asked)) continue;
      t.fail(`${asked.toString(16)} in ${JSON.stringify(entries)}`);
      return;
    }
  }
  t.equal(prefixWriter.count, entries.length);
});

t.test(
  'full: every one is found, no neighbour is, one more is refused and harms nobody',
  async (t) => {
    const { prefixes, prefixWriter } = new TestTables();
    const address = (index: number): number => (0xfa000000 + 2 * index) >>> 0;
    let refused = 0;
    for (let i = 0; i < ENTRIES_MAX; i++) {
      if (!prefixWriter.set(LINK, address(i), 32, 1 + (i % 1000))) refused++;
    }
    t.equal(refused, 0);
    t.notOk(prefixWriter.set(LINK, 0x0a000001, 32, 5), 'one too many');
    t.ok(prefixWriter.set(LINK, address(0), 32, 5), 'a change of one that is there');
    let wrong = 0;
    for (let i = 1; i < ENTRIES_MAX; i++) {
      if (prefixes.find(LINK, address(i)) !== 1 + (i % 1000)) wrong++;
      if (prefixes.find(LINK, address(i) + 1) !== 0) wrong++;
    }
    t.equal(wrong, 0);
    t.ok(prefixWriter.delete(LINK, address(7), 32));
    t.ok(prefixWriter.set(LINK, 0x0a000001, 32, 5), 'whoever leaves makes room');
  },
);
