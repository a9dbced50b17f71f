/**
 * How large a packet may be on its way to a peer. The sockets set DF and go by the device's MTU
 * alone (`IP_PMTUDISC_PROBE`), so that nobody's ICMP decides for us; but our own host may know
 * better: a route with an MTU of its own, another device, IPsec below, or what control has learned of
 * the peer (table/links/path-limits.ts). Both are asked before the first large packet to a peer, then every {@link ASK_AGAIN_MS} while large packets go there.
 *
 * Where the kernel refuses a packet all the same (an IPsec policy that only the real flow meets),
 * the refusal is taken for what it says.
 * @module
 */
import {
  limitMtu,
  limitSource,
  limitTrains,
  type PathLimitReader,
  type TrainUse,
} from '../../table/links/path-limits.ts';
import { MtuSource, type MtuSourceCode } from '../../table/paths.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import type { PeerTable } from '../ground/peers.ts';
import { addressBytes, addressOffset } from '../ground/sockaddr.ts';

/** So often the route to a peer is asked about while large packets go there, ms. */
const ASK_AGAIN_MS = 2000;
/** So often it is looked up which trains get to a peer: memory that is shared with control, no call. */
const TRAINS_AGAIN_MS = 100;
/** Questions a second, two system calls each: who sends to ever new peers must not hold us up. */
const ASKS_PER_SECOND = 1000;

/**
 * Our own host's knowledge of the ways to others. All MTUs are of outer IP packets, bytes; `local` is
 * the number of an endpoint, the peer the socket address at `name` of `view`.
 */
export type RouteOracle = {
  /**
   * What the way from `local` to the peer carries by configuration, at most `enough`; whatever ICMP
   * made the kernel believe left aside. 0 = not known.
   */
  configured(local: number, view: DataView, name: number, enough: number): number;
  /** What the kernel goes by now, whoever told it. 0 = not known. */
  current(local: number, view: DataView, name: number): number;
};

/** What packets to a peer leave by. */
function endpointTo({ endpoint, ways }: DataLink, peer: number): DataEndpoint {
  return ways === undefined ? endpoint : ways.endpointTo(peer);
}

export class PathMtu {
  readonly peers: PeerTable;
  readonly #oracle: RouteOracle;
  readonly #limits: Pick<PathLimitReader, 'find'>;
  #tokens = ASKS_PER_SECOND;
  #refilledAtMs = 0;

  /** @param limits what control knows of the paths to peers; nothing unless given */
  constructor(
    peers: PeerTable,
    oracle: RouteOracle,
    limits: Pick<PathLimitReader, 'find'> = { find: () => 0 },
  ) {
    this.peers = peers;
    this.#oracle = oracle;
    this.#limits = limits;
  }

  /** Largest inner IP packet that `link` may send to `peer` now, bytes. */
  innerMtu(link: DataLink, peer: number, nowMs: number): number {
    const { peers } = this;
    if (peers.isAskDue(peer, nowMs)) this.#ask(link, peer, nowMs);
    return Math.min(link.innerMtu, peers.pathMtu(peer, nowMs) - link.overheadBytes);
  }

  #ask(link: DataLink, peer: number, nowMs: number): void {
    if (!this.#mayAsk(nowMs)) return;
    const { underlayMtu } = link;
    const { view } = this.peers;
    const name = this.peers.nameOf(peer);
    const { index } = endpointTo(link, peer);
    const route = this.#oracle.configured(index, view, name, underlayMtu);
    let mtu = route < underlayMtu ? route : 0;
    let source: MtuSourceCode = mtu === 0 ? MtuSource.None : MtuSource.Route;
    const at = name + addressOffset(view, name);
    const limit = this.#limits.find(view, at, addressBytes(view, name));
    const limited = limitMtu(limit);
    if (limited !== 0 && limited < (mtu === 0 ? underlayMtu : mtu)) {
      mtu = limited;
      source = limitSource(limit);
    }
    this.peers.setOwnMtu(peer, mtu, source, nowMs + ASK_AGAIN_MS);
  }

  /** Which trains get to a peer. */
  trainUse(peer: number, nowMs: number): TrainUse {
    const { peers } = this;
    if (peers.isTrainUseDue(peer, nowMs)) {
      const { view } = peers;
      const name = peers.nameOf(peer);
      const at = name + addressOffset(view, name);
      const limit = this.#limits.find(view, at, addressBytes(view, name));
      peers.setTrainUse(peer, limitTrains(limit), nowMs + TRAINS_AGAIN_MS);
    }
    return peers.trainUse(peer);
  }

  #mayAsk(nowMs: number): boolean {
    const earned = ((nowMs - this.#refilledAtMs) * ASKS_PER_SECOND) / 1000;
    this.#tokens = Math.min(ASKS_PER_SECOND, this.#tokens + earned);
    this.#refilledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /**
   * The kernel refused a packet of `outerBytes` (EMSGSIZE): believes the number that it has, or
   * feels its way down by a sixteenth where it has none. Returns whether the path MTU changed.
   */
  refused(link: DataLink, peer: number, outerBytes: number, nowMs: number): boolean {
    if (outerBytes <= link.endpoint.pathMtuFloorBytes) return false;
    // The error queue has told the number, or an earlier packet of this burst: it is obeyed already.
    if (this.peers.pathMtu(peer, nowMs) < outerBytes) return false;
    const known = this.#mayAsk(nowMs)
      ? this.#oracle.current(endpointTo(link, peer).index, this.peers.view, this.peers.nameOf(peer))
      : 0;
    const mtu = known !== 0 && known < outerBytes ? known : outerBytes - (outerBytes >> 4);
    // It was sent, or rather would have been: so much may be said about it.
    this.peers.noteSent(peer, outerBytes, nowMs);
    return this.peers.lower(peer, mtu, nowMs, MtuSource.Send);
  }
}
