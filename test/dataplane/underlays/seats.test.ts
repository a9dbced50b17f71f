/** A peer behind a NAT, as the data path has it: the loop in earnest, with an underlay that rewrites. */
import t from 'tap';
import { ARENA_BYTES } from '../../../src/dataplane/arena-bytes.ts';
import { Arena } from '../../../src/dataplane/ground/arena.ts';
import { Loop } from '../../../src/dataplane/loop.ts';
import { ENCAPS } from '../../../src/encap/encap.ts';
import { LAYOUT_BYTES, Layout } from '../../../src/shm/layout.ts';
import { AF_INET } from '../../../src/sys/libc/constants.ts';
import { namedCounters, unaccounted } from '../../../src/table/counters.ts';
import { EventKind, EventReader } from '../../../src/table/events.ts';
import { EndpointKind, Offload } from '../../../src/table/links/links.ts';
import { SeatReader, SeatWriter } from '../../../src/table/links/seats.ts';
import { SEATS_MAX } from '../../../src/table/segment.ts';
import { IPV4_PACKET_BYTES_MAX } from '../../../src/wire/ipv4.ts';
import { KeepAliveKind, keepAliveDatagram } from '../../../src/wire/lan/keep-alive.ts';
import { Fabric, FabricPorts } from '../../support/fabric.ts';
import { NO_ROUTES } from '../../support/peers.ts';
import { TestTables } from '../../support/tables.ts';
import { FAN, frame, packet } from '../../vectors/craft.ts';

const [DEVICE, LISTENER, SENDER] = [100, 200, 201];
const VXLAN = ENCAPS.vxlan;
const [NAT, PORT, VNI] = [0xac1e00fe, 40_123, 0xfa0000];

function makeRouter(fabric: Fabric, local: number, nat: number) {
  const arena = new Arena(ARENA_BYTES);
  const layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  const tables = new TestTables();
  const ports = new FabricPorts(arena, fabric, local, { device: DEVICE, listener: LISTENER });
  layout.initialize();
  layout.queues = 1;
  const loop = new Loop(arena, layout, tables.segment, 300, 301, {
    ...{ ports, family: AF_INET, routes: NO_ROUTES },
  });
  const endpoint = { kind: EndpointKind.Udp, localPort: 4789, offloads: Offload.Segment };
  tables.give(
    loop,
    [{ ...endpoint, localAddress: local, sockets: [LISTENER, SENDER] }],
    [
      {
        ...{ id: 0, encap: VXLAN.id, deviceFd: DEVICE, offloads: 0, endpoint: 0 },
        ...{ overlayAddress: 0xfa000000, overlayLength: 8, nat },
        ...{ underlayAddress: 0xac1e0000, underlayLength: 16, localAddress: local },
        ...{ vni: VNI, peerPort: 4789, underlayMtu: 1500 },
        ...{ innerMtu: 1500 - VXLAN.overheadBytes, gateway: 0, dscpUniform: 0 },
        superBytesToHost: IPV4_PACKET_BYTES_MAX,
        superBytesToPorts: IPV4_PACKET_BYTES_MAX,
      },
    ],
  );
  const sockets: number[] = [];
  const send = ports.send.bind(ports);
  ports.send = (socket, messages, count) => {
    sockets.push(socket);
    return send(socket, messages, count);
  };
  const seats = new SeatWriter(tables.segment);
  const events = new EventReader(layout.eventReader());
  return { loop, ports, sockets, seats, events, counters: () => namedCounters(layout.counters(0)) };
}

function inside(source: number, destination: number): Uint8Array<ArrayBuffer> {
  const payload = 'c000 0035 0010 0000 0102030405060708';
  const macOf = (address: number): string => `0242${address.toString(16)}`;
  const macs = { sourceMac: macOf(source), destinationMac: macOf(destination) };
  return frame(packet({ source, destination, payload }), macs);
}

