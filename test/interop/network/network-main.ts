/**
 * One end of a layer-2 network in the namespace that it is started in: a TAP, sockets, and the data
 * process's own loop between them, with tables that whoever started it fills by lines of JSON.
 * @module
 */
import { createInterface } from 'node:readline';
import { ARENA_BYTES } from '../../../src/dataplane/arena-bytes.ts';
import { Arena } from '../../../src/dataplane/ground/arena.ts';
import { KernelPorts } from '../../../src/dataplane/ground/ports.ts';
import { Loop } from '../../../src/dataplane/loop.ts';
import { VXLAN } from '../../../src/encap/encap.ts';
import { hostBytes, parseHostAddress } from '../../../src/net/underlay-address.ts';
import { LAYOUT_BYTES, Layout } from '../../../src/shm/layout.ts';
import { BumMode, LinkKind } from '../../../src/shm/network.ts';
import { openTun } from '../../../src/sys/host/tun.ts';
import { AF_INET } from '../../../src/sys/libc/constants.ts';
import { createEventFd } from '../../../src/sys/libc/memory.ts';
import { openSendOnlyUdp, openUdp } from '../../../src/sys/sockets/sockets.ts';
import { namedCounters } from '../../../src/table/counters.ts';
import { EventKind, EventReader, type NetEvent } from '../../../src/table/events.ts';
import { FdbFlag } from '../../../src/table/fdb.ts';
import { EndpointKind, Offload } from '../../../src/table/links/links.ts';
import { LanTables } from '../../support/lan.ts';
import { NO_ROUTES } from '../../support/peers.ts';

/** What it is started with; addresses are u32. */
export type NetworkStart = {
  local: number;
  vni: number;
  device: string;
  offload: boolean;
  bum: number;
  underlayMtu: number;
};

/** What it is told; each line is answered by one. */
export type NetworkOrder =
  | { do: 'admit'; peer: number }
  | { do: 'station'; at: number; mac: number; addresses: readonly string[] }
  | { do: 'counters' };

const IDLE_MS = 1;
const ROUNDS_AT_ONCE = 256;

const start = JSON.parse(process.argv[2] ?? '{}') as NetworkStart;
const arena = new Arena(ARENA_BYTES);
const layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
layout.initialize();
layout.queues = 1;
const tables = new LanTables(start.local);
const { offload, underlayMtu } = start;
const device = openTun(start.device, { kind: 'tap', offload, multiQueue: false });
const listener = openUdp(start.local, VXLAN.defaultPort, { offload, reusePort: false });
const senders = [0, 1].map(() => openSendOnlyUdp(start.local, { offload }));
const loop = new Loop(arena, layout, tables.segment, createEventFd(), createEventFd(), {
  ports: new KernelPorts(arena),
  family: AF_INET,
  routes: NO_ROUTES,
});
const segment = senders.every((socket) => socket.segment) ? Offload.Segment : 0;
tables.give(
  loop,
  [
    {
      ...{ kind: EndpointKind.Udp, localAddress: start.local, localPort: VXLAN.defaultPort },
      offloads: segment | (listener.gro ? Offload.Gro : 0),
      sockets: [listener.fd, ...senders.map(({ fd }) => fd)],
    },
  ],
  [
    {
      ...{ id: 0, encap: VXLAN.id, deviceFd: device.fd, endpoint: 0 },
      offloads:
        (device.vnetHeader ? Offload.VnetHeader : 0) |
        (device.tso ? Offload.Tso : 0) |
        (device.uso ? Offload.Uso : 0),
      ...{ overlayAddress: 0, overlayLength: 0, underlayAddress: 0, underlayLength: 0 },
      ...{ localAddress: start.local, vni: start.vni, peerPort: VXLAN.defaultPort, underlayMtu },
      ...{ innerMtu: underlayMtu - VXLAN.overheadBytes, gateway: 0, dscpUniform: 0 },
      ...{ superBytesToHost: 65_535, superBytesToPorts: 65_535 },
      ...{ kind: LinkKind.Vni, bum: start.bum },
    },
  ],
);
const events = new EventReader(layout.eventReader());

/** What control does on a network that learns. */
function learn({ kind, mac, peer }: NetEvent): void {
  if (kind === EventKind.LocalMac) tables.fdbWriter.set(0, mac, { peer: 0, flags: 0 });
  if (kind === EventKind.RemoteMac) {
    tables.fdbWriter.set(0, mac, { peer, flags: FdbFlag.Learned });
  }
}

function turn(): void {
  let moved = 0;
  for (let round = 0; round < ROUNDS_AT_ONCE; round++) {
    const now = loop.tryRound();
    if (now === 0) break;
    moved += now;
  }
  if (start.bum === BumMode.Learn) for (const event of events.take(256)) learn(event);
  if (moved > 0) setImmediate(turn);
  else setTimeout(turn, IDLE_MS);
}
turn();

function obey(order: NetworkOrder): unknown {
  switch (order.do) {
    case 'admit':
      tables.admit(0, order.peer);
      tables.floodWriter.add(0, tables.peer(order.peer));
      return {};
    case 'station':
      tables.station(
        0,
        order.at,
        order.mac,
        order.addresses.map((text) => hostBytes(parseHostAddress(text))),
      );
      return {};
    default:
      return namedCounters(layout.counters(0));
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  process.stdout.write(`${JSON.stringify(obey(JSON.parse(line) as NetworkOrder))}\n`);
});
lines.on('close', () => process.exit(0));
process.stdout.write('ready\n');
