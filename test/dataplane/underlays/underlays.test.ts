/**
 * Links with two underlays inside one process: which packet goes by which, whose word is taken by which,
 * and who is answered. The loops in earnest; the kernel's part is test/control/underlays.
 */
import t from 'tap';
import { ARENA_BYTES } from '../../../src/dataplane/arena-bytes.ts';
import { Arena } from '../../../src/dataplane/ground/arena.ts';
import { Loop } from '../../../src/dataplane/loop.ts';
import { drawLots, Policy, xmitHash } from '../../../src/dataplane/underlays/xmit-hash.ts';
import { ENCAPS } from '../../../src/encap/encap.ts';
import { UNDERLAY_MODES, type UnderlayMode } from '../../../src/net/underlay-modes.ts';
import { LAYOUT_BYTES, Layout } from '../../../src/shm/layout.ts';
import { AF_INET } from '../../../src/sys/libc/constants.ts';
import { namedCounters, unaccounted } from '../../../src/table/counters.ts';
import { HomeWriter, NOWHERE } from '../../../src/table/links/homes.ts';
import { EndpointKind, Offload } from '../../../src/table/links/links.ts';
import {
  preferredOf,
  reachOf,
  UnderlayReader,
  UnderlayWriter,
  usableOf,
} from '../../../src/table/links/underlays.ts';
import { readPaths } from '../../../src/table/paths.ts';
import { IPV4_PACKET_BYTES_MAX } from '../../../src/wire/ipv4.ts';
import { emitPathProbe, PATH_PROBE_BYTES } from '../../../src/wire/lan/path-probe.ts';
import { emitTrainTest, TrainShape } from '../../../src/wire/lan/train-test.ts';
import { emitVxlan } from '../../../src/wire/vxlan.ts';
import { Fabric, FabricPorts } from '../../support/fabric.ts';
import { NO_ROUTES } from '../../support/peers.ts';
import { TestTables } from '../../support/tables.ts';
import { FAN, frame, packet } from '../../vectors/craft.ts';
import { viewOf } from '../../vectors/hex.ts';

const [DEVICE, LISTENER, SENDER, LISTENER_2, SENDER_2] = [100, 200, 201, 202, 203];
const VXLAN = ENCAPS.vxlan;
/** 10.31.0.0/16: the second underlay. */
const NETWORK_2 = 0x0a1f0000;
const FLOWS = 200;
const on2 = (host: number): number => (NETWORK_2 | (host & 0xffff)) >>> 0;

/** A router on both underlays. */
function makeRouter(fabric: Fabric, local: number, mode: UnderlayMode, encap = VXLAN) {
  const arena = new Arena(ARENA_BYTES);
  const layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  const tables = new TestTables();
  const ports = new FabricPorts(arena, fabric, local, { device: DEVICE, listener: LISTENER }, [
    { address: on2(local), sockets: [LISTENER_2, SENDER_2] },
  ]);
  layout.initialize();
  layout.queues = 1;
  const loop = new Loop(arena, layout, tables.segment, 300, 301, {
    ...{ ports, family: AF_INET, routes: NO_ROUTES },
  });
  const endpoint = { kind: EndpointKind.Udp, localPort: 4789, offloads: Offload.Segment };
  tables.give(
    loop,
    [
      { ...endpoint, localAddress: local, sockets: [LISTENER, SENDER] },
      { ...endpoint, localAddress: on2(local), sockets: [LISTENER_2, SENDER_2] },
    ],
    [
      {
        ...{ id: 0, encap: encap.id, deviceFd: DEVICE, offloads: 0, endpoint: 0 },
        ...{ overlayAddress: 0xfa000000, overlayLength: 8 },
        ...{ underlayAddress: 0xac1e0000, underlayLength: 16, localAddress: local },
        ...{ vni: 0xfa0000, peerPort: 4789, underlayMtu: 1500 },
        ...{ innerMtu: 1500 - encap.overheadBytes, gateway: 0, dscpUniform: 0 },
        superBytesToHost: IPV4_PACKET_BYTES_MAX,
        superBytesToPorts: IPV4_PACKET_BYTES_MAX,
        ...{ underlayMode: UNDERLAY_MODES.indexOf(mode), xmitHashPolicy: 2 },
        ...{ endpoint1: 1 + 1, network1: NETWORK_2 },
      },
    ],
  );
  const reaches = new UnderlayWriter(tables.segment);
  const counters = () => namedCounters(layout.counters(0));
  const reach = (peer: number, usable: number, preferred: number) =>
    reaches.replace(0, new Map([[peer, reachOf(usable, preferred)]]));
  const homes = new HomeWriter(tables.segment);
  const home = (peer: number, word: number) =>
    homes.replace(0, word < 0 ? [] : [{ underlay: 1, peer, word }]);
  return { loop, ports, counters, layout, reach, home };
}

