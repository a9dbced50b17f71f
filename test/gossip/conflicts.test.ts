import t from 'tap';
import type { ConflictEvent, PeerRecord } from '../../src/gossip/base/api.ts';
import type { Unranked } from '../../src/gossip/base/keys.ts';
import { CONFLICTS_MAX } from '../../src/gossip/base/limits.ts';
import { Conflicts, SHOWN_MS } from '../../src/gossip/table/conflicts.ts';
import { claimsOf, withoutClaims } from '../../src/gossip/table/peer-claims.ts';
import {
  type FanItem,
  ItemKind,
  type NodeId,
  type RawBlock,
  type SignedBlock,
} from '../../src/wire/gossip/types.ts';
import { idOf, makeAuthor, peerRecord, Replica } from './replica.ts';

/** Names by node id, the lowest first. */
const [FIRST = '', SECOND = '', THIRD = ''] = ['ada', 'bob', 'cyd'].sort((a, b) =>
  idOf(a) < idOf(b) ? -1 : 1,
);

/** A node without a wire: what it writes is handed over by hand. */
class Node {
  nowMs = 0;
  readonly name: string;
  readonly id: NodeId;
  readonly events: ConflictEvent[] = [];
  readonly replica: Replica;
  readonly author;
  readonly conflicts: Conflicts;

  constructor(name: string, instance = 1, epoch = 1) {
    this.name = name;
    this.id = idOf(name);
    this.author = makeAuthor(name, epoch, instance);
    this.replica = new Replica(
      name,
      {},
      {
        contest: (contest) => this.conflicts.contested(contest),
        peer: (owner, record) => this.conflicts.peerChanged(owner, record),
      },
    );
    this.conflicts = new Conflicts({
      self: this.id,
      entries: this.replica.entries,
      author: this.author,
      counters: this.replica.counters,
      isActive: (owner) => !this.replica.inactive.has(owner),
      nameOf: (owner) => [FIRST, SECOND, THIRD].find((each) => idOf(each) === owner) ?? owner,
      nowMs: () => this.nowMs,
      changed: (event) => this.events.push(event),
    });
  }

  announce(item: Unranked): void {
    this.conflicts.announce(item);
  }

  /** Writes and hands everything that holds to all the others. */
  tell(...others: Node[]): SignedBlock[] {
    const written = this.replica.publish(this.author);
    for (const other of others) other.hear([...this.replica.store.blocks(this.id)]);
    return written;
  }

  /** The newest block last, as it may come over a wire; then a look at what may be a conflict. */
  hear(blocks: RawBlock[]): void {
    for (const block of blocks) {
      const offer = this.replica.offer(block);
      if (offer.outcome === 'own') this.author.absorb(offer.signed);
    }
    this.conflicts.review();
  }

  setActive(other: Node, active: boolean): void {
    this.replica.setActive(other.id, active);
    this.conflicts.review();
  }

  afterMs(ms: number): void {
    this.nowMs += ms;
    this.conflicts.review();
  }

  seen(): string[] {
    return this.conflicts
      .list()
      .map(
        ({ what, subject, winnerName, loserName }) =>
          `${what} ${subject}: ${winnerName}, ${loserName}`,
      );
  }
}

/** Everybody writes and hears everybody, so often that nothing is left to say. */
function settle(...nodes: Node[]): void {
  for (let round = 0; round < 8; round++) {
    for (const node of nodes) {
      node.tell(...nodes.filter((other) => other !== node));
      node.afterMs(2000);
    }
  }
}

function three(records: Partial<Record<string, Partial<PeerRecord>>> = {}): [Node, Node, Node] {
  const make = (name: string): Node => {
    const node = new Node(name);
    node.conflicts.setRecord(peerRecord(name, { endpoints: [], ...records[name] }));
    return node;
  };
  return [make(FIRST), make(SECOND), make(THIRD)];
}

