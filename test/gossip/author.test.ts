import fc from 'fast-check';
import t, { type Test } from 'tap';
import { BLOCKS_PER_OWNER_MAX, ITEMS_PER_OWNER_MAX } from '../../src/gossip/base/limits.ts';
import { PEER_BYTES_MAX } from '../../src/gossip/table/author.ts';
import { countOf } from '../../src/gossip/table/ranges.ts';
import { encodeBlock } from '../../src/wire/gossip/block.ts';
import { BLOCK_BYTES_MAX, LIVE_RANGES_MAX } from '../../src/wire/gossip/bounds.ts';
import { type Announcement, ItemKind, type SignedBlock } from '../../src/wire/gossip/types.ts';
import { idOf, itemText, makeAuthor, peerRecord, Replica, signBlock } from './replica.ts';

function mac(number: number, rank = 0): Announcement {
  return { kind: ItemKind.Mac, vni: 7, rank, mac: number };
}

function started(name = 'ada', epoch = 1, instance = 1): ReturnType<typeof makeAuthor> {
  const author = makeAuthor(name, epoch, instance);
  author.setPeer(peerRecord(name));
  return author;
}

/** What a table holds of an author's blocks, without its peer record. */
function tableOf(replica: Replica): string[] {
  return [...replica.entries.list()].map(({ item }) => itemText(item)).sort();
}

function announcedBy(author: ReturnType<typeof makeAuthor>): string[] {
  return [...author.announcements()].map(itemText).sort();
}

t.test('flush() writes what has changed, once', (t) => {
  const author = makeAuthor('ada');
  t.same(author.flush(), [], 'nothing to say');
  author.setPeer(peerRecord('ada'));
  author.announce(mac(1));
  const [first, ...rest] = author.flush();
  t.same(rest, []);
  t.match(first?.block, { epoch: 1, sequence: 1, live: [], left: false });
  t.same(
    first?.block.items.map(({ kind }) => kind),
    [ItemKind.Peer, ItemKind.Mac],
  );
  t.equal(first?.owner, idOf('ada'));
  t.same(author.flush(), []);
  author.announce(mac(1));
  author.withdraw(mac(99));
  t.same(author.flush(), [], 'nothing new');
  author.announce(mac(2));
  t.match(author.flush(), [{ block: { sequence: 2, live: [[1, 1]], items: [mac(2)] } }]);
  author.withdraw(mac(2));
  t.match(author.flush(), [{ block: { sequence: 3, live: [[1, 1]], items: [] } }]);
  t.end();
});

t.test('what is left of a broken block goes out again', (t) => {
  const author = started();
  for (let index = 1; index <= 5; index++) author.announce(mac(index));
  author.flush();
  author.withdraw(mac(3));
  author.announce(mac(6));
  const [block, ...rest] = author.flush();
  t.same(rest, []);
  t.same(block?.block.live, []);
  t.equal(block?.block.items.length, 1 + 4 + 1);
  t.end();
});

t.test('refute() answers what names the newest block, and nothing else', (t) => {
  const author = started();
  author.announce(mac(1));
  author.flush();
  t.equal(author.refute({ epoch: 1, sequence: 0 }), false, 'the head that is out answers');
  t.equal(author.refute({ epoch: 1, sequence: 2 }), false, 'never signed');
  t.equal(author.refute({ epoch: 2 ** 32 - 1, sequence: 1 }), false);
  t.same(author.flush(), []);
  for (let round = 2; round < 5; round++) {
    t.equal(author.refute(author.version), true);
    t.match(author.flush(), [{ block: { sequence: round, live: [[1, 1]], items: [] } }]);
  }
  t.end();
});

t.test('leave() writes one last block', (t) => {
  const author = started();
  author.announce(mac(1));
  author.flush();
  author.leave();
  author.leave();
  t.match(author.flush(), [{ block: { sequence: 2, live: [], left: true, items: [] } }]);
  author.announce(mac(2));
  t.equal(author.refute(author.version), false);
  t.same(author.flush(), []);
  author.leave();
  t.same(author.flush(), []);
  t.end();
});

