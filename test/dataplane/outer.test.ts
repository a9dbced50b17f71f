import t, { type Test } from 'tap';
import { SOURCE_PORTS_DEFAULT } from '../../src/control/store/link-spec.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { unaccounted } from '../../src/table/counters.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { arp, ethernet, icmp, ipv4, isTransportSumRight, udp } from '../support/bytes.ts';
import { groundOf } from '../support/ground.ts';
import { Guest } from '../support/guest.ts';
import { skipLong } from '../support/long.ts';
import { sleep } from '../support/patience.ts';
import { type Ground, innerUdp } from '../support/probes.ts';
import {
  CONTAINER_NUMBER,
  ENCAPSULATIONS,
  fanwayUp,
  imbalance,
  joinFan,
  moved,
  Target,
} from '../support/target.ts';

const skip = skipWithoutTun();
t.jobs = 3;
t.setTimeout(1_200_000);

const FLOWS = 128;
const PACKETS_PER_FLOW = 4;
/** A veth with offloads carries a train as one frame; a sniffer shall see what a real wire has. */
const PLAIN_CARD = { underlayOffloads: false };

/** A datagram of flow `flow` from the victim's container to one behind the peer. */
function outbound(ground: Ground, flow: number, bytes = 10): Buffer {
  const ends = { source: ground.container, destination: ground.inner };
  return innerUdp(ground, ends, { sourcePort: 10_000 + flow }, Buffer.alloc(bytes, flow));
}

for (const encap of ENCAPSULATIONS) {
  for (const offload of ['auto', 'off'] as const) {
    const why = skip || (encap !== 'vxlan' && offload === 'off' && skipLong);
    const title = `outer headers of ${encap}, offload ${offload}`;
    t.test(title, { skip: why, buffered: true }, async (t) => {
      const target = await Target.create({ encap, offload, lab: PLAIN_CARD });
      t.teardown(() => target.close());
      const ground = groundOf(target, encap);
      const guest = await Guest.create(target, encap, ground.port);
      const others = new Set<string>();
      const portOf = new Map<number, Set<number>>();
      for (let round = 0; round < PACKETS_PER_FLOW; round++) {
        for (let flow = 0; flow < FLOWS; flow++) guest.send(outbound(ground, flow, 10 + round));
        for (const packet of await guest.collect(FLOWS)) {
          const flow = packet.inner.readUInt16BE(20) - 10_000;
          portOf.set(flow, (portOf.get(flow) ?? new Set()).add(packet.sourcePort));
          const { source, destination, ttl, fragment, tos } = packet;
          const seen = { source, destination, ttl, fragment, tos };
          if (!isTransportSumRight(packet.inner)) others.add('inner checksum');
          others.add(JSON.stringify(seen));
        }
      }
      const { victim: source, peer: destination } = ground;
      const wanted = { source, destination, ttl: 64, fragment: 0x4000, tos: 0 };
      t.strictSame([...others], [JSON.stringify(wanted)], 'every outer header');
      t.equal(portOf.size, FLOWS, 'every flow came out');
      // Between rounds a flow may be silent for so long that it may change its port.
      const ports = new Set([...portOf.values()].flatMap((set) => [...set]));
      if (encap === 'ipip') t.strictSame([...ports], [0]);
      else {
        t.ok(ports.size >= 6, `${FLOWS} flows leave from ${ports.size} ports`);
        t.ok(ports.size <= SOURCE_PORTS_DEFAULT, 'all of them out of the pool');
      }
      t.equal(await target.settle(), 0);
    });
  }
}

for (const encap of ['vxlan', 'fou'] as const) {
  t.test(
    `--source-port fixed: one port for all flows of ${encap}`,
    { skip: skip || (encap === 'fou' && skipLong), buffered: true },
    async (t) => {
      const target = await Target.create({
        encap,
        flags: ['--source-port', 'fixed'],
        lab: PLAIN_CARD,
      });
      t.teardown(() => target.close());
      const ground = groundOf(target, encap);
      const guest = await Guest.create(target, encap, ground.port);
      for (let flow = 0; flow < FLOWS; flow++) guest.send(outbound(ground, flow));
      const packets = await guest.collect(FLOWS);
      t.equal(packets.length, FLOWS);
      t.strictSame([...new Set(packets.map(({ sourcePort }) => sourcePort))], [ground.port]);
    },
  );
}

