/**
 * A link with several underlays. A peer is known by its address on the first one, which of a fan says its
 * slice too; on each other it is where it says itself (table/links/homes.ts), else at the same host bits in
 * that one's network. So one address is turned into the other, both ways, and everything else of the data
 * path knows the peer by the first.
 * A peer of a layer-2 network whose address is of none of the networks is reached by the first underlay.
 *
 * Egress asks for the underlay of each packet; ingress has the outer source translated before anything is
 * checked, and what comes by another underlay than its source's is refused.
 *
 * Host bits are in the last 32 bits of an address, of IPv6 too (net/fan.ts).
 * @module
 */

import { maskOf } from '../../net/prefix.ts';
import { UNDERLAY_MODES, XMIT_HASH_POLICIES } from '../../net/underlay-modes.ts';
import { AF_INET } from '../../sys/libc/constants.ts';
import { type EventCounter, eventIndex } from '../../table/counters.ts';
import { type HomeReader, NOWHERE } from '../../table/links/homes.ts';
import type { LinkRow } from '../../table/links/links.ts';
import {
  FIRST_ONLY,
  preferredOf,
  type UnderlayReader,
  usableOf,
} from '../../table/links/underlays.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import type { PeerTable } from '../ground/peers.ts';
import type { Ways } from '../ground/route.ts';
import {
  emitSockaddr,
  emitSockaddrIpv6,
  getSockaddrIpv4,
  getSockaddrLastWord,
  getSockaddrPort,
  hasPrefix96,
  isSockaddrIpv6,
  setSockaddrPort,
} from '../ground/sockaddr.ts';
import { drawLots, Policy, xmitHash } from './xmit-hash.ts';

const BALANCE_XOR = UNDERLAY_MODES.indexOf('balance-xor');
const BALANCE_RR = UNDERLAY_MODES.indexOf('balance-rr');
const POLICIES = [Policy.Layer2, Policy.Layer23, Policy.Layer34];

/** Packets by the underlay that they left by. */
const SENT = (
  ['sent_underlay_1', 'sent_underlay_2', 'sent_underlay_3', 'sent_underlay_4'] as const
).map((name: EventCounter) => eventIndex(name));

/** The network of an underlay: the last word of its addresses, and over IPv6 the three before. */
type Net = { isIpv6: boolean; first: number; second: number; third: number; last: number };

/** What several underlays are made of. */
type Parts = {
  row: LinkRow & { id: number };
  link: Pick<DataLink, 'peerPort' | 'innerHeaderBytes' | 'counters'>;
  /** Of the link, in the order of the underlays: the first is the link's own. */
  endpoints: readonly DataEndpoint[];
  reaches: UnderlayReader;
  homes: HomeReader;
  peers: PeerTable;
  /** Arena offset of room for a socket address. */
  scratch: number;
};

export class Underlays implements Ways {
  readonly endpoints: readonly DataEndpoint[];
  readonly hasNat = false;
  readonly isFixed = false;
  /** Where the packet goes that {@link choose} or {@link usual} was asked about last. */
  endpoint: DataEndpoint;
  readonly #link: number;
  readonly #carriesFrames: boolean;
  readonly #mode: number;
  readonly #policy: number;
  readonly #mask: number;
  readonly #nets: readonly Net[];
  readonly #port: number;
  readonly #reaches: UnderlayReader;
  readonly #homes: HomeReader;
  readonly #peers: PeerTable;
  readonly #counters: Float64Array;
  readonly #name: number;
  #turn = 0;

