import t from 'tap';
import { BLOCKS_PER_OWNER_MAX, MEMBERS_MAX } from '../../src/gossip/base/limits.ts';
import { bucketOf } from '../../src/gossip/table/table-hash.ts';
import { type Item, ItemKind, type RawBlock } from '../../src/wire/gossip/types.ts';
import { idOf, makeAuthor, peerRecord, Replica, signBlock } from './replica.ts';

function macs(first: number, count: number): Item[] {
  return Array.from({ length: count }, (_, index) => ({
    kind: ItemKind.Mac,
    vni: 1,
    rank: 0,
    mac: first + index,
  }));
}

function outcomes(replica: Replica, blocks: readonly RawBlock[]): string[] {
  return blocks.map((block) => {
    const offer = replica.offer(block);
    return offer.outcome === 'refused' ? offer.reason : offer.outcome;
  });
}

t.test('a block is taken once, and costs one signature check', (t) => {
  const replica = new Replica();
  const block = signBlock('ada', { items: macs(1, 3) });
  t.same(outcomes(replica, [block, block, block]), ['new', 'known', 'known']);
  t.equal(replica.verifier.verified, 1);
  const other = { body: block.body, signature: block.signature.map((byte) => byte ^ 1) };
  t.same(outcomes(replica, [other]), ['known'], 'the same body under any signature');
  t.equal(replica.verifier.verified, 1);
  t.equal(replica.counts.get('blocks.new'), 1);
  t.equal(replica.counts.get('blocks.known'), 3);
  t.end();
});

t.test('what is stored shares no memory with what came', (t) => {
  const replica = new Replica();
  const { body, signature } = signBlock('ada', { items: macs(1, 3) });
  const datagram = new Uint8Array(65_536);
  datagram.set(body, 100);
  datagram.set(signature, 2000);
  const raw = {
    body: datagram.subarray(100, 100 + body.length),
    signature: datagram.subarray(2000, 2064),
  };
  replica.offer(raw);
  const kept = replica.store.get(idOf('ada'), 1, 1);
  datagram.fill(0);
  t.same(kept?.body, body);
  t.same(kept?.signature, signature);
  t.equal(kept?.body.buffer.byteLength, body.length);
  t.end();
});

t.test('each refusal has a name', (t) => {
  const replica = new Replica();
  const good = signBlock('ada', { epoch: 3, sequence: 5, items: macs(1, 1) });
  const cases: [string, RawBlock][] = [
    ['size', { body: new Uint8Array(961), signature: good.signature }],
    ['size', { body: good.body, signature: good.signature.subarray(1) }],
    ['format', { body: good.body.subarray(1), signature: good.signature }],
    ['format', { body: new Uint8Array(), signature: good.signature }],
    ['signature', { body: good.body, signature: new Uint8Array(64) }],
    ['signature', { body: good.body, signature: signBlock('bob', {}).signature }],
  ];
  for (const [reason, raw] of cases) t.same(outcomes(replica, [raw]), [reason]);
  t.equal(replica.store.ownerCount, 0);
  t.equal(replica.counts.get('blocks.refused.size'), 2);
  t.equal(replica.counts.get('blocks.refused.format'), 2);
  t.equal(replica.counts.get('blocks.refused.signature'), 2);
  t.end();
});

t.test('what no longer holds is refused without a signature check', (t) => {
  const replica = new Replica();
  replica.offer(signBlock('ada', { epoch: 3, sequence: 9, live: [[4, 5]] }));
  const before = replica.verifier.verified;
  const forged = new Uint8Array(64);
  for (const block of [
    { epoch: 2, sequence: 100 },
    { epoch: 3, sequence: 3 },
    { epoch: 3, sequence: 6 },
  ]) {
    t.same(outcomes(replica, [{ ...signBlock('ada', block), signature: forged }]), ['stale']);
  }
  t.equal(replica.verifier.verified, before);
  t.same(outcomes(replica, [signBlock('ada', { epoch: 3, sequence: 4 })]), ['new']);
  t.end();
});

t.test('a new head lets go of what it does not name', (t) => {
  const replica = new Replica();
  const one = signBlock('ada', { sequence: 1, items: macs(1, 2) });
  const two = signBlock('ada', { sequence: 2, live: [[1, 1]], items: macs(10, 2) });
  const three = signBlock('ada', { sequence: 3, live: [[2, 2]], items: macs(20, 2) });
  replica.offerAll([one, two]);
  const offer = replica.offer(three);
  t.same(offer.outcome === 'new' && offer.removed.map(({ block }) => block.sequence), [1]);
  t.same(outcomes(replica, [one]), ['stale'], 'it does not come back');
  t.same(
    [...replica.entries.list()].map(({ item }) => 'mac' in item && item.mac).sort(),
    [10, 11, 20, 21],
  );
  const next = replica.offer(signBlock('ada', { epoch: 2, sequence: 1 }));
  t.equal(next.outcome === 'new' && next.removed.length, 2, 'a new epoch voids all');
  t.equal(replica.entries.size, 0);
  t.end();
});

