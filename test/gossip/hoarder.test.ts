/**
 * A member that says too much, or two things at once, of itself: other nodes' tables stay within
 * their bounds, become equal, and go on taking what honest nodes say.
 */
import t, { type Test } from 'tap';
import { ITEMS_MAX } from '../../src/gossip/base/limits.ts';
import { nodeIdOf } from '../../src/gossip/base/signer.ts';
import { EPOCH_MAX, SEQUENCE_MAX } from '../../src/wire/gossip/bounds.ts';
import { encodeMessages } from '../../src/wire/gossip/message.ts';
import {
  type Item,
  ItemKind,
  type Message,
  MessageType,
  type RawBlock,
} from '../../src/wire/gossip/types.ts';
import { type LabNode, NodeLab, peerRecord } from './node-lab.ts';
import { QuickVerifier, quickSigner, Replica, signBlockBy } from './replica.ts';

const VNI = 100;
const PEER: Item = { kind: ItemKind.Peer, ...peerRecord(66), instance: new Uint8Array(8) };

function macs(first: number, count: number): Item[] {
  return Array.from({ length: count }, (_, index) => ({
    kind: ItemKind.Mac,
    vni: VNI,
    rank: 0,
    mac: first + index,
  }));
}

/** Three honest nodes that know each other, and one that is about to go bad. */
class Rig {
  readonly lab = new NodeLab();
  readonly first: LabNode;
  readonly honest: readonly LabNode[];
  readonly liar: LabNode;
  readonly signer = quickSigner('liar');

  constructor() {
    this.first = this.#add('one', []);
    this.honest = [this.first, this.#add('two', [this.first]), this.#add('three', [this.first])];
    this.liar = this.#add('liar', [this.first]);
    this.lab.run(15_000);
  }

  #add(name: string, seeds: readonly LabNode[]): LabNode {
    const signer = quickSigner(name);
    const id = nodeIdOf(signer.publicKey);
    return this.lab.add(seeds, { signer, verifier: new QuickVerifier(), id });
  }

  /** From the liar to one node. */
  tell(to: LabNode, ...messages: Message[]): void {
    to.node.receive(this.liar.endpoint, this.liar.node.id, encodeMessages(messages));
  }

  tellBlock(to: LabNode, raw: RawBlock): void {
    this.tell(to, { type: MessageType.Blocks, blocks: [raw] });
  }

  /** All have one table within its bounds, and hear what is new. */
  check(t: Test, mac: number): void {
    this.first.node.announce({ kind: ItemKind.Mac, vni: VNI, mac });
    this.lab.run(5000);
    for (const { node } of this.honest) {
      t.equal(node.summaryHash(), this.first.node.summaryHash(), 'the tables are equal');
      for (const [name, { size, max }] of Object.entries(node.sizes())) {
        if (size > max) t.fail(`${name}: ${size} of ${max}`);
      }
      const entry = node
        .entries()
        .find(({ item }) => item.kind === ItemKind.Mac && item.mac === mac);
      t.equal(entry?.owner, this.first.node.id, 'what is new is heard');
    }
  }
}

t.test('heads and summaries that claim 2^32 blocks', async (t) => {
  const rig = new Rig();
  const { counters } = rig.first.node;
  rig.tellBlock(
    rig.first,
    signBlockBy(rig.signer, { epoch: 2, sequence: SEQUENCE_MAX, live: [[1, SEQUENCE_MAX - 1]] }),
  );
  t.equal(counters.value('blocks.refused.owner_limit'), 1);
  const live = Array.from({ length: 90 }, (_, index): [number, number] => [
    index * 20 + 1,
    index * 20 + 19,
  ]);
  const sent = counters.value('bytes.sent');
  rig.tellBlock(
    rig.first,
    signBlockBy(rig.signer, { epoch: 3, sequence: 3000, live, items: [PEER] }),
  );
  for (let second = 0; second < 60; second++) {
    for (let some = 0; some < 20; some++) {
      const owners = Array.from({ length: 20 }, (_, index) => ({
        owner: nodeIdOf(quickSigner(`lie ${second} ${some} ${index}`).publicKey),
        epoch: EPOCH_MAX,
        head: SEQUENCE_MAX,
        held: SEQUENCE_MAX,
        check: 1,
      }));
      rig.tell(rig.first, { type: MessageType.Owners, bucket: some, reply: true, owners });
    }
    rig.lab.run(1000);
  }
  const perSecond = Math.round((counters.value('bytes.sent') - sent) / 60);
  t.ok(perSecond < 100_000, `${perSecond} bytes a second are spent on it`);
  rig.check(t, 7777);
});

