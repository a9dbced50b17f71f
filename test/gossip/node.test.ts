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