t.test('the bounds of what is announced', (t) => {
  const author = started();
  for (let index = 0; index < ITEMS_PER_OWNER_MAX; index++) author.announce(mac(index));
  t.throws(() => author.announce(mac(ITEMS_PER_OWNER_MAX)), { code: 'too-many-announcements' });
  author.announce(mac(5, 3));
  author.withdraw(mac(9));
  author.announce(mac(ITEMS_PER_OWNER_MAX));
  const replica = new Replica();
  replica.offerAll(author.flush());
  t.same(tableOf(replica), announcedBy(author));
  t.equal(replica.store.missingCount(), 0);
  const address = 0xffffffff;
  const large = peerRecord('x'.repeat(63), {
    endpoints: Array.from({ length: 8 }, (_, port) => ({ address, port: 60_000 + port })),
    vnis: Array.from({ length: 64 }, (_, vni) => 0xffff00 + vni),
    fans: Array.from({ length: 8 }, () => ({
      overlay: { address: 0xfafafafa, length: 32 },
      underlay: { address: 0xfafafafa, length: 32 },
      local: 0xfafafafa,
    })),
  });
  t.throws(() => author.setPeer(large), { code: 'peer-record-too-large' });
  author.withdraw(mac(10));
  t.throws(() => author.announce(mac(-1)), { code: 'bound' });
  t.throws(() => author.announce(mac(1, 2 ** 31)), { code: 'bound' });
  author.flush();
  t.end();
});

t.test('the largest peer record fits beside ranges of any length', (t) => {
  const author = makeAuthor('ada');
  let sizeBytes = 0;
  for (let vnis = 64; sizeBytes === 0; vnis--) {
    const record = peerRecord('x'.repeat(63), {
      endpoints: Array.from({ length: 8 }, (_, port) => ({
        address: 0xffffffff,
        port: 60_000 + port,
      })),
      vnis: Array.from({ length: vnis }, (_, vni) => 0xffff00 + vni),
      capabilities: Array.from({ length: 32 }, (_, number) => 60_000 + number),
    });
    try {
      author.setPeer(record);
      sizeBytes = author.flush()[0]?.body.length ?? 0;
    } catch (error) {
      t.match(error, { code: 'peer-record-too-large' });
    }
  }
  const [block] = started().flush();
  if (block === undefined) throw new Error('no block');
  t.ok(sizeBytes > PEER_BYTES_MAX, 'nearly as large as allowed');
  // 34 ranges far apart, with as many blocks as an owner may have: more than an author keeps.
  const step = Math.floor((2 ** 32 - 1) / 35);
  const live = Array.from({ length: 34 }, (_, index): [number, number] => {
    const first = (index + 1) * step;
    return [first, first + Math.floor(BLOCKS_PER_OWNER_MAX / 34) - 1];
  });
  const head = { ...block.block, epoch: 2 ** 32 - 1, sequence: 2 ** 32 - 1, live, items: [] };
  t.ok(encodeBlock(head).length + PEER_BYTES_MAX + 1 <= BLOCK_BYTES_MAX);
  t.end();
});

t.test('what moves between blocks is never missing at a reader that has the newest', (t) => {
  const author = started();
  const replica = new Replica();
  for (let index = 0; index < 3000; index++) author.announce(mac(index));
  replica.offerAll(author.flush());
  for (let index = 0; index < 3000; index += 40) author.withdraw(mac(index));
  const blocks = author.flush();
  t.ok(blocks.length > 10, `${blocks.length} blocks`);
  for (const block of blocks) {
    replica.offer(block);
    t.ok(replica.entries.size >= author.announcementCount, 'nothing too few');
  }
  t.same(tableOf(replica), announcedBy(author));
  const cleared = replica.changes.filter(({ after }) => after === undefined);
  t.equal(cleared.length, 75, 'only what was withdrawn was told');
  t.end();
});

/** Bytes written for each change, with one flush a change. */
function churn(t: Test, total: number, changes: number, next: (index: number) => number): number {
  const author = started();
  const replica = new Replica();
  for (let index = 0; index < total; index++) author.announce(mac(index));
  replica.offerAll(author.flush());
  let bytes = 0;
  for (let index = 0; index < changes; index++) {
    const number = next(index);
    if (!author.withdraw(mac(number))) author.announce(mac(number));
    for (const block of author.flush()) {
      bytes += block.body.length;
      check(t, block);
      replica.offer(block);
    }
  }
  t.same(tableOf(replica), announcedBy(author));
  t.equal(replica.store.missingCount(), 0);
  const { blockCount } = replica.store;
  t.ok(blockCount < 32 + author.announcementCount / 16, `${blockCount} blocks`);
  return bytes / changes;
}

