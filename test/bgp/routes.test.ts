import t from 'tap';
import {
  derivedExport,
  formatRd,
  formatTarget,
  importKeys,
  rdsOf,
  targetCommunity,
  targetKey,
} from '../../src/bgp/base/targets.ts';
import { compareClaims, comparePaths } from '../../src/bgp/rib/best-path.ts';
import { type EntryChange, Imports } from '../../src/bgp/rib/imports.ts';
import { PathMaker } from '../../src/bgp/rib/mac-path.ts';
import { meaningOf } from '../../src/bgp/rib/meaning.ts';
import { mayTell, outgoingAttributes } from '../../src/bgp/rib/outgoing.ts';
import { AttributePool, keyOf, type Path, type PathSource } from '../../src/bgp/rib/path.ts';
import { Table } from '../../src/bgp/rib/table.ts';
import { routeJson } from '../../src/control/speakers/bgp/views.ts';
import { parseAdministered } from '../../src/net/administered.ts';
import type { Attributes } from '../../src/wire/bgp/attributes.ts';
import { encodeCommunity } from '../../src/wire/bgp/communities.ts';
import { emitReach } from '../../src/wire/bgp/emit-update.ts';
import { ESI_ZERO, type EvpnRoute } from '../../src/wire/bgp/evpn.ts';
import { PmsiType } from '../../src/wire/bgp/iana.ts';
import { parseUpdate } from '../../src/wire/bgp/update.ts';
import { fromHex, toHex } from '../vectors/hex.ts';
import { type Host, Lab, neighbourSettings, network } from './lab.ts';

const RD = { type: 1, administrator: 0x0a000001, assigned: 2 };
const ROUTE: EvpnRoute = {
  ...{ type: 2, rd: RD, esi: ESI_ZERO, tag: 0, mac: 5, ip: null, label: 100, label2: null },
};

function source(kind: PathSource['kind'], address = '10.0.0.2', identifier = 2): PathSource {
  return { kind, address, identifier };
}

function path(attributes: Attributes, from = source('internal'), more: Partial<Path> = {}): Path {
  const base = { key: '', route: ROUTE, nextHop: 0x0a000001, sinceMs: 0, isStale: false };
  const all = { origin: 0, asPath: [], ...attributes };
  return { ...base, attributes: all, meaning: meaningOf(all), source: from, ...more };
}

const sequence = (...numbers: number[]) => [{ type: 2, numbers }];

t.test('comparePaths() goes by the written order', async (t) => {
  const inside = source('internal');
  const rows: [string, Path, Path][] = [
    ['our own', path({ localPref: 1 }, source('local')), path({ localPref: 900 })],
    ['LOCAL_PREF', path({ localPref: 101, asPath: sequence(1, 2, 3) }), path({})],
    ['AS_PATH', path({ asPath: sequence(1), origin: 2 }), path({ asPath: sequence(1, 2) })],
    [
      'a set is one step',
      path({ asPath: [{ type: 1, numbers: [1, 2, 3] }] }),
      path({ asPath: sequence(1, 2) }),
    ],
    ['ORIGIN', path({ multiExitDisc: 9 }), path({ origin: 1 })],
    [
      'MED',
      path({ asPath: sequence(7), multiExitDisc: 1 }),
      path({ asPath: sequence(7), multiExitDisc: 2 }),
    ],
    ['from outside', path({}, source('external', '10.0.0.9', 9)), path({})],
    ['not stale', path({}, source('internal', '10.0.0.9', 9)), path({}, inside, { isStale: true })],
    [
      'the lower originator',
      path({ originatorId: 1 }, source('internal', '10.0.0.9', 9)),
      path({ originatorId: 2 }),
    ],
    [
      'CLUSTER_LIST',
      path({ originatorId: 1, clusterList: [1] }),
      path({ originatorId: 1, clusterList: [1, 2] }),
    ],
    [
      'the lower address',
      path({}, source('internal', '10.0.0.2')),
      path({}, source('internal', '10.0.0.3')),
    ],
  ];
  for (const [what, better, worse] of rows) {
    t.ok(comparePaths(better, worse) < 0, what);
    t.ok(comparePaths(worse, better) > 0, `${what}, the other way`);
  }
  const med = [
    path({ asPath: sequence(7), multiExitDisc: 2 }),
    path({ asPath: sequence(8), multiExitDisc: 1 }),
  ] as const;
  t.equal(comparePaths(...med), 0, 'MEDs of two AS are not compared');
});

