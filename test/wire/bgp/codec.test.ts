import t from 'tap';
import type { Ip } from '../../../src/wire/bgp/address.ts';
import { asPathLength, mergeAsPaths, prependAs } from '../../../src/wire/bgp/as-path.ts';
import type { Attributes } from '../../../src/wire/bgp/attributes.ts';
import { ByteReader, Writer } from '../../../src/wire/bgp/bytes.ts';
import {
  type Community,
  decodeCommunity,
  encodeCommunity,
} from '../../../src/wire/bgp/communities.ts';
import { emitReach, emitUnreach } from '../../../src/wire/bgp/emit-update.ts';
import {
  ESI_ZERO,
  type EvpnRoute,
  readEvpnRoutes,
  writeEvpnRoute,
} from '../../../src/wire/bgp/evpn.ts';
import { MessageType } from '../../../src/wire/bgp/iana.ts';
import {
  describeNotification,
  emitMessage,
  emitNotification,
  emitRouteRefresh,
  hardReset,
  KEEPALIVE,
  MessageReader,
  parseNotification,
  parseRouteRefresh,
} from '../../../src/wire/bgp/message.ts';
import { asOf, emitOpen, type Open, parseOpen } from '../../../src/wire/bgp/open.ts';
import { parseUpdate } from '../../../src/wire/bgp/update.ts';
import { fromHex, toHex } from '../../vectors/hex.ts';

const RD = { type: 1, administrator: 0x0a000001, assigned: 2 };
const RD_HEX = '0001 0a000001 0002';
const ESI = fromHex('00 01020304050607 0809');
const ESI_HEX = '00 01020304050607 0809';
const ZERO_ESI = '00'.repeat(10);
const V6 = fromHex('fd000000 00000000 00000000 00000001');
const V6_HEX = 'fd000000 00000000 00000000 00000001';
const NONE6 = new Uint8Array(16);

/** What it shows, the route, the NLRI. */
const ROUTES: readonly (readonly [string, EvpnRoute, string])[] = [
  [
    'type 1',
    { type: 1, rd: RD, esi: ESI, tag: 0xffffffff, label: 100 },
    `01 19 ${RD_HEX} ${ESI_HEX} ffffffff 000064`,
  ],
  [
    'type 2, MAC only',
    {
      type: 2,
      rd: RD,
      esi: ESI_ZERO,
      tag: 0,
      mac: 0x02fa00000001,
      ip: null,
      label: 100,
      label2: null,
    },
    `02 21 ${RD_HEX} ${ZERO_ESI} 00000000 30 02fa00000001 00 000064`,
  ],
  [
    'type 2 with IPv4',
    {
      ...{ type: 2, rd: RD, esi: ESI, tag: 7, mac: 0xfefa00000001, ip: 0xfa001c02 },
      ...{ label: 0xffffff, label2: null },
    },
    `02 25 ${RD_HEX} ${ESI_HEX} 00000007 30 fefa00000001 20 fa001c02 ffffff`,
  ],
  [
    'type 2 with IPv4 and the label of its layer-3 network',
    { type: 2, rd: RD, esi: ESI_ZERO, tag: 0, mac: 1, ip: 0x0a000001, label: 100, label2: 4000 },
    `02 28 ${RD_HEX} ${ZERO_ESI} 00000000 30 000000000001 20 0a000001 000064 000fa0`,
  ],
  [
    'type 2 with IPv6',
    { type: 2, rd: RD, esi: ESI_ZERO, tag: 0, mac: 1, ip: V6, label: 100, label2: null },
    `02 31 ${RD_HEX} ${ZERO_ESI} 00000000 30 000000000001 80 ${V6_HEX} 000064`,
  ],
  [
    'type 2 with IPv6 and two labels',
    { type: 2, rd: RD, esi: ESI_ZERO, tag: 0, mac: 1, ip: V6, label: 100, label2: 4000 },
    `02 34 ${RD_HEX} ${ZERO_ESI} 00000000 30 000000000001 80 ${V6_HEX} 000064 000fa0`,
  ],
  [
    'type 3',
    {
      type: 3,
      rd: { type: 0, administrator: 65000, assigned: 100 },
      tag: 0,
      originator: 0x0a000001,
    },
    '03 11 0000 fde8 00000064 00000000 20 0a000001',
  ],
  [
    'type 3 with IPv6, AS of four octets',
    { type: 3, rd: { type: 2, administrator: 4200000001, assigned: 9 }, tag: 1, originator: V6 },
    `03 1d 0002 fa56ea01 0009 00000001 80 ${V6_HEX}`,
  ],
  [
    'type 4',
    { type: 4, rd: RD, esi: ESI, originator: 0x0a000001 },
    `04 17 ${RD_HEX} ${ESI_HEX} 20 0a000001`,
  ],
  [
    'type 4 with IPv6',
    { type: 4, rd: RD, esi: ESI, originator: V6 },
    `04 23 ${RD_HEX} ${ESI_HEX} 80 ${V6_HEX}`,
  ],
  [
    'type 5',
    {
      ...{ type: 5, rd: RD, esi: ESI_ZERO, tag: 0, length: 24, prefix: 0xfa001c00, gateway: 0 },
      label: 0xfa0000,
    },
    `05 22 ${RD_HEX} ${ZERO_ESI} 00000000 18 fa001c00 00000000 fa0000`,
  ],
  [
    'type 5, all addresses, with a gateway',
    { type: 5, rd: RD, esi: ESI_ZERO, tag: 3, length: 0, prefix: 0, gateway: 0x0a000009, label: 1 },
    `05 22 ${RD_HEX} ${ZERO_ESI} 00000003 00 00000000 0a000009 000001`,
  ],
  [
    'type 5 with IPv6',
    { type: 5, rd: RD, esi: ESI_ZERO, tag: 0, length: 128, prefix: V6, gateway: NONE6, label: 1 },
    `05 3a ${RD_HEX} ${ZERO_ESI} 00000000 80 ${V6_HEX} ${'00'.repeat(16)} 000001`,
  ],
  [
    'a distinguisher of a type to come',
    { type: 3, rd: { type: 9, administrator: 1, assigned: 2 }, tag: 0, originator: 1 },
    '03 11 0009 00000001 0002 00000000 20 00000001',
  ],
];

