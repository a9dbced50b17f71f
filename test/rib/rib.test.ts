import t from 'tap';
import type { UnderlayAddress } from '../../src/net/underlay-address.ts';
import type { Best, Claim, ClaimSource, EntryId, RibChange } from '../../src/rib/entry.ts';
import { CLAIM_SOURCES, slotOfEntry } from '../../src/rib/entry.ts';
import { FLAPS_MAX, HOLD_MS } from '../../src/rib/flaps.ts';
import { FREEZE_MS, MOVES_WINDOW_MS } from '../../src/rib/moves.ts';
import { Recent } from '../../src/rib/recent.ts';
import { Rib } from '../../src/rib/rib.ts';
import { Random } from '../sim/random.ts';

const ROOM = { max: 1000, ownerMax: 1000 };
const prefix = (address: number, length = 32, link = 'fan'): EntryId => {
  return { link, kind: 'prefix', address, length };
};
const claim = (peer: number, more: Partial<Claim> = {}): Claim => {
  return { peer, owner: `host${peer}`, sequence: 0, mac: 0, ...more };
};
const peers = (changes: readonly RibChange[]): (UnderlayAddress | undefined)[] =>
  changes.map(({ after }) => after?.peer);

t.test('the best claim by source, and of MACs by sequence', async (t) => {
  const rib = new Rib(ROOM);
  const say = (source: ClaimSource, id: EntryId, one?: Claim): (UnderlayAddress | undefined)[] =>
    peers(rib.update(source, [{ id, claim: one }], 0));
  t.same(say('bgp', prefix(7), claim(1, { sequence: 9 })), [1]);
  t.same(say('gossip', prefix(7), claim(2)), [2], 'gossip before BGP, whatever its sequence');
  t.same(say('static', prefix(7), claim(3)), [3]);
  t.same(say('gossip', prefix(7), claim(4)), [], 'what does not count is not told');
  t.same(say('static', prefix(7)), [4]);
  t.same(say('gossip', prefix(7)), [1]);
  t.same(say('bgp', prefix(7)), [undefined]);
  t.same(say('bgp', prefix(7)), [], 'nobody has it already');
  const mac: EntryId = { link: 'fan', kind: 'mac', mac: 0x021122334455 };
  t.same(say('gossip', mac, claim(1, { sequence: 1 })), [1]);
  t.same(say('bgp', mac, claim(2, { sequence: 2 })), [2], 'it moved later');
  t.same(say('gossip', mac, claim(3, { sequence: 2 })), [], 'equal: the lower tunnel endpoint');
  t.same(say('gossip', mac, claim(2, { sequence: 2 })), [2], 'in one place: by source');
  t.same(say('bgp', mac, claim(4, { sequence: 9 })), [4]);
  t.same(say('gossip', mac, claim(5, { isSticky: true })), [5], 'it never moves, whoever says so');
  t.same(say('gossip', mac, claim(2)), [4]);
  t.same(say('learned', mac, claim(1, { sequence: 99 })), [], 'nobody moves by being overheard');
  t.same(rib.get(mac)?.peer, 4);
  t.equal(rib.status().entries, 1);
});

t.test('all that a claim says is there with the one that counts', async (t) => {
  const rib = new Rib(ROOM);
  const mac: EntryId = { link: 'br-blue', kind: 'mac', mac: 0x021122334455 };
  const said: Required<Claim> = {
    ...{ peer: 1, owner: 'a', sequence: 2, mac: 0 },
    ...{ isSticky: true, isReplicator: true, isRouter: true },
    ...{ isDhcpServer: true, isRelayed: true, label: 7 },
  };
  const [change] = rib.update('gossip', [{ id: mac, claim: said }], 0);
  t.same(change?.after, { ...said, source: 'gossip' });
});

t.test('Recent keeps what was noted last, and no more than it may', async (t) => {
  const recent = new Recent<number>(10);
  for (let i = 0; i < 100; i++) {
    recent.set(String(i), i);
    recent.set('often', i);
  }
  const kept = Array.from({ length: 100 }, (_, i) => recent.get(String(i))).filter(
    Number.isInteger,
  );
  t.ok(kept.length >= 4 && kept.length <= 10, `${kept.length}`);
  t.equal(kept.at(-1), 99);
  t.equal(recent.get('often'), 99);
  recent.delete('often');
  t.equal(recent.get('often'), undefined);
});

t.test('forgetNetworks() leaves prefixes, and tells nobody', async (t) => {
  const rib = new Rib(ROOM);
  const mac: EntryId = { link: 'br-blue', kind: 'mac', mac: 1 };
  const route = prefix(0x0a000000, 8);
  for (const id of [mac, route]) rib.update('gossip', [{ id, claim: claim(1) }], 0);
  rib.forgetNetworks();
  t.equal(rib.get(mac), undefined);
  t.equal(rib.get(route)?.peer, 1);
  t.same(rib.update('gossip', [{ id: mac, claim: undefined }], 1), []);
  t.equal(rib.status().entries, 1);
});