t.test('compareClaims() goes by RFC 7432 §15', async (t) => {
  const moved = (sequence: number, sticky = false): Attributes => ({
    extended: [encodeCommunity({ kind: 'mac-mobility', sequence, sticky })],
  });
  const rows: [string, Path, Path][] = [
    ['sticky', path(moved(0, true)), path(moved(9))],
    ['the higher sequence', path(moved(2)), path(moved(1))],
    ['none is 0', path(moved(1)), path({ localPref: 900 })],
    ['the lower endpoint', path({}), path({}, source('internal'), { nextHop: 0x0a000002 })],
    ['IPv4 before IPv6', path({}), path({}, source('internal'), { nextHop: new Uint8Array(16) })],
  ];
  for (const [what, better, worse] of rows) {
    t.ok(compareClaims(better, worse) < 0, what);
    t.ok(compareClaims(worse, better) > 0, `${what}, the other way`);
  }
});

t.test('a path of a MAC is what was told, and shares what others have too', async (t) => {
  const maker = new PathMaker();
  const { attributes, meaning, nextHop, source: from } = path({});
  const origin = maker.originOf({ attributes, meaning, nextHop, source: from });
  t.equal(maker.originOf({ ...origin }), origin);
  t.not(maker.originOf({ ...origin, nextHop: 2 }), origin);
  const six = Uint8Array.from({ length: 16 }, (_, i) => 255 - i);
  for (const more of [
    {},
    { mac: 0xffff_ffff_ffff, tag: 0xffff_ffff, ip: 0xffff_ffff },
    { mac: 0x1_0000_0000, ip: six, label: 0xff_ffff, label2: 7 },
    { ip: 0, rd: { type: 2, administrator: 0xffff_fffe, assigned: 0xffff } },
    { esi: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), rd: { ...RD, type: 0 } },
  ] as const) {
    const route = { ...ROUTE, ...more };
    const made = maker.make(keyOf(route), route, origin, 9);
    t.same(made.route, route);
    t.equal(keyOf(made.route), made.key);
    t.match(made, { attributes, meaning, nextHop, source: from, sinceMs: 9, isStale: false });
  }
  const prefix: EvpnRoute = {
    ...{ type: 5, rd: RD, esi: ESI_ZERO, tag: 0, length: 8, prefix: 0x0a00_0000 },
    ...{ gateway: 0, label: 1 },
  };
  t.equal(maker.make(keyOf(prefix), prefix, origin, 9).route, prefix);
});

t.test('keyOf() knows a route by its key and not by its particulars', async (t) => {
  const other = { ...ROUTE, esi: new Uint8Array(10).fill(1), label: 7, label2: 9 };
  t.equal(keyOf(ROUTE), keyOf(other));
  t.not(keyOf(ROUTE), keyOf({ ...ROUTE, ip: 1 }));
  t.not(keyOf(ROUTE), keyOf({ ...ROUTE, tag: 1 }));
  t.not(keyOf(ROUTE), keyOf({ ...ROUTE, rd: { ...RD, assigned: 3 } }));
  const pool = new AttributePool();
  const set = pool.intern({ origin: 0, asPath: [] });
  t.equal(pool.intern({ origin: 0, asPath: [] }), set);
  t.not(pool.intern({ origin: 1, asPath: [] }), set);
});

t.test('a table tells when the best path of a route is another one', async (t) => {
  const table = new Table();
  const told: string[] = [];
  table.listen(({ best }) => told.push(best?.source.address ?? 'none'));
  const [two, three] = [source('internal', 'two'), source('internal', 'three')];
  t.equal(table.set('k', two, path({}, two)), false);
  table.set('k', three, path({ localPref: 50 }, three));
  t.equal(table.set('k', three, path({ localPref: 200 }, three)), true);
  table.set('k', three, undefined);
  t.equal(table.set('k', three, undefined), false);
  table.set('k', two, undefined);
  t.same(told, ['two', 'three', 'two', 'none']);
  t.equal(table.size, 0);
});

