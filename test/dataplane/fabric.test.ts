/** Routers that forward to each other inside one process: the loops in earnest, no kernel anywhere. */
import t from 'tap';
import { ARENA_BYTES } from '../../src/dataplane/arena-bytes.ts';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { Loop } from '../../src/dataplane/loop.ts';
import { ENCAPS, type EncapName } from '../../src/encap/encap.ts';
import { LAYOUT_BYTES, Layout } from '../../src/shm/layout.ts';
import { AF_INET } from '../../src/sys/libc/constants.ts';
import { namedCounters, unaccounted } from '../../src/table/counters.ts';
import { EndpointKind, Offload } from '../../src/table/links/links.ts';
import { IPV4_PACKET_BYTES_MAX } from '../../src/wire/ipv4.ts';
import { Fabric, FabricPorts } from '../support/fabric.ts';
import { NO_ROUTES } from '../support/peers.ts';
import { TestTables } from '../support/tables.ts';
import { arp, FAN, frame, packet } from '../vectors/craft.ts';

const [DEVICE, LISTENER, SENDER] = [100, 200, 201];
const THIRD = 0xac1e001d;
const MOVED = 0xfa001c07;
const ROUNDS_MAX = 8;

/** A router on the host `local`: its loop, its device, its tables. */
function makeRouter(fabric: Fabric, local: number, encapName: EncapName) {
  const encap = ENCAPS[encapName];
  const arena = new Arena(ARENA_BYTES);
  const layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  const tables = new TestTables();
  const ports = new FabricPorts(arena, fabric, local, { device: DEVICE, listener: LISTENER });
  layout.initialize();
  layout.queues = 1;
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
        ...{ id: 0, encap: encap.id, deviceFd: DEVICE, offloads: 0, endpoint: 0 },
        ...{ overlayAddress: 0xfa000000, overlayLength: 8 },
        ...{ underlayAddress: 0xac1e0000, underlayLength: 16, localAddress: local },
        ...{ vni: 0xfa0000, peerPort: encap.defaultPort, underlayMtu: 1500 },
        ...{ innerMtu: 1500 - encap.overheadBytes, gateway: 0, dscpUniform: 0 },
        superBytesToHost: IPV4_PACKET_BYTES_MAX,
        superBytesToPorts: IPV4_PACKET_BYTES_MAX,
      },
    ],
  );
  const counters = () => namedCounters(layout.counters(0));
  return { loop, ports, tables, counters };
}

type Router = ReturnType<typeof makeRouter>;

/** Runs all loops until nothing moves any more. */
function settle(routers: readonly Router[]): void {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    let moved = 0;
    for (const { loop } of routers) moved += loop.tryRound();
    if (moved === 0) return;
  }
  throw new Error('packets go round in circles');
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

for (const encap of ['vxlan', 'fou'] as const) {
  t.test(`${encap}: two routers forward to each other in one process`, async (t) => {
    const fabric = new Fabric();
    const routers = [FAN.sender, FAN.receiver, THIRD].map((local) =>
      makeRouter(fabric, local, encap),
    );
    const [a, b, c] = routers;
    if (a === undefined || b === undefined || c === undefined) throw new Error('three routers');
    const inner = (bytes: Uint8Array): Uint8Array => (encap === 'vxlan' ? frame(bytes) : bytes);
    const there = inner(packet({ source: FAN.source, destination: FAN.destination }));
    const back = inner(packet({ source: FAN.destination, destination: FAN.source }));
    // Each container has a MAC of its own.
    if (encap === 'vxlan') back.set([...there.subarray(6, 12), ...there.subarray(0, 6)]);
    for (let i = 0; i < 3; i++) a.ports.toRouter.push(there);
    b.ports.toRouter.push(back);
    settle(routers);
    t.same(b.ports.toHost.map(hex), Array(3).fill(hex(there)));
    t.same(a.ports.toHost.map(hex), [hex(back)]);
    t.equal(fabric.seen.length, 4);
    t.equal(fabric.seen[0]?.bytes.length, there.length + ENCAPS[encap].shimBytes);

    // An address moves: one write to the table of each, and the next packet goes there.
    for (const { tables } of routers) tables.add(0, [{ address: MOVED, length: 32, peer: THIRD }]);
    const moved = inner(packet({ source: FAN.source, destination: MOVED }));
    a.ports.toRouter.push(moved);
    settle(routers);
    t.same(c.ports.toHost.map(hex), [hex(moved)]);
    for (const { tables } of routers) tables.prefixWriter.delete(0, MOVED, 32);
    b.ports.toHost.length = 0;
    a.ports.toRouter.push(moved);
    settle(routers);
    t.same(b.ports.toHost.map(hex), [hex(moved)], 'and back');

    if (encap === 'vxlan') {
      const address = (value: number): string => value.toString(16).padStart(8, '0');
      const ask = `0001 0800 06 04 0001 0242fa001b02 ${address(FAN.source)} 000000000000 ${address(FAN.destination)}`;
      a.ports.toRouter.push(arp(ask));
      b.ports.toHost.length = 0;
      settle(routers);
      t.equal(b.ports.toHost.length, 1, 'ARP finds the one who knows');
    }
    for (const { counters } of routers) {
      t.equal(unaccounted(counters(), 'egress'), 0);
      t.equal(unaccounted(counters(), 'ingress'), 0);
    }
  });
}
