import fc from 'fast-check';
import t from 'tap';
import type { Author } from '../../src/gossip/table/author.ts';
import {
  type Announcement,
  ItemKind,
  type NodeId,
  type SignedBlock,
} from '../../src/wire/gossip/types.ts';
import { idOf, itemText, makeAuthor, peerRecord, Replica, seeded } from './replica.ts';

/** One thing that an owner does. Several share one flush, so that blocks have several items. */
type Step =
  | { do: 'announce' | 'withdraw'; key: number; rank: number }
  | { do: 'flush' | 'refute' | 'restart' | 'leave' | 'rename' };

const OWNERS = ['ada', 'bob', 'cyd'];

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: keyed('announce') },
  { weight: 5, arbitrary: keyed('withdraw') },
  { weight: 6, arbitrary: fc.constant<Step>({ do: 'flush' }) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: 'refute' }, { do: 'rename' }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: 'restart' }, { do: 'leave' }) },
);

function keyed(what: 'announce' | 'withdraw'): fc.Arbitrary<Step> {
  return fc.record({
    do: fc.constant(what),
    key: fc.integer({ min: 0, max: 120 }),
    rank: fc.integer({ min: 0, max: 3 }),
  });
}

/** All four kinds, over a few VNIs. */
function itemOf(key: number, rank: number): Announcement {
  const vni = key % 3;
  const address = 0x0a000000 + (key >> 2) * 256;
  switch (key % 4) {
    case 0:
      return { kind: ItemKind.Mac, vni, rank, mac: 0x0200_0000_0000 + key };
    case 1:
      return { kind: ItemKind.MacAddress, vni, rank, mac: 0x0200_0000_0000 + rank, address };
    case 2:
      return { kind: ItemKind.Prefix, vni, rank, address, length: 24 + (key % 9) };
    default:
      return { kind: ItemKind.FloodMember, vni, rank: 0 };
  }
}

/** What an owner has written over its lives, and what it announces in the end. */
type History = { id: NodeId; blocks: SignedBlock[]; announced: string[] };

function play(name: string, steps: readonly Step[]): History {
  let epoch = 1;
  let author = makeAuthor(name, epoch, epoch);
  author.setPeer(peerRecord(name));
  const blocks: SignedBlock[] = [];
  let left = false;
  for (const [index, each] of steps.entries()) {
    if (left && each.do !== 'restart') continue;
    if (each.do === 'announce') author.announce(itemOf(each.key, each.rank));
    else if (each.do === 'withdraw') author.withdraw(itemOf(each.key, 0));
    else if (each.do === 'rename') author.setPeer(peerRecord(`${name}${index}`));
    else if (each.do === 'refute') author.refute(author.version);
    else if (each.do === 'restart') {
      blocks.push(...author.flush());
      author = makeAuthor(name, ++epoch, epoch);
      author.setPeer(peerRecord(name));
      left = false;
    } else if (each.do === 'leave') {
      blocks.push(...author.flush());
      author.leave();
      left = true;
    }
    if (each.do === 'flush' || each.do === 'leave') blocks.push(...author.flush());
  }
  blocks.push(...author.flush());
  return {
    id: idOf(name),
    blocks,
    announced: left ? [] : announcedBy(author),
  };
}

function announcedBy(author: Author): string[] {
  return [...author.announcements()].map(itemText).sort();
}

const steps = fc.array(step, { size: 'max', maxLength: 150 });
/** What three owners do. */
const plays = fc.tuple(steps, steps, steps);

function playAll(all: readonly Step[][]): History[] {
  return all.map((each, index) => play(OWNERS[index] ?? '', each));
}

/** All blocks in an order that follows from `seed`, some of them twice. */
function shuffled(histories: readonly History[], seed: number): SignedBlock[] {
  const random = seeded(seed);
  const all = histories.flatMap(({ blocks }) => blocks);
  const some = all.filter(() => random() < 0.5);
  return [...all, ...some]
    .map((block) => ({ block, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ block }) => block);
}

function fill(blocks: readonly SignedBlock[]): Replica {
  const replica = new Replica();
  replica.offerAll(blocks);
  return replica;
}

/** Merges a whole table into another, as anti-entropy does. */
function merge(into: Replica, from: Replica): Replica {
  for (const owner of from.store.owners()) {
    const blocks = [...from.store.blocks(owner)];
    into.offerAll(blocks);
  }
  return into;
}

/** Of one owner, by the entries alone: ranks of others do not matter. */
function entriesOf(replica: Replica, owner: NodeId): string[] {
  const alone = new Replica();
  alone.offerAll(replica.store.blocks(owner));
  return [...alone.entries.list()].map(({ item }) => itemText(item)).sort();
}

t.test('blocks in any order, some twice, make the same table', async (t) => {
  fc.assert(
    fc.property(plays, fc.nat(), fc.nat(), (all, one, other) => {
      const histories = playAll(all);
      const a = fill(shuffled(histories, one));
      const b = fill(shuffled(histories, other));
      return (
        a.hash() === b.hash() &&
        a.store.missingCount() === 0 &&
        JSON.stringify(a.table()) === JSON.stringify(b.table()) &&
        histories.every(
          ({ id, announced }) => JSON.stringify(entriesOf(a, id)) === JSON.stringify(announced),
        )
      );
    }),
    { numRuns: 150 },
  );
  t.pass('over 150 histories of three owners');
});

t.test('merging is commutative, associative and idempotent', async (t) => {
  fc.assert(
    fc.property(plays, fc.nat(), (all, seed) => {
      const random = seeded(seed);
      const blocks = playAll(all).flatMap((history) => history.blocks);
      const [x = [], y = [], z = []] = [0.3, 0.6, 0.9].map((share) =>
        blocks.filter(() => random() < share),
      );
      const left = merge(merge(fill(x), fill(y)), fill(z));
      const right = merge(fill(x), merge(fill(y), fill(z)));
      const turned = merge(fill(z), merge(fill(y), fill(x)));
      const before = left.hash();
      merge(left, left);
      merge(left, fill(y));
      return before === right.hash() && before === turned.hash() && before === left.hash();
    }),
    { numRuns: 150 },
  );
  t.pass('over 150 histories of three owners');
});

t.test('what was withdrawn never comes back, whatever comes late', async (t) => {
  fc.assert(
    fc.property(plays, fc.nat(), (all, seed) => {
      const histories = playAll(all);
      const heads = histories.flatMap(({ blocks }) => blocks.slice(-1));
      const replica = fill(heads);
      for (const block of shuffled(histories, seed)) {
        replica.offer(block);
        for (const { id, announced } of histories) {
          const allowed = new Set(announced);
          if (entriesOf(replica, id).some((entry) => !allowed.has(entry))) return false;
        }
      }
      return true;
    }),
    { numRuns: 30 },
  );
  t.pass('over 30 histories of three owners');
});