const MAC: Unranked = { kind: ItemKind.Mac, vni: 7, mac: 0x02_00_00_00_00_01 };
const SUBJECT = 'mac 02:00:00:00:00:01 in VNI 7';

function ownersOf(node: Node): string[] {
  return [...node.replica.entries.list({ kind: ItemKind.Mac })].map(
    ({ owner, item }) =>
      `${[FIRST, SECOND, THIRD].find((name) => idOf(name) === owner)} ${item.rank}`,
  );
}

t.test('a key at equal rank: the lower id keeps it, all see both names', async (t) => {
  const nodes = three();
  const [first, second, third] = nodes;
  first.announce(MAC);
  second.announce(MAC);
  settle(...nodes);
  for (const node of nodes) {
    t.same(ownersOf(node), [`${FIRST} 0`], node.name);
    t.same(node.seen(), [`${SUBJECT}: ${FIRST}, ${SECOND}`], node.name);
    t.same(
      node.events.map(({ over }) => over),
      [false],
      'told once',
    );
  }
  t.equal(second.author.announced(MAC), undefined, 'the loser has let go');
  t.equal(second.replica.counts.get('conflicts.lost'), 1);
  t.equal(first.replica.counts.get('conflicts.lost'), undefined);
  for (const node of nodes) node.afterMs(SHOWN_MS - 16_000);
  t.equal(third.seen().length, 1);
  for (const node of nodes) node.afterMs(16_000);
  for (const node of nodes) {
    t.same(node.seen(), [], 'over after a while');
    t.same(
      node.events.map(({ over }) => over),
      [false, true],
    );
  }
});

t.test('a loser that is told again takes the key over, which ends the conflict', async (t) => {
  const nodes = three();
  const [first, second] = nodes;
  first.announce(MAC);
  second.announce(MAC);
  settle(...nodes);
  second.announce(MAC);
  settle(...nodes);
  for (const node of nodes) {
    t.same(ownersOf(node), [`${SECOND} 1`], node.name);
    t.same(node.seen(), [], node.name);
  }
  t.equal(first.author.announced(MAC), undefined);
});

t.test('taking a key over and back again is no conflict', async (t) => {
  const nodes = three();
  const [first, second, third] = nodes;
  for (const [rank, node] of [second, first, third, first].entries()) {
    node.announce(MAC);
    settle(...nodes);
    for (const each of nodes) t.same(ownersOf(each), [`${node.name} ${rank}`], each.name);
  }
  first.announce(MAC);
  t.same(first.tell(), [], 'what is announced already is not announced again');
  first.author.withdraw(MAC);
  first.announce(MAC);
  settle(...nodes);
  for (const each of nodes) t.same(ownersOf(each), [`${FIRST} 0`], 'withdrawn first, from 0');
  for (const node of nodes) t.same(node.events, []);
});

t.test('a rank that others reached while they count as dead is topped, too', async (t) => {
  const [first, second] = three();
  second.author.announce({ ...MAC, rank: 41 });
  second.tell(first);
  first.setActive(second, false);
  first.announce(MAC);
  first.tell();
  t.same(ownersOf(first), [`${FIRST} 42`]);
  first.setActive(second, true);
  t.same(ownersOf(first), [`${FIRST} 42`]);
  t.same(first.events, []);
});

t.test('an announcement that is not out yet survives the loss of the one before', async (t) => {
  const [first, second] = three();
  first.announce(MAC);
  first.tell(second);
  second.author.announce({ ...MAC, rank: 0 });
  second.tell();
  second.announce(MAC);
  second.conflicts.contested({
    winner: { owner: first.id, item: { ...MAC, rank: 0 } },
    loser: { owner: second.id, item: { ...MAC, rank: 0 } },
  });
  t.equal(second.author.announced(MAC)?.rank, 1);
});

const FAN: FanItem = {
  overlay: { address: 0xfa000000, length: 8 },
  underlay: { address: 0x0a000000, length: 16 },
  local: 0x0a000304,
};

