/**
 * What a link that is a layer-2 network knows beside what all links do: the tables of who is where, and
 * its rules. It is also the link's way to find out who sends: whoever control has admitted (see route.ts;
 * what a fan asks of IPv4 addresses has no meaning here).
 * @module
 */
import { BumMode, GuardMode, NetworkFlag } from '../../shm/network.ts';
import type { FdbReader } from '../../table/fdb.ts';
import type { FloodReader } from '../../table/flood.ts';
import type { LinkRecord } from '../../table/links/links.ts';
import type { NeighbourReader } from '../../table/neighbours.ts';
import type { PeerReader } from '../../table/peers.ts';
import type { VtepReader } from '../../table/vteps.ts';
import { Bucket } from './bucket.ts';
import type { PeerTable } from './peers.ts';
import { NoPeer, type Route, Sender } from './route.ts';
import { getSockaddrIpv4 } from './sockaddr.ts';

/** Who is where on layer-2 networks, as control has said so. */
export type NetworkTables = {
  fdb: FdbReader;
  neighbours: NeighbourReader;
  vteps: VtepReader;
  floods: FloodReader;
  peers: PeerReader;
};

/** Floods a second, each way, unless control says otherwise. */
export const FLOODS_PER_SECOND = 1000;

export class Network implements Route {
  readonly overlayLength = 0;
  readonly id: number;
  readonly tables: NetworkTables;
  readonly #peers: PeerTable;
  readonly #port: number;
  readonly #local: number;
  bum: number = BumMode.None;
  guard: number = GuardMode.Learn;
  /** Floods of members go on to the other members from here. */
  isReplicator = false;
  readonly floodsOut = new Bucket(FLOODS_PER_SECOND);
  readonly floodsIn = new Bucket(FLOODS_PER_SECOND);
  /** What is known of whoever {@link sender} was asked about last (table/vteps.ts). */
  vtep = 0;

  /** @param port that the link's peers listen on */
  constructor(record: LinkRecord, port: number, tables: NetworkTables, peers: PeerTable) {
    this.id = record.id;
    this.tables = tables;
    this.#peers = peers;
    this.#port = port;
    this.#local = record.localAddress;
    this.update(record);
  }

  /** Takes over what control may change while we run. */
  update(record: LinkRecord): void {
    this.bum = record.bum ?? BumMode.None;
    this.guard = record.guard ?? GuardMode.Learn;
    this.isReplicator = ((record.networkFlags ?? 0) & NetworkFlag.Replicator) !== 0;
    const perSecond = record.floodsPerSecond || FLOODS_PER_SECOND;
    this.floodsOut.setRate(perSecond);
    this.floodsIn.setRate(perSecond);
  }

  /** The data path's number of the peer with this index in control's table; 0 when it has no row. */
  peerOf(index: number): number {
    const host = this.tables.peers.ipv4(index);
    return host === 0 ? 0 : this.#peers.intern(host, this.#port);
  }

  sender(view: DataView, name: number): Sender {
    const host = getSockaddrIpv4(view, name);
    if (host === this.#local) return Sender.Ourselves;
    this.vtep = this.tables.vteps.findIpv4(this.id, host);
    return this.vtep === 0 ? Sender.Stranger : Sender.Peer;
  }

  /** Any address may be used here. */
  contains(): boolean {
    return true;
  }

  to(): number {
    return NoPeer.Nobody;
  }

  isWorkload(): boolean {
    return true;
  }

  isHere(): boolean {
    return true;
  }

  isOurs(): boolean {
    return false;
  }

  isFrom(): boolean {
    return true;
  }

  couldBe(): boolean {
    return false;
  }

  /** No router stands between: a packet too big is told in the name of where it was going. */
  farGateway(view: DataView, address: number): number {
    return view.getUint32(address);
  }
}