t.test('what goes out is what may, and says who passed it on', async (t) => {
  const inside = source('internal', 'a');
  const outside = source('external', 'b');
  const learned = path(
    {
      ...{
        asPath: sequence(7),
        localPref: 50,
        multiExitDisc: 4,
        originatorId: 1,
        clusterList: [2],
      },
      extended: [
        { high: 0x0002_0001, low: 5 },
        { high: 0x4300_0000, low: 0 },
      ],
      opaque: [
        { code: 200, flags: 0xc0, value: Uint8Array.of(1) },
        { code: 32, flags: 0xc0, value: new Uint8Array(12) },
        { code: 26, flags: 0x80, value: Uint8Array.of(1, 0, 3) },
      ],
    },
    outside,
  );
  t.same(outgoingAttributes(learned, 'external', 9), {
    ...{ origin: 0, asPath: sequence(9, 7), extended: [{ high: 0x0002_0001, low: 5 }] },
    opaque: [
      { code: 200, flags: 0xe0, value: Uint8Array.of(1) },
      { code: 32, flags: 0xc0, value: new Uint8Array(12) },
    ],
  });
  t.match(outgoingAttributes(learned, 'internal', 9), {
    asPath: sequence(7),
    localPref: 50,
    multiExitDisc: 4,
  });
  t.same(outgoingAttributes(path({}, source('local')), 'internal', 9), {
    origin: 0,
    asPath: [],
    localPref: 100,
  });
  t.same(outgoingAttributes(path({}, source('local')), 'external', 9), {
    origin: 0,
    asPath: sequence(9),
  });
  t.equal(mayTell(learned, inside, true), true);
  t.equal(mayTell(learned, inside, false), false, 'only where transit is asked for');
  t.equal(mayTell(learned, outside, true), false, 'not back');
  t.equal(mayTell(path({}, source('internal', 'c')), inside, true), false, 'we reflect nothing');
  t.equal(mayTell(path({ communities: [0xffffff02] }, outside), inside, true), false);
  t.equal(mayTell(path({ communities: [0xffffff01] }, outside), inside, true), true);
  t.equal(mayTell(path({ communities: [0xffffff01] }, inside), outside, true), false);
});

t.test('newer RFCs: read without harm, shown, passed on', async (t) => {
  const rd = '0001 0a000001 0064';
  const extended = [
    ['0002 fde8 00000064', 'RT:65000:100'],
    // RFC 9746: the type of split horizon stands in the flags.
    ['0601 42 0000 0003e8', 'ESI-label:1000'],
    // RFC 9785: DF election by the highest preference.
    ['0606 0200 0000 7fff', 'UNK:0606020000007fff'],
    // RFC 9251: IGMP and MLD are proxied.
    ['0609 0003 00000000', 'UNK:0609000300000000'],
  ] as const;
  const communities = extended.map(([hex]) => hex.replaceAll(' ', '')).join('');
  // RFC 9574: assisted replication, its role in the flags, tunnel type 10.
  const pmsi = '08 0a 000064 0a000009';
  const nlri = [
    `03 11 ${rd} 00000000 20 0a000001`,
    // RFC 9574's Leaf A-D (type 11) and RFC 9251's SMET (type 6).
    `0b 08 ${'11'.repeat(8)}`,
    `06 09 ${'22'.repeat(9)}`,
  ].join(' ');
  const reach = `0019 46 04 0a000001 00 ${nlri}`.replaceAll(' ', '');
  const attribute = (flags: string, code: number, value: string): string => {
    const bytes = value.replaceAll(' ', '');
    const hex = (number: number) => number.toString(16).padStart(2, '0');
    return `${flags}${hex(code)}${hex(bytes.length / 2)}${bytes}`;
  };
  const list = [
    ...[attribute('80', 14, reach), attribute('40', 1, '00')],
    ...[attribute('40', 2, '02 01 0000fde9'), attribute('c0', 16, communities)],
    ...[attribute('c0', 22, pmsi), attribute('c0', 200, '0102')],
  ].join('');
  const length = (list.length / 2).toString(16).padStart(4, '0');
  const external = { as4: true, internal: false };
  const update = parseUpdate(fromHex(`0000 ${length} ${list}`), external);
  t.same([update.faults, update.reach.length, update.passedBy], [[], 1, 2]);

  const [route = ROUTE] = update.reach;
  const from = source('external');
  const learned = path(update.attributes, from, { route, key: keyOf(route) });
  const shown = routeJson(learned, true, 0).communities;
  t.same(
    shown,
    extended.map(([, text]) => text),
  );
  const imports = new Imports([{ address: 0, length: 0 }], () => t.fail('it is of no use here'));
  imports.addNetwork(network(100));
  imports.change({ key: learned.key, best: learned, before: undefined });
  t.equal(imports.counters.unusable, 1, 'whoever floods otherwise is not flooded to');

  const out = outgoingAttributes(learned, 'external', 65002);
  const [body = new Uint8Array()] = emitReach(out, 0x0a000001, [route], external);
  const hex = toHex(body);
  t.match(hex, attribute('c0', 16, communities), 'communities as they came');
  t.match(hex, attribute('c0', 22, pmsi), 'and the tunnel');
  t.match(hex, attribute('e0', 200, '0102'), 'what nobody here knows is marked as partial');
});

