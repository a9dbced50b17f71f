import t from 'tap';
import { ItemKind } from '../../src/wire/gossip/types.ts';
import { type LabNode, NodeLab } from './node-lab.ts';

const ADDRESS = { kind: ItemKind.Prefix, vni: 100, address: 0xfa001c05, length: 32 } as const;

/** The states in which a node sees the others, by name. */
function statesOf({ node }: LabNode): Record<string, string> {
  const others = node.members().filter(({ isSelf }) => !isSelf);
  return Object.fromEntries(others.map(({ name, state }) => [name, state]).sort());
}

function ownersOf({ node }: LabNode): string[] {
  return node.entries({ kind: ItemKind.Prefix }).map(({ ownerName }) => ownerName);
}

/** `count` nodes that know each other; all but the first knock at the first. */
function cluster(count: number): NodeLab {
  const lab = new NodeLab();
  const seed = lab.add([]);
  for (let i = 1; i < count; i++) lab.add([seed]);
  lab.run(5000);
  return lab;
}

function nodeOf(lab: NodeLab, index: number): LabNode {
  const node = lab.nodes[index];
  if (node === undefined) throw new RangeError(`no node ${index}`);
  return node;
}

t.test('three nodes find each other through one and share an entry', async (t) => {
  const lab = cluster(3);
  t.same(statesOf(nodeOf(lab, 0)), { n1: 'alive', n2: 'alive' });
  t.same(statesOf(nodeOf(lab, 1)), { n0: 'alive', n2: 'alive' });
  t.same(statesOf(nodeOf(lab, 2)), { n0: 'alive', n1: 'alive' });
  nodeOf(lab, 1).node.announce(ADDRESS);
  lab.run(1000);
  for (const one of lab.nodes) t.same(ownersOf(one), ['n1']);
  t.equal(new Set(lab.nodes.map(({ node }) => node.summaryHash())).size, 1);
  nodeOf(lab, 1).node.withdraw(ADDRESS);
  lab.run(1000);
  for (const one of lab.nodes) t.same(ownersOf(one), []);
});

t.test('a goodbye is known at once, and the entries go with it', async (t) => {
  const lab = cluster(4);
  nodeOf(lab, 2).node.announce(ADDRESS);
  lab.run(1000);
  t.same(ownersOf(nodeOf(lab, 0)), ['n2']);
  nodeOf(lab, 2).node.leave();
  lab.run(200);
  for (const index of [0, 1, 3]) {
    t.equal(statesOf(nodeOf(lab, index))['n2'], 'left');
    t.same(ownersOf(nodeOf(lab, index)), []);
  }
  t.equal(nodeOf(lab, 2).node.members()[0]?.state, 'left');
});

t.test('a silent death is noticed, said why, and undone by the next start', async (t) => {
  const lab = cluster(5);
  const gone = nodeOf(lab, 3);
  gone.node.announce(ADDRESS);
  lab.run(1000);
  gone.running = false;
  lab.run(8000);
  for (const index of [0, 1, 2, 4]) {
    const one = nodeOf(lab, index);
    t.equal(statesOf(one)['n3'], 'dead');
    t.same(ownersOf(one), []);
    const change = one.changes.find(({ name, to }) => name === 'n3' && to === 'dead');
    t.match(change?.why, /did not answer the accusation of n\d|n\d waited in vain/);
  }
  gone.running = true;
  lab.run(10_000);
  for (const index of [0, 1, 2, 4]) {
    t.equal(statesOf(nodeOf(lab, index))['n3'], 'alive');
    t.same(ownersOf(nodeOf(lab, index)), ['n3']);
  }
  t.ok(gone.node.counters.value('refutations.sent') > 0, 'it was told that it is dead');
});

t.test('a node that stood still for a while accuses nobody', async (t) => {
  const lab = cluster(5);
  const still = nodeOf(lab, 1);
  for (const pauseMs of [1000, 5000, 30_000, 120_000]) {
    still.running = false;
    lab.run(pauseMs);
    still.running = true;
    still.changes.length = 0;
    lab.run(10_000);
    t.same(still.changes, [], `nothing but life seen after ${pauseMs} ms`);
    for (const one of lab.nodes) {
      t.notOk(Object.values(statesOf(one)).some((state) => state !== 'alive'));
    }
  }
  t.ok(still.node.counters.value('ticks.late') >= 4);
});

t.test('one that cannot be reached by one is asked through others', async (t) => {
  const lab = cluster(5);
  const [a, b] = [nodeOf(lab, 1), nodeOf(lab, 2)];
  lab.passes = (from, to) => !((from === a && to === b) || (from === b && to === a));
  for (const one of lab.nodes) one.changes.length = 0;
  lab.run(60_000);
  for (const one of lab.nodes) t.same(one.changes, []);
  const view = a.node.members().find(({ name }) => name === 'n2');
  t.ok((view?.loss ?? 0) > 0.9, `and the loss of the direct path is seen: ${view?.loss}`);
});

