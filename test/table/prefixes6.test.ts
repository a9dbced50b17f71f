// IPv6 prefixes: what is found is what a plain search through all of them finds.
import t from 'tap';
import {
  bytesOfIpv6,
  contains6,
  type Ipv6,
  maskOf6,
  parseAddress6,
} from '../../src/net/prefix6.ts';
import { PREFIXES6_MAX } from '../../src/table/segment.ts';
import { Random } from '../fuzz/mutate.ts';
import { TestTables } from '../support/tables.ts';

const LINK = 3;

type Entry = { address: Ipv6; length: number; peer: number };

const at = (address: Ipv6): DataView => new DataView(bytesOfIpv6(address).buffer);
const masked = (address: Ipv6, length: number): string => {
  const mask = maskOf6(length);
  return `${address.map((word, i) => ((word & (mask[i] ?? 0)) >>> 0).toString(16))}/${length}`;
};

t.test('the longest prefix wins, and each link has its own', async (t) => {
  const { prefixes6, prefix6Writer } = new TestTables();
  const find = (text: string, link = LINK): number =>
    prefixes6.find(link, at(parseAddress6(text)), 0);
  t.equal(find('fd00:fa::1'), 0, 'an empty table knows nobody');
  for (const [text, length, peer] of [
    ['fd00:fa:1c::', 48, 1],
    ['fd00:fa:1c:0:8000::', 65, 2],
    ['fd00:fa:1c::8000:0:0:77', 128, 3],
    ['8000::', 1, 4],
  ] as const) {
    t.ok(prefix6Writer.set(LINK, parseAddress6(text), length, peer));
    t.equal(prefix6Writer.get(LINK, parseAddress6(text), length), peer);
  }
  t.equal(find('fd00:fa:1c::8000:0:0:77'), 3);
  t.equal(find('fd00:fa:1c::8000:0:0:78'), 2);
  t.equal(find('fd00:fa:1c::78'), 1);
  t.equal(find('fd00:fa:1c:0:8000::1'), 2);
  t.equal(find('fd00:fa:1d::1'), 4);
  t.equal(find('7d00:fa:1d::1'), 0);
  t.equal(find('fd00:fa:1c::1', LINK + 1), 0, 'another link');
  t.ok(prefix6Writer.set(LINK, parseAddress6('fd00:fa:1c::'), 48, 9), 'it moves');
  t.equal(find('fd00:fa:1c::1'), 9);
  t.equal(prefix6Writer.count, 4);
  t.ok(prefix6Writer.delete(LINK, parseAddress6('fd00:fa:1c::'), 48));
  t.equal(find('fd00:fa:1c::1'), 4, 'the next longer one');
  t.notOk(prefix6Writer.delete(LINK, parseAddress6('fd00:fa:1c::'), 48), 'it is not there twice');
});

t.test('random changes: what is found is what a search through all of them finds', async (t) => {
  const random = new Random(4242);
  const { prefixes6, prefix6Writer } = new TestTables();
  const entries = new Map<string, Entry>();
  // Few networks, so that prefixes overlap and equal each other.
  const some = (): Ipv6 => [
    0xfd0000fa,
    random.below(4) << 30,
    random.below(2) * 0x8000_0001,
    random.below(8),
  ];
  for (let round = 0; round < 4000; round++) {
    const length = 1 + random.below(128);
    const address = some();
    const key = masked(address, length);
    if (random.below(3) === 0) {
      t.equal(prefix6Writer.delete(LINK, address, length), entries.delete(key));
    } else {
      const peer = 1 + random.below(60_000);
      entries.set(key, { address, length, peer });
      prefix6Writer.set(LINK, address, length, peer);
    }
    for (let i = 0; i < 5; i++) {
      const asked = some();
      const found = [...entries.values()].filter((entry) => contains6(entry, asked));
      const best = found.sort((a, b) => b.length - a.length)[0]?.peer ?? 0;
      if (prefixes6.find(LINK, at(asked), 0) === best) continue;
      t.fail(`${asked} in ${JSON.stringify([...entries.values()])}`);
      return;
    }
  }
  t.equal(prefix6Writer.count, entries.size);
});

t.test('full: one more is refused and harms nobody, and a change still goes', async (t) => {
  const { prefixes6, prefix6Writer } = new TestTables();
  const address = (index: number): Ipv6 => [0xfd0000fa, index >>> 9, 0, index & 511];
  let refused = 0;
  for (let i = 0; i < PREFIXES6_MAX; i++) {
    if (!prefix6Writer.set(LINK, address(i), 128, 1 + (i % 1000))) refused++;
  }
  t.ok(refused < PREFIXES6_MAX / 1000, `${refused} found no place`);
  const isFull = prefix6Writer.count === PREFIXES6_MAX;
  if (isFull) t.notOk(prefix6Writer.set(LINK, address(PREFIXES6_MAX), 128, 1));
  t.ok(prefix6Writer.set(LINK, address(7), 128, 4711), 'a change of one needs no room');
  t.equal(prefixes6.find(LINK, at(address(7)), 0), 4711);
  let wrong = 0;
  for (let i = 8; i < 20_000; i++) {
    if (prefixes6.find(LINK, at(address(i)), 0) !== 1 + (i % 1000)) wrong++;
  }
  t.equal(wrong, 0);
});