t.test('one slice: the loser drops its fan, and has it back when the winner is gone', async (t) => {
  const other = { ...FAN, underlay: { address: 0x0a010000, length: 16 }, local: 0x0a010304 };
  const nodes = three({ [FIRST]: { fans: [FAN] }, [SECOND]: { fans: [other] } });
  const [first, second, third] = nodes;
  settle(...nodes);
  const fansAt = (node: Node, of: Node): number =>
    node.replica.entries.peer(of.id)?.fans.length ?? -1;
  for (const node of nodes) {
    t.same(node.seen(), [`fan-slice 250.3.4.0/24: ${FIRST}, ${SECOND}`], node.name);
    t.equal(fansAt(node, first), 1);
    t.equal(fansAt(node, second), 0);
  }
  for (const node of nodes) node.afterMs(SHOWN_MS);
  t.same(second.seen().length, 1, 'the loser knows as long as it is so');
  t.same(third.seen(), []);
  second.setActive(first, false);
  third.setActive(first, false);
  settle(second, third);
  t.equal(fansAt(third, second), 1);
  for (const node of [second, third]) t.same(node.seen(), []);
  for (const node of [second, third]) node.setActive(first, true);
  settle(...nodes);
  t.equal(fansAt(third, second), 0, 'and gives way once more');
});

t.test('one underlay address, one endpoint', async (t) => {
  const endpoint = { address: FAN.local, port: 7946 };
  const spare = { address: 0x0a000505, port: 7946 };
  const overlay = { address: 0xfb000000, length: 8 };
  const nodes = three({
    [FIRST]: { fans: [FAN], endpoints: [endpoint] },
    [SECOND]: { fans: [{ ...FAN, overlay }], endpoints: [endpoint, spare] },
    [THIRD]: { endpoints: [endpoint] },
  });
  const [first, second, third] = nodes;
  settle(...nodes);
  const between = (winner: string, loser: string): string => `: ${winner}, ${loser}`;
  for (const node of [first, second]) {
    t.ok(
      node.seen().includes(`underlay-address 10.0.3.4 vxlan port 4789${between(FIRST, SECOND)}`),
      node.seen().join('; '),
    );
    t.ok(node.seen().includes(`endpoint 10.0.3.4:7946${between(FIRST, SECOND)}`));
    t.ok(node.seen().includes(`endpoint 10.0.3.4:7946${between(FIRST, THIRD)}`));
  }
  const told = first.replica.entries.peer(second.id);
  t.same([told?.endpoints, told?.fans], [[spare], []]);
  t.same(first.replica.entries.peer(third.id)?.endpoints, [endpoint], 'the last one stays');
});

t.test('a change of our own record ends what was lost of it', async (t) => {
  const nodes = three({ [FIRST]: { fans: [FAN] }, [SECOND]: { fans: [FAN] } });
  const [first, second] = nodes;
  settle(...nodes);
  t.equal(first.replica.entries.peer(second.id)?.fans.length, 0);
  const moved = { ...FAN, local: 0x0a000999 };
  second.conflicts.setRecord(peerRecord(SECOND, { endpoints: [], fans: [moved] }));
  settle(...nodes);
  t.same(first.replica.entries.peer(second.id)?.fans, [moved]);
  for (const node of [second]) t.same(node.seen(), []);
});

t.test('claims of a record', (t) => {
  const record = peerRecord('x', {
    encaps: [
      { encap: 'vxlan', port: 4789 },
      { encap: 'ipip', port: 0 },
    ],
    fans: [FAN, { ...FAN, overlay: { address: 0, length: 32 } }],
  });
  t.same([...claimsOf(record).keys()].sort(), [
    'endpoint 10.0.0.1:7946',
    'fan-slice 250.3.4.0/24',
    'underlay-address 10.0.3.4 ipip',
    'underlay-address 10.0.3.4 vxlan port 4789',
  ]);
  t.same(withoutClaims(record, new Set()), record);
  t.same(withoutClaims(record, new Set(['fan-slice 250.3.4.0/24'])).fans, [record.fans[1]]);
  t.same(withoutClaims(record, new Set(['underlay-address 10.0.3.4 ipip'])).fans, []);
  t.end();
});

