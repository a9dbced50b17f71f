/**
 * Who is where in layer-2 networks, as the data path reads it: MACs, their addresses, tunnel endpoints
 * and flood targets, each change one write to the memory that all data processes share.
 *
 * What is told belongs to a link's name, also while the link does not run. What the tables have no room
 * for waits, and comes in when something leaves.
 * @module
 */
import { KeyMap } from '../../../net/collections/key-map.ts';
import { hostBytes, type UnderlayAddress } from '../../../net/underlay-address.ts';
import { FdbWriter } from '../../../table/fdb.ts';
import { FloodWriter, SERVICE_HERE, type Service } from '../../../table/flood.ts';
import { NeighbourWriter } from '../../../table/neighbours.ts';
import type { PeerWriter } from '../../../table/peers.ts';
import type { TableSegment } from '../../../table/segment.ts';
import { VtepWriter } from '../../../table/vteps.ts';

/**
 * Where a MAC is: an underlay address, or here. `flags` are those of table/fdb.ts, `label` the VNI that is
 * sent there; 0 = the network's own.
 */
export type MacPlace = { host: UnderlayAddress | 'here'; flags: number; label: number };
/** A host that gets what is meant for all, and the VNI that it wants it under; 0 = the network's own. */
export type TableTarget = { host: UnderlayAddress; label: number };
/** Whose an address is. `flags` are those of table/neighbours.ts. */
export type Binding = { mac: number; flags: number };
/** What of a network is in the tables. */
export type NetworkTableStatus = { macs: number; addresses: number; waiting: number };

/** All that is told of a network, in the tables or not. */
export type NetworkRows = {
  macs: Iterable<readonly [mac: number, place: MacPlace]>;
  neighbours: Iterable<readonly [address: UnderlayAddress, binding: Binding]>;
  vteps: Iterable<readonly [host: UnderlayAddress, flags: number]>;
  floods: readonly TableTarget[];
  services: Iterable<readonly [service: Service, where: TableTarget | 'here']>;
};

/** The tables of layer-2 networks, whoever reads them. */
export type NetworkTablePort = Pick<
  NetworkTable,
  | ('setMac' | 'deleteMac' | 'setNeighbour' | 'deleteNeighbour' | 'setVtep' | 'deleteVtep')
  | ('setFloods' | 'setService' | 'place' | 'binding' | 'status' | 'rows' | 'forget')
>;

/** Places that are kept to be shared; more of them cost memory, and nothing else. */
const SHARED_MAX = 16_384;
/** The peer of a row that is not in the table. */
const ABSENT = -1;

type NeighbourRow = Binding & { address: Uint8Array; isIn: boolean };

type LinkTables = {
  /** Number of the running link, −1 while it does not run. */
  id: number;
  /** What is not in the table of a running link waits. */
  macs: KeyMap<number, MacPlace>;
  neighbours: Map<UnderlayAddress, NeighbourRow>;
  /** Flags and peer by underlay address. */
  vteps: Map<UnderlayAddress, { flags: number; peer: number }>;
  floods: Map<UnderlayAddress, { label: number; peer: number }>;
  services: Map<Service, { where: TableTarget | 'here'; peer: number }>;
  waitingMacs: Set<number>;
  waitingNeighbours: Set<UnderlayAddress>;
};

function emptyTables(): LinkTables {
  return {
    ...{ id: -1, macs: new KeyMap(), neighbours: new Map(), vteps: new Map(), floods: new Map() },
    ...{ services: new Map(), waitingMacs: new Set(), waitingNeighbours: new Set() },
  };
}

export class NetworkTable {
  readonly #peers: PeerWriter;
  readonly #fdb: FdbWriter;
  readonly #neighbours: NeighbourWriter;
  readonly #vteps: VtepWriter;
  readonly #flood: FloodWriter;
  readonly #links = new Map<string, LinkTables>();
  readonly #places = new Map<string, MacPlace>();

  constructor(segment: TableSegment, peers: PeerWriter) {
    this.#peers = peers;
    this.#fdb = new FdbWriter(segment);
    this.#neighbours = new NeighbourWriter(segment);
    this.#vteps = new VtepWriter(segment, peers);
    this.#flood = new FloodWriter(segment);
  }

