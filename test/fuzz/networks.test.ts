/**
 * Mutated frames on layer-2 networks, both ways: every packet has one end, copies of floods included, and
 * what stands around it decides nothing.
 */
import t from 'tap';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { serveNetworks } from '../../src/dataplane/networks.ts';
import { BumMode, GuardMode, LinkKind, NetworkFlag } from '../../src/shm/network.ts';
import { EVENT_BASE } from '../../src/table/counters.ts';
import { FdbFlag } from '../../src/table/fdb.ts';
import { SERVICE_HERE, Service } from '../../src/table/flood.ts';
import { ipv4Bytes } from '../../src/table/peers.ts';
import { arp, ethernet, ipv4, udp } from '../support/bytes.ts';
import { advertise, ipv6, linkOption, solicit, tcp6, udp6 } from '../support/bytes6.ts';
import { skipLong } from '../support/long.ts';
import { nameOf } from '../support/peers.ts';
import { balance, makeRig, makeWayOut, RIG, type Rig } from './dataplane-rig.ts';
import { fuzz } from './mutate.ts';
import { FRAMES, repairIpv4, VIRTIO_FRAMES } from './seeds.ts';

// A busy machine takes several times as long as an idle one.
t.setTimeout(1_200_000);

/** Fewer where there is no time. */
const RUNS = skipLong === false ? 1_000_000 : 30_000;
const SLOT_BYTES = 70_000;
const HEADROOM_BYTES = 256;
const THIRD = 0xac1e_001d;
/** Stations of the seeds, behind the sender and the receiver. */
const [MAC_THERE, MAC_HERE] = [0x0242_fa00_1b02, 0x0242_fa00_1c02];
const [IP_THERE, IP_HERE] = [0xfa00_1b02, 0xfa00_1c02];
const [SIX_THERE, SIX_HERE] = ['fd00::1', 'fd00::2'];

const V4 = { source: IP_THERE, destination: IP_HERE };
const V6 = { source: SIX_THERE, destination: SIX_HERE };
const ask = { senderMac: MAC_THERE, sender: IP_THERE, target: IP_HERE };
const option = linkOption(1, MAC_THERE);
/** What only a network looks into. */
const MORE_FRAMES: readonly Uint8Array[] = [
  ethernet(0xffff_ffff_ffff, MAC_THERE, 0x0806, arp({ ...ask, target: IP_THERE })),
  ethernet(MAC_HERE, MAC_THERE, 0x0806, arp({ ...ask, operation: 2, targetMac: MAC_HERE })),
  ethernet(
    0x3333_ff00_0002,
    MAC_THERE,
    0x86dd,
    solicit({ source: SIX_THERE, target: SIX_HERE, options: option }),
  ),
  ethernet(0x3333_ff00_0002, MAC_THERE, 0x86dd, solicit({ source: '::', target: SIX_HERE })),
  ethernet(
    0x3333_0000_0001,
    MAC_THERE,
    0x86dd,
    advertise({
      target: SIX_THERE,
      destination: 'ff02::1',
      word: 0x2000_0000,
      options: linkOption(2, MAC_THERE),
    }),
  ),
  ethernet(
    MAC_HERE,
    MAC_THERE,
    0x86dd,
    ipv6({ ...V6, protocol: 6 }, tcp6(V6, {}, Buffer.alloc(64))),
  ),
  ethernet(
    MAC_HERE,
    MAC_THERE,
    0x86dd,
    ipv6(V6, udp6(V6, { destinationPort: 547, sourcePort: 546 }, Buffer.alloc(64))),
  ),
  ethernet(
    0xffff_ffff_ffff,
    MAC_THERE,
    0x0800,
    ipv4(V4, udp(V4, { sourcePort: 67, destinationPort: 68 }, Buffer.alloc(260))),
  ),
  ethernet(
    0xffff_ffff_ffff,
    MAC_THERE,
    0x0800,
    ipv4(V4, udp(V4, { sourcePort: 68, destinationPort: 67 }, Buffer.alloc(260))),
  ),
  ethernet(
    0x0100_5e00_00fb,
    MAC_THERE,
    0x0800,
    ipv4(V4, udp(V4, { destinationPort: 5353 }, Buffer.alloc(20))),
  ),
  ethernet(MAC_HERE, MAC_THERE, 0x88b5, Buffer.alloc(60)),
];

const POLICIES = [
  { bum: BumMode.None, guard: GuardMode.Strict },
  { bum: BumMode.Replicate, guard: GuardMode.Learn, networkFlags: NetworkFlag.Replicator },
  { bum: BumMode.Learn, guard: GuardMode.Off },
] as const;