t.test('conflicts are bounded in number', async (t) => {
  const [first, second] = three();
  for (let index = 0; index < CONFLICTS_MAX + 50; index++) {
    first.announce({ ...MAC, mac: index });
    second.announce({ ...MAC, mac: index });
  }
  settle(first, second);
  t.equal(first.seen().length, CONFLICTS_MAX);
  t.equal(first.events.length, CONFLICTS_MAX);
  t.equal(first.replica.counts.get('overflow.conflicts'), 50);
  t.equal(second.author.announcementCount, 0, 'what is not shown is settled all the same');
});

t.test('two processes with one key: one keeps the name, the other falls silent', async (t) => {
  for (const [lowEpoch, highEpoch] of [
    [1, 1],
    [1, 9],
    [9, 1],
    [4, 5],
  ]) {
    const keeper = new Node(FIRST, 1, lowEpoch);
    const silent = new Node(FIRST, 2, highEpoch);
    const others = new Replica('somebody else');
    for (const node of [keeper, silent]) {
      node.conflicts.setRecord(peerRecord(`${FIRST}${node.author.version.epoch}`));
      node.announce({ ...MAC, mac: node === keeper ? 1 : 2 });
    }
    let rounds = 0;
    for (; rounds < 20 && !silent.author.silent; rounds++) {
      for (const node of [keeper, silent]) {
        others.offerAll(node.replica.publish(node.author));
        node.hear([...others.store.blocks(node.id)]);
      }
    }
    t.ok(rounds <= 10, `epochs ${lowEpoch} and ${highEpoch}: after ${rounds} rounds`);
    t.equal(silent.author.silent, true);
    t.equal(keeper.author.silent, false);
    t.same(keeper.events, [], 'the keeper waits for the end of it');
    for (const node of [keeper, silent]) {
      node.afterMs(3000);
      t.match(node.seen(), [/^node-id /], node.seen().join());
      t.same(
        node.events.map(({ what }) => what),
        ['node-id'],
        'told once',
      );
    }
    others.offerAll(keeper.replica.publish(keeper.author));
    const epoch = keeper.author.version.epoch;
    for (let round = 0; round < 3; round++) {
      silent.announce({ ...MAC, mac: 3 });
      t.same(silent.tell(keeper), []);
      others.offerAll(keeper.tell(silent));
    }
    t.equal(keeper.author.version.epoch, epoch, 'no more new epochs');
    const macs = [...others.entries.list()].map(({ item }) => 'mac' in item && item.mac);
    t.same(macs, [1], 'the others hear the one that keeps the name');
    t.ok(keeper.author.epochs.includes(epoch), 'its epoch was made durable');
  }
});

t.test('blocks of a forgotten life are no second process', async (t) => {
  const before = new Node(FIRST, 1, 7);
  before.announce(MAC);
  const life = before.replica.publish(before.author);
  const others = new Replica('somebody else');
  others.offerAll(life);
  const restored = new Node(FIRST, 2, 3);
  restored.announce({ ...MAC, mac: 9 });
  others.offerAll(restored.replica.publish(restored.author));
  t.equal(others.counts.get('blocks.stale'), 1, 'nobody listens to it at first');
  for (let round = 0; round < 3; round++) {
    restored.hear([...life, ...life]);
    others.offerAll(restored.replica.publish(restored.author));
  }
  t.same(restored.author.epochs, [8], 'one new epoch, above the forgotten one');
  t.equal(restored.author.silent, false);
  t.same(restored.seen(), []);
  const macs = [...others.entries.list()].map(({ item }) => 'mac' in item && item.mac);
  t.same(macs, [9], 'what the earlier life announced is void');
});