t.test('readEvpnRoutes() and writeEvpnRoute() are each other’s inverse', async (t) => {
  for (const [what, route, hex] of ROUTES) {
    const writer = new Writer();
    writeEvpnRoute(writer, route);
    t.equal(toHex(writer.finish()), hex.replace(/ /g, ''), `${what}: written`);
    t.same(readEvpnRoutes(new ByteReader(fromHex(hex))), { routes: [route], skipped: 0 }, what);
  }
  const all = fromHex(`${ROUTES.map(([, , hex]) => hex).join('')}0b 02 000000 00`);
  t.same(readEvpnRoutes(new ByteReader(all)), {
    routes: ROUTES.map(([, route]) => route),
    skipped: 2,
  });
});

t.test('bits behind a prefix are not kept', async (t) => {
  const hex = `05 22 ${RD_HEX} ${ZERO_ESI} 00000000 0c fafffff1 00000000 000001`;
  t.match(readEvpnRoutes(new ByteReader(fromHex(hex))).routes, [
    { length: 12, prefix: 0xfaf00000 },
  ]);
  const hex6 = `05 3a ${RD_HEX} ${ZERO_ESI} 00000000 0c ${'ff'.repeat(16)} ${'00'.repeat(16)} 000001`;
  const [route] = readEvpnRoutes(new ByteReader(fromHex(hex6))).routes;
  t.equal(route?.type === 5 && toHex(route.prefix as Uint8Array), `fff0${'00'.repeat(14)}`);
});

const COMMUNITIES: readonly (readonly [Community, string])[] = [
  [{ kind: 'route-target', form: 0, administrator: 65000, assigned: 100 }, '0002 fde8 00000064'],
  [{ kind: 'route-target', form: 1, administrator: 0x0a000001, assigned: 7 }, '0102 0a000001 0007'],
  [{ kind: 'route-target', form: 2, administrator: 4200000001, assigned: 7 }, '0202 fa56ea01 0007'],
  [{ kind: 'route-origin', form: 0, administrator: 1, assigned: 0xffffffff }, '0003 0001 ffffffff'],
  [
    { kind: 'route-origin', form: 2, administrator: 0xffffffff, assigned: 65535 },
    '0203 ffffffff ffff',
  ],
  [{ kind: 'encapsulation', tunnelType: 8 }, '030c 00000000 0008'],
  [{ kind: 'default-gateway' }, '030d 000000000000'],
  [{ kind: 'color', color: 5 }, '030b 0000 00000005'],
  [{ kind: 'mac-mobility', sticky: false, sequence: 0xffffffff }, '0600 00 00 ffffffff'],
  [{ kind: 'mac-mobility', sticky: true, sequence: 0 }, '0600 01 00 00000000'],
  [{ kind: 'esi-label', singleActive: true, label: 0x10001 }, '0601 01 0000 010001'],
  [{ kind: 'esi-label', singleActive: false, label: 3 }, '0601 00 0000 000003'],
  [{ kind: 'es-import', mac: 0xfffefdfcfbfa }, '0602 fffefdfcfbfa'],
  [{ kind: 'router-mac', mac: 0x0242fa001c01 }, '0603 0242fa001c01'],
  [{ kind: 'arp-nd', flags: 3 }, '0608 03 0000000000'],
  [
    { kind: 'unknown', type: 0x43, subType: 0x55, raw: { high: 0x43550102, low: 0x03040506 } },
    '4355 010203040506',
  ],
];

