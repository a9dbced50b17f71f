/**
 * Layer-2 networks between routers inside one process: who gets a frame, what is answered, what control is
 * told, and that every end of a packet has its counter.
 */
import t, { type Test } from 'tap';
import { SEARCHER_MAC } from '../../src/control/networks/search/questions.ts';
import { BumMode, GuardMode, NetworkFlag } from '../../src/shm/network.ts';
import { EventKind, MovedTo, Snooped } from '../../src/table/events.ts';
import { FdbFlag } from '../../src/table/fdb.ts';
import { SERVICE_HERE, Service } from '../../src/table/flood.ts';
import { NeighbourFlag } from '../../src/table/neighbours.ts';
import { ipv4Bytes } from '../../src/table/peers.ts';
import { VtepFlag } from '../../src/table/vteps.ts';
import { arp, ethernet, ipv4, mac, tcp, udp, vxlan } from '../support/bytes.ts';
import {
  address6,
  advertise,
  groupMac,
  icmp6,
  ipv6,
  linkOption,
  solicit,
  solicitedNode,
  tcp6,
  udp6,
} from '../support/bytes6.ts';
import { Fabric } from '../support/fabric.ts';
import { LanRouter, settle, type TestNetwork } from '../support/lan.ts';
import {
  ALL_NODES,
  ARP,
  ask,
  BROADCAST,
  ENDS,
  ENDS6,
  IP_A,
  IP_B,
  IP_C,
  IPV4,
  IPV6,
  MAC_A,
  MAC_B,
  MAC_C,
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

const [A, B, C] = [0xac1e_0001, 0xac1e_0002, 0xac1e_0003];
const HOSTS = [A, B, C];

/** Three routers that know all of each other on every one of `networks`. */
function makeLan(networks: readonly TestNetwork[] = [{ vni: 100 }]) {
  const fabric = new Fabric();
  const routers = [A, B, C].map((local) => new LanRouter(fabric, local, networks));
  for (const router of routers) {
    for (const link of networks.keys()) {
      for (const [i, { mac, addresses }] of STATIONS.entries()) {
        const at = HOSTS[i] ?? A;
        if (at !== router.local) {
          router.admit(link, at);
          router.tables.floodWriter.add(link, router.peer(at));
        }
        router.station(link, at, mac, addresses);
      }
    }
  }
  const [a, b, c] = routers;
  if (a === undefined || b === undefined || c === undefined) throw new Error('three routers');
  return { fabric, routers, a, b, c };
}

type Lan = ReturnType<typeof makeLan>;

/** Gives a frame to the first router's device, and says what came of it there. */
function sendFrom({ a, routers }: Lan, frame: Uint8Array, link = 0): Record<string, number> {
  a.clear(link);
  a.send(link, frame);
  settle(routers);
  return a.ends(link);
}

function isBalanced(t: Test, { routers }: Lan, links = 1): void {
  for (const router of routers) {
    for (let link = 0; link < links; link++) {
      t.equal(router.unaccounted(link), 0, `${router.local.toString(16)}, link ${link}`);
    }
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
t.test('unicast of all kinds goes to the one that has it, with the right VNI', async (t) => {
  const lan = makeLan([{ vni: 100 }]);
  const { a, b, c, fabric } = lan;
  const frames = [
    udpFrame(),
    ethernet(MAC_B, MAC_A, IPV6, ipv6(ENDS6, udp6(ENDS6, { destinationPort: 9 }))),
    ethernet(
      MAC_B,
      MAC_A,
      ARP,
      arp({ senderMac: MAC_A, sender: IP_A, targetMac: MAC_B, target: IP_B }),
    ),
    ethernet(MAC_B, MAC_A, 0x88b5, Buffer.alloc(100, 7)),
  ];
  for (const frame of frames) t.same(sendFrom(lan, frame), { 'egress.delivered': 1 });
  t.same(b.received(0).map(hex), frames.map(hex));
  t.same(c.received(0), []);
  t.same(a.received(0), []);
  t.equal(fabric.seen.length, 4);
  for (const { bytes, to } of fabric.seen) {
    t.equal(hex(bytes.subarray(0, 8)), '0800000000006400');
    t.equal(to, B);
  }
  isBalanced(t, lan);
  t.same(a.events(), [], 'nothing new');
});

t.test('floodless: what nobody is known to have ends here, by cause', async (t) => {
  const lan = makeLan();
  const { a, fabric } = lan;
  const dropped = (name: string): Record<string, number> => ({ [`egress.drop.${name}`]: 1 });
  t.same(sendFrom(lan, udpFrame(NOBODY)), dropped('unknown_unicast'));
  t.match(a.events(), [{ kind: EventKind.Miss, link: 0, mac: NOBODY, address: { length: 0 } }]);
  t.same(sendFrom(lan, udpFrame(BROADCAST)), dropped('broadcast'));
  t.same(sendFrom(lan, udpFrame(0x0100_5e00_00fb)), dropped('multicast'));
  t.same(sendFrom(lan, udpFrame(MAC_A, MAC_A)), dropped('local_destination'));
  t.same(sendFrom(lan, ask(IP_A, 0x0a00_0099)), dropped('unknown_neighbour'));
  t.match(a.events(), [{ kind: EventKind.Miss, mac: MAC_A, address: ipv4Bytes(0x0a00_0099) }]);
  t.same(
    sendFrom(lan, nd(solicit({ source: SIX_A, target: 'fd00::99' }))),
    dropped('unknown_neighbour'),
  );
  t.equal(fabric.seen.length, 0);
  isBalanced(t, lan);
});

t.test('ARP is answered where it is asked, in the name of who has the address', async (t) => {
  const lan = makeLan();
  const { a, fabric } = lan;
  t.same(sendFrom(lan, ask(IP_A, IP_B)), { 'egress.drop.answered': 1 });
  const [reply] = a.received(0);
  const wanted = arp({
    ...{ operation: 2, senderMac: MAC_B, sender: IP_B, targetMac: MAC_A, target: IP_A },
  });
  t.equal(hex(reply ?? Buffer.alloc(0)), hex(ethernet(MAC_A, MAC_B, ARP, wanted)));
  t.equal(a.counters()['event.arp_answered'], 1);

  t.same(sendFrom(lan, ask(IP_A, IP_A)), { 'egress.drop.suppressed': 1 }, 'gratuitous');
  t.same(
    sendFrom(lan, ask(0, IP_A)),
    { 'egress.drop.local_destination': 1 },
    'of a neighbour here',
  );
  t.same(a.received(0), []);
  t.same(sendFrom(lan, ask(0, IP_B)), { 'egress.drop.answered': 1 }, 'a probe: it is taken');
  t.equal(a.received(0).length, 1);
  t.same(sendFrom(lan, ask(0, 0x0a00_0077, { from: NEW_MAC })), { 'egress.drop.suppressed': 1 });
  t.match(
    a.events().filter(({ kind }) => kind === EventKind.Binding),
    [{ mac: NEW_MAC, detail: Snooped.Tentative, address: ipv4Bytes(0x0a00_0077) }],
    'a probe for what is free is news',
  );
  t.same(
    sendFrom(lan, ask(IP_A, IP_B, { to: MAC_B })),
    { 'egress.delivered': 1 },
    'are you there?',
  );
  t.same(
    sendFrom(lan, ask(IP_A, IP_B, { to: NOBODY })),
    { 'egress.drop.answered': 1 },
    'to an old MAC',
  );
  t.equal(fabric.seen.length, 1);
  isBalanced(t, lan);
});

t.test('no answer once the MAC is not known to be at a peer', async (t) => {
  const lan = makeLan();
  lan.a.tables.fdbWriter.delete(0, MAC_B);
  t.same(sendFrom(lan, ask(IP_A, IP_B)), { 'egress.drop.unknown_neighbour': 1 });
  lan.a.tables.fdbWriter.set(0, MAC_B, { peer: 0, flags: 0 });
  t.same(sendFrom(lan, ask(IP_A, IP_B)), { 'egress.drop.unknown_neighbour': 1 });
  t.same(lan.a.received(0), []);
});

t.test('Neighbour Discovery likewise, with its flags', async (t) => {
  const lan = makeLan();
  const { a } = lan;
  const question = solicit({ source: SIX_A, target: SIX_B, options: linkOption(1, MAC_A) });
  t.same(sendFrom(lan, nd(question)), { 'egress.drop.answered': 1 });
  const answer = { target: SIX_B, destination: SIX_A, options: linkOption(2, MAC_B) };
  t.equal(
    hex(a.received(0)[0] ?? Buffer.alloc(0)),
    hex(ethernet(MAC_A, MAC_B, IPV6, advertise({ ...answer, word: 0x6000_0000 }))),
  );
  a.station(0, B, MAC_B, [address6(SIX_B)], { neighbour: NeighbourFlag.Router });
  sendFrom(lan, nd(question));
  t.equal(
    hex(a.received(0)[0] ?? Buffer.alloc(0)),
    hex(ethernet(MAC_A, MAC_B, IPV6, advertise({ ...answer, word: 0xe000_0000 }))),
    'the R bit of a router',
  );
  // Duplicate address detection: it is taken, and all shall hear it (RFC 4861 §7.2.4).
  t.same(sendFrom(lan, nd(solicit({ source: '::', target: SIX_B }), NEW_MAC)), {
    'egress.drop.answered': 1,
  });
  t.equal(
    hex(a.received(0)[0] ?? Buffer.alloc(0)),
    hex(
      ethernet(
        ALL_NODES,
        MAC_B,
        IPV6,
        advertise({ ...answer, destination: 'ff02::1', word: 0xa000_0000 }),
      ),
    ),
  );
  a.events();
  t.same(sendFrom(lan, nd(solicit({ source: '::', target: 'fd00::77' }), MAC_A)), {
    'egress.drop.suppressed': 1,
  });
  t.match(a.events(), [
    {
      kind: EventKind.Binding,
      mac: MAC_A,
      detail: Snooped.Tentative,
      address: address6('fd00::77'),
    },
  ]);
  const unsolicited = advertise({
    ...{ target: 'fd00::77', destination: 'ff02::1', options: linkOption(2, MAC_A) },
    word: 0x2000_0000,
  });
  t.same(sendFrom(lan, nd(unsolicited)), { 'egress.drop.suppressed': 1 });
  t.match(a.events(), [
    { kind: EventKind.Binding, mac: MAC_A, detail: Snooped.Nd, address: address6('fd00::77') },
  ]);
  const toSearcher = advertise({
    ...{ target: 'fd00::78', destination: 'fe80::fb:ffff:fe5e:a4c4' },
    ...{ options: linkOption(2, MAC_A), word: 0x6000_0000 },
  });
  const heard = ethernet(SEARCHER_MAC, MAC_A, IPV6, toSearcher);
  t.same(sendFrom(lan, heard), { 'egress.drop.suppressed': 1 }, 'an answer to control');
  t.match(a.events(), [{ kind: EventKind.Binding, mac: MAC_A, address: address6('fd00::78') }]);
  const direct = solicit({ source: SIX_A, destination: SIX_B, target: SIX_B });
  t.same(sendFrom(lan, nd(direct)), { 'egress.delivered': 1 }, 'are you there?');
  isBalanced(t, lan);
});

t.test('tenants with the same MACs and addresses never meet', async (t) => {
  const lan = makeLan([{ vni: 100 }, { vni: 0xff_ffff }]);
  const { a, b, fabric } = lan;
  // In the second network the same MAC is at the third router.
  a.station(1, C, MAC_B, [ipv4Bytes(IP_B)]);
  lan.c.station(1, C, MAC_B, [ipv4Bytes(IP_B)]);
  t.same(sendFrom(lan, udpFrame(), 0), { 'egress.delivered': 1 });
  t.same(sendFrom(lan, udpFrame(), 1), { 'egress.delivered': 1 });
  t.equal(b.received(0).length, 1);
  t.equal(b.received(1).length, 0);
  t.equal(lan.c.received(1).length, 1);
  t.same(
    fabric.seen.map(({ bytes }) => hex(bytes.subarray(4, 8))),
    ['00006400', 'ffffff00'],
  );
  // A peer of one network is a stranger on the other.
  b.tables.vtepWriter.delete(1, b.peer(A));
  b.clear(1);
  fabric.carry(A, B, vxlan(0xff_ffff, udpFrame()));
  fabric.carry(A, B, vxlan(77, udpFrame()));
  settle(lan.routers);
  t.same(b.ends(1), { 'ingress.drop.stranger': 1 });
  t.same(b.ends(0)['ingress.drop.wrong_vni'], 1);
  isBalanced(t, lan, 2);
});

t.test('what comes from peers is held to what is known of them', async (t) => {
  const lan = makeLan();
  const { b, fabric } = lan;
  const arrive = (inner: Uint8Array, from = C, vni = 100): Record<string, number> => {
    b.clear();
    fabric.carry(from, B, vxlan(vni, inner));
    settle(lan.routers);
    return b.ends();
  };
  const fromC = { source: IP_C, destination: IP_B };
  const honest = udpFrame(MAC_B, MAC_C, fromC);
  const drop = (name: string): Record<string, number> => ({ [`ingress.drop.${name}`]: 1 });
  t.same(arrive(honest), { 'ingress.delivered': 1 });
  t.same(arrive(honest, 0xac1e_0009), drop('stranger'));
  t.same(arrive(honest, B), drop('own_source'));
  t.same(arrive(honest, A), drop('foreign_mac'), 'of a MAC that is at another peer');
  t.same(b.events(), [], 'frames of peers teach nothing');
  t.same(arrive(udpFrame(MAC_B, MAC_B, fromC)), drop('bad_mac'), 'of one of ours');
  t.match(b.events(), [
    { kind: EventKind.Moved, mac: MAC_B, peer: b.peer(C), detail: MovedTo.Peer },
  ]);
  for (const { name, frame, end } of REFUSED_IN) t.same(arrive(frame), drop(end), name);
  t.same(arrive(udpFrame(MAC_B, MAC_C, fromC)), { 'ingress.delivered': 1 }, 'and goes on');
  isBalanced(t, lan);
});

t.test('the guard at our own port', async (t) => {
  for (const guard of [GuardMode.Learn, GuardMode.Strict, GuardMode.Off]) {
    const lan = makeLan([{ vni: 100, guard }]);
    const { a } = lan;
    const strict = guard === GuardMode.Strict;
    const name = Object.keys(GuardMode)[guard];
    const end = (refused: boolean, drop: string): Record<string, number> =>
      refused ? { [`egress.drop.${drop}`]: 1 } : { 'egress.delivered': 1 };
    const spoofed = udpFrame(MAC_B, MAC_A, { source: IP_C, destination: IP_B });
    t.same(sendFrom(lan, spoofed), end(strict, 'foreign_source'), `${name}: another's address`);
    const fresh = udpFrame(MAC_B, MAC_A, { source: 0x0a00_0055, destination: IP_B });
    t.same(sendFrom(lan, fresh), end(strict, 'foreign_source'), `${name}: an unknown address`);
    t.same(
      sendFrom(lan, udpFrame(MAC_B, MAC_C, { source: IP_C, destination: IP_B })),
      end(strict, 'bad_mac'),
      `${name}: another's MAC`,
    );
    a.tables.fdbWriter.set(0, MAC_C, { peer: a.peer(C), flags: FdbFlag.Sticky });
    t.same(
      sendFrom(lan, udpFrame(MAC_B, MAC_C, { source: IP_C, destination: IP_B })),
      end(true, 'bad_mac'),
      `${name}: a sticky MAC`,
    );
    a.station(0, C, MAC_C, [ipv4Bytes(IP_C)], { neighbour: NeighbourFlag.Static });
    t.same(
      sendFrom(lan, spoofed),
      end(guard !== GuardMode.Off, 'foreign_source'),
      `${name}: a written address`,
    );
    t.same(
      sendFrom(lan, ask(IP_C, IP_B)),
      { [`egress.drop.${guard === GuardMode.Off ? 'answered' : 'foreign_source'}`]: 1 },
      `${name}: ARP for a written address`,
    );
    isBalanced(t, lan);
  }
  const lan = makeLan();
  const { a } = lan;
  sendFrom(lan, ask(IP_C, IP_B));
  t.match(a.events(), [
    { kind: EventKind.Duplicate, mac: MAC_A, peer: a.peer(C), address: ipv4Bytes(IP_C) },
  ]);
  sendFrom(lan, udpFrame(MAC_B, MAC_C, { source: IP_C, destination: IP_B }));
  t.match(a.events(), [
    { kind: EventKind.Moved, mac: MAC_C, peer: a.peer(C), detail: MovedTo.Here },
  ]);
  sendFrom(lan, udpFrame(MAC_B, NEW_MAC, { source: 0x0a00_0055, destination: IP_B }));
  t.match(a.events(), [{ kind: EventKind.LocalMac, mac: NEW_MAC }]);
  t.equal(lan.a.ports.rings, 0, 'nobody sleeps');
  const plain = makeLan();
  for (const { name, frame, end } of REFUSED_OUT) {
    t.same(sendFrom(plain, frame), { [`egress.drop.${end}`]: 1 }, name);
  }
  isBalanced(t, plain);
  isBalanced(t, lan);
});

t.test('replicate: a copy for each member, none when limited or too big', async (t) => {
  const lan = makeLan([{ vni: 100, bum: BumMode.Replicate, floodsPerSecond: 100 }]);
  const { a, b, c, fabric } = lan;
  for (const router of [b, c]) router.clear();
  t.same(sendFrom(lan, udpFrame(BROADCAST)), { 'egress.delivered': 2 });
  t.equal(a.counters()['egress.received'], 2, 'each copy counts');
  t.equal(a.counters()['event.flooded_broadcast'], 1);
  t.same(fabric.seen.map(({ to }) => to).sort(), [B, C]);
  t.same(
    [b.received(0), c.received(0)].map((frames) => frames.map(hex)),
    [[hex(udpFrame(BROADCAST))], [hex(udpFrame(BROADCAST))]],
  );
  t.same(sendFrom(lan, udpFrame(NOBODY)), { 'egress.delivered': 2 });
  t.equal(a.counters()['event.flooded_unknown'], 1);
  t.equal(b.received(0).length + c.received(0).length, 2, 'an unknown MAC may be anywhere');
  t.same(
    sendFrom(lan, ask(IP_A, 0x0a00_0099)),
    { 'egress.delivered': 2 },
    'nobody is known to have it',
  );
  t.same(sendFrom(lan, ask(IP_A, IP_B)), { 'egress.drop.answered': 1 });
  t.same(sendFrom(lan, ask(IP_A, IP_A)), { 'egress.drop.suppressed': 1 });
  t.same(sendFrom(lan, ethernet(0x0100_5e00_00fb, MAC_A, 0x88b5, Buffer.alloc(60))), {
    'egress.delivered': 2,
  });
  a.tables.floodWriter.delete(0, a.peer(B));
  t.same(sendFrom(lan, udpFrame(BROADCAST)), { 'egress.delivered': 1 });
  a.clear();
  // A slow machine may take so long for some that the limit lets all pass: then more, at most as many as no limit bears.
  let sent = 0;
  const overLimit = (): number => a.ends()['egress.drop.flood_limited'] ?? 0;
  while (overLimit() === 0 && sent < 10_000) {
    for (let i = 0; i < 500; i++) a.send(0, udpFrame(BROADCAST));
    settle(lan.routers);
    sent += 500;
  }
  const { 'egress.delivered': delivered = 0, 'egress.drop.flood_limited': limited = 0 } = a.ends();
  t.equal(delivered + limited, sent);
  t.ok(limited > 0 && delivered > 0, `${limited} over the limit, ${delivered} below`);
  a.tables.floodWriter.clear(0);
  t.same(sendFrom(lan, udpFrame(BROADCAST)), { 'egress.drop.broadcast': 1 }, 'no members');
  isBalanced(t, lan);
});

t.test('a flooded super-packet is cut for each member', async (t) => {
  // The virtio-net header is what a fabric's device lacks, so datagrams of one size stand in for it:
  // several frames of one burst, each for both members, keep their order and bytes.
  const lan = makeLan([{ vni: 100, bum: BumMode.Replicate }]);
  const frames = Array.from({ length: 20 }, (_, i) =>
    ethernet(
      BROADCAST,
      MAC_A,
      IPV4,
      ipv4({ ...ENDS, identification: i }, udp(ENDS, { destinationPort: 9 })),
    ),
  );
  for (const frame of frames) lan.a.send(0, frame);
  settle(lan.routers);
  for (const router of [lan.b, lan.c]) t.same(router.received(0).map(hex), frames.map(hex));
  isBalanced(t, lan);
});

t.test('a service node replicates for others, and never for its like', async (t) => {
  const lan = makeLan([{ vni: 100, bum: BumMode.ServiceNode }]);
  const { a, b, c, fabric } = lan;
  // The second router is the node: leaves send floods to it alone, and take from it what others sent.
  b.layout.counters(0).fill(0);
  for (const leaf of [a, c]) {
    leaf.tables.floodWriter.clear(0);
    leaf.tables.floodWriter.add(0, leaf.peer(B));
    leaf.admit(0, B, VtepFlag.Replicator);
  }
  const node = new LanRouter(fabric, B, [
    { vni: 100, bum: BumMode.Replicate, networkFlags: NetworkFlag.Replicator },
  ]);
  for (const [i, { mac, addresses }] of STATIONS.entries()) {
    const at = HOSTS[i] ?? A;
    if (at !== B) {
      node.admit(0, at);
      node.tables.floodWriter.add(0, node.peer(at));
    }
    node.station(0, at, mac, addresses);
  }
  const routers = [a, node, c];
  const frame = udpFrame(BROADCAST);
  a.send(0, frame);
  settle(routers);
  t.same(
    fabric.seen.map(({ from, to }) => [from, to]),
    [
      [A, B],
      [B, C],
    ],
  );
  t.same(node.received(0).map(hex), [hex(frame)], 'its own port hears it too');
  t.same(c.received(0).map(hex), [hex(frame)]);
  t.equal(node.counters()['event.replicated'], 1);
  t.equal(hex(fabric.seen[1]?.bytes ?? Buffer.alloc(0)), hex(vxlan(100, frame)));
  // A member that has named another VNI gets its copy under that.
  node.tables.floodWriter.clear(0);
  const third = node.tables.peerWriter.intern(ipv4Bytes(C), 0, 777);
  for (const target of [third, node.peer(A)]) node.tables.floodWriter.add(0, target);
  fabric.seen.length = 0;
  a.send(0, frame);
  settle(routers);
  t.equal(hex(fabric.seen[1]?.bytes ?? Buffer.alloc(0)), hex(vxlan(777, frame)));
  t.same(node.received(0).map(hex), [hex(frame)]);
  // A unicast of the first's MAC by way of the node is not believed.
  c.clear();
  fabric.carry(B, C, vxlan(100, udpFrame(MAC_C, MAC_A, { source: IP_A, destination: IP_C })));
  settle(routers);
  t.same(c.ends(), { 'ingress.drop.foreign_mac': 1 });
  // What another node has replicated ends at this one.
  node.admit(0, C, VtepFlag.Replicator);
  fabric.seen.length = 0;
  fabric.carry(C, B, vxlan(100, udpFrame(BROADCAST, MAC_C, { source: IP_C, destination: IP_B })));
  settle(routers);
  t.equal(fabric.seen.length, 1);
  t.equal(node.received(0).length, 1);
  for (const router of routers) t.equal(router.unaccounted(), 0);
});

t.test('a peer that has named another VNI gets it, and is who it was when it sends', async (t) => {
  const lan = makeLan([{ vni: 100, bum: BumMode.Replicate }]);
  const { a, fabric } = lan;
  const writer = a.tables.peerWriter;
  const labelled = writer.intern(ipv4Bytes(B), 0, 777);
  a.tables.fdbWriter.set(0, MAC_B, { peer: labelled, flags: 0 });
  const carried = (): string[] => fabric.seen.splice(0).map(({ bytes }) => hex(bytes));
  carried();
  sendFrom(lan, udpFrame());
  t.same(carried(), [hex(vxlan(777, udpFrame()))]);
  // What it sends bears our VNI, and its MAC is still its own and nobody else's.
  const back = udpFrame(MAC_A, MAC_B, { source: IP_B, destination: IP_A });
  for (const [from, ends] of [
    [B, { 'ingress.delivered': 1 }],
    [C, { 'ingress.drop.foreign_mac': 1 }],
  ] as const) {
    a.clear();
    fabric.carry(from, A, vxlan(100, back));
    settle([a]);
    t.same(a.ends(), ends);
  }
  a.tables.floodWriter.clear(0);
  for (const target of [a.peer(C), labelled]) a.tables.floodWriter.add(0, target);
  carried();
  sendFrom(lan, udpFrame(BROADCAST));
  t.same(carried(), [hex(vxlan(100, udpFrame(BROADCAST))), hex(vxlan(777, udpFrame(BROADCAST)))]);
  t.equal(a.unaccounted(), 0);
  // Numbers go with their last user, the plain one after the other.
  const before = writer.count;
  const [twice, other] = [writer.intern(ipv4Bytes(9), 0, 5), writer.intern(ipv4Bytes(9), 0, 6)];
  const plain = writer.plainOf(twice);
  t.equal(writer.plainOf(other), plain);
  t.equal(writer.hasLabels(plain), true);
  for (const index of [twice, other]) writer.release(index);
  t.equal(writer.hasLabels(plain), false);
  t.equal(writer.count, before);
});

t.test('learn: peers without a control plane are flooded to, and told of', async (t) => {
  const lan = makeLan([{ vni: 100, bum: BumMode.Learn }]);
  const { a, b, routers, fabric } = lan;
  b.tables.fdbWriter.delete(0, MAC_A);
  b.tables.neighbourWriter.delete(0, ipv4Bytes(IP_A));
  const arrive = (inner: Uint8Array, from = A): Record<string, number> => {
    b.clear();
    fabric.carry(from, B, vxlan(100, inner));
    settle(routers);
    return b.ends();
  };
  t.same(arrive(udpFrame()), { 'ingress.delivered': 1 });
  t.match(b.events(), [{ kind: EventKind.RemoteMac, mac: MAC_A, peer: b.peer(A) }]);
  arrive(udpFrame());
  t.same(b.events(), [], 'once a second is enough');
  // Control writes it; from now on it is told again only as long as it talks, and when it moves.
  b.tables.fdbWriter.set(0, MAC_A, { peer: b.peer(A), flags: FdbFlag.Learned });
  t.same(arrive(udpFrame(), C), { 'ingress.delivered': 1 }, 'it has moved');
  t.match(b.events(), [{ kind: EventKind.RemoteMac, mac: MAC_A, peer: b.peer(C) }]);
  t.same(
    arrive(udpFrame(MAC_B, MAC_C), A),
    { 'ingress.drop.foreign_mac': 1 },
    'not what is written',
  );
  t.same(arrive(udpFrame(MAC_B, MAC_B), A), { 'ingress.drop.bad_mac': 1 }, 'nor one of ours');
  t.same(arrive(udpFrame(), 0xac1e_0009), { 'ingress.drop.stranger': 1 });
  t.same(sendFrom(lan, ask(IP_A, IP_A)), { 'egress.delivered': 2 }, 'gratuitous ARP is flooded');
  t.same(sendFrom(lan, udpFrame(NOBODY)), { 'egress.delivered': 2 });
  t.equal(a.counters()['event.flooded_unknown'], 1);
  isBalanced(t, lan);
});

t.test('what clients look for by broadcast is carried to the one that has it', async (t) => {
  const lan = makeLan();
  const { a, b, c, routers } = lan;
  const any = { source: 0, destination: 0xffff_ffff };
  const message = (operation: number, type: number): Buffer => {
    const bytes = Buffer.alloc(244);
    bytes.set([operation, 1, 6, 0], 0);
    bytes.writeUInt32BE(IP_A, 16);
    bytes.writeUIntBE(MAC_A, 28, 6);
    bytes.writeUInt32BE(0x6382_5363, 236);
    bytes.set([53, 1, type, 255], 240);
    return bytes;
  };
  const discover = ethernet(
    BROADCAST,
    MAC_A,
    IPV4,
    ipv4(any, udp(any, { sourcePort: 68, destinationPort: 67 }, message(1, 1))),
  );
  t.same(sendFrom(lan, discover), { 'egress.drop.broadcast': 1 }, 'nobody has announced a server');
  for (const router of routers) {
    const isThere = router.local === B;
    router.tables.floodWriter.setService(0, Service.Dhcp, isThere ? SERVICE_HERE : router.peer(B));
    router.station(0, B, MAC_B, [ipv4Bytes(IP_B)], { fdb: FdbFlag.DhcpServer | FdbFlag.Router });
    router.clear();
  }
  t.same(sendFrom(lan, discover), { 'egress.delivered': 1 });
  t.same(b.received(0).map(hex), [hex(discover)]);
  t.equal(a.counters()['event.service_carried'], 1);
  t.same(c.ends(), {});
  // The answer is for all, because its client has no address yet: it goes to where its MAC is.
  a.tables.neighbourWriter.delete(0, ipv4Bytes(IP_A));
  const back = { source: IP_B, destination: 0xffff_ffff };
  const ack = ethernet(
    BROADCAST,
    MAC_B,
    IPV4,
    ipv4(back, udp(back, { sourcePort: 67, destinationPort: 68 }, message(2, 5))),
  );
  b.clear();
  a.clear();
  b.send(0, ack);
  settle(routers);
  t.same(b.ends(), { 'egress.delivered': 1 });
  t.same(a.received(0).map(hex), [hex(ack)]);
  t.match(a.events(), [
    { kind: EventKind.Binding, mac: MAC_A, detail: Snooped.Dhcp, address: ipv4Bytes(IP_A) },
  ]);
  t.same(c.ends(), {});
  // Router solicitations likewise.
  const all = { source: SIX_A, destination: 'ff02::2' };
  const rs = ethernet(
    groupMac('ff02::2'),
    MAC_A,
    IPV6,
    ipv6({ ...all, protocol: 58, hopLimit: 255 }, icmp6(all, 133)),
  );
  t.same(sendFrom(lan, rs), { 'egress.drop.multicast': 1 });
  for (const router of routers) {
    const where = router.local === B ? SERVICE_HERE : router.peer(B);
    router.tables.floodWriter.setService(0, Service.Router, where);
  }
  t.same(sendFrom(lan, rs), { 'egress.delivered': 1 });
  t.same(b.received(0).map(hex), [hex(rs)]);
  const ends = { source: SIX_B, destination: SIX_A };
  const ra = ethernet(
    MAC_A,
    MAC_B,
    IPV6,
    ipv6({ ...ends, protocol: 58, hopLimit: 255 }, icmp6(ends, 134, Buffer.alloc(8))),
  );
  b.clear();
  b.send(0, ra);
  settle(routers);
  t.same(b.ends(), { 'egress.delivered': 1 }, 'of a router');
  t.same(a.received(0).map(hex), [hex(ra)]);
  // What it says to all goes to all that take part, although nothing is flooded.
  const toAll = { source: SIX_B, destination: 'ff02::1' };
  const advert = icmp6(toAll, 134, Buffer.alloc(8));
  const told = ethernet(
    groupMac('ff02::1'),
    MAC_B,
    IPV6,
    ipv6({ ...toAll, protocol: 58, hopLimit: 255 }, advert),
  );
  for (const router of routers) router.clear();
  b.send(0, told);
  settle(routers);
  t.same(b.ends(), { 'egress.delivered': 2 });
  t.equal(b.counters()['event.flooded_multicast'], 0);
  for (const router of [a, c]) t.same(router.received(0).map(hex), [hex(told)]);
  // The same from who is no router.
  const rogue = { source: SIX_A, destination: 'ff02::1' };
  const forged = ipv6(
    { ...rogue, protocol: 58, hopLimit: 255 },
    icmp6(rogue, 134, Buffer.alloc(8)),
  );
  t.same(sendFrom(lan, ethernet(groupMac('ff02::1'), MAC_A, IPV6, forged)), {
    'egress.drop.rogue_router': 1,
  });
  isBalanced(t, lan);
});

t.test('a flood of MACs fills neither the ring nor anybody else', async (t) => {
  const lan = makeLan([{ vni: 100 }, { vni: 200 }]);
  const { a } = lan;
  a.clear(0);
  const beganMs = performance.now();
  let told = 0;
  for (let i = 0; i < 20_000; i++) {
    a.send(0, udpFrame(NOBODY, 0x0600_0000_0000 + i, { source: i + 1, destination: IP_B }));
    if (i % 60 !== 0) continue;
    settle(lan.routers);
    told += a.events().length;
  }
  settle(lan.routers);
  told += a.events().length;
  const seconds = (performance.now() - beganMs) / 1000;
  t.equal(a.counters()['egress.received'], 20_000);
  // A thousand a second, and what a second's worth of patience holds.
  t.ok(told <= 1000 * (seconds + 1), `${told} told in ${seconds.toFixed(1)} s`);
  t.equal(a.counters()['event.events_lost'], 0);
  const limited = a.counters()['event.events_limited'] ?? 0;
  t.ok(told + limited >= 20_000, `${limited} over the limit`);
  t.same(sendFrom(lan, udpFrame(), 1), { 'egress.delivered': 1 });
  sendFrom(lan, udpFrame(MAC_B, NEW_MAC, { source: 0x0a00_0055, destination: IP_B }), 1);
  t.match(
    a.events(),
    [{ kind: EventKind.LocalMac, link: 1, mac: NEW_MAC }],
    'the other network is heard',
  );
  isBalanced(t, lan, 2);
});

t.test('segments of a stream are joined behind one check', async (t) => {
  const lan = makeLan();
  const segments = Array.from({ length: 10 }, (_, i) => {
    const payload = Buffer.alloc(1000, i);
    return ethernet(
      MAC_B,
      MAC_A,
      IPV4,
      ipv4(
        { ...ENDS, protocol: 6, identification: i },
        tcp(ENDS, { destinationPort: 9, sequence: 1 + i * 1000 }, payload),
      ),
    );
  });
  const six = segments.map((_, i) => {
    const payload = Buffer.alloc(1000, i);
    return ethernet(
      MAC_B,
      MAC_A,
      IPV6,
      ipv6({ ...ENDS6, protocol: 6 }, tcp6(ENDS6, { sequence: 1 + i * 1000 }, payload)),
    );
  });
  for (const frame of [...segments, ...six]) lan.a.send(0, frame);
  settle(lan.routers);
  t.same(lan.b.received(0).map(hex).sort(), [...segments, ...six].map(hex).sort());
  t.same(solicitedNode(SIX_A), 'ff02::1:ff00:a');
  isBalanced(t, lan);
});

t.test('who sends what is too big hears it from where it was going', async (t) => {
  const lan = makeLan();
  const { a } = lan;
  const big = ethernet(
    MAC_B,
    MAC_A,
    IPV4,
    ipv4(ENDS, udp(ENDS, { destinationPort: 9 }, Buffer.alloc(1430))),
  );
  t.same(sendFrom(lan, big), { 'egress.drop.too_big': 1 });
  const [answer] = a.received(0).map((bytes) => Buffer.from(bytes));
  // From the MAC and the address that the packet was for: ICMP 3/4 with the MTU that fits.
  t.equal(answer?.subarray(0, 14).toString('hex'), `${hex(mac(MAC_A))}${hex(mac(MAC_B))}0800`);
  t.equal(answer?.readUInt32BE(14 + 12), IP_B);
  t.equal(answer?.readUInt32BE(14 + 16), IP_A);
  t.equal(answer?.readUInt16BE(14 + 20), 0x0304);
  t.equal(answer?.readUInt16BE(14 + 26), 1450);
  const big6 = ethernet(
    MAC_B,
    MAC_A,
    IPV6,
    ipv6(ENDS6, udp6(ENDS6, { destinationPort: 9 }, Buffer.alloc(1410))),
  );
  t.same(sendFrom(lan, big6), { 'egress.drop.too_big': 1 });
  const [answer6] = a.received(0).map((bytes) => Buffer.from(bytes));
  t.equal(answer6?.subarray(0, 14).toString('hex'), `${hex(mac(MAC_A))}${hex(mac(MAC_B))}86dd`);
  t.same(answer6?.subarray(14 + 8, 14 + 24), address6(SIX_B));
  t.same(answer6?.subarray(14 + 24, 14 + 40), address6(SIX_A));
  t.equal(answer6?.readUInt16BE(14 + 40), 0x0200);
  t.equal(answer6?.readUInt32BE(14 + 44), 1450);
  isBalanced(t, lan);
});
