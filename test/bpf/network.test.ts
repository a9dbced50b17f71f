/**
 * The programs of a layer-2 network on a device of the kernel: what its data process does with the same frames
 * is in dataplane/networks.
 */
import t, { type Test } from 'tap';
import type { NetworkPath } from '../../src/bpf/network/network-path.ts';
import { BumMode, GuardMode } from '../../src/shm/network.ts';
import { EventKind, MovedTo, Snooped } from '../../src/table/events.ts';
import { FdbFlag } from '../../src/table/fdb.ts';
import { NeighbourFlag } from '../../src/table/neighbours.ts';
import { ipv4Bytes } from '../../src/table/peers.ts';
import { VtepFlag } from '../../src/table/vteps.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { ethernet, ipv4, udp } from '../support/bytes.ts';
import { address6, groupMac, icmp6, ipv6, solicit, udp6 } from '../support/bytes6.ts';
import { NetworkRig } from '../support/network-rig.ts';
import {
  ANSWERED,
  ask,
  BROADCAST,
  ENDS6,
  IP_A,
  IP_B,
  IP_C,
  IPV4,
  IPV6,
  MAC_A,
  MAC_B,
  MAC_C,
  MULTICAST,
  NEW_MAC,
  NOBODY,
  nd,
  REFUSED_IN,
  REFUSED_OUT,
  SIX_A,
  SIX_B,
  STATIONS,
  udpFrame,
} from '../support/network-stations.ts';

const skip = skipWithoutTun();
const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
const [STATION_A, STATION_B, STATION_C] = STATIONS;

/** The station that is here, by its place among the three; the others are at the peers. */
async function rigOf(
  t: Test,
  here: number,
  change: Partial<NetworkPath> = {},
): Promise<NetworkRig> {
  const rig = await NetworkRig.create(change);
  t.teardown(() => rig.close());
  const others = STATIONS.filter((_, i) => i !== here);
  rig.station(0, STATIONS[here] ?? STATION_A, NeighbourFlag.Local);
  for (const [i, peer] of rig.peers.entries()) {
    rig.admit(peer);
    rig.station(peer, others[i] ?? STATION_B);
  }
  rig.floods(rig.peers.map((host) => ({ host })));
  return rig;
}

const out = (name: string): Record<string, number> => ({ [`egress.drop.${name}`]: 1 });
const into = (name: string): Record<string, number> => ({ [`ingress.drop.${name}`]: 1 });
const LEFT = { 'egress.delivered': 1 };
const CAME = { 'ingress.delivered': 1 };

t.test('out of a port where nothing is flooded', { skip }, async (t) => {
  const rig = await rigOf(t, 0);
  const [b] = rig.peers;
  const frames = [
    udpFrame(),
    ethernet(MAC_B, MAC_A, IPV6, ipv6(ENDS6, udp6(ENDS6, { destinationPort: 9 }))),
    ask(IP_A, IP_B, { to: MAC_B }),
    nd(solicit({ source: SIX_A, destination: SIX_B, target: SIX_B })),
    ethernet(MAC_B, MAC_A, 0x88b5, Buffer.alloc(100, 7)),
  ];
  for (const frame of frames) {
    const { ends, sent, back } = await rig.leave(frame);
    t.same(ends, LEFT);
    t.same(
      sent.map(({ to, vni, frame }) => [to, vni, hex(frame)]),
      [[b, 100, hex(frame)]],
    );
    t.same(back, []);
  }
  t.same(rig.events(), [], 'nothing new');
  for (const { name, question, answer } of ANSWERED) {
    const { ends, sent, back } = await rig.leave(question);
    t.same(ends, out('answered'), name);
    t.same(back.map(hex), [hex(answer)], name);
    t.same(sent, []);
  }
  rig.station(b, STATION_B, NeighbourFlag.Router);
  const { back } = await rig.leave(ANSWERED[1]?.question ?? Buffer.alloc(0));
  t.equal(back[0]?.[58], 0xe0, 'the R bit of a router');
  rig.events();

  const missed: [Buffer, string, object][] = [
    [udpFrame(NOBODY), 'unknown_unicast', { kind: EventKind.Miss, mac: NOBODY }],
    [
      ask(IP_A, 0x0a00_0099),
      'unknown_neighbour',
      { kind: EventKind.Miss, mac: MAC_A, address: ipv4Bytes(0x0a00_0099) },
    ],
    [
      nd(solicit({ source: SIX_A, target: 'fd00::99' })),
      'unknown_neighbour',
      { kind: EventKind.Miss, mac: MAC_A, address: address6('fd00::99') },
    ],
    [
      ask(0, 0x0a00_0077, { from: NEW_MAC }),
      'suppressed',
      {
        ...{ kind: EventKind.Binding, mac: NEW_MAC, detail: Snooped.Tentative },
        address: ipv4Bytes(0x0a00_0077),
      },
    ],
  ];
  for (const [frame, end, event] of missed) {
    t.same((await rig.leave(frame)).ends, out(end));
    t.match(rig.events().at(-1), event);
  }
  t.same((await rig.leave(udpFrame(BROADCAST))).ends, out('broadcast'));
  t.same((await rig.leave(udpFrame(MULTICAST))).ends, out('multicast'));
  t.same((await rig.leave(ask(IP_A, IP_A))).ends, out('suppressed'), 'gratuitous');
  t.same((await rig.leave(ask(0, IP_A))).ends, out('local_destination'), 'of a neighbour here');
  for (const { name, frame, end, isBridges, isReceivers } of REFUSED_OUT) {
    if (isBridges === true) continue;
    const { ends } = await rig.leave(frame);
    t.same(ends, out(isReceivers === true ? 'answered' : end), name);
  }
  t.equal(rig.unaccounted(), 0);
});

