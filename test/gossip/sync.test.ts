import t from 'tap';
import type { Want } from '../../src/gossip/base/api.ts';
import { serve } from '../../src/gossip/sync/digest.ts';
import { Sync, type SyncMessage } from '../../src/gossip/sync/sync.ts';
import { encodeMessages } from '../../src/wire/gossip/message.ts';
import {
  ItemKind,
  type Message,
  MessageType,
  type NodeId,
  type OwnerSummary,
  type SignedBlock,
} from '../../src/wire/gossip/types.ts';
import { idOf, makeAuthor, peerRecord, Replica, seeded } from './replica.ts';

/** Room for messages in a datagram, bytes; a stream takes whole frames. */
const DATAGRAM_BYTES = 1130;

/** Some tables, and a wire between them with a delay of one tick. */
class Net {
  nowMs = 0;
  bytes = 0;
  pulls = 0;
  lossShare = 0;
  breakPullsAfter = Number.POSITIVE_INFINITY;
  readonly nodes = new Map<NodeId, { replica: Replica; sync: Sync }>();
  readonly random: () => number;
  #queue: { to: NodeId; from: NodeId; messages: readonly Message[] }[] = [];

  constructor(seed: number) {
    this.random = seeded(seed);
  }

  add(name: string, replica = new Replica(name)): { replica: Replica; sync: Sync } {
    const id = idOf(name);
    const sync: Sync = new Sync({
      self: id,
      store: replica.store,
      counters: { count: (each) => replica.counts.set(each, (replica.counts.get(each) ?? 0) + 1) },
      intervalMs: 10_000,
      random: this.random,
      nowMs: () => this.nowMs,
      pick: () => this.#pick(id),
      send: (to, messages) => this.#send(id, to, messages),
      pull: (from, wants) => {
        this.pulls++;
        let brought = 0;
        let left = this.breakPullsAfter;
        const server = this.nodes.get(from)?.replica.store;
        for (const blocks of server === undefined ? [] : serve(server, wants)) {
          for (const block of blocks) {
            if (--left < 0) break;
            if (replica.offer(block).outcome === 'new') brought++;
          }
        }
        queueMicrotask(() => sync.pullEnded(left >= 0, brought));
      },
    });
    const node = { replica, sync };
    this.nodes.set(id, node);
    return node;
  }

  async run(forMs: number, until: () => boolean = () => false): Promise<boolean> {
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; this.nowMs += 100) {
      if (until()) return true;
      const arriving = this.#queue;
      this.#queue = [];
      for (const { to, from, messages } of arriving) this.#deliver(to, from, messages);
      for (const { sync } of this.nodes.values()) sync.tick();
      await Promise.resolve();
    }
    return until();
  }

  hashes(): Set<string> {
    return new Set([...this.nodes.values()].map(({ replica }) => replica.hash()));
  }

  #pick(self: NodeId): NodeId | undefined {
    const others = [...this.nodes.keys()].filter((id) => id !== self);
    return others[Math.floor(this.random() * others.length)];
  }

  #send(from: NodeId, to: NodeId, messages: readonly Message[]): void {
    for (const message of messages) {
      const size = encodeMessages([message]).length;
      if (size > DATAGRAM_BYTES) throw new Error(`message ${message.type} takes ${size} bytes`);
      this.bytes += size;
      if (this.random() >= this.lossShare) this.#queue.push({ to, from, messages: [message] });
    }
  }

  #deliver(to: NodeId, from: NodeId, messages: readonly Message[]): void {
    const node = this.nodes.get(to);
    if (node === undefined) return;
    for (const message of messages) {
      if (message.type === MessageType.Blocks) {
        for (const block of message.blocks) {
          const offer = node.replica.offer(block);
          if (offer.outcome === 'new') node.sync.lacking(offer.signed.owner, from);
        }
      } else this.#send(to, from, node.sync.receive(from, message as SyncMessage));
    }
  }
}

/** `count` MACs of one owner, in blocks as its author writes them. */
function macsOf(name: string, count: number, epoch = 1): SignedBlock[] {
  const author = makeAuthor(name, epoch);
  author.setPeer(peerRecord(name));
  for (let index = 0; index < count; index++) {
    author.announce({ kind: ItemKind.Mac, vni: 7, rank: 0, mac: 0x0200_0000_0000 + index });
  }
  return author.flush();
}

