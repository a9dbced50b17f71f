/**
 * A link of the data process without devices and sockets: descriptors that are not open, so that
 * whatever passes all checks ends as a named error of the send or the write.
 * @module
 */

import { TooBig } from '../../src/dataplane/answer/too-big.ts';
import { Egress } from '../../src/dataplane/egress/egress.ts';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { DataEndpoint, DataLink } from '../../src/dataplane/ground/link.ts';
import { PeerTable } from '../../src/dataplane/ground/peers.ts';
import { CELLS_BYTES } from '../../src/dataplane/queue/cells.ts';
import { ErrorQueue } from '../../src/dataplane/send/errors.ts';
import { PathMtu } from '../../src/dataplane/send/path-mtu.ts';
import { Trains } from '../../src/dataplane/send/trains.ts';
import { encapById, LinkEncap } from '../../src/encap/encap.ts';
import { LAYOUT_BYTES, Layout } from '../../src/shm/layout.ts';
import {
  EGRESS_BASE,
  EGRESS_COUNTERS,
  INGRESS_BASE,
  INGRESS_COUNTERS,
  namedCounters,
} from '../../src/table/counters.ts';
import {
  EndpointKind,
  type EndpointRecord,
  type LinkRecord,
  Offload,
} from '../../src/table/links/links.ts';
import { PeerRateReader } from '../../src/table/links/peer-rates.ts';
import { IPV4_PACKET_BYTES_MAX } from '../../src/wire/ipv4.ts';
import { TestPorts } from '../support/ports.ts';
import { TestTables } from '../support/tables.ts';

/** Not a descriptor of this process. */
const CLOSED_FD = -1;

/** The fan of the rig: the seeds go from a container of `sender` to one of `receiver`. */
export const RIG = {
  overlay: 0xfa000000,
  underlay: 0xac1e0000,
  sender: 0xac1e001b,
  receiver: 0xac1e001c,
  vni: 0xfa0000,
} as const;

export type Rig = {
  readonly arena: Arena;
  readonly layout: Layout;
  readonly tables: TestTables;
  readonly peers: PeerTable;
  readonly ports: TestPorts;
  readonly endpoint: DataEndpoint;
  readonly link: DataLink;
  readonly record: LinkRecord;
  readonly counters: () => Record<string, number>;
};

/** Egress' or ingress' own buffers, one slot of a test's, and slack. */
const ARENA_BYTES = 36 * 1024 * 1024 + CELLS_BYTES;

/**
 * One link on the host `local`, with a virtio-net header where `vnet` says so.
 * @param network what makes it a layer-2 network or another fan
 * @param underlay what its sockets are, where they are not one of IPv4
 */
export function makeRig(
  encap: keyof typeof LinkEncap,
  vnet: boolean,
  local: number,
  deviceFd = CLOSED_FD,
  network: Partial<LinkRecord> = {},
  underlay: Partial<EndpointRecord> = {},
): Rig {
  const arena = new Arena(ARENA_BYTES);
  const layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  layout.initialize();
  const tables = new TestTables();
  const peers = new PeerTable(arena);
  const { defaultPort, overheadBytes, udp } = encapById(LinkEncap[encap]);
  const ports = new TestPorts(arena);
  const endpoint = new DataEndpoint(
    {
      kind: udp ? EndpointKind.Udp : EndpointKind.Ipip,
      localAddress: local,
      localPort: defaultPort,
      offloads: udp ? Offload.Segment | Offload.Gro : 0,
      sockets: [CLOSED_FD],
      ...underlay,
    },
    ports,
  );
  const record: LinkRecord = {
    id: 0,
    encap: LinkEncap[encap],
    deviceFd,
    offloads: vnet ? Offload.VnetHeader | Offload.Tso | Offload.Uso : 0,
    endpoint: 0,
    overlayAddress: RIG.overlay,
    overlayLength: 8,
    underlayAddress: RIG.underlay,
    underlayLength: 16,
    localAddress: local,
    vni: RIG.vni,
    peerPort: defaultPort,
    innerMtu: 1500 - overheadBytes,
    underlayMtu: 1500,
    gateway: 0,
    superBytesToHost: IPV4_PACKET_BYTES_MAX,
    superBytesToPorts: IPV4_PACKET_BYTES_MAX,
    dscpUniform: 0,
    ...network,
  };
  const link = new DataLink(record, endpoint, { layout, tables, peers, ports });
  endpoint.add(link);
  return {
    arena,
    layout,
    tables,
    peers,
    ports,
    endpoint,
    link,
    record,
    counters: () => namedCounters(link.counters),
  };
}

type EgressParts = Pick<Rig, 'arena' | 'layout' | 'peers'> & {
  tables?: TestTables;
  seed?: number;
  clock?: () => number;
};

/** The way out, as the loop puts it together. */
export function makeEgress(parts: EgressParts): Egress {
  return makeWayOut(parts).egress;
}

/** The same with its trains, which others may use too. */
export function makeWayOut({ arena, layout, peers, tables, seed, clock }: EgressParts): {
  egress: Egress;
  trains: Trains;
} {
  const paths = new PathMtu(peers, { configured: () => 0, current: () => 0 });
  const trains = new Trains(arena, layout, paths, new ErrorQueue(arena, peers));
  const rates = tables && new PeerRateReader(tables.segment);
  const given = {
    ...(rates && { rates }),
    ...(seed !== undefined && { seed }),
    ...(clock && { clock }),
  };
  const parts = { arena, trains, paths, tooBig: new TooBig(arena), ...given };
  return { egress: new Egress(layout, parts), trains };
}

/** Totals come before the drops in each group: received, delivered, and both in bytes. */
const TOTALS = 4;

/** Packets received less packets that met a named end, for one direction of a counter column. */
export function balance(column: Float64Array, direction: 'egress' | 'ingress'): number {
  const base = direction === 'egress' ? EGRESS_BASE : INGRESS_BASE;
  const names = direction === 'egress' ? EGRESS_COUNTERS : INGRESS_COUNTERS;
  let rest = (column[base] ?? 0) - (column[base + 1] ?? 0);
  for (let index = TOTALS; index < names.length; index++) rest -= column[base + index] ?? 0;
  return rest;
}

/** Packets received, for one direction. */
export function received(column: Float64Array, direction: 'egress' | 'ingress'): number {
  return column[direction === 'egress' ? EGRESS_BASE : INGRESS_BASE] ?? 0;
}