t.test('into a port where nothing is flooded', { skip }, async (t) => {
  const rig = await rigOf(t, 1);
  const [a, c] = rig.peers;
  const fromC = { source: IP_C, destination: IP_B };
  const honest = udpFrame(MAC_B, MAC_C, fromC);
  const { ends, inside } = await rig.arrive(honest);
  t.same(ends, CAME);
  t.same(inside.map(hex), [hex(honest)]);
  t.same((await rig.arrive(honest, rig.stranger)).ends, into('stranger'));
  t.same((await rig.arrive(honest, rig.local)).ends, into('own_source'));
  t.same((await rig.arrive(honest, a)).ends, into('foreign_mac'), 'of a MAC at another peer');
  t.same((await rig.arrive(honest, c, 77)).ends, into('wrong_vni'));
  rig.events();
  t.same((await rig.arrive(udpFrame(MAC_B, MAC_B, fromC))).ends, into('bad_mac'), 'of ours');
  t.match(rig.events(), [
    { kind: EventKind.Moved, mac: MAC_B, detail: MovedTo.Peer, address: ipv4Bytes(c) },
  ]);
  for (const { name, frame, end, isBridges } of REFUSED_IN) {
    if (isBridges === true) continue;
    const { ends, inside } = await rig.arrive(frame);
    t.same(ends, into(end), name);
    t.same(inside, [], name);
  }
  t.same((await rig.arrive(honest)).ends, CAME, 'and goes on');
  t.equal(rig.unaccounted(), 0);
});

t.test('the guard at a port', { skip }, async (t) => {
  const rig = await rigOf(t, 0);
  const [, c] = rig.peers;
  for (const guard of Object.values(GuardMode)) {
    await rig.become({ guard });
    rig.station(c, STATION_C);
    const [strict, off] = [guard === GuardMode.Strict, guard === GuardMode.Off];
    const end = (isRefused: boolean, drop: string) => (isRefused ? out(drop) : LEFT);
    const spoofed = udpFrame(MAC_B, MAC_A, { source: IP_C, destination: IP_B });
    const fresh = udpFrame(MAC_B, MAC_A, { source: 0x0a00_0055, destination: IP_B });
    const moved = udpFrame(MAC_B, MAC_C, { source: IP_C, destination: IP_B });
    const name = `guard ${guard}`;
    t.same((await rig.leave(spoofed)).ends, end(strict, 'foreign_source'), `${name}: address`);
    t.same((await rig.leave(fresh)).ends, end(strict, 'foreign_source'), `${name}: unknown`);
    t.same((await rig.leave(moved)).ends, end(strict, 'bad_mac'), `${name}: another's MAC`);
    rig.station(c, { ...STATION_C, flags: FdbFlag.Sticky }, NeighbourFlag.Static);
    t.same((await rig.leave(moved)).ends, out('bad_mac'), `${name}: a sticky MAC`);
    t.same((await rig.leave(spoofed)).ends, end(!off, 'foreign_source'), `${name}: written`);
    t.same(
      (await rig.leave(ask(IP_C, IP_B))).ends,
      out(off ? 'answered' : 'foreign_source'),
      `${name}: ARP for a written address`,
    );
  }
  const kinds = rig.events().map(({ kind }) => kind);
  for (const kind of [EventKind.Duplicate, EventKind.Moved]) t.ok(kinds.includes(kind));
  t.equal(rig.unaccounted(), 0);
});

