/** The tables of layer-2 networks: what control writes, a data process finds; each has a maximum. */
import t from 'tap';
import { LINKS_MAX } from '../../src/limits.ts';
import { FDB_MAX, FdbFlag, FdbReader, FdbWriter, fdbFlags, fdbPeer } from '../../src/table/fdb.ts';
import { FloodReader, FloodWriter, SERVICE_HERE, Service } from '../../src/table/flood.ts';
import {
  NEIGHBOURS_MAX,
  NeighbourFlag,
  NeighbourReader,
  NeighbourWriter,
} from '../../src/table/neighbours.ts';
import { ipv4Bytes, PeerReader, PeerWriter } from '../../src/table/peers.ts';
import { FLOOD_TARGETS_MAX, TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';
import { VtepFlag, VtepReader, VtepWriter, vtepFlags, vtepPeer } from '../../src/table/vteps.ts';

const MAC = 0x0242_fa00_1c02;
const HIGH = 0x0242;
const LOW = 0xfa00_1c02;

function makeSegment(): TableSegment {
  const segment = new TableSegment(new ArrayBuffer(TABLES_BYTES));
  segment.initialize(4711);
  return segment;
}

function ipv6(last: number, first = 0xfd00_0000): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, first);
  view.setUint32(12, last);
  return new Uint8Array(view.buffer);
}

t.test('fdb: a MAC is at one place a link, with flags, and changes in one step', async (t) => {
  const segment = makeSegment();
  const writer = new FdbWriter(segment);
  const reader = new FdbReader(segment);
  t.equal(reader.find(3, HIGH, LOW), 0);
  t.ok(writer.set(3, MAC, { peer: 7, flags: FdbFlag.Sticky | FdbFlag.Router }));
  t.ok(writer.set(4, MAC, { peer: 0, flags: 0 }), 'another tenant has the same MAC');
  t.equal(fdbPeer(reader.find(3, HIGH, LOW)), 7);
  t.equal(fdbFlags(reader.find(3, HIGH, LOW)), FdbFlag.Sticky | FdbFlag.Router);
  t.not(reader.find(4, HIGH, LOW), 0, 'here is not unknown');
  t.equal(fdbPeer(reader.find(4, HIGH, LOW)), 0);
  t.ok(writer.set(3, MAC, { peer: 65_535, flags: FdbFlag.Learned }));
  t.same(writer.get(3, MAC), { peer: 65_535, flags: FdbFlag.Learned });
  t.ok(writer.set(LINKS_MAX - 1, 0xffff_ffff_fffe, { peer: 1, flags: 0xfff }));
  t.same(writer.get(LINKS_MAX - 1, 0xffff_ffff_fffe), { peer: 1, flags: 0xfff });
  t.equal(writer.count, 3);
  t.equal(writer.delete(3, MAC), true);
  t.equal(writer.get(3, MAC), undefined);
  t.same(writer.get(4, MAC), { peer: 0, flags: 0 });
  t.equal(writer.delete(4, MAC), true);
  t.equal(writer.delete(4, MAC), false);
});

t.test('all of a link is read back, and nothing of another', async (t) => {
  const segment = makeSegment();
  const peers = new PeerWriter(segment);
  const near = peers.intern(ipv4Bytes(0xac1e_011b));
  const far = peers.intern(ipv6(9));
  const [fdb, neighbours] = [new FdbWriter(segment), new NeighbourWriter(segment)];
  const [vteps, flood] = [new VtepWriter(segment, peers), new FloodWriter(segment)];
  for (const link of [3, 4]) {
    fdb.set(link, MAC + link, { peer: near, flags: FdbFlag.Sticky });
    neighbours.set(link, ipv4Bytes(link), { mac: MAC, flags: 0 });
    neighbours.set(link, ipv6(link), { mac: MAC, flags: NeighbourFlag.Router });
    vteps.set(link, link === 3 ? near : far, VtepFlag.Replicator);
    flood.add(link, link === 3 ? far : near);
  }
  const macs = [...new FdbReader(segment).entries(3)];
  t.same(
    macs.map(([mac, packed]) => [mac, fdbPeer(packed), fdbFlags(packed)]),
    [[MAC + 3, near, FdbFlag.Sticky]],
  );
  const bindings = [...new NeighbourReader(segment).entries(3)];
  t.same(
    bindings.sort((a, b) => a.address.length - b.address.length),
    [
      { address: ipv4Bytes(3), mac: MAC, flags: 0 },
      { address: ipv6(3), mac: MAC, flags: NeighbourFlag.Router },
    ],
  );
  const [packed = 0, ...others] = new VtepReader(segment, peers).entries(3);
  t.same([vtepPeer(packed), vtepFlags(packed), others], [near, VtepFlag.Replicator, []]);
  t.same([...new FloodReader(segment).targets(3)], [far]);
  t.equal(new PeerReader(segment).hostOf(near), 0xac1e_011b);
});

