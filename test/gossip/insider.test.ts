import t from 'tap';
import { BROADCASTS_MAX, MEMBERS_MAX, RELAYS_MAX } from '../../src/gossip/base/limits.ts';
import { EPOCH_MAX, SEQUENCE_MAX } from '../../src/wire/gossip/bounds.ts';
import { encodeMessages } from '../../src/wire/gossip/message.ts';
import {
  type Block,
  type Item,
  ItemKind,
  type Message,
  MessageType,
  type RawBlock,
} from '../../src/wire/gossip/types.ts';
import { type Identity, makeKeys } from '../sim/identity.ts';
import { Random } from '../sim/random.ts';
import { type LabNode, NodeLab, peerRecord } from './node-lab.ts';
import { signBlockBy } from './replica.ts';

/**
 * What a member gone bad can do, who holds the cluster's key: each attack goes to every node, and
 * afterwards all that were alive before are alive, with their entries, without a restart.
 */
const NODES = 5;
const keys = makeKeys('hashed');
const random = new Random(11);
const FAKE_ENDPOINT = { address: 0x0a00ff01, port: 7946 };

const moved = (index: number) =>
  ({ kind: ItemKind.Prefix, vni: 100, address: 0xfa000000 + index, length: 32 }) as const;

/** Nodes that know each other, each with an entry of its own. */
function cluster(): NodeLab {
  const lab = new NodeLab();
  for (let i = 0; i < NODES; i++) {
    const { id, signer } = keys.make(random);
    const seeds = lab.nodes.slice(0, 1);
    lab.add(seeds, { id, signer, verifier: keys.verifier }).node.announce(moved(i));
  }
  lab.run(5000);
  return lab;
}

/** A block that is signed as it should be. */
function signed({ signer }: Identity, block: Partial<Block>): RawBlock {
  const { body, signature } = signBlockBy(signer, block);
  return { body, signature };
}

function peerItem(index: number, fields: Partial<Extract<Item, { name: string }>> = {}): Item {
  const instance = new Uint8Array(8);
  const endpoints = [FAKE_ENDPOINT];
  return { ...peerRecord(index), endpoints, kind: ItemKind.Peer, instance, ...fields };
}

const blocks = (...raw: RawBlock[]): Message => ({ type: MessageType.Blocks, blocks: raw });

/** Sends messages to every node, as few as fit a datagram at a time. */
function tell(lab: NodeLab, insider: Identity, messages: readonly Message[]): void {
  for (const message of messages) {
    const payload = encodeMessages([message]);
    for (const { node, running } of lab.nodes) {
      if (running) node.receive(FAKE_ENDPOINT, insider.id, payload);
    }
  }
}

/** All see all alive, and every entry with its owner. */
function isWhole(lab: NodeLab): boolean {
  const ids = lab.nodes.map(({ node }) => node.id);
  return lab.nodes.every(({ node }) => {
    const alive = node.members().filter(({ state }) => state === 'alive');
    const owners = node.entries({ kind: ItemKind.Prefix }).map(({ owner }) => owner);
    return ids.every((id) => alive.some((one) => one.id === id) && owners.includes(id));
  });
}

function versionsOf({ node }: LabNode): Map<string, { epoch: number; sequence: number }> {
  return new Map(node.members().map(({ id, epoch, sequence }) => [id, { epoch, sequence }]));
}

t.test('the death of all is refuted by all', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  for (let round = 0; round < 20; round++) {
    const messages: Message[] = [...versionsOf(lab.nodes[0] as LabNode)].map(([node, version]) => ({
      type: MessageType.Dead,
      node,
      version,
      accuser: insider.id,
      ageSeconds: 24 * 3600,
    }));
    tell(lab, insider, messages);
    lab.run(500);
  }
  lab.run(5000);
  t.ok(isWhole(lab));
});

t.test('incarnation 2^32-1 is believed only with a head that has it', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  const version = { epoch: EPOCH_MAX, sequence: SEQUENCE_MAX };
  const accuser = insider.id;
  for (const { node } of lab.nodes) {
    tell(lab, insider, [
      { type: MessageType.Suspect, node: node.id, version, accuser },
      { type: MessageType.Dead, node: node.id, version, accuser, ageSeconds: 0 },
    ]);
  }
  t.ok(isWhole(lab), 'nothing happens at once');
  lab.run(30_000);
  t.ok(isWhole(lab), 'nor later');
  t.equal(lab.nodes[0]?.node.counters.value('members.suspected'), 0);
});