t.test('two tables become equal, and then nothing is sent but digests', async (t) => {
  const net = new Net(1);
  const a = net.add('a');
  const b = net.add('b');
  a.replica.offerAll(macsOf('ada', 20));
  b.replica.offerAll(macsOf('bob', 20));
  a.sync.contact(idOf('b'));
  t.ok(await net.run(3000, () => net.hashes().size === 1), 'equal in three seconds');
  t.equal(a.replica.table().length, 20);
  t.equal(new Set(a.replica.table().map((line) => line.slice(0, 32))).size, 1, 'lower id wins');
  t.equal(net.pulls, 0, 'so few blocks need no stream');
  await net.run(1000);
  const before = net.bytes;
  await net.run(60_000);
  t.ok(net.bytes - before < 20 * 2 * 8, `${net.bytes - before} bytes in a minute`);
  t.equal(a.sync.chaseCount + b.sync.chaseCount, 0);
});

t.test('a few changed blocks among many cost little', async (t) => {
  const net = new Net(2);
  const a = net.add('a');
  const b = net.add('b');
  for (let index = 0; index < 50; index++) {
    const blocks = macsOf(`owner ${index}`, 200);
    a.replica.offerAll(blocks);
    b.replica.offerAll(blocks);
  }
  a.replica.offerAll(macsOf('owner 3', 200, 2).slice(0, 1));
  a.sync.contact(idOf('b'));
  t.ok(await net.run(3000, () => net.hashes().size === 1));
  t.ok(net.bytes < 3000, `${net.bytes} bytes for one block of ${a.replica.store.blockCount}`);
});

t.test('many blocks come over streams, also when each breaks early', async (t) => {
  const net = new Net(3);
  net.breakPullsAfter = 20;
  const a = net.add('a');
  const b = net.add('b');
  for (let index = 0; index < 8; index++) a.replica.offerAll(macsOf(`owner ${index}`, 1500));
  b.sync.contact(idOf('a'));
  t.ok(await net.run(60_000, () => net.hashes().size === 1));
  t.ok(net.pulls >= 3, `${net.pulls} pulls`);
  t.equal(b.replica.entries.size, a.replica.entries.size);
  t.equal(b.replica.counts.get('blocks.known') ?? 0, 0, 'nothing came twice');
  t.ok(b.replica.verifier.verified <= a.replica.store.blockCount, 'each was verified once');
});

t.test('a head is followed by what it names', async (t) => {
  const net = new Net(4);
  const nodes = ['a', 'b', 'c', 'd'].map((name) => net.add(name));
  const blocks = macsOf('ada', 300);
  nodes[0]?.replica.offerAll(blocks);
  const head = blocks.at(-1);
  if (head === undefined) throw new Error('no head');
  for (const node of nodes.slice(1)) {
    node.replica.offer(head);
    node.sync.lacking(head.owner, idOf('d'));
    t.equal(node.replica.store.missingCount(), blocks.length - 1);
  }
  t.ok(await net.run(30_000, () => net.hashes().size === 1), 'though nobody knew who has them');
});

t.test('tables become equal over a wire that loses a third', async (t) => {
  for (let seed = 0; seed < 10; seed++) {
    const net = new Net(seed);
    net.lossShare = 0.33;
    for (let index = 0; index < 6; index++) {
      const { replica } = net.add(`n${index}`);
      replica.offerAll(macsOf(`owner ${index}`, 50 * index));
    }
    t.ok(await net.run(120_000, () => net.hashes().size === 1), `seed ${seed}`);
    for (const { replica } of net.nodes.values()) t.equal(replica.store.missingCount(), 0);
  }
});

t.test('100,000 announcements of 64 owners', async (t) => {
  const net = new Net(5);
  const a = net.add('a');
  const b = net.add('b');
  for (let index = 0; index < 64; index++) a.replica.offerAll(macsOf(`owner ${index}`, 1563));
  t.equal(a.replica.store.itemCount, 64 * 1564);
  b.sync.contact(idOf('a'));
  t.ok(await net.run(60_000, () => net.hashes().size === 1), `after ${net.nowMs} ms`);
  t.ok(net.pulls <= 3, `${net.pulls} pulls`);
});