t.test('halves that were cut for two days come together by themselves', async (t) => {
  const lab = cluster(6);
  const isLeft = (one: LabNode): boolean => lab.nodes.indexOf(one) < 3;
  nodeOf(lab, 0).node.announce(ADDRESS);
  lab.run(1000);
  lab.passes = (from, to) => isLeft(from) === isLeft(to);
  lab.run(20_000);
  t.same(statesOf(nodeOf(lab, 0)), {
    n1: 'alive',
    n2: 'alive',
    n3: 'dead',
    n4: 'dead',
    n5: 'dead',
  });
  nodeOf(lab, 0).node.withdraw(ADDRESS);
  lab.stepMs = 10_000;
  lab.run(49 * 3600 * 1000);
  t.same(statesOf(nodeOf(lab, 0)), { n1: 'alive', n2: 'alive' }, 'after a day they are forgotten');
  lab.stepMs = 20;
  lab.passes = () => true;
  lab.run(30_000);
  for (const one of lab.nodes) {
    t.same(Object.values(statesOf(one)), Array(5).fill('alive'));
    t.same(ownersOf(one), [], 'what was withdrawn meanwhile does not come back');
  }
  t.equal(new Set(lab.nodes.map(({ node }) => node.summaryHash())).size, 1);
});

t.test('a change of address spreads, and the node is spoken to there', async (t) => {
  const lab = cluster(4);
  const moved = nodeOf(lab, 2);
  moved.endpoint = { address: 0x0a000063, port: 7946 };
  moved.node.updatePeer({ endpoints: [moved.endpoint] });
  lab.run(2000);
  for (const index of [0, 1, 3]) {
    const view = nodeOf(lab, index).node.member(moved.node.id);
    t.equal(view?.state, 'alive');
    t.same(view?.endpoint, moved.endpoint);
  }
  lab.run(30_000);
  t.equal(statesOf(nodeOf(lab, 0))['n2'], 'alive');
});

t.test('a payload that is none is counted and does nothing', async (t) => {
  const lab = cluster(2);
  const { node, endpoint } = nodeOf(lab, 0);
  const [hash, members] = [node.summaryHash(), statesOf(nodeOf(lab, 0))];
  const payloads = [new Uint8Array(), new Uint8Array([0xff]), new Uint8Array(1142).fill(0x81)];
  for (const payload of payloads) node.receive(endpoint, nodeOf(lab, 1).node.id, payload);
  t.equal(node.counters.value('refused.payload'), payloads.length);
  t.equal(node.summaryHash(), hash);
  t.same(statesOf(nodeOf(lab, 0)), members);
});

t.test('who left is forgotten by all at the same time, by newcomers too', async (t) => {
  const lab = cluster(4);
  nodeOf(lab, 3).node.leave();
  lab.run(1000);
  nodeOf(lab, 3).running = false;
  lab.stepMs = 10_000;
  lab.run(20 * 3_600_000);
  lab.stepMs = 20;
  const late = lab.add([nodeOf(lab, 0)]);
  lab.run(10_000);
  const { id } = nodeOf(lab, 3).node;
  t.equal(late.node.member(id)?.state, 'left');
  lab.stepMs = 10_000;
  lab.run(4.1 * 3_600_000);
  const there = lab.nodes.filter(({ running }) => running);
  for (const { node } of there) t.equal(node.member(id), undefined);
  t.equal(new Set(there.map(({ node }) => node.summaryHash())).size, 1);
});

t.test('workloads are looked for with those that take part in their network', async (t) => {
  const lab = cluster(4);
  const vtep = { kind: ItemKind.Vtep, vni: 100, port: 4789, roles: 0 } as const;
  for (const index of [0, 1, 2]) nodeOf(lab, index).node.announce({ ...vtep, address: index + 1 });
  lab.run(1000);
  const [asker, ...others] = lab.nodes;
  if (asker === undefined) throw new RangeError('there is no first node');
  t.equal(asker.node.seeks.members(100), 2);
  t.equal(asker.node.seeks.members(200), 0);
  const addresses = Array.from({ length: 40 }, (_, i) => 0x0a01_0000 + i);
  asker.node.seeks.ask(100, addresses);
  lab.run(100);
  for (const [index, { sought, node }] of others.entries()) {
    const isAsked = index < 2;
    t.same(sought.flat(), isAsked ? addresses : [], `${index + 1}`);
    t.equal(node.counters.value('seeks.received'), isAsked ? 2 : 0, 'in messages of 32');
  }
  t.equal(asker.node.counters.value('seeks.sent'), 4);
});

t.test(
  'a node behind a NAT lives for those whom it speaks to, also when its NAT changes',
  async (t) => {
    const lab = new NodeLab();
    const first = lab.add([]);
    const inside = lab.add([first]);
    lab.behindNat.set(inside, { address: 0xac1e00fe, port: 40_001 });
    lab.run(30_000);
    t.same(statesOf(first), { n1: 'alive' });
    t.same(statesOf(inside), { n0: 'alive' });
    t.same(first.node.member(inside.node.id)?.endpoint, { address: 0xac1e00fe, port: 40_001 });
    t.notOk(
      first.changes.some(({ to }) => to === 'dead'),
      'it never was dead',
    );
    inside.node.announce(ADDRESS);
    lab.run(2000);
    t.same(ownersOf(first), ['n1'], 'what it announces gets out');
    first.node.announce({ ...ADDRESS, address: 0xfa001b05 });
    lab.run(2000);
    t.same(ownersOf(inside).sort(), ['n0', 'n1'], 'and what others announce gets in');
    lab.behindNat.set(inside, { address: 0xac1e00fe, port: 51_234 });
    lab.run(20_000);
    t.same(statesOf(first), { n1: 'alive' });
    t.same(first.node.member(inside.node.id)?.endpoint, { address: 0xac1e00fe, port: 51_234 });
  },
);