function check(t: Test, { body, block }: SignedBlock): void {
  if (block.live.length > LIVE_RANGES_MAX / 2) t.fail(`${block.live.length} ranges`);
  if (countOf(block.live) >= BLOCKS_PER_OWNER_MAX) t.fail(`${countOf(block.live)} blocks`);
  if (body.length > BLOCK_BYTES_MAX) t.fail(`${body.length} bytes`);
}

t.test('a change costs a few blocks, however much is announced', (t) => {
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state % 8000;
  };
  const scattered = churn(t, 8000, 800, random);
  t.ok(scattered < 4 * BLOCK_BYTES_MAX, `${Math.round(scattered)} bytes for a change anywhere`);
  const growing = churn(t, 0, 800, (index) => index);
  t.ok(growing < BLOCK_BYTES_MAX, `${Math.round(growing)} bytes for one more`);
  t.end();
});

t.test('compaction keeps what is announced', async (t) => {
  const step = fc.record({
    numbers: fc.array(fc.integer({ min: 0, max: 4000 }), { size: 'max', maxLength: 60 }),
    announce: fc.boolean(),
    refute: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { size: 'max', maxLength: 60 }), (steps) => {
      const author = started();
      for (let number = 0; number <= 4000; number += 3) author.announce(mac(number));
      const all = author.flush();
      const follower = new Replica();
      follower.offerAll(all);
      for (const { numbers, announce, refute } of steps) {
        for (const number of numbers) {
          if (announce) author.announce(mac(number, number % 5));
          else author.withdraw(mac(number));
        }
        if (refute) author.refute(author.version);
        for (const block of author.flush()) {
          check(t, block);
          follower.offer(block);
          all.push(block);
        }
        if (follower.entries.size !== author.announcementCount) return false;
      }
      const late = new Replica();
      late.offerAll(all.toReversed());
      const announced = JSON.stringify(announcedBy(author));
      return (
        late.hash() === follower.hash() &&
        JSON.stringify(tableOf(late)) === announced &&
        JSON.stringify(tableOf(follower)) === announced &&
        late.store.blockCount <= 64 + author.announcementCount / 8
      );
    }),
    { numRuns: 12 },
  );
  t.pass('over 12 histories');
});

t.test('absorb(): blocks of earlier lives change nothing', (t) => {
  const author = started('ada', 5);
  author.flush();
  t.equal(author.absorb(signBlock('ada', { epoch: 4, sequence: 900 })), 'older');
  t.same(author.flush(), []);
  t.same(author.epochs, []);
  t.end();
});

t.test('absorb(): after a rollback all is announced anew, above what was seen', (t) => {
  const author = started('ada', 2);
  for (let index = 0; index < 200; index++) author.announce(mac(index));
  const before = author.flush();
  t.equal(author.absorb(signBlock('ada', { epoch: 7, sequence: 12 })), 'rollback');
  t.same(author.epochs, [8], 'made durable first');
  const after = author.flush();
  t.equal(after.length, before.length);
  t.same(after.map(({ block }) => [block.epoch, block.sequence]).at(0), [8, 1]);
  t.equal(after.at(0)?.block.items.at(0)?.kind, ItemKind.Peer, 'who we are comes first');
  const replica = new Replica();
  replica.offerAll([...after, ...before, signBlock('ada', { epoch: 7, sequence: 12 })]);
  t.same(tableOf(replica), announcedBy(author));
  t.equal(author.absorb(signBlock('ada', { epoch: 8, sequence: 1 })), 'rollback', 'our own epoch');
  t.match(author.version, { epoch: 9, sequence: 0 });
  t.end();
});

t.test('absorb(): the last epoch of all leaves nothing to say', (t) => {
  const author = started();
  t.equal(author.absorb(signBlock('ada', { epoch: 2 ** 32 - 1 })), 'duplicate');
  t.equal(author.silent, true);
  t.same(author.flush(), []);
  t.end();
});