/** The host of FAN.receiver, and what the one behind the NAT sends to it, as it arrives there. */
function world(nat: number) {
  const fabric = new Fabric();
  const here = makeRouter(fabric, FAN.receiver, nat);
  const there = makeRouter(fabric, FAN.sender, 0);
  there.ports.toRouter.push(inside(FAN.source, FAN.destination));
  there.loop.tryRound();
  const sent = here.ports.inbox.splice(0);
  const come = (from: number, port: number, bytes = sent[0]?.bytes ?? new Uint8Array()): void => {
    here.ports.inbox.push({ bytes, from, port });
    while (here.loop.tryRound() > 0);
  };
  const go = (): { to: number; socket: number } => {
    fabric.seen.length = 0;
    here.ports.toRouter.push(inside(FAN.destination, FAN.source));
    while (here.loop.tryRound() > 0);
    return { to: fabric.seen[0]?.to ?? 0, socket: here.sockets.at(-1) ?? 0 };
  };
  return { here, come, go };
}

t.test('a peer is where it is seen, and nowhere else', async (t) => {
  const { here, come, go } = world(1);
  const { counters, ports, seats } = here;
  const got = () => ports.toHost.length;
  come(NAT, PORT);
  t.equal(got(), 0, 'nobody lets it be there yet');
  t.same(go(), { to: FAN.sender, socket: SENDER });
  come(FAN.sender, 50_000);
  t.equal(got(), 1, 'it is at its own address');
  seats.replace(0, [{ peer: FAN.sender, address: NAT, port: PORT }]);
  come(NAT, PORT);
  t.equal(got(), 2);
  come(NAT, PORT + 1);
  come(FAN.sender, 50_000);
  t.equal(got(), 2, 'another port of the NAT is not it, nor is its own address now');
  t.equal(counters()['ingress.drop.stranger'], 1);
  t.same(go(), { to: NAT, socket: LISTENER }, 'packets to it leave from the port that listens');
  seats.replace(0, []);
  come(FAN.sender, 50_000);
  t.equal(got(), 3);
  t.same(go(), { to: FAN.sender, socket: SENDER }, 'and as before when it is home again');
  for (const way of ['egress', 'ingress'] as const) t.equal(unaccounted(counters(), way), 0);
});

t.test('keep-alives are told to control, and to nobody where no NAT is spoken of', async (t) => {
  const alive = { kind: KeepAliveKind.Alive, seat: 7, number: 0xffff_fffe, port: 0, address: 0 };
  const tag = Uint8Array.from({ length: 12 }, (_, i) => i + 1);
  const answer = { ...alive, kind: KeepAliveKind.Answer, port: PORT, address: NAT };
  const { here, come } = world(1);
  const was = here.counters()['ingress.received'];
  come(NAT, PORT, keepAliveDatagram(VNI, alive, tag));
  come(FAN.sender, 4789, keepAliveDatagram(VNI, answer, tag));
  const said = { link: 0, mac: 7 * 2 ** 32 + 0xffff_fffe, peer: PORT };
  const address = Uint8Array.of(0xac, 0x1e, 0, 0xfe, ...tag);
  t.match(here.events.take(9), [
    { ...said, kind: EventKind.KeepAlive, address },
    { ...said, kind: EventKind.KeepAliveAnswer, address },
  ]);
  t.equal(here.counters()['event.keep_alives'], 2);
  t.equal(here.counters()['ingress.received'], was, 'they are no packets of the overlay');
  const cut = keepAliveDatagram(VNI, alive, tag).subarray(0, -1);
  come(NAT, PORT, cut);
  t.equal(here.events.take(9).length, 0, 'one that is cut off is a frame as any other');

  const strict = world(0);
  strict.come(NAT, PORT, keepAliveDatagram(VNI, alive, tag));
  t.equal(strict.here.events.take(9).length, 0);
  t.equal(strict.here.counters()['event.keep_alives'], 0);
});

t.test('the table holds what there is room for', async (t) => {
  const { segment } = new TestTables();
  const writer = new SeatWriter(segment);
  const reader = new SeatReader(segment);
  const seats = Array.from({ length: SEATS_MAX + 3 }, (_, i) => {
    return { peer: 0xac1e0100 + i, address: NAT, port: 40_000 + i };
  });
  t.equal(writer.replace(1, seats.slice(0, 2)), 0);
  t.equal(writer.replace(2, seats), 5);
  t.same(reader.read(1)?.seats, seats.slice(0, 2));
  t.equal(reader.read(2)?.seats.length, SEATS_MAX - 2);
  const { version } = reader;
  writer.replace(1, seats.slice(0, 2));
  t.equal(reader.version, version, 'what is the same is not written again');
  writer.clear(2);
  t.same(reader.read(2)?.seats, []);
  t.same(reader.read(1)?.seats, seats.slice(0, 2));
});
