/**
 * What a link that is a layer-2 network knows beside what all links do: the tables of who is where, and
 * its rules. It is also the link's way to find out who sends: whoever control has admitted (see route.ts;
 * what a fan asks of IPv4 addresses has no meaning here).
 * @module
 */
import { FLOODS_PER_SECOND } from '../../limits.ts';
import { BumMode, GuardMode, NetworkFlag } from '../../shm/network.ts';
import type { FdbReader } from '../../table/fdb.ts';
import type { FloodReader } from '../../table/flood.ts';
import type { EndpointRecord, LinkRecord } from '../../table/links/links.ts';
import type { NeighbourReader } from '../../table/neighbours.ts';
import type { PeerReader } from '../../table/peers.ts';
import { type VtepReader, vtepPeer } from '../../table/vteps.ts';
import { Bucket } from './bucket.ts';
import type { PeerTable } from './peers.ts';
import { NoPeer, type PeerRoute, Sender } from './route.ts';
import {
  addressOffset,
  getSockaddrIpv4,
  getSockaddrLastWord,
  hasPrefix96,
  isSockaddrIpv6,
} from './sockaddr.ts';

/** Who is where on layer-2 networks, as control has said so. */
export type NetworkTables = {
  fdb: FdbReader;
  neighbours: NeighbourReader;
  vteps: VtepReader;
  floods: FloodReader;
  peers: PeerReader;
};

export class Network implements PeerRoute {
  readonly overlayLength = 0;
  readonly id: number;
  readonly tables: NetworkTables;
  readonly #peers: PeerTable;
  readonly #port: number;
  /** Our own underlay address: the last word, and over IPv6 the three before it. */
  readonly #local: number;
  readonly #localHigh: readonly [number, number, number] | undefined;
  bum: number = BumMode.None;
  guard: number = GuardMode.Learn;
  /** Floods of members go on to the other members from here. */
  isReplicator = false;
  /** Control wants to know what we answered. */
  tellsAnswers = false;
  readonly floodsOut = new Bucket(FLOODS_PER_SECOND);
  readonly floodsIn = new Bucket(FLOODS_PER_SECOND);
  /** What is known of whoever {@link sender} was asked about last (table/vteps.ts). */
  vtep = 0;

  /**
   * @param endpoint whose sockets it uses
   * @param port that the link's peers listen on
   */
  constructor(
    record: LinkRecord,
    endpoint: EndpointRecord,
    port: number,
    tables: NetworkTables,
    peers: PeerTable,
  ) {
    this.id = record.id;
    this.tables = tables;
    this.#peers = peers;
    this.#port = port;
    const { isIpv6 = 0, localWord0 = 0, localWord1 = 0, localWord2 = 0 } = endpoint;
    this.#local = endpoint.localAddress >>> 0;
    this.#localHigh = isIpv6 === 0 ? undefined : [localWord0, localWord1, localWord2];
    this.update(record);
  }

  /** Takes over what control may change while we run. */
  update(record: LinkRecord): void {
    this.bum = record.bum ?? BumMode.None;
    this.guard = record.guard ?? GuardMode.Learn;
    this.isReplicator = ((record.networkFlags ?? 0) & NetworkFlag.Replicator) !== 0;
    this.tellsAnswers = ((record.networkFlags ?? 0) & NetworkFlag.TellsAnswers) !== 0;
    const perSecond = record.floodsPerSecond || FLOODS_PER_SECOND;
    this.floodsOut.setRate(perSecond);
    this.floodsIn.setRate(perSecond);
  }

  /** The data path's number of the peer with this index in control's table; 0 when it has no row. */
  peerOf(index: number): number {
    const { peers } = this.tables;
    const host = peers.ipv4(index);
    if (host !== 0) return this.#peers.intern(host, this.#port);
    if (!peers.isIpv6(index)) return 0;
    const [first, second] = [peers.word(index, 0), peers.word(index, 1)];
    const [third, last] = [peers.word(index, 2), peers.word(index, 3)];
    return this.#peers.internIpv6(first, second, third, last, this.#port);
  }

  /** The VNI that goes to the peer with this index in control's table, `own` unless it has named another. */
  vniTo(index: number, own: number): number {
    return this.tables.peers.label(index) || own;
  }

  /** Whether what goes to whoever {@link sender} was asked about last may bear another VNI than ours. */
  mayBearLabel(): boolean {
    return this.vtep !== 0 && this.tables.peers.hasLabels(vtepPeer(this.vtep));
  }

  sender(view: DataView, name: number): Sender {
    const { vteps } = this.tables;
    if (this.#localHigh === undefined) {
      const host = getSockaddrIpv4(view, name);
      if (host === this.#local) return Sender.Ourselves;
      this.vtep = vteps.findIpv4(this.id, host);
    } else {
      if (this.#isOurselves(view, name)) return Sender.Ourselves;
      this.vtep = isSockaddrIpv6(view, name)
        ? vteps.findIpv6(this.id, view, name + addressOffset(view, name))
        : 0;
    }
    return this.vtep === 0 ? Sender.Stranger : Sender.Peer;
  }

  #isOurselves(view: DataView, name: number): boolean {
    const [a, b, c] = this.#localHigh ?? [0, 0, 0];
    if (getSockaddrLastWord(view, name) !== this.#local) return false;
    return isSockaddrIpv6(view, name) && hasPrefix96(view, name, a, b, c);
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
