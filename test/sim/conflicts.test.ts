import t, { type Test } from 'tap';
import type { ConflictEvent, ConflictView } from '../../src/gossip/base/api.ts';
import { type Announcement, ItemKind } from '../../src/wire/gossip/types.ts';
import { Fabric, type FabricOptions } from './fabric.ts';
import type { Host } from './host.ts';
import { keyOf } from './items.ts';

/** Every node knows of a conflict within this. */
const SEEN_MS = 10_000;
const [FIRST, SECOND] = [3, 7];

/** Nodes of one half, and of the other, do not hear each other. */
const HALVES = (from: number, to: number): boolean => from < 6 !== to < 6;
const isAway = (index: number): boolean => index >= FIRST && index < SECOND;
/** The first of the two is cut off with some others; whom everybody knocks at is on the other side. */
const AWAY = (from: number, to: number): boolean => isAway(from) !== isAway(to);

type Prepare = (first: Host, second: Host) => void;

/** A cluster that has come together; the two hosts are prepared before they start. */
function cluster(options: Partial<FabricOptions>, prepare: Prepare = () => {}): Fabric {
  const fabric = new Fabric({ seed: 21, nodes: 12, ...options });
  prepare(fabric.host(FIRST), fabric.host(SECOND));
  return fabric;
}

/** Hosts that see a conflict of this kind between the two now. */
function seeing(fabric: Fabric, what: ConflictView['what']): Host[] {
  const ids = [FIRST, SECOND].map((index) => fabric.host(index).identity.id).sort();
  return fabric.running.filter(({ node }) =>
    node
      ?.conflicts()
      .some((one) => one.what === what && [one.winner, one.loser].sort().join() === ids.join()),
  );
}

function entriesOf(host: Host, item: Announcement): string[] {
  const entries = host.node?.entries({ kind: item.kind }) ?? [];
  return entries.filter((one) => keyOf(one.item) === keyOf(item)).map(({ owner }) => owner);
}

/** All agree on one owner, which is one of the two. @returns it */
function agreed(t: Test, fabric: Fabric, item: Announcement): string {
  const owners = new Set(fabric.running.map((host) => entriesOf(host, item).join()));
  t.equal(owners.size, 1, `one owner of ${keyOf(item)} on all nodes`);
  const [owner = ''] = owners;
  const both = [FIRST, SECOND].map((index) => fabric.host(index).identity.id);
  t.ok(both.includes(owner), 'and it is one of the two');
  return owner;
}

const mac: Announcement = { kind: ItemKind.Mac, vni: 100, rank: 0, mac: 0x020000000001 };
const workload: Announcement = {
  kind: ItemKind.Prefix,
  vni: 100,
  rank: 0,
  address: 0x0a010203,
  length: 32,
};

for (const [what, item] of [
  ['mac', mac],
  ['prefix', workload],
] as const) {
  t.test(`one ${what} announced on both sides of a partition`, async (t) => {
    const fabric = cluster({});
    const told: ConflictEvent[] = [];
    fabric.watcher = {
      member: () => {},
      entry: () => {},
      conflict: (_host, conflict) => told.push(conflict),
    };
    fabric.startAll(1000);
    fabric.runFor(15_000);
    fabric.cut('halves', HALVES);
    fabric.runFor(30_000);
    for (const index of [FIRST, SECOND]) fabric.host(index).act((node) => node.announce(item));
    fabric.runFor(20_000);
    t.same(told, [], 'nobody can know yet');
    fabric.healAll();
    fabric.runFor(30_000 + SEEN_MS);
    const winner = agreed(t, fabric, item);
    const [lower] = [FIRST, SECOND].map((index) => fabric.host(index).identity.id).sort();
    t.equal(winner, lower, 'the lower id wins');
    const named = told.filter((one) => one.what === what && !one.over);
    t.ok(named.length > 0, 'it was told');
    for (const one of named) t.not(one.loser, one.winner, `${one.winnerName}, ${one.loserName}`);
    const hosts = [FIRST, SECOND].map((index) => fabric.host(index));
    const loser = hosts.find(({ identity }) => identity.id !== winner);
    // When the winner is gone the loser does not take its place by itself.
    const gone = hosts.find(({ identity }) => identity.id === winner);
    if (gone !== undefined) fabric.kill(gone);
    fabric.runFor(40_000);
    for (const host of fabric.running) t.same(entriesOf(host, item), [], `${host.name}: silent`);
    loser?.act((node) => node.announce(item));
    fabric.runFor(5_000);
    for (const host of fabric.running) t.same(entriesOf(host, item), [loser?.identity.id]);
  });
}