for (const [encap, wireTtl, farTtl] of [
  ['vxlan', 64, 64],
  ['ipip', 63, 62],
  ['fou', 63, 62],
] as const) {
  t.test(
    `inner TTL through ${encap}: ${farTtl} at the far container`,
    { skip, buffered: true },
    async (t) => {
      const target = await Target.create({ encap });
      t.teardown(() => target.close());
      const { lab, attacker, underlay } = target;
      await fanwayUp(attacker, '250.0.0.0/8', 'eth0/16', 'bridge', target.bridge, '--encap', encap);
      await joinFan(lab.container(1), target.bridge, CONTAINER_NUMBER);
      const far = target.wire(lab.container(1), 'eth0');
      const isEcho = (bytes: Buffer, at: number): boolean =>
        bytes[at + 9] === 1 && bytes[at + 20] === 8;
      await runEcho(lab.container(0), [formatIpv4(lab.container(1).address)], { count: 1 });
      const arrived = far.arrived().find((frame) => isEcho(frame, 14));
      t.equal(arrived?.[14 + 8], farTtl, 'at the far container');
      const innerAt = 14 + 20 + { vxlan: 30, fou: 8, ipip: 0 }[encap];
      const onWire = underlay.arrived().find((frame) => isEcho(frame, innerAt));
      t.equal(onWire?.[innerAt + 8], wireTtl, 'on the underlay');
      t.equal(await imbalance([target.victim, attacker]), 0);
    },
  );
}

type Attempt = [name: string, counter: string, frame: Buffer];

