/**
 * What a killed predecessor knew of layer-2 networks, and what its links sent at: read from the memory that its data processes still
 * forward by, before they are ended. So its successor goes on where they are, and does not begin with
 * empty tables until everybody has told it everything again (RFC 4724 §4.1).
 * @module
 */
import { closeSync, fstatSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { LINKS_MAX } from '../../../limits.ts';
import { hostOfBytes, type UnderlayAddress } from '../../../net/underlay-address.ts';
import { LinkKind } from '../../../shm/network.ts';
import { SharedMemory } from '../../../sys/libc/memory.ts';
import { FdbFlag, FdbReader, fdbFlags, fdbPeer } from '../../../table/fdb.ts';
import { FloodReader } from '../../../table/flood.ts';
import { LinkReader, type LinkRow } from '../../../table/links/links.ts';
import { NeighbourFlag, NeighbourReader } from '../../../table/neighbours.ts';
import { PeerReader } from '../../../table/peers.ts';
import { TABLES_BYTES, TABLES_NAME, TableSegment } from '../../../table/segment.ts';
import { VtepFlag, VtepReader, vtepFlags, vtepPeer } from '../../../table/vteps.ts';
import { runningOrphans } from '../../host/orphans.ts';

/** A host, and the VNI that is sent there; 0 = the network's own. */
type Target = { host: UnderlayAddress; label: number };

/** A network as the data path had it, without what was at our own bridge. MACs are u48. */
export type KeptNetwork = {
  vni: number;
  /** UDP destination port. */
  port: number;
  macs: (Target & { mac: number; isSticky: boolean; isRouter: boolean })[];
  bindings: { address: UnderlayAddress; mac: number; host: UnderlayAddress; isRouter: boolean }[];
  vteps: { host: UnderlayAddress; isReplicator: boolean }[];
  floods: Target[];
};

/** Rows of its links, and its networks. */
export type PredecessorTables = { links: readonly LinkRow[]; networks: readonly KeptNetwork[] };

export const NOTHING_KEPT: PredecessorTables = { links: [], networks: [] };

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
  const before = kept.links.find((one) => OWN_FIELDS.every((field) => one[field] === row[field]));
  return before?.rateBytes ?? 0;
}

/** What whoever still runs has; nothing where there is nobody, or this process may not look. */
export function readPredecessor(directory: string): PredecessorTables {
  for (const pid of runningOrphans(directory)) {
    try {
      const fd = openTables(pid);
      if (fd !== undefined) return readTables(fd);
    } catch {
      // It has just ended, or is not ours to look into: then there is nothing to keep.
    }
  }
  return NOTHING_KEPT;
}

/** A descriptor of the tables that a data process has mapped. */
function openTables(pid: number): number | undefined {
  const folder = `/proc/${pid}/fd`;
  for (const name of readdirSync(folder)) {
    const path = `${folder}/${name}`;
    if (!readlinkSync(path).includes(`memfd:${TABLES_NAME}`)) continue;
    const fd = openSync(path, 'r');
    // Those of another build may be shorter, and have other things in other places.
    if (fstatSync(fd).size === TABLES_BYTES) return fd;
    closeSync(fd);
  }
  return undefined;
}

function readTables(fd: number): PredecessorTables {
  const memory = SharedMemory.openReadOnly(fd, TABLES_BYTES);
  try {
    const segment = new TableSegment(memory.buffer);
    if (!segment.isCompatible()) return NOTHING_KEPT;
    const reader = new LinkReader(segment);
    const links: LinkRow[] = [];
    const networks: KeptNetwork[] = [];
    for (let id = 0; id < LINKS_MAX; id++) {
      const row = reader.link(id)?.row;
      if (row !== undefined) links.push(row);
      if (row?.kind === LinkKind.Vni) networks.push(readNetwork(segment, id, row));
    }
    return { links, networks };
  } finally {
    memory.close();
  }
}

function readNetwork(
  segment: TableSegment,
  id: number,
  { vni, peerPort: port }: { vni: number; peerPort: number },
): KeptNetwork {
  const peers = new PeerReader(segment);
  const kept: KeptNetwork = { vni, port, macs: [], bindings: [], vteps: [], floods: [] };
  const hosts = new Map<number, UnderlayAddress>();
  for (const [mac, packed] of new FdbReader(segment).entries(id)) {
    const host = fdbPeer(packed) === 0 ? undefined : peers.hostOf(fdbPeer(packed));
    const flags = fdbFlags(packed);
    // What was overheard is overheard again.
    if (host === undefined || (flags & FdbFlag.Learned) !== 0) continue;
    const [isSticky, isRouter] = [(flags & FdbFlag.Sticky) !== 0, (flags & FdbFlag.Router) !== 0];
    const label = peers.label(fdbPeer(packed));
    kept.macs.push({ mac, host, label, isSticky, isRouter });
    hosts.set(mac, host);
  }
  for (const { address, mac, flags } of new NeighbourReader(segment).entries(id)) {
    const host = hosts.get(mac);
    if (host === undefined) continue;
    const isRouter = (flags & NeighbourFlag.Router) !== 0;
    kept.bindings.push({ address: hostOfBytes(address), mac, host, isRouter });
  }
  for (const packed of new VtepReader(segment, peers).entries(id)) {
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