t.test('a workload that moves is no conflict', async (t) => {
  const fabric = cluster({});
  let conflicts = 0;
  fabric.watcher = { member: () => {}, entry: () => {}, conflict: () => (conflicts += 1) };
  fabric.startAll(1000);
  fabric.runFor(15_000);
  for (const index of [FIRST, SECOND, FIRST, SECOND]) {
    fabric.host(index).act((node) => node.announce(workload));
    fabric.runFor(3_000);
    const owner = fabric.host(index).identity.id;
    for (const host of fabric.running) t.same(entriesOf(host, workload), [owner], host.name);
  }
  t.equal(conflicts, 0);
});

/** Conflicts between the nodes' own records: seen everywhere in time, with one winner. */
const records: [ConflictView['what'], Prepare][] = [
  [
    'endpoint',
    (first, second) => {
      second.address = first.address;
    },
  ],
  [
    'underlay-address',
    (first, second) => {
      const fan = {
        overlay: { address: 0xfa000000, length: 8 },
        underlay: { address: 0xac100000, length: 16 },
      };
      first.fans = [{ ...fan, local: 0xac100909 }];
      second.fans = [{ ...fan, overlay: { address: 0xfb000000, length: 8 }, local: 0xac100909 }];
    },
  ],
  [
    'fan-slice',
    (first, second) => {
      const fan = { overlay: { address: 0xfa000000, length: 8 }, local: 0xac100909 };
      // The same host bits below two underlay prefixes: the same slice of the overlay.
      first.fans = [{ ...fan, underlay: { address: 0xac100000, length: 16 } }];
      second.fans = [{ ...fan, underlay: { address: 0xac110000, length: 16 }, local: 0xac110909 }];
    },
  ],
];
for (const [what, prepare] of records) {
  t.test(`two nodes with one ${what}`, async (t) => {
    const fabric = cluster({}, prepare);
    for (const host of fabric.hosts) if (host.index !== SECOND) fabric.start(host);
    fabric.runFor(15_000);
    t.same(seeing(fabric, what), [], 'no conflict yet');
    fabric.start(fabric.host(SECOND));
    const isSeen = () => seeing(fabric, what).length === fabric.running.length;
    const tookMs = fabric.runUntil(isSeen, 60_000);
    t.ok(tookMs !== undefined && tookMs <= SEEN_MS, `everywhere after ${tookMs} ms`);
    const winners = new Set(
      fabric.running.flatMap(({ node }) =>
        (node?.conflicts() ?? []).filter((one) => one.what === what).map((one) => one.winner),
      ),
    );
    t.equal(winners.size, 1, 'one winner everywhere');
    fabric.kill(fabric.host(SECOND));
    fabric.runFor(40_000);
    t.same(seeing(fabric, what), [], 'over when one is gone');
  });
}

for (const [what, prepare, cut] of records.flatMap(([what, prepare]) => [
  [what, prepare, HALVES] as const,
  [what, prepare, AWAY] as const,
])) {
  t.test(`two nodes with one ${what}, met when a partition heals`, async (t) => {
    const fabric = cluster({}, prepare);
    for (const host of fabric.hosts) if (host.index !== SECOND) fabric.start(host);
    fabric.runFor(15_000);
    fabric.cut('apart', cut);
    fabric.runFor(30_000);
    fabric.start(fabric.host(SECOND));
    fabric.runFor(20_000);
    t.ok(seeing(fabric, what).length < fabric.running.length, 'not all can know yet');
    fabric.healAll();
    const isSeen = () => seeing(fabric, what).length === fabric.running.length;
    const tookMs = fabric.runUntil(isSeen, 90_000);
    t.ok(tookMs !== undefined && tookMs <= SEEN_MS, `everywhere after ${tookMs} ms`);
    const winners = new Set(
      fabric.running.flatMap(({ node }) =>
        (node?.conflicts() ?? []).filter((one) => one.what === what).map((one) => one.winner),
      ),
    );
    t.equal(winners.size, 1, 'one winner everywhere');
  });
}