t.test('route targets, written and compared', async (t) => {
  for (const text of [
    '65000:100',
    '65000:4294967295',
    '4200000001:100',
    '10.0.0.1:7',
    '*:16777215',
  ]) {
    const target = parseAdministered(text);
    t.equal(target && formatTarget(target), text);
  }
  for (const text of [
    '',
    '1',
    '1:',
    ':1',
    '1:2:3',
    'x:1',
    '65536:65536',
    '10.0.0.1:65536',
    '*:16777216',
    '10.0.0:1',
    '01:1',
    '4294967296:1',
  ]) {
    t.equal(parseAdministered(text), undefined, JSON.stringify(text));
  }
  const community = targetCommunity(derivedExport(4200000001, 100));
  t.same(community, { high: 0x0002_ea01, low: 100 }, 'the lower half of the AS, as FRR has it');
  const wild = parseAdministered('*:100');
  t.ok(wild && importKeys(community).includes(targetKey(wild)));
  t.ok(
    wild && importKeys({ high: 0x0002_0001, low: 0x1000_0064 }).includes(targetKey(wild)),
    'RFC 8365 §5.1.2.1',
  );
  t.same(importKeys({ high: 0x030c_0000, low: 8 }), []);
  const routerId = 0x0a000001;
  const given = { type: 1, administrator: routerId, assigned: 100 };
  const others = { type: 0, administrator: 65000, assigned: 65534 };
  const rds = rdsOf(
    [
      { vni: 70000, rd: undefined },
      { vni: 100, rd: undefined },
      { vni: 65535, rd: undefined },
      { vni: 9, rd: given },
      { vni: 10, rd: others },
    ],
    routerId,
  );
  t.same([...rds].map(([vni, rd]) => `${vni} ${formatRd(rd)}`).sort(), [
    '10 65000:65534',
    '100 10.0.0.1:65535',
    '65535 10.0.0.1:65534',
    '70000 10.0.0.1:65533',
    '9 10.0.0.1:100',
  ]);
  t.equal(formatRd(RD), '10.0.0.1:2');
  t.equal(formatRd({ type: 0, administrator: 65000, assigned: 70000 }), '65000:70000');
});

/** a - b - c, each in an AS of its own, the middle one passing on. */
function chain(transit: boolean): [Lab, Host, Host, Host] {
  const lab = new Lab();
  const policy = { import: 'all', export: 'all' } as const;
  const near = (address: string, as: number) => neighbourSettings({ address, as, ...policy });
  const a = lab.add('10.0.0.1', { as: 65001, neighbours: [near('10.0.0.2', 65002)] });
  const b = lab.add('10.0.0.2', {
    ...{ as: 65002, transit, neighbours: [near('10.0.0.1', 65001), near('10.0.0.3', 65003)] },
  });
  const c = lab.add('10.0.0.3', { as: 65003, neighbours: [near('10.0.0.2', 65002)] });
  for (const { speaker } of [a, b, c]) {
    speaker.setNetworks([network(100)]);
    speaker.start();
  }
  lab.run(10_000);
  return [lab, a, b, c];
}

t.test('routes pass through an AS that lets them, with the next hop they had', async (t) => {
  for (const transit of [true, false]) {
    const [lab, a, b, c] = chain(transit);
    a.speaker.announce({ kind: 'flood', vni: 100 });
    lab.run(1000);
    t.equal(b.speaker.imports.size, 1);
    t.equal(c.speaker.imports.size, transit ? 1 : 0);
    t.equal(a.speaker.table.size, 1, 'and do not come back');
    if (transit) t.match(c.changes, [{ to: { vtep: 0x0a000001 } }]);
  }
});

t.test('several claims to one entry, in any order, and each taken back', async (t) => {
  const changes: string[] = [];
  const imports = new Imports([{ address: 0, length: 0 }], ({ to }) =>
    changes.push(to === undefined ? 'none' : `${to.vtep} ${to.sequence}`),
  );
  imports.addNetwork(network(100));
  const target = targetCommunity(derivedExport(65000, 100));
  const claim = (rd: number, sequence: number): Path => {
    const extended = [target, encodeCommunity({ kind: 'mac-mobility', sequence, sticky: false })];
    const route = { ...ROUTE, rd: { ...RD, assigned: rd } };
    return path({ extended }, source('internal'), { route, key: keyOf(route), nextHop: rd });
  };
  const tell = (best: Path | undefined, before: Path | undefined) =>
    imports.change({ key: best?.key ?? before?.key ?? '', best, before });
  const [one, two, three] = [claim(1, 5), claim(2, 6), claim(3, 4)];
  for (const each of [one, two, three]) tell(each, undefined);
  t.equal(imports.size, 1);
  const weaker = claim(2, 1);
  tell(weaker, two);
  tell(undefined, one);
  tell(undefined, three);
  tell(undefined, weaker);
  tell(undefined, weaker);
  t.same(changes, ['1 5', '2 6', '1 5', '3 4', '2 1', 'none']);
  t.equal(imports.size, 0);
  t.same([...imports.entries()], []);
});