t.test(
  'a liar costs questions, not memory, and does not keep others from being heard',
  async (t) => {
    const net = new Net(6);
    const a = net.add('a');
    const b = net.add('b');
    const liar = idOf('liar');
    a.replica.offerAll(macsOf('ada', 2000));
    let lies = 0;
    const lie = (): OwnerSummary => ({
      owner: idOf(`lie ${lies++}`),
      epoch: 2 ** 32 - 1,
      head: 2 ** 32 - 1,
      held: 2 ** 32 - 1,
      check: 0,
    });
    const tell = (): void => {
      const owners = Array.from({ length: 24 }, lie);
      b.sync.receive(liar, { type: MessageType.Owners, bucket: 0, reply: true, owners });
    };
    for (let round = 0; round < 100; round++) tell();
    t.equal(b.sync.chaseCount, 1024, 'at most so many are looked for');
    t.ok((b.replica.counts.get('sync.limited') ?? 0) > 1000, 'the rest is counted');
    b.sync.contact(idOf('a'));
    const done = await net.run(60_000, () => {
      if (net.nowMs % 1000 === 0) tell();
      return net.hashes().size === 1;
    });
    t.ok(done, `equal after ${net.nowMs} ms`);
    t.equal(b.replica.store.ownerCount, 1);
    await net.run(30_000);
    t.equal(b.sync.chaseCount, 0, 'and is forgotten');
  },
);

t.test('two blocks with one number: all come to keep the same one', async (t) => {
  const net = new Net(7);
  const a = net.add('a');
  const b = net.add('b');
  a.replica.offerAll(macsOf('ada', 200).slice());
  b.replica.offerAll(macsOf('ada', 201));
  a.sync.contact(idOf('b'));
  t.ok(await net.run(30_000, () => net.hashes().size === 1));
  t.ok(await net.run(10_000, () => a.sync.chaseCount + b.sync.chaseCount === 0));
});

/** A node whose questions go nowhere but into a list. */
function lonely(store = new Replica('a').store) {
  const counts = new Map<string, number>();
  const asked: { to: NodeId; messages: readonly Message[] }[] = [];
  const pulled: { from: NodeId; wants: readonly Want[] }[] = [];
  const clock = { nowMs: 0 };
  const sync = new Sync({
    self: idOf('a'),
    store,
    counters: { count: (name) => counts.set(name, (counts.get(name) ?? 0) + 1) },
    intervalMs: 1e9,
    random: () => 0.5,
    nowMs: () => clock.nowMs,
    pick: () => undefined,
    send: (to, messages) => asked.push({ to, messages }),
    pull: (from, wants) => pulled.push({ from, wants }),
  });
  return { sync, clock, asked, pulled, counts };
}

function owners(...summaries: OwnerSummary[]): SyncMessage {
  return { type: MessageType.Owners, bucket: 0, reply: false, owners: summaries };
}

function summaryOf(name: string, change: Partial<OwnerSummary> = {}): OwnerSummary {
  return { owner: idOf(name), epoch: 1, head: 100, held: 100, check: 1, ...change };
}

t.test('of our own blocks that we did not write we ask for those that tell of the writer', (t) => {
  const replica = new Replica('a');
  for (const block of macsOf('a', 10, 3)) replica.store.insert(block);
  const { sync, asked } = lonely(replica.store);
  sync.receive(idOf('b'), owners(summaryOf('a', { epoch: 9, head: 70 })));
  sync.tick();
  const ranges = [
    [1, 1],
    [70, 70],
  ];
  const want = { type: MessageType.Want, owner: idOf('a'), epoch: 9, ranges };
  t.same(asked, [{ to: idOf('b'), messages: [want] }]);
  t.end();
});

t.test('who brought nothing is not believed for a while, others are', (t) => {
  const { sync, clock, pulled } = lonely();
  const [liar, other] = [idOf('liar'), idOf('other')];
  sync.receive(liar, owners(summaryOf('ada')));
  sync.tick();
  sync.receive(liar, owners(summaryOf('bob')));
  sync.tick();
  t.same(
    pulled.map(({ from }) => from),
    [liar],
    'one at a time',
  );
  sync.pullEnded(true, 0);
  for (; clock.nowMs < 5000; clock.nowMs += 100) {
    sync.receive(liar, owners(summaryOf(`cyd ${clock.nowMs}`)));
    sync.tick();
  }
  t.equal(pulled.length, 1);
  sync.receive(other, owners(summaryOf('dan')));
  sync.tick();
  t.equal(pulled[1]?.from, other);
  sync.pullEnded(true, 5);
  clock.nowMs = 10_000;
  sync.receive(liar, owners(summaryOf('eve'), summaryOf('fay')));
  sync.tick();
  t.equal(pulled[2]?.from, liar, 'later it is heard again');
  t.end();
});