t.test('match() finds the longest prefix of a link', async (t) => {
  const rib = new Rib(ROOM);
  const ids = [prefix(0x0a000000, 8), prefix(0x0a010000, 16), prefix(0x0a010203, 32, 'other')];
  for (const [i, id] of ids.entries()) rib.update('gossip', [{ id, claim: claim(i + 1) }], 0);
  t.equal(rib.match('fan', 0x0a010203)?.best.peer, 2);
  t.equal(rib.match('fan', 0x0a020203)?.best.peer, 1);
  t.equal(rib.match('other', 0x0a010203)?.best.peer, 3);
  t.equal(rib.match('fan', 0x0b000001), undefined);
});

t.test('a full table and a full share refuse, tell whose, and take in what waits', async (t) => {
  const rib = new Rib({ max: 6, ownerMax: 4 });
  const fill = (owner: string, from: number, count: number): RibChange[] =>
    rib.update(
      'gossip',
      Array.from({ length: count }, (_, i) => {
        return { id: prefix(from + i), claim: claim(1, { owner }) };
      }),
      0,
    );
  t.equal(fill('a', 0, 5).length, 4, 'its share');
  t.equal(fill('b', 100, 4).length, 2, 'the table');
  t.equal(fill('b', 100, 4).length, 0, 'the same once more is no news');
  const { refusals, refused } = rib.status();
  t.same(refusals, [
    { source: 'gossip', owner: 'b', count: 2, cause: 'table' },
    { source: 'gossip', owner: 'a', count: 1, cause: 'share' },
  ]);
  t.equal(refused, 3);
  const moved = rib.update('gossip', [{ id: prefix(0), claim: claim(9, { owner: 'c' }) }], 0);
  t.same(peers(moved), [9], 'who changes owner keeps its place');
  const gone = rib.update('gossip', [{ id: prefix(1), claim: undefined }], 0);
  t.equal(gone.length, 2, 'one leaves, one comes in');
  t.same(rib.update('gossip', [{ id: prefix(103), claim: undefined }], 0).length, 0);
  t.equal(rib.status().refused, 1);
  rib.withdraw('gossip', undefined, 0);
  t.match(rib.status(), { claims: 0, entries: 0, refused: 0, refusals: [] });
});

t.test('an entry that moves too often is held, then told as it is', async (t) => {
  const rib = new Rib(ROOM);
  const id = prefix(7);
  let told = 0;
  for (let i = 0; i < 4 * FLAPS_MAX; i++) {
    const one = i % 2 === 0 ? claim(i + 1) : undefined;
    told += rib.update('gossip', [{ id, claim: one }], i).length;
  }
  t.equal(told, 2 * FLAPS_MAX + 1, 'up to the tenth time that it vanishes');
  t.same(rib.status().held, [id]);
  t.equal(rib.status().holds, 1);
  t.equal(
    rib.update('gossip', [{ id: prefix(8), claim: claim(1) }], 50).length,
    1,
    'only this one',
  );
  const untilMs = rib.nextMs ?? 0;
  t.ok(untilMs > HOLD_MS && untilMs < HOLD_MS + 100);
  t.same(rib.release(untilMs - 1), []);
  rib.update('gossip', [{ id, claim: claim(77) }], untilMs - 1);
  t.same(peers(rib.release(untilMs)), [77]);
  t.equal(rib.nextMs, undefined);
});

/** What the rule says of claims that are all known, computed anew. */
function oracle(said: ReadonlyMap<string, { id: EntryId; best: Best }>): Map<string, Best> {
  const order = ({ source, sequence, peer }: Best, { kind }: EntryId): number[] => [
    { static: 0, local: 1, gossip: 1, bgp: 1, learned: 2, kept: 3 }[source],
    ...(kind === 'prefix' || kind === 'flood' ? [0, 0] : [-sequence, Number(peer)]),
    CLAIM_SOURCES.indexOf(source),
  ];
  const sorted = [...said.values()].sort((a, b) => {
    const [x, y] = [order(a.best, a.id), order(b.best, b.id)];
    return x.map((each, i) => each - (y[i] ?? 0)).find((difference) => difference !== 0) ?? 0;
  });
  const result = new Map<string, Best>();
  for (const { id, best } of sorted) {
    const key = `${id.link} ${id.kind} ${slotOfEntry(id)}`;
    if (!result.has(key)) result.set(key, best);
  }
  return result;
}