t.test('one thing said 8,000 times among all that one owner may say', async (t) => {
  const rig = new Rig();
  for (let sequence = 1; sequence <= 250; sequence++) {
    const live = sequence === 1 ? [] : ([[1, sequence - 1]] as const);
    const items = sequence % 2 === 0 ? macs(1, 64) : macs(sequence * 100, 60);
    rig.tellBlock(rig.first, signBlockBy(rig.signer, { epoch: 2, sequence, live, items }));
  }
  const entries = rig.first.node.entries({ owner: rig.liar.node.id });
  t.equal(entries.length, 64 + 125 * 60);
  rig.liar.running = false;
  rig.lab.run(60_000);
  rig.check(t, 0xffff_ffff);
});

t.test('more items than a table holds, in many names', (t) => {
  const replica = hoarded();
  const { store, counts, entries } = replica;
  t.ok(store.itemCount <= ITEMS_MAX && store.itemCount > ITEMS_MAX - 64, `${store.itemCount}`);
  t.ok((counts.get('blocks.refused.item_limit') ?? 0) > 100);
  t.equal(store.missingCount(), 0, 'what found no room is not asked for');
  const honest = quickSigner('honest');
  const head = signBlockBy(honest, { sequence: 2, live: [[1, 1]], items: macs(7777, 1) });
  t.equal(replica.offer(head).outcome, 'new', 'a head is always taken');
  t.equal(
    entries.rankOf({ kind: ItemKind.Mac, vni: VNI, mac: 7777 }, nodeIdOf(honest.publicKey)),
    0,
  );
  t.equal(replica.offer(signBlockBy(honest, { items: macs(1, 9) })).outcome, 'refused');
  const [hoarder] = store.owners();
  if (hoarder === undefined) throw new Error('nobody is here');
  entries.apply(undefined, store.retire(hoarder));
  t.same(store.missing(nodeIdOf(honest.publicKey)), [[1, 1]], 'there is room again');
  t.equal(replica.offer(signBlockBy(honest, { items: macs(1, 9) })).outcome, 'new');
  t.end();
});

/** A table that twenty hoarders have filled. */
function hoarded(): Replica {
  const replica = new Replica();
  for (let owner = 0; owner < 20; owner++) {
    const signer = quickSigner(`hoarder ${owner}`);
    replica.offer(signBlockBy(signer, { sequence: 1000, live: [[1, 255]] }));
    for (let sequence = 1; sequence <= 255; sequence++) {
      replica.offer(signBlockBy(signer, { sequence, items: macs(sequence * 64, 64) }));
    }
  }
  return replica;
}

t.test('two blocks with one number, told to different nodes', async (t) => {
  const rig = new Rig();
  const [one, two] = rig.honest;
  if (one === undefined || two === undefined) throw new Error('three nodes were made');
  rig.liar.running = false;
  rig.tellBlock(one, signBlockBy(rig.signer, { epoch: 2, items: [PEER, ...macs(1, 5)] }));
  rig.tellBlock(two, signBlockBy(rig.signer, { epoch: 2, items: [PEER, ...macs(9, 5)] }));
  t.not(one.node.summaryHash(), two.node.summaryHash());
  rig.lab.run(30_000);
  rig.check(t, 7777);
});