t.test('a stream that never ends is given up', (t) => {
  const { sync, clock, pulled, asked, counts } = lonely();
  sync.receive(idOf('b'), owners(summaryOf('ada')));
  sync.tick();
  clock.nowMs = 29_999;
  sync.receive(idOf('c'), owners(summaryOf('bob')));
  sync.tick();
  t.equal(pulled.length, 1);
  t.equal(counts.get('sync.pulls_failed'), undefined);
  clock.nowMs = 30_000;
  sync.tick();
  t.equal(counts.get('sync.pulls_failed'), 1);
  t.match(asked, [{ to: idOf('c'), messages: [{ owner: idOf('bob') }] }], 'datagrams instead');
  sync.pullEnded(true, 7);
  clock.nowMs = 40_000;
  sync.tick();
  t.same(
    pulled.map(({ from }) => from),
    [idOf('b'), idOf('c')],
    'then a stream is tried again',
  );
  t.end();
});

t.test('where no stream is to be had datagrams bring everything', async (t) => {
  const net = new Net(9);
  net.lossShare = 0.05;
  net.breakPullsAfter = 0;
  const a = net.add('a');
  const b = net.add('b');
  for (let index = 0; index < 4; index++) a.replica.offerAll(macsOf(`owner ${index}`, 5000));
  b.sync.contact(idOf('a'));
  t.ok(await net.run(60_000, () => net.hashes().size === 1), `after ${net.nowMs} ms`);
  t.ok(net.pulls > 0);
  const { blockCount } = a.replica.store;
  t.ok(blockCount > 300, `${blockCount} blocks`);
  const known = b.replica.counts.get('blocks.known') ?? 0;
  t.ok(known < blockCount / 4, `${known} came twice`);
});

t.test('few blocks are asked for in datagrams even while a stream runs', (t) => {
  const { sync, clock, asked, pulled } = lonely();
  sync.receive(idOf('b'), owners(summaryOf('ada')));
  sync.tick();
  sync.receive(idOf('c'), owners(summaryOf('bob', { head: 1, held: 1 })));
  sync.tick();
  t.equal(pulled.length, 1);
  t.match(asked, [{ to: idOf('c'), messages: [{ owner: idOf('bob'), ranges: [[1, 1]] }] }]);
  clock.nowMs = 100;
  sync.tick();
  t.equal(asked.length, 1, 'and not again at once');
  t.end();
});

t.test('answers have a budget, contacts a bound', (t) => {
  const replica = new Replica('a');
  replica.offerAll(macsOf('ada', 1500));
  const { sync, clock, counts, asked } = lonely(replica.store);
  const want: SyncMessage = {
    type: MessageType.Want,
    owner: idOf('ada'),
    epoch: 1,
    ranges: [[1, 1000]],
  };
  const answerBytes = (): number => {
    let bytes = 0;
    for (let round = 0; round < 100; round++) {
      for (const message of sync.receive(idOf('b'), want))
        bytes += encodeMessages([message]).length;
    }
    return bytes;
  };
  const first = answerBytes();
  t.ok(first > 300_000 && first < 600_000, `${first} bytes at once`);
  t.ok(answerBytes() < 3000);
  t.ok((counts.get('sync.limited') ?? 0) > 100);
  clock.nowMs += 1000;
  const second = answerBytes();
  t.ok(second > 200_000 && second < 300_000, `${second} bytes a second`);
  t.same(sync.receive(idOf('b'), { ...want, epoch: 2 }), [], 'an epoch that we do not know');
  t.same(sync.receive(idOf('b'), { ...want, owner: idOf('bob') }), []);
  const limited = counts.get('sync.limited') ?? 0;
  for (let member = 0; member < 200; member++) sync.contact(idOf(`member ${member}`));
  t.equal((counts.get('sync.limited') ?? 0) - limited, 200 - 128);
  for (let round = 0; round < 200; round++) sync.tick();
  t.equal(asked.length, 128, 'one digest a tick');
  t.end();
});

t.test('whoever asks for an epoch that is over gets the head', (t) => {
  const replica = new Replica('a');
  const blocks = macsOf('ada', 1500, 7);
  replica.offerAll(blocks);
  const { sync } = lonely(replica.store);
  const answers = sync.receive(idOf('b'), {
    type: MessageType.Want,
    owner: idOf('ada'),
    epoch: 6,
    ranges: [[1, 1000]],
  });
  const head = blocks.at(-1);
  const raw = { body: head?.body, signature: head?.signature };
  t.same(answers, [{ type: MessageType.Blocks, blocks: [raw] }]);
  t.end();
});