function randomId(random: Random): EntryId {
  const link = `fan${random.below(2)}`;
  const n = random.below(12);
  switch (random.below(4)) {
    case 0:
      return { link, kind: 'mac', mac: n + 1 };
    case 1:
      return { link, kind: 'mac+ip', address: n };
    case 2:
      return { link, kind: 'flood', member: n };
    default:
      return { link, kind: 'prefix', address: n << 8, length: 24 + random.below(9) };
  }
}

t.test('whatever comes in whatever order, what was told is what the rule says', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Random(seed);
    const rib = new Rib(ROOM);
    const said = new Map<string, { id: EntryId; best: Best }>();
    const seen = new Map<string, Best>();
    const take = (changes: readonly RibChange[]): void => {
      for (const { id, before, after } of changes) {
        const key = `${id.link} ${id.kind} ${slotOfEntry(id)}`;
        const was = seen.get(key);
        t.same([was?.peer, was?.owner, was?.source], [before?.peer, before?.owner, before?.source]);
        if (after === undefined) seen.delete(key);
        else seen.set(key, after);
      }
    };
    let nowMs = 0;
    for (let step = 0; step < 500; step++) {
      // Slow enough that nothing is held but now and then.
      nowMs += random.below(400);
      const source = CLAIM_SOURCES[random.below(CLAIM_SOURCES.length)] ?? 'gossip';
      const id = randomId(random);
      const key = `${source} ${id.link} ${id.kind} ${slotOfEntry(id)}`;
      if (random.below(50) === 0) {
        for (const [each, { best }] of said) if (best.source === source) said.delete(each);
        take(rib.withdraw(source, undefined, nowMs));
      } else if (random.below(3) === 0) {
        said.delete(key);
        take(rib.update(source, [{ id, claim: undefined }], nowMs));
      } else {
        const one = claim(random.below(5) + 1, { sequence: random.below(4) });
        said.set(key, { id, best: { ...one, source } });
        take(rib.update(source, [{ id, claim: one }], nowMs));
      }
      take(rib.release(nowMs));
    }
    take(rib.release(nowMs + Math.max(HOLD_MS, FREEZE_MS)));
    const wanted = oracle(said);
    const places = (map: ReadonlyMap<string, Best>): string[] =>
      [...map].map(([key, { peer, owner, source }]) => `${key}: ${peer} ${owner} ${source}`).sort();
    t.same(places(seen), places(wanted), `seed ${seed}`);
    t.equal(rib.status().claims, said.size);
    t.equal(rib.status().entries, wanted.size);
  }
});

t.test(
  'a MAC that moves for the fifth time in three minutes is frozen, and goes on later',
  async (t) => {
    const moves = { max: 5, windowMs: MOVES_WINDOW_MS, freezeMs: 60_000 };
    const rib = new Rib(ROOM, moves);
    const id: EntryId = { link: 'net', kind: 'mac', mac: 0x020000000001 };
    let sequence = 0;
    const at = (peer: number, nowMs: number): (UnderlayAddress | undefined)[] =>
      peers(rib.update('gossip', [{ id, claim: claim(peer, { sequence: ++sequence }) }], nowMs));
    t.same(at(1, 0), [1], 'the first place is no move');
    for (let move = 1; move <= 4; move++) t.same(at((move % 2) + 1, move * 1000), [(move % 2) + 1]);
    t.notOk(rib.isHeld(id));
    t.same(at(2, 5000), [], 'the fifth');
    t.ok(rib.isHeld(id));
    t.same(rib.takeHeld(), [id]);
    t.same(rib.status().held, [id]);
    t.equal(rib.get(id)?.peer, 1, 'it stays where it was');
    t.same(at(3, 6000), [], 'nothing more is believed');
    t.equal(rib.nextMs, 65_000);
    t.same(peers(rib.release(65_000)), [3], 'then whatever is true');
    t.notOk(rib.isHeld(id));
    t.same(at(4, 65_100), [4], 'it begins anew');
  },
);

t.test('a MAC that vanishes and comes back where it was has not moved', async (t) => {
  const rib = new Rib(ROOM);
  const id: EntryId = { link: 'net', kind: 'mac', mac: 0x020000000002 };
  for (let round = 0; round < 20; round++) {
    t.same(peers(rib.update('local', [{ id, claim: claim(1) }], round * 1000)), [1]);
    t.same(peers(rib.update('local', [{ id, claim: undefined }], round * 1000 + 500)), [undefined]);
  }
  for (let round = 1; round <= 4; round++) {
    rib.update('gossip', [{ id, claim: claim(round + 1) }], 30_000 + round);
    rib.update('gossip', [{ id, claim: undefined }], 30_000 + round);
  }
  const last = rib.update('gossip', [{ id, claim: claim(9) }], 31_000);
  t.same(peers(last), [9], 'one that is nowhere is told its place');
  t.ok(rib.isHeld(id), 'and stays there: it was the fifth move');
  t.same(peers(rib.update('gossip', [{ id, claim: claim(8) }], 31_001)), []);
});