t.test('who left has nothing, and comes back with a new epoch', (t) => {
  const replica = new Replica();
  replica.offer(signBlock('ada', { items: macs(1, 2) }));
  replica.offer(signBlock('ada', { sequence: 2, left: true, live: [[1, 1]] }));
  t.equal(replica.entries.size, 0);
  t.equal(replica.store.missingCount(), 0, 'what it names does not count');
  t.equal(replica.store.head(idOf('ada'))?.block.left, true);
  replica.offer(signBlock('ada', { epoch: 2, items: macs(1, 2) }));
  t.equal(replica.entries.size, 2);
  t.end();
});

t.test('what is missing is known from the head', (t) => {
  const replica = new Replica();
  const live = [
    [2, 4],
    [7, 7],
  ] as const;
  replica.offer(signBlock('ada', { sequence: 9, live }));
  t.same(replica.store.missing(idOf('ada')), live);
  t.equal(replica.store.missingCount(), 4);
  replica.offer(signBlock('ada', { sequence: 3 }));
  t.same(replica.store.missing(idOf('ada')), [
    [2, 2],
    [4, 4],
    [7, 7],
  ]);
  t.same([...replica.store.incomplete()], [idOf('ada')]);
  for (const sequence of [2, 4, 7]) replica.offer(signBlock('ada', { sequence }));
  t.equal(replica.store.missingCount(), 0);
  t.same([...replica.store.incomplete()], []);
  t.end();
});

t.test('a head that claims too much costs nothing', (t) => {
  const replica = new Replica();
  const huge = signBlock('ada', { sequence: 2 ** 32 - 1, live: [[1, 2 ** 32 - 2]] });
  t.same(outcomes(replica, [huge]), ['owner_limit']);
  t.equal(replica.store.ownerCount, 0);
  t.equal(replica.verifier.verified, 0);
  const most = { sequence: 10_000, live: [[1, BLOCKS_PER_OWNER_MAX - 1]] as const };
  t.same(outcomes(replica, [signBlock('ada', most)]), ['new']);
  t.equal(replica.store.blockCount, 1);
  t.equal(replica.store.missingCount(), BLOCKS_PER_OWNER_MAX - 1);
  t.end();
});

t.test('far in the future is allowed, to oneself', (t) => {
  const replica = new Replica();
  const last = signBlock('ada', { epoch: 2 ** 32 - 1, sequence: 2 ** 32 - 1 });
  t.same(outcomes(replica, [last, signBlock('ada', {})]), ['new', 'stale']);
  t.equal(replica.store.blockCount, 1);
  t.end();
});

t.test('a million owners: a table has room for so many, and knows those it has', (t) => {
  const replica = new Replica();
  const heads = Array.from({ length: MEMBERS_MAX + 500 }, (_, index) =>
    signBlock(`owner ${index}`, { items: macs(index, 1) }),
  );
  replica.offerAll(heads);
  t.equal(replica.store.ownerCount, MEMBERS_MAX);
  t.equal(replica.counts.get('blocks.refused.member_limit'), 500);
  t.equal(replica.store.blockCount, MEMBERS_MAX);
  t.same(outcomes(replica, [signBlock('owner 3', { sequence: 2 })]), ['new']);
  replica.store.forget(idOf('owner 7'));
  t.same(outcomes(replica, [signBlock('newcomer', {})]), ['new']);
  t.end();
});

t.test('room is made by whoever knows how', (t) => {
  let asked = 0;
  const replica: Replica = new Replica('nobody', { members: 2 }, {}, () => {
    asked++;
    return replica.store.forget(idOf('ada')).length > 0;
  });
  for (const name of ['ada', 'bob']) replica.offer(signBlock(name, {}));
  t.equal(replica.store.hasRoom, false);
  replica.store.retire(idOf('ada'));
  t.equal(replica.store.hasRoom, true);
  for (const name of ['cyd', 'dan']) replica.offer(signBlock(name, {}));
  t.equal(asked, 2);
  t.equal(replica.store.hasRoom, false);
  t.same([...replica.store.owners()].sort(), [idOf('bob'), idOf('cyd')].sort());
  t.equal(replica.counts.get('blocks.refused.member_limit'), 1);
  t.end();
});

t.test('items are bounded by owner and in all, and a head is always taken', (t) => {
  const replica = new Replica('nobody', { items: 100, itemsPerOwner: 70 });
  const block = (name: string, sequence: number, count: number) =>
    signBlock(name, { sequence, items: macs(sequence * 100, count) });
  replica.offer(signBlock('ada', { sequence: 5, live: [[1, 4]], items: macs(1, 30) }));
  t.same(outcomes(replica, [block('ada', 1, 30), block('ada', 2, 30), block('ada', 3, 10)]), [
    'new',
    'owner_limit',
    'new',
  ]);
  t.same(replica.store.missing(idOf('ada')), [], 'it is not asked for again');
  replica.offer(signBlock('bob', { sequence: 3, live: [[1, 2]], items: macs(1, 20) }));
  t.same(outcomes(replica, [block('bob', 1, 20)]), ['item_limit']);
  t.same(outcomes(replica, [signBlock('cyd', { items: macs(1, 60) })]), ['new'], 'a head');
  t.equal(replica.store.itemCount, 150);
  t.equal(replica.store.missingCount(), 0);
  replica.offer(signBlock('ada', { sequence: 6, items: macs(1, 1) }));
  t.equal(replica.store.itemCount, 81);
  t.same(replica.store.missing(idOf('bob')), [[1, 2]], 'there is room again');
  t.end();
});