function settle(routers: readonly { loop: Loop }[]): void {
  for (let round = 0; round < 64; round++) {
    let moved = 0;
    for (const { loop } of routers) moved += loop.tryRound();
    if (moved === 0) return;
  }
  throw new Error('packets go round in circles');
}

/** UDP of the flow number `flow` from the sender's container to the receiver's. */
function inside(flow: number): Uint8Array<ArrayBuffer> {
  const port = (0xc000 + flow).toString(16);
  const payload = `${port} 0035 0010 0000 0102030405060708`;
  return frame(packet({ source: FAN.source, destination: FAN.destination, payload }));
}

/** Two routers, and which underlay each flow that the one sends now takes: its number, 0 or 1. */
function pair(mode: UnderlayMode, encap = VXLAN) {
  const fabric = new Fabric();
  const a = makeRouter(fabric, FAN.sender, mode, encap);
  const b = makeRouter(fabric, FAN.receiver, mode, encap);
  const send = (flows = FLOWS): number[] => {
    fabric.seen.length = 0;
    for (let flow = 0; flow < flows; flow++) {
      a.ports.toRouter.push(inside(flow).subarray(14 - encap.innerHeaderBytes));
      settle([a, b]);
    }
    return fabric.seen.map(({ to }) =>
      to === FAN.receiver ? 0 : to === on2(FAN.receiver) ? 1 : 9,
    );
  };
  return { fabric, a, b, send };
}

const count = (ways: readonly number[], way: number): number =>
  ways.filter((one) => one === way).length;

t.test('balance-xor spreads flows, and what is lost moves its own alone', async (t) => {
  const { a, b, send } = pair('balance-xor');
  t.equal(count(send(), 0), FLOWS, 'a peer that nobody has looked at is reached by the first');
  t.equal(readPaths(a.layout.paths())[0]?.peer, FAN.receiver, 'control is told to look at it');
  t.ok((readPaths(a.layout.paths())[0]?.usedAtMs ?? 0) > 0);
  a.reach(FAN.receiver, 0b11, 0);
  const both = send();
  t.ok(count(both, 0) > FLOWS / 4 && count(both, 1) > FLOWS / 4, `${count(both, 0)} by the first`);
  t.same(send(), both, 'a flow stays where it is');
  a.reach(FAN.receiver, 0b01, 0);
  t.equal(count(send(), 0), FLOWS, 'none by what is lost');
  a.reach(FAN.receiver, 0b11, 0);
  t.same(send(), both, 'and back, each to where it was');
  const { counters } = a;
  const sent = counters();
  t.equal(sent['event.sent_underlay_2'], 2 * count(both, 1) + count(both, 1));
  t.equal((sent['event.sent_underlay_1'] ?? 0) + (sent['event.sent_underlay_2'] ?? 0), 5 * FLOWS);
  t.equal(b.ports.toHost.length, 5 * FLOWS, 'all were let in, by whichever underlay');
  for (const one of [a, b]) {
    for (const way of ['egress', 'ingress'] as const) t.equal(unaccounted(one.counters(), way), 0);
  }
});

t.test('one underlay goes before others, or each in turn', async (t) => {
  const latency = pair('latency');
  latency.a.reach(FAN.receiver, 0b11, 1);
  t.equal(count(latency.send(20), 1), 20, 'the one that control prefers');
  const turns = pair('balance-rr');
  turns.a.reach(FAN.receiver, 0b11, 0);
  t.equal(count(turns.send(20), 0), 10, 'half of them');
  turns.a.reach(FAN.receiver, 0b10, 1);
  t.equal(count(turns.send(20), 1), 20);
});