  #of(name: string): LinkTables {
    let link = this.#links.get(name);
    if (link === undefined) {
      link = emptyTables();
      this.#links.set(name, link);
    }
    return link;
  }

  /** The link runs from now on, as number `id`: what is known of it goes into the tables. */
  bind(name: string, id: number): void {
    const link = this.#of(name);
    link.id = id;
    for (const [host, { flags }] of link.vteps) this.setVtep(name, host, flags);
    for (const [mac, place] of link.macs) this.#putMac(link, mac, place);
    for (const [key, row] of link.neighbours) this.#putNeighbour(link, key, row);
    this.setFloods(
      name,
      [...link.floods].map(([host, { label }]) => ({ host, label })),
    );
    for (const [service, { where }] of link.services) this.setService(name, service, where);
  }

  /**
   * The link runs no more; what is known stays. Call it once no data process reads it. Only what is there is touched:
   * most pages of the tables were never written, and a look at one would have the kernel make it.
   */
  unbind(name: string): void {
    const link = this.#links.get(name);
    if (link === undefined || link.id < 0) return;
    for (const mac of link.macs.keys()) {
      this.#let(this.#peerOf(link, mac));
      this.#fdb.delete(link.id, mac);
    }
    for (const row of link.neighbours.values()) {
      if (row.isIn) this.#neighbours.delete(link.id, row.address);
      row.isIn = false;
    }
    this.#flood.clear(link.id);
    for (const row of link.vteps.values()) {
      if (row.peer !== ABSENT) this.#vteps.delete(link.id, row.peer);
      row.peer = this.#let(row.peer);
    }
    for (const row of link.services.values()) row.peer = this.#let(row.peer);
    for (const row of link.floods.values()) row.peer = this.#let(row.peer);
    link.id = -1;
    link.waitingMacs.clear();
    link.waitingNeighbours.clear();
    this.#forgetEmpty(name, link);
    this.#admit();
  }

  /** A row's peer is used by it no more. */
  #let(peer: number): number {
    if (peer > 0) this.#peers.release(peer);
    return ABSENT;
  }

  /** The MAC (u48) is there from now on. */
  setMac(name: string, mac: number, place: MacPlace): void {
    const link = this.#of(name);
    const shared = this.#shared(place);
    link.macs.set(mac, shared);
    this.#putMac(link, mac, shared);
  }

  /** One object for all places that are the same: there may be half a million MACs. */
  #shared(place: MacPlace): MacPlace {
    const key = `${place.host} ${place.flags} ${place.label}`;
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    if (this.#places.size >= SHARED_MAX) this.#places.clear();
    this.#places.set(key, place);
    return place;
  }

  /** The peer that a MAC of a link has in the table. */
  #peerOf(link: LinkTables, mac: number): number {
    return link.id < 0 ? ABSENT : (this.#fdb.get(link.id, mac)?.peer ?? ABSENT);
  }

  deleteMac(name: string, mac: number): void {
    const link = this.#links.get(name);
    if (link === undefined || !link.macs.delete(mac)) return;
    link.waitingMacs.delete(mac);
    const peer = this.#peerOf(link, mac);
    if (peer !== ABSENT) {
      this.#fdb.delete(link.id, mac);
      this.#let(peer);
      this.#admit();
    }
    this.#forgetEmpty(name, link);
  }

  #putMac(link: LinkTables, mac: number, { host, flags, label }: MacPlace): void {
    if (link.id < 0) return;
    const before = this.#peerOf(link, mac);
    const peer = host === 'here' ? 0 : this.#peers.intern(hostBytes(host), 0, label);
    const isKnown = host === 'here' || peer !== 0;
    if (isKnown && this.#fdb.set(link.id, mac, { peer, flags })) {
      this.#let(before);
      link.waitingMacs.delete(mac);
      return;
    }
    if (peer > 0) this.#peers.release(peer);
    if (before !== ABSENT) this.#fdb.delete(link.id, mac);
    this.#let(before);
    link.waitingMacs.add(mac);
  }

  /** The address is that of this MAC from now on. */
  setNeighbour(name: string, address: UnderlayAddress, { mac, flags }: Binding): void {
    const link = this.#of(name);
    const key = address;
    const isIn = link.neighbours.get(key)?.isIn ?? false;
    const row: NeighbourRow = { mac, flags, address: hostBytes(address), isIn };
    link.neighbours.set(key, row);
    this.#putNeighbour(link, key, row);
  }

  deleteNeighbour(name: string, address: UnderlayAddress): void {
    const link = this.#links.get(name);
    const key = address;
    const row = link?.neighbours.get(key);
    if (link === undefined || row === undefined) return;
    link.neighbours.delete(key);
    link.waitingNeighbours.delete(key);
    if (row.isIn) {
      this.#neighbours.delete(link.id, row.address);
      this.#admit();
    }
    this.#forgetEmpty(name, link);
  }

  #putNeighbour(link: LinkTables, key: UnderlayAddress, row: NeighbourRow): void {
    if (link.id < 0) return;
    const { address, mac, flags } = row;
    if (this.#neighbours.set(link.id, address, { mac, flags })) {
      row.isIn = true;
      link.waitingNeighbours.delete(key);
      return;
    }
    if (row.isIn) this.#neighbours.delete(link.id, address);
    row.isIn = false;
    link.waitingNeighbours.add(key);
  }

  /** A host may send on the link from now on; `flags` are those of table/vteps.ts. */
  setVtep(name: string, host: UnderlayAddress, flags: number): void {
    const link = this.#of(name);
    const row = { flags, peer: link.vteps.get(host)?.peer ?? ABSENT };
    link.vteps.set(host, row);
    if (link.id < 0) return;
    if (row.peer === ABSENT) {
      const peer = this.#peers.intern(hostBytes(host));
      if (peer === 0) return;
      row.peer = peer;
    }
    if (!this.#vteps.set(link.id, row.peer, flags)) row.peer = this.#let(row.peer);
  }

  deleteVtep(name: string, host: UnderlayAddress): void {
    const link = this.#links.get(name);
    const row = link?.vteps.get(host);
    if (link === undefined || row === undefined) return;
    link.vteps.delete(host);
    if (row.peer !== ABSENT) this.#vteps.delete(link.id, row.peer);
    this.#let(row.peer);
    this.#forgetEmpty(name, link);
  }

  /** These hosts get a copy of each flooded frame from now on, and no others. */
  setFloods(name: string, targets: readonly TableTarget[]): void {
    const link = this.#of(name);
    const wanted = new Map(targets.map(({ host, label }) => [host, label]));
    for (const [host, { label, peer }] of [...link.floods]) {
      if (wanted.get(host) === label) continue;
      link.floods.delete(host);
      if (peer !== ABSENT) this.#flood.delete(link.id, peer);
      this.#let(peer);
    }
    for (const { host, label } of targets) {
      const row = link.floods.get(host) ?? { label, peer: ABSENT };
      if (row.peer !== ABSENT) continue;
      link.floods.set(host, row);
      if (link.id < 0) continue;
      const peer = this.#peers.intern(hostBytes(host), 0, label);
      if (peer === 0) continue;
      if (this.#flood.add(link.id, peer)) row.peer = peer;
      else this.#let(peer);
    }
    this.#forgetEmpty(name, link);
  }

  /** Where messages to a service of the network go; undefined = nowhere. */
  setService(name: string, service: Service, where: TableTarget | 'here' | undefined): void {
    const link = this.#of(name);
    const before = link.services.get(service)?.peer ?? ABSENT;
    if (where === undefined) link.services.delete(service);
    else link.services.set(service, { where, peer: ABSENT });
    const row = link.services.get(service);
    if (link.id >= 0) {
      const isElsewhere = where !== undefined && where !== 'here';
      const peer = isElsewhere ? this.#peers.intern(hostBytes(where.host), 0, where.label) : 0;
      this.#flood.setService(link.id, service, where === 'here' ? SERVICE_HERE : peer);
      if (row !== undefined && peer > 0) row.peer = peer;
    }
    this.#let(before);
    this.#forgetEmpty(name, link);
  }

  /** What the memory that the data processes read has for a MAC; undefined = nothing. */
  place(name: string, mac: number): MacPlace | undefined {
    const link = this.#links.get(name);
    if (link === undefined || link.id < 0) return undefined;
    const entry = this.#fdb.get(link.id, mac);
    if (entry === undefined) return undefined;
    const { peer, flags } = entry;
    const host = peer === 0 ? 'here' : this.#peers.hostOf(peer);
    return host === undefined ? undefined : { host, flags, label: this.#peers.label(peer) };
  }

  /** The same for an address. */
  binding(name: string, address: UnderlayAddress): Binding | undefined {
    const link = this.#links.get(name);
    if (link === undefined || link.id < 0) return undefined;
    return this.#neighbours.get(link.id, hostBytes(address));
  }

  /** All that is told of a link. */
  rows(name: string): NetworkRows {
    const { macs, neighbours, vteps, floods, services } = this.#links.get(name) ?? emptyTables();
    return {
      ...{ macs, neighbours },
      vteps: [...vteps].map(([host, { flags }]) => [host, flags] as const),
      floods: [...floods].map(([host, { label }]) => ({ host, label })),
      services: [...services].map(([service, { where }]) => [service, where] as const),
    };
  }

  /** Another table has what is told of a link, which does not run here. */
  forget(name: string): void {
    if ((this.#links.get(name)?.id ?? 0) < 0) this.#links.delete(name);
  }

  status(name: string): NetworkTableStatus {
    const link = this.#links.get(name) ?? emptyTables();
    const waiting = link.waitingMacs.size + link.waitingNeighbours.size;
    return { macs: link.macs.size, addresses: link.neighbours.size, waiting };
  }

  /** Something left: what waits may come in. */
  #admit(): void {
    for (const link of this.#links.values()) {
      for (const mac of link.waitingMacs) {
        const row = link.macs.get(mac);
        if (row !== undefined) this.#putMac(link, mac, row);
        if (link.waitingMacs.has(mac)) return;
      }
      for (const key of link.waitingNeighbours) {
        const row = link.neighbours.get(key);
        if (row !== undefined) this.#putNeighbour(link, key, row);
        if (link.waitingNeighbours.has(key)) return;
      }
    }
  }

  #forgetEmpty(name: string, link: LinkTables): void {
    const { id, macs, neighbours, vteps, floods, services } = link;
    if (id >= 0) return;
    if (macs.size + neighbours.size + vteps.size + floods.size + services.size > 0) return;
    this.#links.delete(name);
  }
}