t.test('20,000 accusations by accusers that do not exist', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  const victim = lab.nodes[1] as LabNode;
  for (let i = 0; i < 4000; i++) {
    const accuser = random.bytes(16).reduce((hex, b) => hex + b.toString(16).padStart(2, '0'), '');
    const version = versionsOf(victim).get(victim.node.id);
    if (version === undefined) throw new Error('no version');
    tell(lab, insider, [{ type: MessageType.Suspect, node: victim.node.id, version, accuser }]);
    if (i % 200 === 0) lab.run(200);
  }
  lab.run(5000);
  t.ok(isWhole(lab));
  for (const { node } of lab.nodes) t.ok((node.sizes()['broadcasts']?.size ?? 0) < BROADCASTS_MAX);
});

t.test('a block with the key of another needs the signature of that key', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  const victim = lab.nodes[2] as LabNode;
  const version = versionsOf(victim).get(victim.node.id);
  const publicKey = victim.publicKey;
  const sequence = (version?.sequence ?? 0) + 1;
  for (const fields of [{ left: true }, { items: [] }, { items: [peerItem(9)] }]) {
    const body = signed(insider, { ...fields, publicKey, sequence }).body;
    tell(lab, insider, [blocks({ body, signature: insider.signer.sign(body) })]);
  }
  t.equal(victim.node.counters.value('blocks.refused.signature'), 3);
  lab.run(2000);
  t.ok(isWhole(lab));
});

t.test('4,000 fake nodes fill no more than the table', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  const [first] = lab.nodes as [LabNode];
  const each = 4000;
  for (let i = 0; i < each; i++) {
    const raw = signed(keys.make(random), { items: [peerItem(i % 250)] });
    first.node.receive(FAKE_ENDPOINT, insider.id, encodeMessages([blocks(raw)]));
  }
  const { members, owners, broadcasts } = first.node.sizes();
  t.ok((owners?.size ?? 0) <= MEMBERS_MAX, `${owners?.size} owners`);
  t.ok((members?.size ?? 0) < MEMBERS_MAX);
  t.ok((broadcasts?.size ?? 0) <= BROADCASTS_MAX);
  t.ok(first.node.counters.value('blocks.refused.member_limit') >= each - MEMBERS_MAX);
  t.ok(isWhole(lab), 'those that are there stay');
  lab.run(30_000);
  t.ok(isWhole(lab));
});

t.test('room that fake nodes took is given back once they are dead', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  const fakes = Array.from({ length: MEMBERS_MAX }, () => keys.make(random));
  const raws = fakes.map((fake, i) => signed(fake, { items: [peerItem(i % 250)] }));
  const versions = fakes.map(({ id }) => id);
  for (const raw of raws) tell(lab, insider, [blocks(raw)]);
  for (const node of versions) {
    const version = { epoch: 1, sequence: 1 };
    const dead = { type: MessageType.Dead, node, version, accuser: insider.id, ageSeconds: 0 };
    tell(lab, insider, [dead]);
  }
  const fullMs = lab.nowMs;
  const { id, signer } = keys.make(random);
  const late = lab.add(lab.nodes.slice(0, 1), { id, signer, verifier: keys.verifier });
  late.node.announce(moved(NODES));
  for (let i = 0; i < 12 && !isWhole(lab); i++) lab.run(5000);
  t.ok(isWhole(lab), `an honest newcomer gets in, after ${lab.nowMs - fullMs} ms`);
});

t.test('65 kB of metadata, and blocks that are too large', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  const hash = lab.nodes[0]?.node.summaryHash();
  const { node } = lab.nodes[0] as LabNode;
  node.receive(FAKE_ENDPOINT, insider.id, new Uint8Array(65_535).fill(0x60));
  t.equal(node.counters.value('refused.payload'), 1);
  t.throws(() => signed(insider, { items: [peerItem(1, { name: 'x'.repeat(64) })] }));
  t.equal(node.summaryHash(), hash);
});