/** What a hostile guest on a bridged fan may try; each ends in one counter and never on the wire. */
function bridgedAttempts(ground: Ground, guestMac: number): Attempt[] {
  const ends = { source: ground.container, destination: ground.inner };
  const to = (mac: number, etherType: number, payload: Uint8Array): Buffer =>
    ethernet(mac, guestMac, etherType, payload);
  const ip = (packet: Uint8Array, mac = 0x020000000077): Buffer => to(mac, 0x0800, packet);
  const from = (source: number): Buffer => ip(innerUdp(ground, { ...ends, source }));
  const towards = (destination: number): Buffer => ip(innerUdp(ground, { ...ends, destination }));
  const nested = (protocol: number): Buffer =>
    ip(ipv4({ ...ends, protocol }, innerUdp(ground, ends)));
  const asks = (
    fields: { sender?: number; target?: number; lengths?: number },
    bytes = 28,
  ): Buffer =>
    to(
      0xffffffffffff,
      0x0806,
      arp({
        senderMac: guestMac,
        sender: ground.container,
        target: ground.inner,
        ...fields,
      }).subarray(0, bytes),
    );
  const ipv6 = Buffer.concat([Buffer.from([0x60, 0, 0, 0, 0, 0, 59, 255]), Buffer.alloc(32, 1)]);
  const everywhere = 0xffffffffffff;
  return [
    ['IPv6', 'ipv6', to(0x020000000077, 0x86dd, ipv6)],
    ['an IPv6 router advertisement to all', 'ipv6', to(0x333300000001, 0x86dd, ipv6)],
    ['IPv6 that says it is IPv4', 'ipv6', ip(ipv6)],
    ['LLDP', 'unknown_ethertype', to(0x020000000077, 0x88cc, Buffer.alloc(46))],
    ['LLDP to all', 'unknown_ethertype', to(everywhere, 0x88cc, Buffer.alloc(46))],
    ['a VLAN tag', 'unknown_ethertype', to(0x020000000077, 0x88a8, Buffer.alloc(60))],
    ['MPLS', 'unknown_ethertype', to(0x020000000077, 0x8847, Buffer.alloc(60))],
    ['a length instead of a type', 'unknown_ethertype', to(0x020000000077, 46, Buffer.alloc(46))],
    [
      'multicast',
      'multicast',
      ip(innerUdp(ground, { ...ends, destination: 0xe00000fb }), 0x01005e0000fb),
    ],
    [
      'a DHCP discover',
      'broadcast',
      ip(innerUdp(ground, { ...ends, source: 0, destination: 0xffffffff }), everywhere),
    ],
    ['unicast in a broadcast frame', 'broadcast', ip(innerUdp(ground, ends), everywhere)],
    ['unicast in a group frame', 'broadcast', ip(innerUdp(ground, ends), 0x01005e000001)],
    ["the overlay's broadcast address", 'broadcast', towards(0xfaffffff)],
    ["the overlay's network", 'broadcast', towards(0xfa000005)],
    ["another slice's source", 'foreign_source', from(ground.otherInner)],
    ["the far container's source", 'foreign_source', from(ground.inner)],
    ['a source on the Internet', 'foreign_source', from(0x08080808)],
    ['source 0.0.0.0', 'foreign_source', from(0)],
    ['source 127.0.0.1', 'foreign_source', from(0x7f000001)],
    ["the host's underlay source", 'foreign_source', from(ground.victim)],
    ['the Internet', 'outside_overlay', towards(0x08080808)],
    ["the peer's underlay address", 'outside_overlay', towards(ground.peer)],
    ['an address of our own slice', 'local_destination', towards(ground.slice + 200)],
    ['IPv4 in IPv4', 'nested', nested(4)],
    ['IPv6 in IPv4', 'nested', nested(41)],
    ['GRE', 'nested', nested(47)],
    ['VXLAN in UDP', 'nested', ip(innerUdp(ground, ends, { destinationPort: ground.port }))],
    ['a header of 16 bytes', 'malformed', ip(innerUdp(ground, { ...ends, words: 4 }))],
    ['version 5', 'malformed', ip(innerUdp(ground, { ...ends, version: 5 }))],
    ['a length beyond the frame', 'malformed', ip(innerUdp(ground, { ...ends, totalBytes: 900 }))],
    ['a length of 19', 'malformed', ip(innerUdp(ground, { ...ends, totalBytes: 19 }))],
    ['19 bytes', 'runt', ip(innerUdp(ground, ends).subarray(0, 19))],
    ['no packet at all', 'runt', ip(Buffer.alloc(0))],
    ['ARP of another slice', 'foreign_source', asks({ sender: ground.otherInner })],
    ['ARP without a sender', 'foreign_source', asks({ sender: 0 })],
    ['ARP for the Internet', 'outside_overlay', asks({ target: 0x08080808 })],
    ['ARP for nobody here', 'local_destination', asks({ target: ground.slice + 200 })],
    ["ARP for the overlay's broadcast", 'broadcast', asks({ target: 0xfaffffff })],
    ['ARP with other lengths', 'malformed', asks({ lengths: 0x0810 })],
    ['ARP of 27 bytes', 'runt', asks({}, 27)],
  ];
}

/** What gets through the host's own routing to a routed fan's device. */
function routedAttempts(ground: Ground): Attempt[] {
  const ends = { source: ground.container, destination: ground.inner };
  const attempts: Attempt[] = [
    [
      "another slice's source",
      'foreign_source',
      innerUdp(ground, { ...ends, source: ground.otherInner }),
    ],
    [
      "the far container's source",
      'foreign_source',
      innerUdp(ground, { ...ends, source: ground.inner }),
    ],
    [
      'a source on the Internet',
      'foreign_source',
      innerUdp(ground, { ...ends, source: 0x08080808 }),
    ],
    ['IPv4 in IPv4', 'nested', ipv4({ ...ends, protocol: 4 }, innerUdp(ground, ends))],
    ['IPv6 in IPv4', 'nested', ipv4({ ...ends, protocol: 41 }, Buffer.alloc(40))],
    ['GRE', 'nested', ipv4({ ...ends, protocol: 47 }, Buffer.alloc(40))],
    [
      "a slice's broadcast address",
      'broadcast',
      innerUdp(ground, { ...ends, destination: (ground.inner | 0xff) >>> 0 }),
    ],
    [
      "the overlay's broadcast address",
      'broadcast',
      innerUdp(ground, { ...ends, destination: 0xfaffffff }),
    ],
  ];
  if (ground.encap === 'fou') {
    const again = udp(ends, { destinationPort: ground.port }, innerUdp(ground, ends));
    attempts.push(['FOU in UDP', 'nested', ipv4(ends, again)]);
  }
  return attempts;
}

