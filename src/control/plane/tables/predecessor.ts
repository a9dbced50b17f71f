/**
 * What a killed predecessor knew of layer-2 networks, and what its links are: read from the memory that its
 * data processes still forward by. So its successor goes on where they are, and does not begin with
 * empty tables until everybody has told it everything again (RFC 4724 §4.1).
 * @module
 */
import { fstatSync } from 'node:fs';
import { LINKS_MAX } from '../../../limits.ts';
import { hostOfBytes, type UnderlayAddress } from '../../../net/underlay-address.ts';
import type { ByteRange } from '../../../shm/hash.ts';
import { LinkKind } from '../../../shm/network.ts';
import { SharedMemory, writtenRanges } from '../../../sys/libc/memory.ts';
import { FdbFlag, FdbReader, fdbFlags, fdbPeer } from '../../../table/fdb.ts';
import { FloodReader } from '../../../table/flood.ts';
import {
  type EndpointRow,
  LinkReader,
  type LinkRow,
  type Numbered,
} from '../../../table/links/links.ts';
import { NeighbourFlag, NeighbourReader } from '../../../table/neighbours.ts';
import { PeerReader } from '../../../table/peers.ts';
import { ENDPOINTS_MAX, TABLES_BYTES, TableSegment } from '../../../table/segment.ts';
import { VtepFlag, VtepReader, vtepFlags, vtepPeer } from '../../../table/vteps.ts';

/** A host, and the VNI that is sent there; 0 = the network's own. */
type Target = { host: UnderlayAddress; label: number };

/** A MAC or an address at our own bridge, with its flags of table/fdb.ts or table/neighbours.ts. */
type Here = { mac: number; flags: number };

/** A network as the data path had it. MACs are u48. */
export type KeptNetwork = {
  vni: number;
  /** UDP destination port. */
  port: number;
  macs: (Target & { mac: number; isSticky: boolean; isRouter: boolean })[];
  bindings: { address: UnderlayAddress; mac: number; host: UnderlayAddress; isRouter: boolean }[];
  vteps: { host: UnderlayAddress; isReplicator: boolean }[];
  floods: Target[];
  /** What was at our own bridge: MACs, and addresses with their MACs. */
  here: { macs: Here[]; bindings: (Here & { address: UnderlayAddress })[] };
};

/** Rows of its links and endpoints by their numbers, and its networks. */
export type PredecessorTables = {
  links: ReadonlyMap<number, Numbered<LinkRow>>;
  endpoints: ReadonlyMap<number, Numbered<EndpointRow>>;
  networks: readonly KeptNetwork[];
};

export const NOTHING_KEPT: PredecessorTables = {
  links: new Map(),
  endpoints: new Map(),
  networks: [],
};

/** What tells a link from all others of a host. */
const OWN_FIELDS = [
  'encap',
  'vni',
  'peerPort',
  'localAddress',
  'overlayAddress',
  'overlayLength',
] as const;

/** The rate that the same link had, bytes a second; 0 = none, or there was no such link. */
export function keptRate(kept: PredecessorTables, row: LinkRow): number {
  const rows = [...kept.links.values()].map((one) => one.row);
  const before = rows.find((one) => OWN_FIELDS.every((field) => one[field] === row[field]));
  return before?.rateBytes ?? 0;
}

/**
 * What is in the tables of a data process that still runs; nothing where they are of another build.
 * @param fd a descriptor of its tables; it stays open
 */
export function readPredecessor(fd: number): PredecessorTables {
  // Those of another build may be shorter, and have other things in other places.
  return fstatSync(fd).size === TABLES_BYTES ? readTables(fd) : NOTHING_KEPT;
}

function readTables(fd: number): PredecessorTables {
  const memory = SharedMemory.openReadOnly(fd, TABLES_BYTES);
  try {
    const segment = new TableSegment(memory.buffer);
    if (!segment.isCompatible()) return NOTHING_KEPT;
    const reader = new LinkReader(segment);
    const written = writtenRanges(fd, TABLES_BYTES);
    const links = new Map<number, Numbered<LinkRow>>();
    const endpoints = new Map<number, Numbered<EndpointRow>>();
    const networks: KeptNetwork[] = [];
    for (let id = 0; id < LINKS_MAX; id++) {
      const link = reader.link(id);
      if (link !== undefined) links.set(id, link);
      if (link?.row.kind === LinkKind.Vni) {
        networks.push(readNetwork(segment, written, id, link.row));
      }
    }
    for (let index = 0; index < ENDPOINTS_MAX; index++) {
      const endpoint = reader.endpoint(index);
      if (endpoint !== undefined) endpoints.set(index, endpoint);
    }
    return { links, endpoints, networks };
  } finally {
    // The descriptor is its owner's to close.
    memory.unmap();
  }
}

function readNetwork(
  segment: TableSegment,
  written: readonly ByteRange[],
  id: number,
  { vni, peerPort: port }: { vni: number; peerPort: number },
): KeptNetwork {
  const peers = new PeerReader(segment);
  const here: KeptNetwork['here'] = { macs: [], bindings: [] };
  const kept: KeptNetwork = { vni, port, here, macs: [], bindings: [], vteps: [], floods: [] };
  const hosts = new Map<number, UnderlayAddress>();
  for (const [mac, packed] of new FdbReader(segment).entries(id, written)) {
    const host = fdbPeer(packed) === 0 ? undefined : peers.hostOf(fdbPeer(packed));
    const flags = fdbFlags(packed);
    if (fdbPeer(packed) === 0) here.macs.push({ mac, flags });
    // What was overheard is overheard again.
    if (host === undefined || (flags & FdbFlag.Learned) !== 0) continue;
    const [isSticky, isRouter] = [(flags & FdbFlag.Sticky) !== 0, (flags & FdbFlag.Router) !== 0];
    const label = peers.label(fdbPeer(packed));
    kept.macs.push({ mac, host, label, isSticky, isRouter });
    hosts.set(mac, host);
  }
  for (const { address, mac, flags } of new NeighbourReader(segment).entries(id, written)) {
    if ((flags & NeighbourFlag.Local) !== 0) {
      here.bindings.push({ address: hostOfBytes(address), mac, flags });
    }
    const host = hosts.get(mac);
    if (host === undefined) continue;
    const isRouter = (flags & NeighbourFlag.Router) !== 0;
    kept.bindings.push({ address: hostOfBytes(address), mac, host, isRouter });
  }
  for (const packed of new VtepReader(segment, peers).entries(id, written)) {
    const host = peers.hostOf(vtepPeer(packed));
    const isReplicator = (vtepFlags(packed) & VtepFlag.Replicator) !== 0;
    if (host !== undefined) kept.vteps.push({ host, isReplicator });
  }
  for (const peer of new FloodReader(segment).targets(id)) {
    const host = peers.hostOf(peer);
    if (host !== undefined) kept.floods.push({ host, label: peers.label(peer) });
  }
  return kept;
}