t.test('packets without a frame around them take the same ways', async (t) => {
  const { fabric, a, b, send } = pair('balance-xor', ENCAPS.fou);
  a.reach(FAN.receiver, 0b11, 0);
  const both = send();
  t.ok(count(both, 0) > FLOWS / 4 && count(both, 1) > FLOWS / 4, `${count(both, 0)} by the first`);
  t.equal(count(both, 9), 0);
  t.equal(b.ports.toHost.length, FLOWS);
  const question = new Uint8Array(PATH_PROBE_BYTES);
  emitPathProbe(viewOf(question), 0, 1, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  fabric.carry(on2(FAN.sender), on2(FAN.receiver), question);
  settle([b]);
  const answer = fabric.seen.at(-1);
  t.same([answer?.from, answer?.to], [on2(FAN.receiver), on2(FAN.sender)]);
  const expected = Uint8Array.from(question);
  expected[18] = 2;
  t.same(answer?.bytes, expected);
  fabric.carry(on2(FAN.sender), FAN.receiver, question);
  fabric.carry(0xcb007109, FAN.receiver, question);
  // Neither IP nor a question, and something that is too short to be one.
  fabric.carry(FAN.sender, FAN.receiver, new Uint8Array(PATH_PROBE_BYTES));
  fabric.carry(FAN.sender, FAN.receiver, question.subarray(0, 27));
  settle([b]);
  t.match(b.counters(), {
    'event.path_probes_answered': 1,
    'ingress.drop.path_probe': 1,
    'ingress.drop.wrong_underlay': 1,
    'ingress.drop.stranger': 1,
    'ingress.drop.malformed': 2,
  });
  t.equal(unaccounted(b.counters(), 'ingress'), 0);
  // A test of trains stands in the place of a packet too, and is none.
  const before = b.counters();
  const trains = Buffer.alloc(1472);
  emitTrainTest(trains, new Uint8Array(6), TrainShape.Equal, 0);
  fabric.carry(on2(FAN.sender), on2(FAN.receiver), trains);
  settle([b]);
  const after = b.counters();
  t.equal(after['event.train_tests'], 1);
  t.equal(after['ingress.received'], before['ingress.received']);
  t.equal(after['ingress.receivedBytes'], before['ingress.receivedBytes']);
});

t.test('who sends by another underlay than his own is refused', async (t) => {
  const { fabric, a, b } = pair('active-backup');
  const shim = (payload: Uint8Array): Uint8Array => {
    const bytes = new Uint8Array(8 + payload.length);
    emitVxlan(viewOf(bytes), 0, FAN.vni);
    bytes.set(payload, 8);
    return bytes;
  };
  const grown = (from: number, to: number, bytes: Uint8Array): Record<string, number> => {
    const before = b.counters();
    fabric.carry(from, to, bytes);
    settle([b]);
    const after = Object.entries(b.counters());
    return Object.fromEntries(
      after
        .map(([name, value]) => [name, value - (before[name] ?? 0)] as const)
        .filter(([name, value]) => value !== 0 && /drop|delivered$|answered/.test(name)),
    );
  };
  const good = shim(inside(1));
  const [peer, peer2, us, us2] = [FAN.sender, on2(FAN.sender), FAN.receiver, on2(FAN.receiver)];
  t.same(grown(peer, us, good), { 'ingress.delivered': 1 });
  t.same(grown(peer2, us2, good), { 'ingress.delivered': 1 });
  t.same(grown(peer2, us, good), { 'ingress.drop.wrong_underlay': 1 });
  t.same(grown(peer, us2, good), { 'ingress.drop.wrong_underlay': 1 });
  t.same(grown(0x0a200005, us2, good), { 'ingress.drop.stranger': 1 }, 'of neither network');
  t.same(grown(0xcb007109, us, good), { 'ingress.drop.stranger': 1 });
  t.same(grown(us2, us2, good), { 'ingress.drop.own_source': 1 });
  t.same(grown(peer2 + 5, us2, good), { 'ingress.drop.foreign_source': 1 }, "another's slice");
  t.same(grown(peer2, us, shim(new Uint8Array(4))), { 'ingress.drop.wrong_underlay': 1 });
  t.same(grown(0xcb007109, us2, new Uint8Array(3)), { 'ingress.drop.stranger': 1 });

  // Whether it is heard a peer may ask, by each underlay, and is answered by that one.
  const question = new Uint8Array(PATH_PROBE_BYTES);
  emitPathProbe(viewOf(question), 0, 1, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  for (const [from, to] of [
    [peer, us],
    [peer2, us2],
  ] as const) {
    fabric.seen.length = 0;
    const asked = { 'ingress.drop.path_probe': 1, 'event.path_probes_answered': 1 };
    t.same(grown(from, to, shim(question)), asked);
    const [, answer] = fabric.seen;
    t.same([answer?.from, answer?.to], [to, from]);
    const expected = shim(question);
    expected[8 + 18] = 2;
    t.same(answer?.bytes, expected, 'the same with another kind');
    t.same(grown(from, to, expected), { 'ingress.drop.path_probe': 1 }, 'nobody answers answers');
  }
  t.same(grown(0xcb007109, us2, shim(question)), { 'ingress.drop.stranger': 1 });
  t.same(grown(peer2, us, shim(question)), { 'ingress.drop.wrong_underlay': 1 });
  t.same(grown(peer, us, shim(question.subarray(0, 20))), { 'ingress.drop.malformed': 1 });
  t.equal(unaccounted(b.counters(), 'ingress'), 0);
  t.equal(a.ports.toHost.length, 0);
});

t.test('a peer is where it says that it is', async (t) => {
  const { fabric, a, b } = pair('active-backup');
  const there = on2(0x4d4d);
  a.reach(FAN.receiver, 0b10, 1);
  const sentTo = (): number | undefined => {
    a.ports.toRouter.push(inside(1));
    settle([a]);
    return fabric.seen.at(-1)?.to;
  };
  t.equal(sentTo(), on2(FAN.receiver), 'by arithmetic');
  a.home(FAN.receiver, there);
  t.equal(sentTo(), there);
  a.home(FAN.receiver, NOWHERE);
  t.equal(sentTo(), FAN.receiver, 'who is not there is reached by the first');
  a.home(FAN.receiver, -1);
  t.equal(sentTo(), on2(FAN.receiver), 'who says nothing any more, by arithmetic');
  settle([b]);

  const good = new Uint8Array(8 + inside(1).length);
  emitVxlan(viewOf(good), 0, FAN.vni);
  good.set(inside(1), 8);
  const end = (from: number): string[] => {
    const before = b.counters();
    fabric.carry(from, on2(FAN.receiver), good);
    settle([b]);
    const after = Object.entries(b.counters());
    return after
      .filter(([name, value]) => /delivered$|drop/.test(name) && value !== before[name])
      .map(([name]) => name);
  };
  b.home(FAN.sender, there);
  t.same(end(there), ['ingress.delivered']);
  t.same(end(on2(FAN.sender)), ['ingress.drop.stranger'], 'who is elsewhere is not here');
  b.home(FAN.sender, NOWHERE);
  t.same(end(on2(FAN.sender)), ['ingress.drop.stranger']);
  b.home(FAN.sender + 7, there);
  t.same(end(there), ['ingress.drop.foreign_source'], "another's slice");
  t.same(end(on2(FAN.sender)), ['ingress.delivered']);
  t.equal(unaccounted(b.counters(), 'ingress'), 0);
});

t.test('what each policy goes by, and how lots are drawn', async (t) => {
  const hash = (policy: number, fields: Parameters<typeof packet>[0], mac = 0): number => {
    const bytes = frame(packet({ source: FAN.source, destination: FAN.destination, ...fields }));
    bytes[5] = (bytes[5] ?? 0) ^ mac;
    return xmitHash(viewOf(bytes), 0, policy);
  };
  const ports = (from: string, to: string) => ({
    payload: `${from} ${to} 0010 0000 0102030405060708`,
  });
  const other = { destination: FAN.destination + 1 };
  for (const [policy, mac, address, port] of [
    [Policy.Layer2, true, false, false],
    [Policy.Layer23, true, true, false],
    [Policy.Layer34, false, true, true],
  ] as const) {
    const plain = hash(policy, {});
    t.equal(hash(policy, {}, 1) !== plain, mac, `policy ${policy}: by MAC`);
    t.equal(hash(policy, other) !== plain, address, 'by address');
    t.equal(hash(policy, ports('c001', '0035')) !== plain, port, 'by port');
    t.equal(
      hash(policy, { fragment: 0x2000, ...ports('c001', '0035') }),
      hash(policy, { fragment: 0x2000 }),
      'pieces have no ports',
    );
  }
  const back = { source: FAN.destination, destination: FAN.source, ...ports('0035', 'c000') };
  t.equal(hash(Policy.Layer34, back), hash(Policy.Layer34, {}), 'both directions are one flow');
  const hashes = Array.from({ length: 1000 }, (_, flow) => flow * 7919);
  const moved = hashes.filter((one) => drawLots(one, 0b1111) !== drawLots(one, 0b1011));
  t.same(
    moved.filter((one) => drawLots(one, 0b1111) !== 2),
    [],
    'only those of the third move',
  );
  t.ok(moved.length > 150 && moved.length < 350, `${moved.length} of 1000 were its own`);
});

t.test('reaches change one at a time, and there is an end to them', async (t) => {
  const { segment } = new TestTables();
  const [writer, reader] = [new UnderlayWriter(segment), new UnderlayReader(segment)];
  t.equal(reader.find(3, 7), 1, 'unknown: by the first');
  writer.replace(3, new Map([[7, reachOf(0b1010, 3)]]));
  t.same([usableOf(reader.find(3, 7)), preferredOf(reader.find(3, 7))], [0b1010, 3]);
  t.equal(reader.find(4, 7), 1, 'of another link');
  t.equal(writer.replace(3, new Map(Array.from({ length: 5000 }, (_, i) => [i, 3]))), 904);
  writer.clear(3);
  t.equal(reader.find(3, 7), 1);
});