t.test(
  'floods: a copy for each, a node that replicates, and what is learned',
  { skip },
  async (t) => {
    const rig = await rigOf(t, 0, { bum: BumMode.Replicate });
    const [b, c] = rig.peers;
    const unknown = ask(IP_A, 0x0a00_0099);
    for (const frame of [udpFrame(BROADCAST), udpFrame(NOBODY), udpFrame(MULTICAST), unknown]) {
      const { ends, sent } = await rig.leave(frame);
      t.same(ends, { 'egress.delivered': 2 });
      t.same(
        sent.map(({ to, vni, frame }) => [to, vni, hex(frame)]),
        [b, c].map((host) => [host, 100, hex(frame)]),
      );
    }
    const counters = rig.counters();
    t.equal(counters['event.flooded_broadcast'], 2);
    t.equal(counters['event.flooded_unknown'], 1);
    t.equal(counters['event.flooded_multicast'], 1);
    t.same((await rig.leave(ask(IP_A, IP_B))).ends, out('answered'));
    rig.floods([{ host: 0 }, { host: c, vni: 777 }]);
    const { sent } = await rig.leave(udpFrame(BROADCAST));
    t.same(
      sent.map(({ to, vni }) => [to, vni]),
      [[c, 777]],
      'under the VNI that it has named',
    );
    rig.floods([]);
    t.same((await rig.leave(udpFrame(BROADCAST))).ends, out('broadcast'), 'no members');
    t.equal(rig.unaccounted(), 0);

    rig.floods([{ host: b }, { host: c }]);
    const fromB = { source: IP_B, destination: IP_A };
    const flood = udpFrame(BROADCAST, MAC_B, fromB);
    const came = await rig.arrive(flood, b);
    t.same(came.ends, CAME);
    t.same(came.sent, [], 'no replicator');
    await rig.become({ isReplicator: true });
    const passed = await rig.arrive(flood, b);
    t.same(passed.ends, CAME);
    t.same(passed.inside.map(hex), [hex(flood)]);
    t.same(
      passed.sent.map(({ to, vni, frame }) => [to, vni, hex(frame)]),
      [[c, 100, hex(flood)]],
    );
    t.equal(rig.counters()['event.replicated'], 1);
    rig.admit(b, VtepFlag.Replicator);
    t.same((await rig.arrive(flood, b)).sent, [], 'not what another one of its like has sent on');
    t.same(
      (await rig.arrive(udpFrame(BROADCAST, MAC_C, { source: IP_C, destination: IP_A }), b)).ends,
      CAME,
      'of a member',
    );
    rig.admit(b);
    t.equal(rig.unaccounted(), 0);

    await rig.become({ isReplicator: false, floodsPerSecond: 3 });
    let limited = 0;
    for (let i = 0; i < 12; i++) {
      const { ends } = await rig.leave(udpFrame(BROADCAST));
      limited += ends['egress.drop.flood_limited'] ?? 0;
    }
    t.ok(limited > 0, `${limited} over the limit`);

    await rig.become({ bum: BumMode.Learn, floodsPerSecond: 1000 });
    rig.events();
    t.same((await rig.arrive(udpFrame(MAC_A, NOBODY, fromB), b)).ends, into('foreign_source'));
    const strange = udpFrame(MAC_A, NOBODY, { source: 0x0a00_0055, destination: IP_A });
    t.same((await rig.arrive(strange, b)).ends, CAME);
    t.match(
      rig.events().filter(({ kind }) => kind === EventKind.RemoteMac),
      [{ mac: NOBODY, address: ipv4Bytes(b) }],
    );
    rig.station(b, { mac: NOBODY, addresses: [], flags: FdbFlag.Learned });
    t.same((await rig.arrive(strange, c)).ends, CAME, 'it has moved');
    t.match(rig.events().at(-1), { kind: EventKind.RemoteMac, address: ipv4Bytes(c) });
    t.same((await rig.arrive(udpFrame(MAC_A, MAC_B, fromB), c)).ends, into('foreign_mac'));
    t.same((await rig.leave(ask(IP_A, IP_A))).ends, { 'egress.delivered': 2 }, 'gratuitous ARP');
    t.equal(rig.unaccounted(), 0);
  },
);