t.test('fdb: full, it refuses what is new and still changes what is there', async (t) => {
  const segment = makeSegment();
  const writer = new FdbWriter(segment);
  for (let i = 0; i < FDB_MAX; i++) {
    if (!writer.set(i & 7, MAC + i, { peer: 1, flags: 0 })) t.fail(`entry ${i}`);
  }
  t.equal(writer.set(0, MAC - 1, { peer: 1, flags: 0 }), false);
  t.equal(writer.overflows, 1);
  t.equal(writer.set(0, MAC, { peer: 2, flags: 0 }), true);
  t.equal(writer.delete(1, MAC + 1), true);
  t.equal(writer.set(0, MAC - 1, { peer: 1, flags: 0 }), true);
  const reader = new FdbReader(segment);
  for (let i = 2; i < FDB_MAX; i++) {
    const mac = MAC + i;
    if (reader.find(i & 7, Math.floor(mac / 2 ** 32), mac % 2 ** 32) === 0) t.fail(`lost ${i}`);
  }
});

t.test('neighbours: IPv4 and IPv6 addresses, by link', async (t) => {
  const segment = makeSegment();
  const writer = new NeighbourWriter(segment);
  const reader = new NeighbourReader(segment);
  const four = ipv4Bytes(0x0a00_0005);
  const six = ipv6(5);
  const view = new DataView(six.buffer);
  t.equal(reader.findIpv4(1, 0x0a00_0005), false);
  t.ok(writer.set(1, four, { mac: MAC, flags: NeighbourFlag.Local }));
  t.ok(writer.set(1, six, { mac: MAC + 1, flags: NeighbourFlag.Router }));
  t.ok(writer.set(2, four, { mac: MAC + 2, flags: 0 }));
  t.equal(reader.findIpv4(1, 0x0a00_0005), true);
  t.same([reader.macHigh, reader.macLow, reader.flags], [HIGH, LOW, NeighbourFlag.Local]);
  t.equal(reader.findIpv6(1, view, 0), true);
  t.same([reader.macHigh, reader.macLow, reader.flags], [HIGH, LOW + 1, NeighbourFlag.Router]);
  t.equal(reader.findIpv6(2, view, 0), false, 'not on the other link');
  t.ok(writer.set(1, four, { mac: 0xffff_ffff_fffd, flags: NeighbourFlag.Static }));
  t.same(writer.get(1, four), { mac: 0xffff_ffff_fffd, flags: NeighbourFlag.Static });
  t.equal(writer.count, 3);
  for (const address of [four, six]) t.equal(writer.delete(1, address), true);
  t.equal(writer.get(1, six), undefined);
  t.same(writer.get(2, four), { mac: MAC + 2, flags: 0 });
  t.equal(writer.delete(2, four), true);
  t.equal(writer.delete(2, four), false);
  t.equal(writer.count, 0);
});

t.test('neighbours: 100,000 of each family, changed and found again', async (t) => {
  const segment = makeSegment();
  const writer = new NeighbourWriter(segment);
  const reader = new NeighbourReader(segment);
  const count = 100_000;
  for (let i = 0; i < count; i++) {
    writer.set(0, ipv4Bytes(i), { mac: i, flags: 0 });
    writer.set(0, ipv6(i), { mac: i, flags: 0 });
  }
  // Rows go round while the table is as large as it may be.
  for (let i = 0; i < 3 * count; i++) {
    writer.set(0, ipv6(i % count), { mac: MAC + (i % count), flags: 1 });
  }
  t.equal(writer.overflows, 0);
  const view = new DataView(ipv6(0).buffer);
  for (let i = 0; i < count; i++) {
    view.setUint32(12, i);
    if (!reader.findIpv6(0, view, 0) || reader.macLow !== (LOW + i) >>> 0) t.fail(`IPv6 ${i}`);
    if (!reader.findIpv4(0, i) || reader.macLow !== i) t.fail(`IPv4 ${i}`);
  }
});

