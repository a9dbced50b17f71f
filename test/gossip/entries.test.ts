import fc from 'fast-check';
import t from 'tap';
import { isOwnKind, keyText, slotOf, tableOf } from '../../src/gossip/base/keys.ts';
import type { BestAnnouncement } from '../../src/gossip/table/entries.ts';
import {
  type Announcement,
  type Item,
  ItemKind,
  type NodeId,
} from '../../src/wire/gossip/types.ts';
import {
  idOf,
  itemText,
  makeAuthor,
  peerRecord,
  Replica,
  signBlock,
  tableText,
} from './replica.ts';

const OWNERS = ['ada', 'bob', 'cyd'];
/** The names by their ids, the lowest first. */
const [LOW = '', MIDDLE = ''] = OWNERS.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1));

function mac(number: number, rank = 0): Announcement {
  return { kind: ItemKind.Mac, vni: 7, rank, mac: number };
}

function block(name: string, sequence: number, ...items: Item[]) {
  const live = sequence === 1 ? [] : ([[1, sequence - 1]] as const);
  return signBlock(name, { sequence, live, items });
}

function winner(replica: Replica, number = 1): string | undefined {
  const owner = replica.entries.lookup(mac(number))?.owner;
  return OWNERS.find((name) => idOf(name) === owner);
}

t.test('the highest rank wins, then the lowest id', (t) => {
  const replica = new Replica();
  replica.offer(block(MIDDLE, 1, mac(1), mac(2, 5)));
  t.equal(winner(replica), MIDDLE);
  replica.offer(block(LOW, 1, mac(1), mac(2)));
  t.equal(winner(replica), LOW);
  t.equal(winner(replica, 2), MIDDLE);
  t.same(
    replica.contests.map(({ winner, loser }) => [winner.item.rank, loser.item.rank]),
    [
      [0, 0],
      [5, 0],
    ],
  );
  replica.offer(block(MIDDLE, 2, mac(1, 1)));
  t.equal(winner(replica), MIDDLE);
  t.equal(replica.entries.size, 2);
  t.end();
});

t.test('who is not active does not count, and is remembered', (t) => {
  const replica = new Replica();
  replica.offer(block(LOW, 1, mac(1, 3), mac(2)));
  replica.offer(block(MIDDLE, 1, mac(1, 1)));
  replica.setActive(idOf(LOW), false);
  t.equal(winner(replica), MIDDLE);
  t.equal(replica.entries.size, 1);
  t.equal(replica.entries.highestRank(mac(1), idOf(MIDDLE)), 3, 'a dead owner has its rank');
  t.equal(replica.entries.rankOf(mac(1), idOf(LOW)), 3);
  t.equal(replica.entries.peer(idOf(LOW)), undefined);
  const contests = replica.contests.length;
  replica.setActive(idOf(LOW), true);
  t.equal(winner(replica), LOW);
  t.equal(replica.contests.length, contests + 1, 'it is told when it is back');
  t.same(replica.contests.at(-1)?.loser.owner, idOf(MIDDLE));
  replica.setActive(idOf(LOW), true);
  t.equal(replica.contests.length, contests + 1);
  t.end();
});

t.test('flood members do not compete', (t) => {
  const replica = new Replica();
  const flood = { kind: ItemKind.FloodMember, vni: 7, rank: 0 } as const;
  for (const name of OWNERS) replica.offer(block(name, 1, flood));
  t.equal(replica.entries.size, 3);
  t.equal([...replica.entries.list({ kind: ItemKind.FloodMember, vni: 7 })].length, 3);
  t.equal(replica.entries.lookup(flood), undefined);
  t.equal(replica.entries.highestRank(flood, idOf('ada')), undefined);
  t.same(replica.contests, []);
  replica.offer(signBlock('ada', { sequence: 2 }));
  t.equal(replica.entries.size, 2);
  t.end();
});

