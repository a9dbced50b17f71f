import { fstatSync, readSync } from 'node:fs';
import t from 'tap';
import { EntryTable } from '../../src/control/plane/entry-table.ts';
import { readPredecessor } from '../../src/control/plane/tables/predecessor.ts';
import { ENTRIES_MAX } from '../../src/limits.ts';
import { LinkKind } from '../../src/shm/network.ts';
import { SharedMemory, writtenRanges } from '../../src/sys/libc/memory.ts';
import { FdbReader } from '../../src/table/fdb.ts';
import { FloodReader, Service } from '../../src/table/flood.ts';
import { NeighbourReader } from '../../src/table/neighbours.ts';
import { PeerReader } from '../../src/table/peers.ts';
import { PolicyReader } from '../../src/table/policy.ts';
import { PrefixReader } from '../../src/table/prefixes.ts';
import { PEERS_MAX, TABLES_BYTES, TableSegment } from '../../src/table/segment.ts';
import { VtepReader } from '../../src/table/vteps.ts';

const HOST = 0xac1e0001;
const ANYBODY = { words: [], length: 0, labels: 0 };
const one = (address: number) => ({ address, length: 32 });

/** What a data process finds: the host of an address on link `id`, 0 when arithmetic decides. */
function reader(table: EntryTable): (id: number, address: number) => number {
  const memory = SharedMemory.openReadOnly(table.fd, TABLES_BYTES);
  const segment = new TableSegment(memory.buffer);
  const prefixes = new PrefixReader(segment);
  const peers = new PeerReader(segment);
  return (id, address) => peers.ipv4(prefixes.find(id, address));
}

t.test('a change holds at once for whoever reads', async (t) => {
  const table = new EntryTable();
  t.teardown(() => table.close());
  const find = reader(table);
  table.set('fan', one(0xfa000002), HOST);
  t.equal(find(4, 0xfa000002), 0, 'its link does not run yet');
  table.bind('fan', 4);
  t.equal(find(4, 0xfa000002), HOST);
  table.set('fan', one(0xfa000002), HOST + 1);
  t.equal(find(4, 0xfa000002), HOST + 1, 'it moved');
  t.match(table.answer('fan', 0xfa000002), { prefix: { length: 32 }, peer: HOST + 1 });
  table.delete('fan', one(0xfa000002));
  table.set('fan', { address: 0xfa000100, length: 24 }, HOST);
  t.equal(find(4, 0xfa000002), 0);
  t.equal(find(4, 0xfa0001ff), HOST);
  t.same(table.status(), { entries: 1, peers: 1, waiting: 0 });
  table.unbind('fan');
  t.equal(find(4, 0xfa0001ff), 0, 'its link runs no more');
  table.bind('fan', 9);
  t.equal(find(9, 0xfa0001ff), HOST, 'and again, by another number');
  table.delete('fan', { address: 0xfa000100, length: 24 });
  t.same(table.status(), { entries: 0, peers: 0, waiting: 0 });
});