t.test('two blocks with one number: the greater body stays, whatever came first', (t) => {
  const one = signBlock('ada', { sequence: 2, live: [[1, 1]], items: macs(1, 1) });
  const two = signBlock('ada', { sequence: 2, items: macs(2, 1) });
  const [lesser, greater] = Buffer.compare(one.body, two.body) < 0 ? [one, two] : [two, one];
  const up = new Replica();
  t.same(outcomes(up, [lesser, greater]), ['new', 'new']);
  const down = new Replica();
  t.same(outcomes(down, [greater, lesser]), ['new', 'differs']);
  t.equal(up.hash(), down.hash());
  t.same(up.table(), down.table());
  const again = new Replica();
  again.offer(lesser);
  const offer = again.offer(greater);
  t.same(offer.outcome === 'new' && [offer.differs, offer.removed.length], [true, 1]);
  t.equal(greater, one, 'it names block 1');
  for (const replica of [up, down]) t.same(replica.store.missing(idOf('ada')), [[1, 1]]);
  t.end();
});

t.test('blocks of our own that we did not write are handed over and not kept', (t) => {
  const replica = new Replica('ada');
  const own = makeAuthor('ada', 4);
  own.setPeer(peerRecord('ada'));
  const written = replica.publish(own);
  t.same(outcomes(replica, written), ['known']);
  t.same(outcomes(replica, [signBlock('ada', { epoch: 3 })]), ['stale']);
  t.same(outcomes(replica, [signBlock('ada', { epoch: 9, sequence: 9 })]), ['own']);
  const sameNumber = signBlock('ada', { epoch: 4, sequence: 1 });
  t.same(outcomes(replica, [sameNumber]), ['own'], 'the lesser or the greater body');
  const forged = { ...signBlock('ada', { epoch: 9 }), signature: new Uint8Array(64) };
  t.same(outcomes(replica, [forged]), ['signature']);
  t.same(replica.store.head(idOf('ada'))?.block.epoch, 4);
  t.end();
});

t.test('hashes follow the blocks that are here, and only them', (t) => {
  const [a, b] = [new Replica(), new Replica()];
  const empty = a.hash();
  const blocks = ['ada', 'bob', 'cyd'].map((name) => signBlock(name, { items: macs(1, 1) }));
  a.offerAll(blocks);
  b.offerAll(blocks.toReversed());
  t.equal(a.hash(), b.hash());
  t.same(a.store.buckets(), b.store.buckets());
  b.offer(signBlock('ada', { sequence: 2, live: [[1, 1]] }));
  t.not(a.hash(), b.hash());
  const differing = [...a.store.buckets()].flatMap((byte, index) =>
    byte === b.store.buckets()[index] ? [] : [index >> 2],
  );
  t.same([...new Set(differing)], [bucketOf(idOf('ada'))], 'one bucket differs');
  t.same(
    a.store
      .summaries(bucketOf(idOf('bob')))
      .map(({ owner }) => owner)
      .includes(idOf('bob')),
    true,
  );
  for (const name of ['ada', 'bob', 'cyd']) b.store.forget(idOf(name));
  t.equal(b.hash(), empty);
  t.equal(b.store.itemCount, 0);
  t.equal(b.store.blockCount, 0);
  t.end();
});

t.test('a retired owner is known and not told of', (t) => {
  const replica = new Replica();
  const empty = replica.hash();
  const one = signBlock('ada', { sequence: 1, items: macs(1, 2) });
  const two = signBlock('ada', { sequence: 2, live: [[1, 1]], items: macs(9, 1) });
  replica.offerAll([one, two]);
  const removed = replica.store.retire(idOf('ada'));
  t.same(
    removed.map(({ block }) => block.sequence),
    [1],
  );
  t.equal(replica.hash(), empty);
  t.same(replica.store.summaries(bucketOf(idOf('ada'))), []);
  t.same(replica.store.missingCount(), 0);
  t.same(outcomes(replica, [one, two]), ['stale', 'known']);
  t.same(replica.store.retire(idOf('ada')), []);
  t.equal(replica.store.isRetired(idOf('ada')), true);
  t.same(outcomes(replica, [signBlock('ada', { epoch: 2 })]), ['new'], 'it is back');
  t.equal(replica.store.isRetired(idOf('ada')), false);
  const fresh = new Replica();
  fresh.offer(signBlock('ada', { epoch: 2 }));
  t.equal(replica.hash(), fresh.hash());
  replica.store.retire(idOf('ada'));
  t.equal(replica.store.forget(idOf('ada')).length, 1);
  t.equal(replica.hash(), empty);
  t.end();
});