t.test('two claims to one MAC: the one that moved last, then the other again', async (t) => {
  const lab = new Lab();
  const near = (address: string) => neighbourSettings({ address });
  const make = (address: string, ...others: string[]): Host => {
    const host = lab.add(address, { neighbours: others.map(near) });
    host.speaker.setNetworks([network(100)]);
    host.speaker.start();
    return host;
  };
  const a = make('10.0.0.1', '10.0.0.3');
  const b = make('10.0.0.2', '10.0.0.3');
  const c = make('10.0.0.3', '10.0.0.1', '10.0.0.2');
  lab.run(10_000);
  const claim = {
    kind: 'mac',
    vni: 100,
    mac: 6,
    ip: 0x01020304,
    sticky: false,
    gateway: false,
  } as const;
  a.speaker.announce({ ...claim, sequence: 0 });
  lab.run(100);
  b.speaker.announce({ ...claim, sequence: 1 });
  lab.run(100);
  a.speaker.announce({ ...claim, sequence: 1 });
  lab.run(100);
  const places = c.changes.filter(({ entry }) => entry.kind === 'mac').map(({ to }) => to?.vtep);
  t.same(places, [0x0a000001, 0x0a000002, 0x0a000001], 'equal sequences: the lower endpoint');
  a.speaker.withdraw({ ...claim, sequence: 1 });
  lab.run(100);
  t.match(c.changes.at(-1), { entry: { kind: 'address' }, to: { vtep: 0x0a000002, sequence: 1 } });
});

t.test('a route under label 0 is shown and not used', async (t) => {
  const changes: EntryChange[] = [];
  const imports = new Imports([{ address: 0, length: 0 }], (change) => changes.push(change));
  imports.addNetwork(network(100));
  const extended = [targetCommunity(derivedExport(65000, 100))];
  const pmsi = { flags: 0, type: PmsiType.IngressReplication, label: 0, id: 9 };
  const prefix = { tag: 0, esi: ESI_ZERO, length: 24, prefix: 0x0a00_0100, gateway: 0 };
  const routes: [EvpnRoute, Attributes][] = [
    [{ ...ROUTE, label: 0 }, { extended }],
    [{ type: 5, rd: RD, label: 0, ...prefix }, { extended }],
    [
      { type: 3, rd: RD, tag: 0, originator: 9 },
      { extended, pmsi },
    ],
  ];
  const take = ([route, attributes]: [EvpnRoute, Attributes]): void => {
    const best = path(attributes, source('internal'), { route, key: keyOf(route) });
    imports.change({ key: best.key, best, before: undefined });
  };
  for (const each of routes) take(each);
  t.same([changes, imports.counters.unusable], [[], 3]);
  take([{ type: 1, rd: RD, label: 0, tag: 0, esi: ESI_ZERO }, { extended }]);
  t.equal(imports.counters.unusable, 3, 'an Ethernet segment has none, and claims nothing');
  take([ROUTE, { extended }]);
  t.match(changes, [{ to: { label: 100 } }]);
});

t.test('networks come and go while routes stay', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair();
  const target = parseAdministered('65000:100');
  for (const { speaker } of [a, b]) speaker.start();
  a.speaker.announce({ kind: 'flood', vni: 100 });
  lab.run(5000);
  t.equal(b.changes.length, 1);
  b.speaker.setNetworks([network(200)]);
  t.match(b.changes.slice(1), [{ entry: { vni: 100 }, to: undefined }]);
  b.speaker.setNetworks([network(200), { ...network(300), importTargets: target ? [target] : [] }]);
  t.match(
    b.changes.slice(2),
    [{ entry: { kind: 'flood', vni: 300 }, to: { label: 100 } }],
    'the label decides what is sent',
  );
  t.equal(b.changes.length, 3);
  const { noNetwork } = b.speaker.imports.counters;
  b.speaker.setNetworks(b.speaker.networks);
  t.equal(b.changes.length, 3, 'the same networks change nothing');
  t.equal(b.speaker.imports.counters.noNetwork, noNetwork, 'and nothing is counted twice');
  a.speaker.setNetworks([]);
  lab.run(100);
  t.match(
    b.changes.slice(3),
    [{ entry: { vni: 300 }, to: undefined }],
    'ours go with their network',
  );
});