t.test('decodeCommunity() and encodeCommunity() are each other’s inverse', async (t) => {
  for (const [community, hex] of COMMUNITIES) {
    const raw = encodeCommunity(community);
    const text = new Writer().u32(raw.high).u32(raw.low).finish();
    t.equal(toHex(text), hex.replace(/ /g, ''), community.kind);
    t.same(decodeCommunity(raw), community);
  }
});

const PATH = [{ type: 2, numbers: [65001, 4200000001] }];
const BASE = { origin: 0, asPath: [], localPref: 100 } satisfies Attributes;
const MANDATORY = '40 01 01 00  40 02 00  40 05 04 00000064';
const ROUTE = ROUTES[6]?.[1] as EvpnRoute;
const ROUTE_HEX = ROUTES[6]?.[2] ?? '';
const REACH = `80 0e 1c 0019 46 04 0a000001 00 ${ROUTE_HEX}`;

/** One attribute more than the mandatory ones: value and its bytes, placed by its code. */
const ATTRIBUTES: readonly (readonly [string, Attributes, string, string])[] = [
  ['MULTI_EXIT_DISC', { multiExitDisc: 7 }, '80 04 04 00000007', 'before LOCAL_PREF'],
  ['ATOMIC_AGGREGATE', { atomicAggregate: true }, '40 06 00', ''],
  ['AGGREGATOR', { aggregator: { as: 4200000001, address: 1 } }, 'c0 07 08 fa56ea01 00000001', ''],
  ['COMMUNITIES', { communities: [0xffffff02, 1] }, 'c0 08 08 ffffff02 00000001', ''],
  ['ORIGINATOR_ID', { originatorId: 0x0a000009 }, '80 09 04 0a000009', ''],
  ['CLUSTER_LIST', { clusterList: [1, 2] }, '80 0a 08 00000001 00000002', ''],
  [
    'EXTENDED_COMMUNITIES',
    { extended: [{ high: 0x0002fde8, low: 100 }] },
    'c0 10 08 0002fde8 00000064',
    '',
  ],
  [
    'PMSI_TUNNEL',
    { pmsi: { flags: 0, type: 6, label: 100, id: 0x0a000001 } },
    'c0 16 09 00 06 000064 0a000001',
    '',
  ],
  [
    'PMSI_TUNNEL to IPv6',
    { pmsi: { flags: 1, type: 6, label: 100, id: V6 } },
    `c0 16 15 01 06 000064 ${V6_HEX}`,
    '',
  ],
  [
    'PMSI_TUNNEL of assisted replication (RFC 9574)',
    { pmsi: { flags: 0x28, type: 10, label: 100, id: fromHex('0a000001 0a000002') } },
    'c0 16 0d 28 0a 000064 0a000001 0a000002',
    '',
  ],
  ...(
    [
      ['TUNNEL_ENCAP', 23, 0xc0, '0008 0002 0101'],
      ['IPV6_EXTENDED_COMMUNITIES', 25, 0xc0, '00'.repeat(20)],
      ['AIGP', 26, 0x80, '01 000b 0000000000000005'],
      ['LARGE_COMMUNITIES', 32, 0xc0, '00000001 00000002 00000003'],
      ['OTC', 35, 0xc0, '0000fde8'],
      ['PREFIX_SID', 40, 0xc0, '01 0007 00000000000000'],
      ['an attribute to come, passed on by others', 211, 0xe0, 'cafe'],
    ] as const
  ).map(([what, code, flags, hex]): [string, Attributes, string, string] => {
    const value = fromHex(hex);
    const head = new Writer().u8(flags).u8(code).u8(value.length).finish();
    return [what, { opaque: [{ code, flags, value }] }, toHex(head) + hex, ''];
  }),
];

const INTERNAL = { as4: true, internal: true };