t.test('two machines with one key, met when a partition heals', async (t) => {
  const fabric = cluster({ twins: [FIRST, SECOND] });
  for (const host of fabric.hosts) if (host.index !== SECOND) fabric.start(host);
  fabric.runFor(15_000);
  fabric.cut('away', AWAY);
  fabric.runFor(30_000);
  fabric.start(fabric.host(SECOND));
  fabric.runFor(20_000);
  const twins = [FIRST, SECOND].map((index) => fabric.host(index));
  const isSeen = () =>
    twins.some(({ node }) => node?.conflicts().some(({ what }) => what === 'node-id'));
  t.notOk(isSeen(), 'they do not hear of each other');
  fabric.healAll();
  const tookMs = fabric.runUntil(isSeen, 90_000);
  t.ok(tookMs !== undefined && tookMs <= SEEN_MS, `seen after ${tookMs} ms`);
});

t.test('a MAC and an address go to a new node while the old one counts as alive', async (t) => {
  const fabric = cluster({});
  fabric.startAll(1000);
  fabric.runFor(15_000);
  const [old, young] = [FIRST, SECOND].map((index) => fabric.host(index));
  if (old === undefined || young === undefined) throw new Error('two hosts');
  const items = [mac, workload];
  for (const item of items) old.act((node) => node.announce(item));
  fabric.runFor(3_000);
  fabric.kill(old);
  fabric.runFor(500);
  for (const item of items) young.act((node) => node.announce(item));
  const owner = young.identity.id;
  const isTheirs = () =>
    fabric.running.every((host) => items.every((item) => entriesOf(host, item).join() === owner));
  const tookMs = fabric.runUntil(isTheirs, 20_000);
  t.ok(tookMs !== undefined && tookMs <= 2000, `known to all after ${tookMs} ms`);
  // It comes back, and still believes that it has both.
  fabric.start(old);
  for (const item of items) t.same(entriesOf(young, item), [owner]);
  for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 1000) {
    fabric.runFor(1000);
    for (const host of fabric.running) {
      if (host === old) continue;
      for (const item of items) t.same(entriesOf(host, item), [owner], `${host.name}: still there`);
    }
  }
});

t.test('two machines with one key', async (t) => {
  const fabric = cluster({ twins: [FIRST, SECOND] });
  for (const host of fabric.hosts) if (host.index !== SECOND) fabric.start(host);
  fabric.runFor(15_000);
  fabric.start(fabric.host(SECOND));
  const twins = [FIRST, SECOND].map((index) => fabric.host(index));
  const isSeen = () =>
    twins.some(({ node }) => node?.conflicts().some(({ what }) => what === 'node-id'));
  const tookMs = fabric.runUntil(isSeen, 60_000);
  t.ok(tookMs !== undefined && tookMs <= SEEN_MS, `seen after ${tookMs} ms`);
  fabric.runFor(20_000);
  const versionOf = (host: Host) => {
    const member = host.node?.members().find(({ id }) => id === twins[0]?.identity.id);
    return `${member?.epoch}/${member?.sequence}`;
  };
  const others = fabric.running.filter((host) => !twins.includes(host));
  const before = others.map(versionOf);
  fabric.runFor(20_000);
  t.same(others.map(versionOf), before, 'they do not outbid each other for ever');
  const silent = twins.filter(({ node }) =>
    node?.conflicts().some(({ what }) => what === 'node-id'),
  );
  t.ok(silent.length > 0, 'the silent one still says why');
});