t.test('a link that goes leaves nothing behind, and touches nothing but its own', async (t) => {
  const table = new EntryTable();
  t.teardown(() => table.close());
  /** What the kernel has made of its memory, in pages of 4 kB. */
  const pages = (): number => fstatSync(table.fd).blocks / 8;
  const { networks, policy } = table;
  const rule = { from: ANYBODY, to: ANYBODY, ports: { first: 0, last: 65_535 } };
  const rules = [{ text: 'deny blue', row: { flags: 0, protocol: 0, slot: 0, ...rule } }];
  const [mac, address] = [0x02fa_0000_0001, 0x0a01_0001];
  for (const name of ['blue', 'red']) {
    const place = { host: HOST, flags: 0, label: 0 };
    networks.setMac(name, mac, place);
    networks.setMac(name, mac + 1, { ...place, host: 'here' });
    networks.setNeighbour(name, address, { mac, flags: 0 });
    networks.setVtep(name, HOST, 0);
    networks.setFloods(name, [{ host: HOST, label: 0 }]);
    networks.setService(name, Service.Dhcp, { host: HOST, label: 0 });
    policy.set(name, { rules, labels: new Map([[mac, 1]]) });
  }
  table.bind('blue', 3);
  table.bind('red', 4);
  const reads = (id: number): unknown[] => {
    const segment = new TableSegment(SharedMemory.openReadOnly(table.fd, TABLES_BYTES).buffer);
    const written = writtenRanges(table.fd, TABLES_BYTES);
    const flood = new FloodReader(segment);
    const rules = new PolicyReader(segment);
    return [
      [...new FdbReader(segment).entries(id, written)].length,
      [...new NeighbourReader(segment).entries(id, written)].length,
      [...new VtepReader(segment, new PeerReader(segment)).entries(id, written)].length,
      [...flood.targets(id)].length,
      flood.service(id, Service.Dhcp) === 0,
      rules.labelsOf(id, 0x02fa, 1),
      rules.head(id) & 0xff,
    ];
  };
  const all = [2, 1, 1, 1, false, 1, 1];
  t.same([reads(3), reads(4)], [all, all]);
  const before = pages();
  // A successor reads it too, and what nobody has written to stays untouched.
  const link = {
    ...{ kind: LinkKind.Vni, encap: 1, offloads: 0, endpoint: 0, peerPort: 4789 },
    ...{ overlayAddress: 0, overlayLength: 0, underlayAddress: 0xac1e_0000, underlayLength: 16 },
    ...{ localAddress: HOST + 1, innerMtu: 1450, underlayMtu: 1500, gateway: 0 },
    ...{ superBytesToHost: 65_535, superBytesToPorts: 65_535, dscpUniform: 0 },
  };
  for (const [id, vni] of [
    [3, 100],
    [4, 200],
  ] as const) {
    table.links.setLink(id, 1, { ...link, vni });
  }
  const row = { vni: 100, port: 4789, floods: [{ host: HOST, label: 0 }] };
  const blue = {
    ...{ ...row, here: { macs: [{ mac: mac + 1, flags: 0 }], bindings: [] } },
    macs: [{ mac, host: HOST, label: 0, isSticky: false, isRouter: false }],
    bindings: [{ address, mac, host: HOST, isRouter: false }],
    vteps: [{ host: HOST, isReplicator: false }],
  };
  t.same(readPredecessor(table.fd).networks, [blue, { ...blue, vni: 200 }]);
  t.ok(pages() - before < 64, `${pages() - before} pages more`);
  table.unbind('blue');
  t.ok(pages() - before < 64);
  t.same([reads(3), reads(4)], [[0, 0, 0, 0, true, 0, 0], all]);
  t.equal(table.status().peers, 1, 'whom the other one needs');
  table.unbind('red');
  t.same(reads(4), [0, 0, 0, 0, true, 0, 0]);
  t.equal(table.status().peers, 0);
  table.bind('blue', 3);
  t.same(reads(3), all, 'it comes back with all of it');

  const fan = new EntryTable();
  t.teardown(() => fan.close());
  const untouched = fstatSync(fan.fd).blocks;
  fan.bind('fan', 0);
  fan.unbind('fan');
  t.ok(fstatSync(fan.fd).blocks - untouched < 8 * 8, 'a fan with nothing in tables');
});

t.test('data processes cannot write it', async (t) => {
  const table = new EntryTable();
  t.teardown(() => table.close());
  t.throws(() => SharedMemory.open(table.fd, TABLES_BYTES), { code: 'EACCES' });
  t.equal(readSync(table.fd, new Uint8Array(4)), 4);
});

t.test('a full table: the rest waits, is told of, and goes on changing', async (t) => {
  const table = new EntryTable();
  t.teardown(() => table.close());
  const find = reader(table);
  table.bind('fan', 0);
  const address = (index: number): number => (0x0a000000 + index) >>> 0;
  const startMs = performance.now();
  for (let i = 0; i < ENTRIES_MAX + 10; i++) table.set('fan', one(address(i)), HOST + (i % 100));
  const each = ((performance.now() - startMs) * 1000) / ENTRIES_MAX;
  t.comment(`${each.toFixed(2)} us an entry`);
  t.same(table.status(), { entries: ENTRIES_MAX, peers: 100, waiting: 10 });
  t.equal(find(0, address(ENTRIES_MAX)), 0);
  table.set('fan', one(address(5)), HOST + 77);
  t.equal(find(0, address(5)), HOST + 77, 'what is there still moves');
  for (let i = 0; i < 10; i++) table.delete('fan', one(address(i)));
  t.same(table.status(), { entries: ENTRIES_MAX, peers: 100, waiting: 0 });
  t.equal(find(0, address(ENTRIES_MAX + 9)), HOST + ((ENTRIES_MAX + 9) % 100));
});

t.test('more hosts than there is room for wait too', async (t) => {
  const table = new EntryTable();
  t.teardown(() => table.close());
  table.bind('fan', 0);
  for (let i = 0; i < PEERS_MAX + 4; i++) table.set('fan', one(0x0a000000 + i), 0x0b000000 + i);
  t.match(table.status(), { peers: PEERS_MAX - 1, waiting: 5 });
  for (let i = 0; i < 5; i++) table.delete('fan', one(0x0a000000 + i));
  t.match(table.status(), { peers: PEERS_MAX - 1, waiting: 0 }, 'a number is used again');
});