t.test('parseUpdate() reads what emitReach() writes, attribute by attribute', async (t) => {
  for (const [what, more, hex, place] of ATTRIBUTES) {
    const list = place === '' ? `${MANDATORY} ${hex}` : MANDATORY.replace('40 05', `${hex} 40 05`);
    const body = fromHex(`${REACH} ${list}`);
    const whole = new Writer().u16(0).u16(body.length).bytes(body).finish();
    const attributes: Attributes = { ...BASE, ...more };
    t.equal(
      toHex(emitReach(attributes, 0x0a000001, [ROUTE], INTERNAL)[0] ?? body),
      toHex(whole),
      what,
    );
    t.same(parseUpdate(whole, INTERNAL), {
      ...{ attributes, nextHop: 0x0a000001, reach: [ROUTE], unreach: [], faults: [] },
      ...{ isEndOfRib: false, passedBy: 0 },
    });
  }
});

t.test('what another AS may not say is not sent to it, nor taken from it', async (t) => {
  const external = { as4: true, internal: false };
  const attributes: Attributes = { ...BASE, asPath: PATH, originatorId: 1, clusterList: [2] };
  const [outside] = emitReach(attributes, V6, [ROUTE], external);
  const read = parseUpdate(outside ?? new Uint8Array(), external);
  t.same(read.attributes, { origin: 0, asPath: PATH });
  t.same(read.nextHop, V6);
  const [inside] = emitReach(attributes, V6, [ROUTE], INTERNAL);
  const heard = parseUpdate(inside ?? new Uint8Array(), external);
  t.same(heard.attributes, { origin: 0, asPath: PATH });
  t.same(
    heard.faults.map(({ attribute }) => attribute),
    [5, 9, 10],
  );
  t.equal(heard.reach.length, 1);
});

t.test('AS numbers of four octets pass through a speaker of two', async (t) => {
  const old = { as4: false, internal: true };
  const aggregator = { as: 4200000001, address: 9 };
  const attributes: Attributes = { ...BASE, asPath: PATH, aggregator };
  const [body = new Uint8Array()] = emitReach(attributes, 1, [ROUTE], old);
  t.match(toHex(body), /4002060202fde95ba0/, 'AS_TRANS in AS_PATH');
  t.same(parseUpdate(body, old).attributes, attributes);
  const sequence = (...numbers: number[]) => ({ type: 2, numbers });
  const set = (...numbers: number[]) => ({ type: 1, numbers });
  const merged: [Parameters<typeof mergeAsPaths>, unknown][] = [
    [[[sequence(1, 2, 23456)], [sequence(70000)]], [sequence(1, 2, 70000)]],
    [[[sequence(1)], [sequence(70000, 70001)]], [sequence(1)]],
    [
      [[sequence(1), set(2, 3)], [set(70000)]],
      [sequence(1), set(70000)],
    ],
    [
      [[set(1, 2), sequence(3, 4)], [sequence(70000)]],
      [set(1, 2), sequence(3, 70000)],
    ],
    [[[], []], []],
  ];
  for (const [given, wanted] of merged) t.same(mergeAsPaths(...given), wanted);
  t.equal(asPathLength([sequence(1, 2), set(3, 4)]), 3);
  t.same(prependAs([set(1)], 9), [sequence(9), set(1)]);
  t.same(prependAs([sequence(1)], 9), [sequence(9, 1)]);
  const full = sequence(...Array.from({ length: 255 }, (_, index) => index));
  t.same(prependAs([full], 9), [sequence(9), full]);
});

t.test('routes are packed into as few messages as they need', async (t) => {
  const routes = Array.from(
    { length: 1000 },
    (_, index): EvpnRoute => ({
      ...{ type: 2, rd: RD, esi: ESI_ZERO, tag: 0, mac: index, ip: index, label: 1, label2: null },
    }),
  );
  const bodies = emitReach({ ...BASE, extended: [{ high: 2, low: 3 }] }, 1, routes, INTERNAL);
  t.equal(bodies.length, 10);
  t.ok(bodies.every((body) => body.length <= 4077));
  t.same(
    bodies.flatMap((body) => parseUpdate(body, INTERNAL).reach),
    routes,
  );
  const gone = emitUnreach(routes);
  t.same(
    gone.flatMap((body) => parseUpdate(body, INTERNAL).unreach),
    routes,
  );
  const [end = new Uint8Array()] = emitUnreach([]);
  t.equal(toHex(end), '00000006800f03001946');
  t.equal(parseUpdate(end, INTERNAL).isEndOfRib, true);
  t.throws(
    () => emitReach({ ...BASE, clusterList: Array(1100).fill(1) }, 1, routes, INTERNAL),
    RangeError,
  );
});