/** A message of a DHCP client, or to it, of a type of RFC 2132 §9.6. */
function dhcp(operation: number, type: number): Buffer {
  const bytes = Buffer.alloc(244);
  bytes.set([operation, 1, 6, 0], 0);
  bytes.writeUInt32BE(IP_A, 16);
  bytes.writeUIntBE(MAC_A, 28, 6);
  bytes.writeUInt32BE(0x6382_5363, 236);
  bytes.set([53, 1, type, 255], 240);
  return bytes;
}

function routerAdvert(source: string, destination: string, from: number, to: number): Buffer {
  const ends = { source, destination };
  const message = icmp6(ends, 134, Buffer.alloc(8));
  return ethernet(to, from, IPV6, ipv6({ ...ends, protocol: 58, hopLimit: 255 }, message));
}

t.test('what clients look for goes to the one that has it', { skip }, async (t) => {
  const rig = await rigOf(t, 0);
  const [b] = rig.peers;
  const any = { source: 0, destination: 0xffff_ffff };
  const asked = udp(any, { sourcePort: 68, destinationPort: 67 }, dhcp(1, 1));
  const discover = ethernet(BROADCAST, MAC_A, IPV4, ipv4(any, asked));
  t.same((await rig.leave(discover)).ends, out('broadcast'), 'nobody has announced a server');
  rig.station(b, { ...STATION_B, flags: FdbFlag.DhcpServer | FdbFlag.Router });
  rig.service('Dhcp', b);
  const { ends, sent } = await rig.leave(discover);
  t.same(ends, LEFT);
  t.same(
    sent.map(({ to, frame }) => [to, hex(frame)]),
    [[b, hex(discover)]],
  );
  t.equal(rig.counters()['event.service_carried'], 1);
  // The answer is for all, because its client has no address yet.
  const back = { source: IP_B, destination: 0xffff_ffff };
  const given = udp(back, { sourcePort: 67, destinationPort: 68 }, dhcp(2, 5));
  const ack = ethernet(BROADCAST, MAC_B, IPV4, ipv4(back, given));
  rig.events();
  const came = await rig.arrive(ack, b);
  t.same(came.ends, CAME);
  t.same(came.inside.map(hex), [hex(ack)]);
  t.match(rig.events(), [
    { kind: EventKind.Binding, mac: MAC_A, detail: Snooped.Dhcp, address: ipv4Bytes(IP_A) },
  ]);
  const all = { source: SIX_A, destination: 'ff02::2' };
  const rs = ethernet(
    groupMac('ff02::2'),
    MAC_A,
    IPV6,
    ipv6({ ...all, protocol: 58, hopLimit: 255 }, icmp6(all, 133)),
  );
  t.same((await rig.leave(rs)).ends, out('multicast'));
  rig.service('Router', b);
  t.same((await rig.leave(rs)).ends, LEFT);
  const rogue = routerAdvert(SIX_A, 'ff02::1', MAC_A, groupMac('ff02::1'));
  t.same((await rig.leave(rogue)).ends, out('rogue_router'));
  const told = routerAdvert(SIX_B, 'ff02::1', MAC_B, groupMac('ff02::1'));
  t.same((await rig.arrive(told, b)).ends, CAME, 'of a router');
  // A router that is here.
  rig.station(0, { ...STATION_A, flags: FdbFlag.Router | FdbFlag.DhcpServer }, NeighbourFlag.Local);
  t.same((await rig.leave(rogue)).ends, { 'egress.delivered': 2 }, 'to all that take part');
  rig.service('Dhcp', rig.local);
  const from = { source: 0, destination: 0xffff_ffff };
  const looked = udp(from, { sourcePort: 68, destinationPort: 67 }, dhcp(1, 1));
  const far = ethernet(BROADCAST, MAC_B, IPV4, ipv4(from, looked));
  t.same((await rig.arrive(far, b)).ends, CAME, 'a client that is elsewhere');
  t.equal(rig.unaccounted(), 0);
});