t.test('acks and nacks that nobody waits for', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  const messages: Message[] = [];
  for (let i = 0; i < 10_000; i++) {
    const number = random.below(2 ** 32);
    messages.push({ type: i % 2 === 0 ? MessageType.Ack : MessageType.Nack, number });
  }
  tell(lab, insider, messages);
  lab.run(5000);
  t.ok(isWhole(lab));
});

t.test('pings on behalf of others are bounded', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  const target = insider.id;
  const messages: Message[] = Array.from({ length: 10_000 }, (_, number) => ({
    type: MessageType.PingRequest,
    number,
    target,
    endpoint: FAKE_ENDPOINT,
  }));
  tell(lab, insider, messages);
  for (const { node } of lab.nodes) {
    t.equal(node.sizes()['relays']?.size, RELAYS_MAX);
    t.equal(node.counters.value('overflow.relays'), messages.length - RELAYS_MAX);
  }
  lab.run(2000);
  t.ok(isWhole(lab));
});

t.test(
  'summaries of owners that do not exist are asked for once or twice, and forgotten',
  async (t) => {
    const lab = cluster();
    const insider = keys.make(random);
    const [first] = lab.nodes as [LabNode];
    tell(lab, insider, [blocks(signed(insider, { items: [peerItem(9)] }))]);
    for (let i = 0; i < 2000; i++) {
      const owners = Array.from({ length: 20 }, () => ({
        owner: keys.make(random).id,
        epoch: EPOCH_MAX,
        head: SEQUENCE_MAX,
        held: SEQUENCE_MAX,
        check: i,
      }));
      const message: Message = { type: MessageType.Owners, bucket: 0, reply: false, owners };
      first.node.receive(FAKE_ENDPOINT, insider.id, encodeMessages([message]));
    }
    lab.run(20_000);
    t.ok(isWhole(lab));
    t.ok(first.node.counters.value('sync.limited') > 0);
    t.ok((first.node.sizes()['owners']?.size ?? 0) <= NODES + 1);
  },
);

t.test('questions do not make a node send without end', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  const [first] = lab.nodes as [LabNode];
  const before = first.node.counters.value('bytes.sent');
  const questions: Message[] = lab.nodes.map(({ node }) => ({
    type: MessageType.Want,
    owner: node.id,
    epoch: 1,
    ranges: [[1, 1000]],
  }));
  const payload = encodeMessages(questions);
  for (let i = 0; i < 20_000; i++) first.node.receive(FAKE_ENDPOINT, insider.id, payload);
  const sent = first.node.counters.value('bytes.sent') - before;
  t.ok(sent < 2 ** 20, `${sent} bytes for ${20_000 * payload.length}`);
  lab.run(5000);
  t.ok(isWhole(lab));
});

t.test('who claims the slice and the address of another is named to all', async (t) => {
  const lab = cluster();
  const victim = lab.nodes[3] as LabNode;
  const { endpoints } = peerRecord(3);
  let insider = keys.make(random);
  while (insider.id < victim.node.id) insider = keys.make(random);
  tell(lab, insider, [blocks(signed(insider, { items: [peerItem(3, { endpoints })] }))]);
  lab.run(3000);
  for (const { node } of lab.nodes) {
    const found = node.conflicts().filter(({ what }) => what === 'endpoint');
    t.match(found, [{ winner: victim.node.id, loser: insider.id }]);
  }
  lab.run(20_000);
  t.ok(isWhole(lab));
});

t.test('what is not stopped: a member may take over a key by a higher rank', async (t) => {
  const lab = cluster();
  const insider = keys.make(random);
  const [first] = lab.nodes as [LabNode];
  const item = { ...moved(1), rank: 2 ** 31 - 1 };
  tell(lab, insider, [blocks(signed(insider, { items: [peerItem(9), item] }))]);
  const owner = first.node
    .entries({ kind: ItemKind.Prefix })
    .find((entry) => entry.item.kind === ItemKind.Prefix && entry.item.address === item.address);
  t.equal(owner?.owner, insider.id, 'as it may when a workload moves');
  lab.run(15_000);
  t.notOk(isWhole(lab), 'its former owner has let go');
  lab.nodes[1]?.node.announce(moved(1));
  lab.run(2000);
  t.ok(isWhole(lab), 'once the intruder is dead it can be announced again');
});