/** A network of three hosts on the host `local`, with the stations of the seeds. */
function makeNetwork(policy: (typeof POLICIES)[number], local: number) {
  const words = { kind: LinkKind.Vni, floodsPerSecond: 0xffff_ffff, ...policy };
  const rig = makeRig('Vxlan', true, local, undefined, words);
  const { tables } = rig;
  const peers = new Map<number, number>();
  for (const host of [RIG.sender, RIG.receiver, THIRD]) {
    if (host === local) continue;
    const peer = tables.peerWriter.intern(ipv4Bytes(host));
    peers.set(host, peer);
    tables.vtepWriter.set(0, peer);
    tables.floodWriter.add(0, peer);
  }
  const put = (mac: number, address: number, host: number): void => {
    tables.fdbWriter.set(0, mac, { peer: peers.get(host) ?? 0, flags: FdbFlag.DhcpServer });
    const flags = host === local ? 1 : 0;
    tables.neighbourWriter.set(0, ipv4Bytes(address), { mac, flags });
  };
  put(MAC_THERE, IP_THERE, RIG.sender);
  put(MAC_HERE, IP_HERE, RIG.receiver);
  tables.floodWriter.setService(0, Service.Dhcp, local === RIG.receiver ? SERVICE_HERE : 1);
  return rig;
}

/** Both ways of a network, as the loop puts them together. */
function makeWays(rig: Rig) {
  const { arena, layout, link, tables } = rig;
  const { segment } = tables;
  const { egress, trains } = makeWayOut(rig);
  const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
  const ingress = new Ingress(arena, coalescer, [link]);
  serveNetworks(egress, ingress, { arena, layout, trains, coalescer, segment });
  return { egress, ingress };
}

for (const policy of POLICIES) {
  const name = JSON.stringify(policy);
  t.test(`egress of a network takes mutated frames: ${name}`, async (t) => {
    const rig = makeNetwork(policy, RIG.sender);
    const { arena, link } = rig;
    const { egress } = makeWays(rig);
    const slot = arena.allocate(SLOT_BYTES);
    let packets = 0;
    const run = (packet: Uint8Array, noise: number): Float64Array => {
      link.counters.fill(0);
      const start = slot + HEADROOM_BYTES;
      arena.bytes.fill(noise, start - 40, start);
      arena.bytes.fill(noise, start + packet.length, start + packet.length + 160);
      arena.bytes.set(packet, start);
      egress.packet(link, start + 10, packet.length - 10);
      egress.flush();
      return link.counters.slice(0, EVENT_BASE);
    };
    const plain = MORE_FRAMES.map((frame) => Buffer.concat([Buffer.alloc(10), frame]));
    const report = fuzz(
      [...VIRTIO_FRAMES, ...plain],
      (view, length) => {
        if (length < 10) return true;
        packets += 1;
        const packet = new Uint8Array(view.buffer, 0, length);
        const first = run(packet, 0x00);
        if (balance(first, 'egress') !== 0 || balance(first, 'ingress') !== 0) return false;
        if ((packets & 3) !== 0) return true;
        const second = run(packet, 0xff);
        return first.every((count, index) => count === second[index]);
      },
      { runs: RUNS },
    );
    t.equal(report.failure, '');
    t.ok(packets > RUNS / 2, `${packets} packets`);
  });

  t.test(`ingress of a network takes mutated frames: ${name}`, async (t) => {
    const rig = makeNetwork(policy, RIG.receiver);
    const { arena, link, endpoint } = rig;
    const { ingress } = makeWays(rig);
    const slot = arena.allocate(SLOT_BYTES);
    let [packets, reached] = [0, 0];
    const run = (bytes: Uint8Array, noise: number, source: number, segment: number) => {
      link.counters.fill(0);
      const start = slot + HEADROOM_BYTES;
      arena.bytes.fill(noise, start - 40, start);
      arena.bytes.fill(noise, start + bytes.length, start + bytes.length + 160);
      arena.bytes.set(bytes, start);
      const name = nameOf(arena, source);
      ingress.message(endpoint, start, bytes.length, name, packets & 255, segment);
      ingress.flush();
      return link.counters.slice(0, EVENT_BASE);
    };
    const shim = Buffer.from('08000000fa000000', 'hex');
    const seeds = [...FRAMES, ...MORE_FRAMES].map((frame) => Buffer.concat([shim, frame]));
    const report = fuzz(
      seeds,
      (view, length) => {
        packets += 1;
        if ((packets & 3) !== 0 && length > 22) repairIpv4(view, 22, length - 22);
        const bytes = new Uint8Array(view.buffer, 0, length);
        const source = packets % 17 === 0 ? THIRD : RIG.sender;
        const segment = packets % 13 === 0 ? (length >> 1) + 1 : 0;
        const first = run(bytes, 0x00, source, segment);
        if (balance(first, 'egress') !== 0 || balance(first, 'ingress') !== 0) return false;
        if (rig.counters()['ingress.drop.device_error'] !== 0) reached++;
        if ((packets & 3) !== 1) return true;
        const second = run(bytes, 0xff, source, segment);
        return first.every((count, index) => count === second[index]);
      },
      { runs: RUNS },
    );
    t.equal(report.failure, '');
    t.ok(reached > RUNS / 1000, `${reached} reach the device`);
  });
}