  constructor({ row, link, endpoints, reaches, homes, peers, scratch }: Parts) {
    const { network1 = 0, network2 = 0, network3 = 0 } = row;
    this.endpoints = endpoints;
    this.endpoint = endpoints[0] as DataEndpoint;
    this.#link = row.id;
    this.#carriesFrames = link.innerHeaderBytes !== 0;
    this.#mode = row.underlayMode ?? 0;
    this.#policy = POLICIES[row.xmitHashPolicy ?? XMIT_HASH_POLICIES.length - 1] ?? Policy.Layer34;
    this.#mask = maskOf(row.underlayLength);
    const networks = [row.underlayAddress, network1, network2, network3];
    this.#nets = endpoints.map(({ isIpv6, record }, i) => {
      const { localWord0: first = 0, localWord1: second = 0, localWord2: third = 0 } = record;
      const last = ((networks[i] as number) & this.#mask) >>> 0;
      return { isIpv6, first, second, third, last };
    });
    this.#port = link.peerPort;
    this.#reaches = reaches;
    this.#homes = homes;
    this.#peers = peers;
    this.#counters = link.counters;
    this.#name = scratch;
  }

  /** The last word of the address in a name, where it is of an underlay; −1 where it is not. */
  #wordOn(underlay: number, view: DataView, name: number): number {
    const { isIpv6, first, second, third, last } = this.#nets[underlay] as Net;
    if (isSockaddrIpv6(view, name) !== isIpv6) return -1;
    if (isIpv6 && !hasPrefix96(view, name, first, second, third)) return -1;
    const word = isIpv6 ? getSockaddrLastWord(view, name) : getSockaddrIpv4(view, name);
    return (word & this.#mask) >>> 0 === last ? word : -1;
  }

  /** The underlay whose network the address in a name is of, −1 for none. */
  #underlayOf(view: DataView, name: number): number {
    for (let underlay = 0; underlay < this.#nets.length; underlay++) {
      if (this.#wordOn(underlay, view, name) >= 0) return underlay;
    }
    return -1;
  }

  nameOf(endpoint: DataEndpoint, view: DataView, name: number): number {
    const underlay = this.#underlayOf(view, name);
    // A stranger, who is refused by his own name; or a peer who is where no arithmetic finds him.
    if (underlay < 0) return name;
    if (this.endpoints[underlay] !== endpoint) return 0;
    if (underlay === 0) return name;
    const word = this.#wordOn(underlay, view, name);
    const port = getSockaddrPort(view, name);
    const { isIpv6, first, second, third } = this.#nets[0] as Net;
    const last = this.#homes.peerAt(underlay, word, this.#lastWordOn(0, word));
    // Whose address this would be says that it has another: a stranger, by his own name.
    if (last < 0) return name;
    if (isIpv6) {
      emitSockaddrIpv6(view, this.#name, first, second, third, last);
      setSockaddrPort(view, this.#name, port);
    } else emitSockaddr(view, this.#name, last, port, AF_INET);
    return this.#name;
  }

  /** The last word on an underlay of the host that has `word` on another. */
  #lastWordOn(underlay: number, word: number): number {
    return ((this.#nets[underlay] as Net).last | (word & ~this.#mask)) >>> 0;
  }

  choose(view: DataView, frame: number, peer: number, segments: number, nowMs: number): number {
    const reach = this.#reachOf(peer, nowMs);
    const usable = usableOf(reach);
    let underlay = preferredOf(reach);
    // With one usable bit there is nothing to choose.
    if ((usable & (usable - 1)) !== 0) {
      if (this.#mode === BALANCE_XOR) {
        underlay = drawLots(xmitHash(view, frame, this.#policy, this.#carriesFrames), usable);
      } else if (this.#mode === BALANCE_RR) underlay = this.#next(usable);
    }
    return this.#take(underlay, peer, segments);
  }

  usual(peer: number, nowMs: number): number {
    return this.#take(preferredOf(this.#reachOf(peer, nowMs)), peer, 1);
  }

  endpointTo(peer: number): DataEndpoint {
    const underlay = this.#underlayOf(this.#peers.view, this.#peers.nameOf(peer));
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
    const word = this.#wordOn(0, this.#peers.view, this.#peers.nameOf(peer));
    return word < 0 ? FIRST_ONLY : this.#reaches.find(this.#link, word);
  }

  /** The next of the usable ones in turn. */
  #next(usable: number): number {
    do this.#turn = (this.#turn + 1) % this.endpoints.length;
    while (((usable >>> this.#turn) & 1) === 0);
    return this.#turn;
  }

  /** The number of the peer at its address on an underlay. */
  #take(wanted: number, peer: number, segments: number): number {
    let underlay = wanted < this.endpoints.length ? wanted : 0;
    let last = NOWHERE;
    if (underlay !== 0) {
      const first = this.#wordOn(0, this.#peers.view, this.#peers.nameOf(peer));
      last = this.#homes.wordOf(underlay, first, this.#lastWordOn(underlay, first));
      if (last === NOWHERE) underlay = 0;
    }
    this.endpoint = this.endpoints[underlay] as DataEndpoint;
    const counter = SENT[underlay] as number;
    this.#counters[counter] = (this.#counters[counter] as number) + segments;
    if (underlay === 0) return peer;
    const net = this.#nets[underlay] as Net;
    if (!net.isIpv6) return this.#peers.intern(last, this.#port);
    return this.#peers.internIpv6(net.first, net.second, net.third, last, this.#port);
  }
}
