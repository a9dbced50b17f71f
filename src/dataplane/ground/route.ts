/**
 * What a link asks to find its peers: where a packet goes, and, the same in reverse, whether it may
 * come from where it came. Kinds of link differ in this and in nothing else of the data path; a link
 * has one route for its whole life.
 *
 * `address` is the arena offset of the overlay address in question (a destination, an ARP target),
 * `name` that of the socket address that a datagram came from.
 * @module
 */

import { egressIndex } from '../../table/counters.ts';
import type { DataEndpoint } from './link.ts';

/** Instead of a peer's number, which is above 0: where a packet goes otherwise. */
export const NoPeer = {
  /** The address is not of this link's overlay. */
  Outside: -1,
  /** It is at this host. */
  Here: -2,
  /** No host can have it. */
  Nobody: -3,
} as const;

const OUTSIDE_OVERLAY = egressIndex('drop.outside_overlay');
const LOCAL_DESTINATION = egressIndex('drop.local_destination');
const BROADCAST = egressIndex('drop.broadcast');

/** The drop counter of a packet that goes to no peer, by one of {@link NoPeer}. */
export function noPeerCounter(reason: number): number {
  if (reason === NoPeer.Outside) return OUTSIDE_OVERLAY;
  return reason === NoPeer.Here ? LOCAL_DESTINATION : BROADCAST;
}

/** Who sent a datagram. */
export const Sender = { Peer: 0, Ourselves: 1, Stranger: 2 } as const;
export type Sender = (typeof Sender)[keyof typeof Sender];

export type PeerRoute = {
  /** Bits of the overlay's prefix: where several links share an endpoint, the longest one wins. */
  readonly overlayLength: number;
  /** Whether an address is of this link's overlay. */
  contains(view: DataView, address: number): boolean;
  /** The peer that has an address, or one of {@link NoPeer}. */
  to(view: DataView, address: number): number;
  /** Whether an address of the overlay can be a workload's. */
  isWorkload(view: DataView, address: number): boolean;
  /** Whether an address is at this host. */
  isHere(view: DataView, address: number): boolean;
  /** The same for an IPv4 address as u32. */
  isOurs(inner: number): boolean;
  /** Whether an address is at the host that sent. */
  isFrom(view: DataView, address: number, name: number): boolean;
  /** Whether a host may be a peer of this link at all. */
  sender(view: DataView, name: number): Sender;
  /** Whether a packet would be honest on this link, had it come by its encapsulation. */
  couldBe(view: DataView, source: number, destination: number, name: number): boolean;
  /** Overlay address (u32) of the router at the far end of the way to an address. */
  farGateway(view: DataView, address: number): number;
};

/**
 * Several underlays of one link, or peers that are seen elsewhere, and what of each packet goes where. A
 * peer's number is that of its own address on the first underlay, until a way is chosen.
 */
export type Ways = {
  /** In the order of the underlays: the first is the link's own. */
  readonly endpoints: readonly DataEndpoint[];
  /** What the peer that was asked about last is sent from. */
  readonly endpoint: DataEndpoint;
  /** A NAT may be between: keep-alives come by it. */
  readonly hasNat: boolean;
  /** What was chosen last must leave from the port that listens, whichever flow it is of. */
  readonly isFixed: boolean;
  /**
   * The arena offset of the name on the first underlay of the host at `name`, which came by `endpoint`; 0
   * where that is not the underlay that the name is of.
   */
  nameOf(endpoint: DataEndpoint, view: DataView, name: number): number;
  /** The number of a peer at its address on the underlay that the frame at `frame` is to take. */
  choose(view: DataView, frame: number, peer: number, segments: number, nowMs: number): number;
  /** The same for what belongs to no flow. */
  usual(peer: number, nowMs: number): number;
  /** The endpoint that a peer so chosen is sent from, and the one that a socket is of. */
  endpointTo(peer: number): DataEndpoint;
  endpointOf(socket: number): DataEndpoint;
};
