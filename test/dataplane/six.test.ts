/** IPv6 between two routers inside one process: packets, neighbours, trains, and what is refused. */
import t, { type Test } from 'tap';
import { ARENA_BYTES } from '../../src/dataplane/arena-bytes.ts';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { Loop } from '../../src/dataplane/loop.ts';
import { ENCAPS, type EncapName } from '../../src/encap/encap.ts';
import { vniOf6 } from '../../src/net/fan6.ts';
import { parsePrefix6 } from '../../src/net/prefix6.ts';
import { LAYOUT_BYTES, Layout } from '../../src/shm/layout.ts';
import { AF_INET } from '../../src/sys/libc/constants.ts';
import { namedCounters, unaccounted } from '../../src/table/counters.ts';
import { EndpointKind, Offload } from '../../src/table/links/links.ts';
import {
  emitVirtioNet,
  setVirtioGso,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../../src/wire/virtio-net.ts';
import { ethernet } from '../support/bytes.ts';
import {
  advertise,
  type Ends6,
  groupMac,
  icmp6,
  ipv6,
  linkOption,
  solicit,
  solicitedNode,
  tcp6,
  udp6,
} from '../support/bytes6.ts';
import { Fabric, FabricPorts } from '../support/fabric.ts';
import { NO_ROUTES } from '../support/peers.ts';
import { TestTables } from '../support/tables.ts';

const [DEVICE, LISTENER, SENDER] = [100, 200, 201];
const [HERE, THERE] = [0xac1e001b, 0xac1e001c];
const OVERLAY = parsePrefix6('fd00:fa::/32');
const [A, B] = ['fd00:fa:1b::10', 'fd00:fa:1c::10'];
const [MAC_A, MAC_B] = [0x02000000000a, 0x02000000000b];
const NO_IPV4 = { overlayAddress: 0xffffffff, overlayLength: 32 };

function makeRouter(fabric: Fabric, local: number, encapName: EncapName, offloads = 0) {
  const encap = ENCAPS[encapName];
  const arena = new Arena(ARENA_BYTES);
  const layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  const tables = new TestTables();
  const ports = new FabricPorts(arena, fabric, local, { device: DEVICE, listener: LISTENER });
  layout.initialize();
  layout.queues = 1;
  const [overlay6Word0, overlay6Word1, overlay6Word2, overlay6Word3] = OVERLAY.address;
  const loop = new Loop(arena, layout, tables.segment, 300, 301, {
    ports,
    family: AF_INET,
    routes: NO_ROUTES,
  });
  tables.give(
    loop,
    [
      {
        kind: EndpointKind.Udp,
        localAddress: local,
        localPort: encap.defaultPort,
        offloads: Offload.Segment,
        sockets: [LISTENER, SENDER],
      },
    ],
    [
      {
        ...{ id: 0, encap: encap.id, deviceFd: DEVICE, offloads, endpoint: 0 },
        ...NO_IPV4,
        ...{ overlay6Word0, overlay6Word1, overlay6Word2, overlay6Word3 },
        ...{ overlay6Length: OVERLAY.length, vni6: encap.hasVni ? vniOf6(OVERLAY) : 0 },
        ...{ underlayAddress: 0xac1e0000, underlayLength: 16, localAddress: local },
        ...{ vni: 0xffffff, peerPort: encap.defaultPort, underlayMtu: 1500 },
        ...{ innerMtu: 1500 - encap.overheadBytes, gateway: 0, dscpUniform: 0 },
        ...{ superBytesToHost: 65_535, superBytesToPorts: 65_535 },
      },
    ],
  );
  const counters = () => namedCounters(layout.counters(0));
  return { loop, ports, tables, counters };
}

type Router = ReturnType<typeof makeRouter>;

function pair(encap: EncapName, offloads = 0): [Router, Router, Fabric] {
  const fabric = new Fabric();
  return [
    makeRouter(fabric, HERE, encap, offloads),
    makeRouter(fabric, THERE, encap, offloads),
    fabric,
  ];
}

/** Runs both loops until nothing moves any more. */
function settle(...routers: Router[]): void {
  for (let round = 0; round < 8; round++) {
    let moved = 0;
    for (const { loop } of routers) moved += loop.tryRound();
    if (moved === 0) return;
  }
  throw new Error('packets go round in circles');
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const ends: Ends6 = { source: A, destination: B };

/** What counters other than the totals say. */
function ends6(router: Router): Record<string, number> {
  return Object.fromEntries(
    Object.entries(router.counters()).filter(([name, value]) => name.includes('drop') && value > 0),
  );
}

function balanced(test: Test, ...routers: Router[]): void {
  for (const { counters } of routers) {
    test.equal(unaccounted(counters(), 'egress'), 0);
    test.equal(unaccounted(counters(), 'ingress'), 0);
  }
}

for (const encap of ['vxlan', 'fou'] as const) {
  t.test(`${encap}: IPv6 packets arrive as they left`, async (t) => {
    const [a, b, fabric] = pair(encap);
    const inner = (packet: Buffer, to = MAC_B, from = MAC_A): Buffer =>
      encap === 'vxlan' ? ethernet(to, from, 0x86dd, packet) : packet;
    const packets = [
      ipv6(ends, udp6(ends, { destinationPort: 53 }, Buffer.from('question'))),
      ipv6({ ...ends, protocol: 6, trafficClass: 0xb8 }, tcp6(ends, { flags: 2 })),
      ipv6({ ...ends, protocol: 58 }, icmp6(ends, 128, Buffer.alloc(56))),
      ipv6(
        { ...ends, extensions: [[60, Buffer.from([0, 0, 1, 4, 0, 0, 0, 0])]] },
        udp6(ends, { destinationPort: 9 }),
      ),
      ipv6(
        { ...ends, extensions: [[44, Buffer.from([0, 0, 0, 1, 0, 0, 0, 9])]] },
        Buffer.alloc(1400),
      ),
    ];
    for (const packet of packets) a.ports.toRouter.push(inner(packet));
    settle(a, b);
    t.same(
      b.ports.toHost.map(hex),
      packets.map((packet) => hex(inner(packet))),
    );
    t.equal(fabric.seen.length, packets.length);
    t.same(ends6(a), {});
    t.same(ends6(b), {});
    balanced(t, a, b);
  });
}

t.test('neighbours are found through the tunnel, and nobody else hears it', async (t) => {
  const [a, b, fabric] = pair('vxlan');
  const group = groupMac(solicitedNode(B));
  const ask = (source: string, options = linkOption(1, MAC_A)): Buffer =>
    ethernet(group, MAC_A, 0x86dd, solicit({ source, target: B, options }));
  const question = ask(A);
  a.ports.toRouter.push(question);
  settle(a, b);
  t.same(b.ports.toHost.map(hex), [hex(question)]);
  const say = (fields: Parameters<typeof advertise>[0], to: number): Buffer =>
    ethernet(to, MAC_B, 0x86dd, advertise({ options: linkOption(2, MAC_B), ...fields }));
  const answer = say({ target: B, destination: A }, MAC_A);
  b.ports.toRouter.push(answer);
  settle(a, b);
  t.same(a.ports.toHost.map(hex), [hex(answer)]);

  // A probe of reachability comes from a link-local address, and is answered there.
  const probe = ask('fe80::a');
  const toProbe = say({ target: B, destination: 'fe80::a' }, MAC_A);
  a.ports.toRouter.push(probe);
  b.ports.toRouter.push(toProbe);
  settle(a, b);
  t.equal(hex(a.ports.toHost.at(-1) ?? new Uint8Array()), hex(toProbe));

  // What an owner says unasked goes to the host that has asked, once in a while.
  const unasked = say({ target: B, destination: 'ff02::1', word: 0x20000000 }, groupMac('ff02::1'));
  b.ports.toRouter.push(unasked);
  settle(a, b);
  t.equal(hex(a.ports.toHost.at(-1) ?? new Uint8Array()), hex(unasked));
  const before = fabric.seen.length;
  // Nobody has asked about this one.
  const other = say(
    { target: 'fd00:fa:1c::77', destination: 'ff02::1', word: 0x20000000 },
    groupMac('ff02::1'),
  );
  b.ports.toRouter.push(other);
  settle(a, b);
  t.equal(fabric.seen.length, before);
  t.same(ends6(a), {});
  t.same(ends6(b), { 'egress.drop.local_destination': 1 });
  balanced(t, a, b);
});

t.test('duplicate address detection of an address here stays here', async (t) => {
  const [a, b, fabric] = pair('vxlan');
  const detect = (target: string): Buffer =>
    ethernet(groupMac(solicitedNode(target)), MAC_A, 0x86dd, solicit({ source: '::', target }));
  a.ports.toRouter.push(detect(A));
  settle(a, b);
  t.equal(fabric.seen.length, 0);
  t.same(ends6(a), { 'egress.drop.local_destination': 1 });
  // One that belongs to another host is asked for there, and its owner's defence comes back.
  a.ports.toRouter.push(detect(B));
  settle(a, b);
  t.equal(b.ports.toHost.length, 1);
  const defence = ethernet(
    groupMac('ff02::1'),
    MAC_B,
    0x86dd,
    advertise({ target: B, destination: 'ff02::1', word: 0x20000000 }),
  );
  b.ports.toRouter.push(defence);
  settle(a, b);
  t.same(a.ports.toHost.map(hex), [hex(defence)]);
  balanced(t, a, b);
});

t.test('what leaves is checked as strictly as what comes', async (t) => {
  const cases: [name: string, packet: Buffer, counter: string, mac?: number][] = [
    [
      'a stranger',
      ipv6({ ...ends, source: '2001:db8::1' }, udp6(ends, { destinationPort: 1 })),
      'foreign_source',
    ],
    [
      'another slice',
      ipv6({ ...ends, source: 'fd00:fa:99::1' }, udp6(ends, { destinationPort: 1 })),
      'foreign_source',
    ],
    [
      'link-local',
      ipv6({ ...ends, source: 'fe80::1' }, udp6(ends, { destinationPort: 1 })),
      'foreign_source',
    ],
    [
      'to the world',
      ipv6({ ...ends, destination: '2001:db8::1' }, Buffer.alloc(8)),
      'outside_overlay',
    ],
    [
      'to itself',
      ipv6({ ...ends, destination: 'fd00:fa:1b::9' }, Buffer.alloc(8)),
      'local_destination',
    ],
    ['to nobody', ipv6({ ...ends, destination: 'fd00:fa::9' }, Buffer.alloc(8)), 'broadcast'],
    [
      'to a group',
      ipv6({ ...ends, destination: 'ff02::fb' }, Buffer.alloc(8)),
      'multicast',
      0x3333000000fb,
    ],
    ['a tunnel', ipv6({ ...ends, protocol: 41 }, Buffer.alloc(40)), 'nested'],
    ['this tunnel', ipv6(ends, udp6(ends, { destinationPort: 4789 })), 'nested'],
    ['a runt', ipv6(ends).subarray(0, 39), 'runt'],
    ['lies about its length', ipv6({ ...ends, payloadBytes: 99 }), 'malformed'],
    ['a routing header', ipv6({ ...ends, extensions: [[43, Buffer.alloc(8)]] }), 'malformed'],
    [
      'router advertisement',
      ipv6(
        { source: 'fe80::1', destination: 'ff02::1', protocol: 58, hopLimit: 255 },
        icmp6({ source: 'fe80::1', destination: 'ff02::1' }, 134, Buffer.alloc(8)),
      ),
      'multicast',
      0x333300000001,
    ],
    [
      'redirect',
      ipv6({ ...ends, protocol: 58, hopLimit: 255 }, icmp6(ends, 137, Buffer.alloc(32))),
      'rogue_router',
    ],
    [
      'router solicitation',
      ipv6(
        { source: 'fe80::1', destination: 'ff02::2', protocol: 58, hopLimit: 255 },
        icmp6({ source: 'fe80::1', destination: 'ff02::2' }, 133),
      ),
      'multicast',
      0x333300000002,
    ],
    [
      'question of a stranger',
      solicit({ source: 'fd00:fa:99::1', target: B }),
      'foreign_source',
      groupMac(solicitedNode(B)),
    ],
    [
      'question for a link-local address',
      solicit({ source: A, target: 'fe80::9' }),
      'local_destination',
      groupMac(solicitedNode('fe80::9')),
    ],
    [
      'question for an address of the world',
      solicit({ source: A, target: '2001:db8::1' }),
      'outside_overlay',
      groupMac(solicitedNode('2001:db8::1')),
    ],
    [
      'answer for a stranger',
      advertise({ target: 'fd00:fa:99::1', source: A, destination: B }),
      'foreign_source',
    ],
  ];
  for (const [name, packet, counter, mac = MAC_B] of cases) {
    const [a, b, fabric] = pair('vxlan');
    a.ports.toRouter.push(ethernet(mac, MAC_A, 0x86dd, packet));
    settle(a, b);
    t.same(ends6(a), { [`egress.drop.${counter}`]: 1 }, name);
    t.equal(fabric.seen.length, 0, name);
    balanced(t, a, b);
  }
});

t.test('a packet that does not fit is answered', async (t) => {
  const [a, b, fabric] = pair('vxlan');
  const packet = ipv6(ends, udp6(ends, { destinationPort: 9 }, Buffer.alloc(1500)));
  a.ports.toRouter.push(ethernet(MAC_B, MAC_A, 0x86dd, packet));
  settle(a, b);
  t.equal(fabric.seen.length, 0);
  t.same(ends6(a), { 'egress.drop.too_big': 1 });
  const [answer] = a.ports.toHost;
  if (answer === undefined) throw new Error('no answer');
  const said = Buffer.from(answer);
  t.equal(said.length, 14 + 1280);
  t.equal(said[14 + 40], 2, 'packet too big');
  t.equal(said.readUInt32BE(14 + 44), 1450, 'MTU');
  t.equal(said.subarray(14 + 24, 14 + 40).toString('hex'), hex(packet.subarray(8, 24)), 'to whom');
  t.equal(said.subarray(14 + 8, 14 + 24).toString('hex'), 'fd0000fa001c00000000000000000001');
});

/** A super-packet as a device gives it: the virtio-net header, then the frame. */
function superFrame(tcp: boolean, payload: Buffer, gsoBytes: number): Buffer {
  const message = tcp
    ? tcp6(ends, { flags: 0x18 }, payload)
    : udp6(ends, { destinationPort: 9 }, payload);
  const frame = ethernet(MAC_B, MAC_A, 0x86dd, ipv6({ ...ends, protocol: tcp ? 6 : 17 }, message));
  const header = Buffer.alloc(VIRTIO_NET_BYTES);
  emitVirtioNet(
    new DataView(header.buffer, header.byteOffset, header.length),
    0,
    VIRTIO_NEEDS_CSUM,
    54,
    tcp ? 16 : 6,
  );
  setVirtioGso(
    new DataView(header.buffer, header.byteOffset, header.length),
    0,
    tcp ? VIRTIO_GSO_TCPV6 : VIRTIO_GSO_UDP_L4,
    54 + (tcp ? 20 : 8),
    gsoBytes,
  );
  return Buffer.concat([header, frame]);
}

for (const tcp of [true, false]) {
  t.test(`super-packets of ${tcp ? 'TCP' : 'UDP'} are cut, and whole again`, async (t) => {
    const [a, b, fabric] = pair('vxlan', Offload.VnetHeader | Offload.Tso | Offload.Uso);
    const payload = Buffer.from(Array.from({ length: 10_500 }, (_, i) => (i * 7) & 255));
    const gsoBytes = 1370;
    a.ports.toRouter.push(superFrame(tcp, payload, gsoBytes));
    settle(a, b);
    const count = Math.ceil(payload.length / gsoBytes);
    t.equal(fabric.seen.length, count);
    t.same(ends6(a), {});
    t.same(ends6(b), {}, 'every checksum is right');
    t.equal(b.counters()['ingress.delivered'], count);
    t.equal(b.ports.toHost.length, 1, 'one write');
    const [whole] = b.ports.toHost;
    const got = Buffer.from(whole ?? []);
    const headers = VIRTIO_NET_BYTES + 54 + (tcp ? 20 : 8);
    t.equal(got.subarray(headers).toString('hex'), payload.toString('hex'));
    t.equal(got[1], tcp ? VIRTIO_GSO_TCPV6 : VIRTIO_GSO_UDP_L4);
    t.equal(got.readUInt16BE(VIRTIO_NET_BYTES + 14 + 4), payload.length + (tcp ? 20 : 8));
    balanced(t, a, b);
  });
}