t.test('neighbours: full, they refuse what is new and still change what is there', async (t) => {
  const writer = new NeighbourWriter(makeSegment());
  for (let i = 0; i < NEIGHBOURS_MAX; i++) {
    if (!writer.set(0, ipv4Bytes(i), { mac: 1, flags: 0 })) t.fail(`entry ${i}`);
  }
  t.equal(writer.set(1, ipv4Bytes(1), { mac: 1, flags: 0 }), false);
  t.equal(writer.overflows, 1);
  for (let i = 0; i < 10_000; i++) writer.set(0, ipv4Bytes(i), { mac: 2, flags: 0 });
  t.same(writer.get(0, ipv4Bytes(9999)), { mac: 2, flags: 0 });
  t.equal(writer.overflows, 1);
});

t.test('vteps: admitted by outer address, IPv4 or IPv6, with flags', async (t) => {
  const segment = makeSegment();
  const peers = new PeerWriter(segment);
  const writer = new VtepWriter(segment, peers);
  const reader = new VtepReader(segment, new PeerReader(segment));
  const four = peers.intern(ipv4Bytes(0xac1e_001b));
  const six = peers.intern(ipv6(9));
  const other = peers.intern(ipv6(10));
  const view = new DataView(ipv6(9).buffer);
  t.equal(reader.findIpv4(1, 0xac1e_001b), 0, 'a stranger');
  t.ok(writer.set(1, four));
  t.ok(writer.set(1, six, VtepFlag.Replicator));
  t.ok(writer.set(1, other));
  t.equal(vtepPeer(reader.findIpv4(1, 0xac1e_001b)), four);
  t.equal(vtepFlags(reader.findIpv4(1, 0xac1e_001b)), 0);
  t.equal(vtepPeer(reader.findIpv6(1, view, 0)), six);
  t.equal(vtepFlags(reader.findIpv6(1, view, 0)), VtepFlag.Replicator);
  t.equal(reader.findIpv4(2, 0xac1e_001b), 0, 'not on the other link');
  t.equal(writer.delete(1, six), true);
  t.equal(reader.findIpv6(1, view, 0), 0);
  t.equal(writer.delete(1, six), false);
  for (const peer of [four, other]) t.equal(writer.delete(1, peer), true);
  t.equal(writer.count, 0);
  t.equal(writer.set(1, 60_000), false, 'a peer without a row');
});

t.test('flood: targets keep their places; services', async (t) => {
  const segment = makeSegment();
  const writer = new FloodWriter(segment);
  const reader = new FloodReader(segment);
  const targets = (link: number): number[] =>
    Array.from({ length: reader.high(link) }, (_, place) => reader.target(link, place));
  for (const peer of [11, 12, 13]) t.ok(writer.add(5, peer));
  t.ok(writer.add(5, 12), 'twice is once');
  t.same(targets(5), [11, 12, 13]);
  t.equal(writer.delete(5, 12), true);
  t.same(targets(5), [11, 0, 13]);
  t.ok(writer.add(5, 14));
  t.same(targets(5), [11, 14, 13]);
  writer.delete(5, 13);
  t.same(targets(5), [11, 14]);
  t.equal(writer.delete(5, 13), false);
  writer.setService(5, Service.Dhcp, 14);
  writer.setService(5, Service.Router, SERVICE_HERE);
  t.equal(reader.service(5, Service.Dhcp), 14);
  t.equal(reader.service(5, Service.Router), SERVICE_HERE);
  t.equal(reader.service(6, Service.Dhcp), 0);
  for (let peer = 1; peer <= FLOOD_TARGETS_MAX; peer++) t.ok(writer.add(6, peer) || t.fail());
  t.equal(writer.add(6, 5000), false);
  t.equal(writer.overflows, 1);
  writer.clear(6);
  t.equal(writer.count(6), 0);
  t.equal(writer.count(5), 2);
});