const OPENS: readonly (readonly [string, Open, string])[] = [
  [
    'without capabilities',
    { version: 4, as: 65000, holdSeconds: 90, identifier: 0x0a000001, capabilities: [] },
    '04 fde8 005a 0a000001 00',
  ],
  [
    'with all that are known',
    {
      ...{ version: 4, as: 23456, holdSeconds: 0, identifier: 1 },
      capabilities: [
        { kind: 'multiprotocol', afi: 25, safi: 70 },
        { kind: 'route-refresh' },
        { kind: 'four-octet-as', as: 4200000001 },
        {
          ...{ kind: 'graceful-restart', flags: 0xc, seconds: 120 },
          families: [{ afi: 25, safi: 70, flags: 0x80 }],
        },
        { kind: 'fqdn', host: 'a', domain: 'b.c' },
        { kind: 'unknown', code: 200, value: fromHex('0102') },
      ],
    },
    '04 5ba0 0000 00000001 24 02 22' +
      '01 04 0019 00 46  02 00  41 04 fa56ea01  40 06 c078 0019 46 80  49 06 01 61 03 622e63  c8 02 0102',
  ],
];

t.test('parseOpen() and emitOpen() are each other’s inverse', async (t) => {
  for (const [what, open, hex] of OPENS) {
    t.equal(toHex(emitOpen(open)), hex.replace(/ /g, ''), what);
    t.same(parseOpen(fromHex(hex)), open, what);
  }
  t.equal(asOf(parseOpen(fromHex(OPENS[1]?.[2] ?? ''))), 4200000001);
  const many: Open = {
    ...{ version: 4, as: 1, holdSeconds: 9, identifier: 1 },
    capabilities: Array.from({ length: 9 }, (_, code) => ({
      ...{ kind: 'unknown', code: 128 + code, value: new Uint8Array(100) },
    })),
  };
  t.match(toHex(emitOpen(many)), /^040001000900000001ffff/, 'RFC 9072: the longer form');
  t.same(parseOpen(emitOpen(many)), many);
});

t.test('capabilities in parameters of their own, and offers that nobody understands', async (t) => {
  const open = parseOpen(
    fromHex('04 fde8 005a 0a000001 12 02 06 01 04 0019 00 46 02 03 49 01 05 02 03 40 01 00'),
  );
  t.same(open.capabilities, [
    { kind: 'multiprotocol', afi: 25, safi: 70 },
    { kind: 'unknown', code: 73, value: fromHex('05') },
    { kind: 'unknown', code: 64, value: fromHex('00') },
  ]);
});

t.test('a stream in any pieces gives the same messages', async (t) => {
  const open = emitMessage(MessageType.Open, emitOpen(OPENS[1]?.[1] as Open));
  const refresh = emitMessage(
    MessageType.RouteRefresh,
    emitRouteRefresh({ afi: 25, safi: 70, subtype: 0 }),
  );
  const stream = Buffer.concat([open, KEEPALIVE, refresh, KEEPALIVE]);
  for (const size of [1, 2, 7, 18, 19, 20, 64, 1000]) {
    const reader = new MessageReader();
    const heard: string[] = [];
    for (let at = 0; at < stream.length; at += size) {
      for (const { type, body } of reader.push(stream.subarray(at, at + size))) {
        heard.push(`${type} ${body.length}`);
      }
      t.ok(reader.pendingBytes < 4096);
    }
    t.same(heard, [`1 ${open.length - 19}`, '4 0', '5 4', '4 0'], `pieces of ${size}`);
    t.equal(reader.pendingBytes, 0);
  }
  t.same(parseRouteRefresh(refresh.subarray(19)), { afi: 25, safi: 70, subtype: 0 });
});

t.test('a notification says why, also inside a hard reset', async (t) => {
  const inner = { code: 6, subcode: 4, data: new Uint8Array(0) };
  const hard = hardReset(inner);
  t.same(parseNotification(emitNotification(hard)), hard);
  t.same(parseNotification(hard.data), inner);
  t.equal(describeNotification(hard), 'Cease/Hard Reset (Cease/Administrative Reset)');
  t.equal(describeNotification({ ...inner, code: 4, subcode: 0 }), 'Hold Timer Expired/0');
  t.equal(describeNotification({ ...inner, code: 99, subcode: 1 }), 'error 99/1');
});

t.test('a next hop of IPv6 with its link-local one beside it', async (t) => {
  const list = `80 0e 38 0019 46 20 ${V6_HEX} fe80${'00'.repeat(13)}01 00 ${ROUTE_HEX} ${MANDATORY}`;
  const body = fromHex(list);
  const update = parseUpdate(new Writer().u16(0).u16(body.length).bytes(body).finish(), INTERNAL);
  t.same(update.nextHop satisfies Ip | undefined, V6);
  t.equal(update.reach.length, 1);
});
