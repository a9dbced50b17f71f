/**
 * A link with several underlays. A peer's place in the fan, its slice, is that of its address on the
 * first one; on each other it has the same host bits in that one's network. So arithmetic turns one
 * address into the other, both ways, and everything else of the data path knows the peer by the first.
 *
 * Egress asks for the underlay of each packet; ingress has the outer source translated before anything is
 * checked, and what comes by another underlay than its source's is refused.
 * @module
 */

import { maskOf } from '../../net/prefix.ts';
import { UNDERLAY_MODES, XMIT_HASH_POLICIES } from '../../net/underlay-modes.ts';
import { AF_INET } from '../../sys/libc/constants.ts';
import { type EventCounter, eventIndex } from '../../table/counters.ts';
import type { LinkRow } from '../../table/links/links.ts';
import { preferredOf, type UnderlayReader, usableOf } from '../../table/links/underlays.ts';
import type { DataEndpoint, Ways } from '../ground/link.ts';
import type { PeerTable } from '../ground/peers.ts';
import { emitSockaddr, getSockaddrIpv4 } from '../ground/sockaddr.ts';
import { drawLots, Policy, xmitHash } from './xmit-hash.ts';

const BALANCE_XOR = UNDERLAY_MODES.indexOf('balance-xor');
const BALANCE_RR = UNDERLAY_MODES.indexOf('balance-rr');
const POLICIES = [Policy.Layer2, Policy.Layer23, Policy.Layer34];

/** Packets by the underlay that they left by. */
const SENT = (
  ['sent_underlay_1', 'sent_underlay_2', 'sent_underlay_3', 'sent_underlay_4'] as const
).map((name: EventCounter) => eventIndex(name));

/** What several underlays are made of. */
type Parts = {
  row: LinkRow & { id: number };
  /** Of the link, in the order of the underlays: the first is the link's own. */
  endpoints: readonly DataEndpoint[];
  reaches: UnderlayReader;
  peers: PeerTable;
  counters: Float64Array;
  /** Arena offset of room for a socket address. */
  scratch: number;
};

export class Underlays implements Ways {
  readonly endpoints: readonly DataEndpoint[];
  /** Where the packet goes that {@link choose} or {@link usual} was asked about last. */
  endpoint: DataEndpoint;
  readonly #link: number;
  readonly #mode: number;
  readonly #policy: number;
  readonly #mask: number;
  readonly #networks: readonly number[];
  readonly #port: number;
  readonly #reaches: UnderlayReader;
  readonly #peers: PeerTable;
  readonly #counters: Float64Array;
  readonly #name: number;
  #turn = 0;

  constructor({ row, endpoints, reaches, peers, counters, scratch }: Parts) {
    const { network1 = 0, network2 = 0, network3 = 0 } = row;
    this.endpoints = endpoints;
    this.endpoint = endpoints[0] as DataEndpoint;
    this.#link = row.id;
    this.#mode = row.underlayMode ?? 0;
    this.#policy = POLICIES[row.xmitHashPolicy ?? XMIT_HASH_POLICIES.length - 1] ?? Policy.Layer34;
    this.#mask = maskOf(row.underlayLength);
    this.#networks = [row.underlayAddress, network1, network2, network3]
      .slice(0, endpoints.length)
      .map((network) => (network & this.#mask) >>> 0);
    this.#port = row.peerPort;
    this.#reaches = reaches;
    this.#peers = peers;
    this.#counters = counters;
    this.#name = scratch;
  }

  /** The underlay whose network an address is of, −1 for none. */
  #underlayOf(address: number): number {
    return this.#networks.indexOf((address & this.#mask) >>> 0);
  }

  nameOf(endpoint: DataEndpoint, view: DataView, name: number): number {
    const address = getSockaddrIpv4(view, name);
    const underlay = this.#underlayOf(address);
    // A stranger, who is refused by his own name.
    if (underlay < 0) return name;
    if (this.endpoints[underlay] !== endpoint) return 0;
    if (underlay === 0) return name;
    emitSockaddr(view, this.#name, this.#addressOn(0, address), view.getUint16(name + 2), AF_INET);
    return this.#name;
  }

  /** The address on an underlay of the host that has `address` on another. */
  #addressOn(underlay: number, address: number): number {
    return ((this.#networks[underlay] as number) | (address & ~this.#mask)) >>> 0;
  }

  choose(view: DataView, frame: number, peer: number, segments: number, nowMs: number): number {
    const reach = this.#reachOf(peer, nowMs);
    const usable = usableOf(reach);
    let underlay = preferredOf(reach);
    // With one usable bit there is nothing to choose.
    if ((usable & (usable - 1)) !== 0) {
      if (this.#mode === BALANCE_XOR) {
        underlay = drawLots(xmitHash(view, frame, this.#policy), usable);
      } else if (this.#mode === BALANCE_RR) underlay = this.#next(usable);
    }
    return this.#take(underlay, peer, segments);
  }

  usual(peer: number, nowMs: number): number {
    return this.#take(preferredOf(this.#reachOf(peer, nowMs)), peer, 1);
  }

  endpointTo(peer: number): DataEndpoint {
    const { view } = this.#peers;
    const underlay = this.#underlayOf(getSockaddrIpv4(view, this.#peers.nameOf(peer)));
    return this.endpoints[Math.max(0, underlay)] as DataEndpoint;
  }

  endpointOf(socket: number): DataEndpoint {
    for (let i = 1; i < this.endpoints.length; i++) {
      const endpoint = this.endpoints[i] as DataEndpoint;
      if (endpoint.sockets.includes(socket)) return endpoint;
    }
    return this.endpoints[0] as DataEndpoint;
  }

  #reachOf(peer: number, nowMs: number): number {
    this.#peers.noteUsed(peer, nowMs);
    const address = getSockaddrIpv4(this.#peers.view, this.#peers.nameOf(peer));
    return this.#reaches.find(this.#link, address);
  }

  /** The next of the usable ones in turn. */
  #next(usable: number): number {
    do this.#turn = (this.#turn + 1) % this.endpoints.length;
    while (((usable >>> this.#turn) & 1) === 0);
    return this.#turn;
  }

  /** The number of the peer at its address on an underlay. */
  #take(wanted: number, peer: number, segments: number): number {
    const underlay = wanted < this.endpoints.length ? wanted : 0;
    this.endpoint = this.endpoints[underlay] as DataEndpoint;
    const counter = SENT[underlay] as number;
    this.#counters[counter] = (this.#counters[counter] as number) + segments;
    if (underlay === 0) return peer;
    const first = getSockaddrIpv4(this.#peers.view, this.#peers.nameOf(peer));
    return this.#peers.intern(this.#addressOn(underlay, first), this.#port);
  }
}