t.test('list() by kind, VNI and owner', (t) => {
  const replica = new Replica();
  const other: Announcement = {
    kind: ItemKind.Prefix,
    vni: 0xffffff,
    rank: 0,
    address: 0,
    length: 0,
  };
  const address: Announcement = {
    kind: ItemKind.MacAddress,
    vni: 7,
    rank: 0,
    mac: 1,
    address: 0xffffffff,
  };
  replica.offer(block('ada', 1, mac(1), other, address));
  replica.offer(block('bob', 1, mac(2)));
  const listed = (filter: Parameters<typeof replica.entries.list>[0]) =>
    [...replica.entries.list(filter)].map(({ item }) => item.kind).sort();
  t.same(listed({}), [ItemKind.Mac, ItemKind.Mac, ItemKind.MacAddress, ItemKind.Prefix]);
  t.same(listed({ vni: 7 }), [ItemKind.Mac, ItemKind.Mac, ItemKind.MacAddress]);
  t.same(listed({ vni: 0xffffff }), [ItemKind.Prefix]);
  t.same(listed({ kind: ItemKind.MacAddress }), [ItemKind.MacAddress]);
  t.same(listed({ owner: idOf('ada') }), [ItemKind.Mac, ItemKind.MacAddress, ItemKind.Prefix]);
  t.same(listed({ owner: idOf('bob'), kind: ItemKind.Prefix }), []);
  t.end();
});

t.test('no two things have one key', (t) => {
  const items: Announcement[] = [];
  for (const vni of [0, 1, 0xffffff]) {
    for (const number of [0, 1, 0xffffff, 0xffffffff]) {
      items.push({ kind: ItemKind.Mac, vni, rank: 0, mac: number });
      items.push({ kind: ItemKind.MacAddress, vni, rank: 0, mac: 5, address: number });
      for (const length of [0, 1, 31, 32]) {
        items.push({ kind: ItemKind.Prefix, vni, rank: 0, address: number, length });
      }
    }
    items.push({ kind: ItemKind.FloodMember, vni, rank: 0 });
  }
  t.equal(new Set(items.map(keyText)).size, items.length);
  t.equal(new Set(items.map((item) => `${tableOf(item)} ${slotOf(item)}`)).size, items.length);
  const last: Announcement = {
    kind: ItemKind.Prefix,
    vni: 0xffffff,
    rank: 0,
    address: 0xffffffff,
    length: 32,
  };
  t.ok(Number.isSafeInteger(slotOf(last)));
  t.end();
});

t.test('the peer record is told when it changes, not when it moves', (t) => {
  const replica = new Replica();
  const author = makeAuthor('ada');
  const id = idOf('ada');
  author.setPeer(peerRecord('ada'));
  author.announce(mac(1));
  replica.offerAll(author.flush());
  t.equal(replica.entries.peer(id)?.name, 'ada');
  replica.peers.clear();
  author.withdraw(mac(1));
  replica.offerAll(author.flush());
  t.same([...replica.peers], [], 'it went into a new block as it was');
  author.setPeer(peerRecord('ada', { mtu: 9000 }));
  replica.offerAll(author.flush());
  t.equal(replica.peers.get(id)?.mtu, 9000);
  replica.entries.apply(undefined, replica.store.forget(id));
  t.same([...replica.peers], [[id, undefined]]);
  t.equal(replica.entries.peer(id), undefined);
  t.end();
});

t.test('one owner that repeats itself costs no more than the square of a few', (t) => {
  const replica = new Replica();
  const same = Array.from({ length: 64 }, () => mac(1));
  for (let sequence = 1; sequence <= 250; sequence++)
    replica.offer(block('ada', sequence, ...same));
  t.equal(replica.store.itemCount, 16_000);
  t.equal(replica.entries.size, 1);
  t.equal([...replica.entries.list()].length, 1);
  const events = replica.changes.length;
  t.ok(events <= 250, `${events} events`);
  replica.offer(signBlock('ada', { sequence: 251 }));
  t.equal(replica.entries.size, 0);
  t.same(replica.entries.lookup(mac(1)), undefined);
  t.end();
});

/** What should count, by the rule and nothing else. */
function model(
  announced: ReadonlyMap<string, readonly Announcement[]>,
  inactive: Set<NodeId>,
): string[] {
  const best = new Map<string, BestAnnouncement>();
  const found: BestAnnouncement[] = [];
  for (const [name, items] of announced) {
    const owner = idOf(name);
    if (inactive.has(owner)) continue;
    for (const item of items) {
      if (isOwnKind(item.kind)) found.push({ owner, item });
      const there = best.get(keyText(item));
      const wins =
        there === undefined ||
        item.rank > there.item.rank ||
        (item.rank === there.item.rank && owner < there.owner);
      if (wins && !isOwnKind(item.kind)) best.set(keyText(item), { owner, item });
    }
  }
  return tableText([...found, ...best.values()]);
}