async function tryAll(
  t: Test,
  target: Target,
  guest: Guest,
  attempts: readonly Attempt[],
  send: (bytes: Buffer) => void,
): Promise<void> {
  guest.tunnelled();
  for (const [name, counter, bytes] of attempts) {
    const before = await target.counters();
    send(bytes);
    const deadline = Date.now() + 2000;
    let after = await target.counters();
    const isOver = (): boolean =>
      after['egress.received'] !== before['egress.received'] && unaccounted(after, 'egress') === 0;
    while (!isOver() && Date.now() < deadline) {
      await sleep(1);
      after = await target.counters();
    }
    const wanted = { 'egress.received': 1, [`egress.drop.${counter}`]: 1 };
    t.strictSame(moved(before, after, 'egress.'), wanted, `${name}: ${counter}`);
  }
  t.strictSame(guest.tunnelled(), [], 'nothing of it left the host');
  t.equal(await target.settle(), 0, 'received = delivered + named drops');
}

for (const offload of ['auto', 'off'] as const) {
  t.test(
    `a hostile guest on a bridged fan, offload ${offload}`,
    { skip, buffered: true },
    async (t) => {
      const target = await Target.create({ encap: 'vxlan', offload });
      t.teardown(() => target.close());
      const ground = groundOf(target, 'vxlan');
      const guest = await Guest.create(target, 'vxlan', ground.port);
      const attempts = bridgedAttempts(ground, target.containerMac);
      await tryAll(t, target, guest, attempts, (frame) => guest.sendFrame(frame));
      // The first and last address of a slice are ordinary where the overlay is one network.
      for (const destination of [(ground.inner & ~0xff) >>> 0, (ground.inner | 0xff) >>> 0]) {
        guest.send(innerUdp(ground, { source: ground.container, destination }));
      }
      t.equal((await guest.collect(2, 2000)).length, 2, 'to .0 and .255 of a slice');
    },
  );
}

for (const encap of ['ipip', 'fou'] as const) {
  t.test(`a hostile guest on a routed fan of ${encap}`, { skip, buffered: true }, async (t) => {
    const target = await Target.create({ encap });
    t.teardown(() => target.close());
    const ground = groundOf(target, encap);
    const guest = await Guest.create(target, encap, ground.port);
    // With a way back to any source, the kernel's own checks let a stranger's address through.
    await target.victim.netlink.addRoute({ dst: { address: 0, length: 0 }, dev: 'eth0' });
    await tryAll(t, target, guest, routedAttempts(ground), (packet) => guest.send(packet));
  });
}

for (const encap of ENCAPSULATIONS) {
  t.test(`nothing that came by ${encap} goes out again`, { skip, buffered: true }, async (t) => {
    const target = await Target.create({ encap });
    t.teardown(() => target.close());
    const ground = groundOf(target, encap);
    const guest = await Guest.create(target, encap, ground.port);
    const { carry } = await import('../support/probes.ts');
    const echo = icmp(8, 0, 1, Buffer.from('around'));
    // To every address that another host, the Internet or nobody here has.
    for (const destination of [
      ground.otherInner,
      ground.peer,
      ground.slice + 200,
      0x08080808,
      ground.inner,
    ]) {
      const packet = ipv4({ source: ground.inner, destination, protocol: 1 }, echo);
      target.underlay.send(carry(ground, packet));
    }
    const answers = await guest.collect(1, 300);
    t.strictSame(answers, [], 'no tunnel packet');
    t.equal(await target.settle(), 0);
  });
}