const item: fc.Arbitrary<Announcement> = fc
  .record({
    kind: fc.constantFrom(...Object.values(ItemKind).filter((kind) => kind !== ItemKind.Peer)),
    rank: fc.nat(2),
    number: fc.nat(6),
    vni: fc.nat(1),
  })
  .map(({ kind, rank, number, vni }) => {
    if (kind === ItemKind.Rule) return { kind, vni, rank: 0, rule: `deny ${number}` };
    if (kind === ItemKind.Labels) return { kind, vni, rank, mac: number, labels: `l${rank}` };
    if (kind === ItemKind.Slice) return { kind, vni, rank: 0, address: number, length: 32 };
    if (kind === ItemKind.Mac || kind === ItemKind.StickyMac)
      return { kind, vni, rank, mac: number };
    if (kind === ItemKind.MacAddress) return { kind, vni, rank, mac: rank, address: number };
    if (kind === ItemKind.MacAddress6) {
      return { kind, vni, rank, mac: rank, address: number.toString(16).padStart(32, '0') };
    }
    if (kind === ItemKind.Vtep)
      return { kind, vni, rank: 0, address: number, port: 4789, roles: 0 };
    if (kind === ItemKind.Prefix) return { kind, vni, rank, address: number, length: 32 };
    if (kind === ItemKind.Prefix6) {
      return { kind, vni, rank, address: number.toString(16).padStart(32, '0'), length: 128 };
    }
    return { kind, vni, rank: 0 };
  });
const step = fc.record({
  owner: fc.constantFrom(...OWNERS),
  what: fc.constantFrom('announce', 'announce', 'withdraw', 'flip', 'restart'),
  items: fc.array(item, { size: 'max', maxLength: 6 }),
});

t.test('the table is what the rule says, and so is what the events tell', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { size: 'max', maxLength: 60 }), (steps) => {
      const replica = new Replica();
      const authors = new Map(OWNERS.map((name) => [name, makeAuthor(name)]));
      const followed = new Map<string, string>();
      let epoch = 1;
      for (const { owner, what, items } of steps) {
        let author = authors.get(owner) ?? makeAuthor(owner);
        if (what === 'restart') {
          author = makeAuthor(owner, ++epoch);
          author.setPeer(peerRecord(owner));
          authors.set(owner, author);
        }
        const id = idOf(owner);
        if (what === 'flip') replica.setActive(id, replica.inactive.has(id));
        if (what === 'announce') for (const each of items) author.announce(each);
        if (what === 'withdraw') for (const each of items) author.withdraw(each);
        // What this node writes itself is taken as it is, not read from bytes.
        if (owner === OWNERS[0]) replica.publish(author);
        else replica.offerAll(author.flush());
        follow(followed, replica);
        const announced = new Map(
          [...authors].map(([name, each]) => [name, [...each.announcements()]]),
        );
        const expected = JSON.stringify(model(announced, replica.inactive));
        if (JSON.stringify(replica.table()) !== expected) return false;
        if (JSON.stringify([...followed.values()].sort()) !== expected) return false;
        if (replica.entries.size !== followed.size) return false;
      }
      return true;
    }),
    { numRuns: 200 },
  );
  t.pass('over 200 histories');
});

/** Takes the events since the last call into a table of its own. */
function follow(table: Map<string, string>, replica: Replica): void {
  for (const { before, after } of replica.changes.splice(0)) {
    const key = ({ owner, item }: BestAnnouncement): string =>
      `${keyText(item)} ${isOwnKind(item.kind) ? owner : ''}`;
    if (before !== undefined) {
      if (table.get(key(before)) !== `${before.owner} ${itemText(before.item)}`) {
        throw new Error('an event tells of an entry that did not hold');
      }
      table.delete(key(before));
    }
    if (after !== undefined) table.set(key(after), `${after.owner} ${itemText(after.item)}`);
  }
}
