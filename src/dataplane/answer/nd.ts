/**
 * Neighbour Discovery across a fan without a multicast in the underlay (RFC 4861):
 *
 * - a question goes to the host that owns its target, as unicast, and is a multicast again on the
 *   bridge there; its answer goes back to whoever asked;
 * - whoever asks from a link-local address (as probes of reachability do, §7.2.2) is remembered with
 *   its host, because such an address does not say it;
 * - duplicate address detection (RFC 4862 §5.4) asks the owner of the address; what the owner says to
 *   all nodes, then or unasked, goes to the hosts that have asked about the address.
 *
 * What it remembers is bounded; it answers nothing itself, so a neighbour that is gone is not kept alive.
 * @module
 */
import { egressIndex, eventIndex, ingressIndex } from '../../table/counters.ts';
import { HOMES_MAX, Homes6 } from '../../table/homes6.ts';
import { Fault } from '../../wire/classify.ts';
import { isGroupDestination } from '../../wire/ethernet.ts';
import { getIcmpType } from '../../wire/icmp.ts';
import {
  IPV6_DESTINATION_OFFSET,
  IPV6_SOURCE_OFFSET,
  isIpv6SourceUnspecified,
} from '../../wire/ipv6.ts';
import {
  checkNeighbour,
  isAllNodes,
  isLinkLocal6,
  isMulticast6,
  isSame6,
  isSolicitedNode,
  ND_NEIGHBOUR_ADVERT,
  ND_NEIGHBOUR_SOLICIT,
  ND_REDIRECT,
  ndTarget,
} from '../../wire/six/nd.ts';
import type { Arena } from '../ground/arena.ts';
import type { FanRoute6 } from '../ground/fan6.ts';
import type { DataLink } from '../ground/link.ts';
import { noPeerCounter } from '../ground/route.ts';

/** What becomes of a message: the number of a drop counter, or one of these. */
export const Carry = {
  /** It goes on: to {@link NeighbourDiscovery.peer}, or to the device. */
  On: -1,
  /** To every host that {@link NeighbourDiscovery.nextPeer} names. */
  Many: -2,
} as const;

/** Copies a second of what owners say to all, all links together. */
const TOLD_PER_SECOND = 1000;
const TOLD_BURST = 500;

const OUT = {
  malformed: egressIndex('drop.malformed'),
  broadcast: egressIndex('drop.broadcast'),
  foreignSource: egressIndex('drop.foreign_source'),
  here: egressIndex('drop.local_destination'),
  rogueRouter: egressIndex('drop.rogue_router'),
  multicast: egressIndex('drop.multicast'),
};
const IN = {
  malformed: ingressIndex('drop.malformed'),
  multicast: ingressIndex('drop.multicast'),
  broadcast: ingressIndex('drop.broadcast'),
  foreignSource: ingressIndex('drop.foreign_source'),
  foreignDestination: ingressIndex('drop.foreign_destination'),
  rogueRouter: ingressIndex('drop.rogue_router'),
};
const LIMITED = eventIndex('neighbour_limited');

export class NeighbourDiscovery {
  readonly #arena: Arena;
  readonly #homes: Homes6;
  /** 16 bytes: the first address of some host's slice. */
  readonly #home: number;
  #tokens = TOLD_BURST;
  #refilledAtMs = 0;
  /** Where {@link nextPeer} goes on, and about which address. */
  #place = 0;
  #about = 0;
  /** The host that a message goes to. */
  peer = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#homes = new Homes6(arena.view);
    this.#home = arena.allocate(16);
  }

  /** A link has gone, and its number may become another's. */
  forgetLink(id: number): void {
    this.#homes.forgetLink(id);
  }

  /** A message of `bytes` bytes at `message` that our own device has read, in the frame at `frame`. */
  leave(
    link: DataLink,
    six: FanRoute6,
    frame: number,
    message: number,
    bytes: number,
    nowMs: number,
  ): number {
    const { view } = this.#arena;
    const l3 = frame + link.innerHeaderBytes;
    const type = getIcmpType(view, message);
    const isQuestion = type === ND_NEIGHBOUR_SOLICIT;
    if (!isQuestion && type !== ND_NEIGHBOUR_ADVERT) {
      // A call for routers is answered on its own bridge, and what the host says there to all, as their
      // router, ends at this port; the bridge's guard keeps others from saying it.
      const isToAll = isMulticast6(view, l3 + IPV6_DESTINATION_OFFSET) && type !== ND_REDIRECT;
      return isToAll ? OUT.multicast : OUT.rogueRouter;
    }
    if (checkNeighbour(view, l3, message, bytes) !== Fault.None) return OUT.malformed;
    const source = l3 + IPV6_SOURCE_OFFSET;
    const destination = l3 + IPV6_DESTINATION_OFFSET;
    const target = ndTarget(message);
    const isToGroup = isMulticast6(view, destination);
    if (isToGroup !== isGroupDestination(view, frame)) return OUT.broadcast;
    const isAnonymous = isIpv6SourceUnspecified(view, l3) || isLinkLocal6(view, source);
    if (!isAnonymous && !six.isHere(view, source)) return OUT.foreignSource;
    link.noteMac(view, frame, nowMs);
    if (isQuestion) {
      if (!isAsked(view, destination, target)) return OUT.malformed;
      // Who has a link-local address is known on its own bridge: all of them ask for their router's.
      return isLinkLocal6(view, target) ? OUT.here : this.#toward(six, target);
    }
    if (!six.isHere(view, target)) {
      return isLinkLocal6(view, target) ? OUT.here : OUT.foreignSource;
    }
    if (isToGroup) {
      if (!isAllNodes(view, destination)) return OUT.multicast;
      this.#about = target;
      this.#place = 0;
      return Carry.Many;
    }
    if (!isLinkLocal6(view, destination)) return this.#toward(six, destination);
    const place = this.#homes.next(link.id, destination, 0, this.#home, nowMs, false);
    return place < 0 ? OUT.here : this.#toward(six, this.#home);
  }

  #toward(six: FanRoute6, address: number): number {
    const peer = six.to(this.#arena.view, address);
    if (peer < 0) return noPeerCounter(peer);
    this.peer = peer;
    return Carry.On;
  }

  /**
   * Makes the next host that has asked about the address of the message in hand the {@link peer}; false
   * when there is none left.
   */
  nextPeer(link: DataLink, six: FanRoute6, nowMs: number): boolean {
    const { view } = this.#arena;
    while (this.#place < HOMES_MAX) {
      const at = this.#place;
      const place = this.#homes.next(link.id, this.#about, at, this.#home, nowMs, true);
      if (place < 0) return false;
      this.#place = place + 1;
      const peer = six.to(view, this.#home);
      if (peer < 0) continue;
      if (!this.#mayTell(link, nowMs)) return false;
      this.peer = peer;
      return true;
    }
    return false;
  }

  #mayTell(link: DataLink, nowMs: number): boolean {
    const refill = ((nowMs - this.#refilledAtMs) * TOLD_PER_SECOND) / 1000;
    this.#tokens = Math.min(TOLD_BURST, this.#tokens + refill);
    this.#refilledAtMs = nowMs;
    if (this.#tokens < 1) {
      link.counters[LIMITED] = (link.counters[LIMITED] as number) + 1;
      return false;
    }
    this.#tokens--;
    return true;
  }

  /** The same for a message of the peer whose socket address is at `name`: on to our device, or not. */
  arrive(
    link: DataLink,
    frame: number,
    message: number,
    bytes: number,
    name: number,
    nowMs: number,
  ): number {
    const { view } = this.#arena;
    const { six } = link;
    if (six === undefined) return IN.foreignDestination;
    const l3 = frame + link.innerHeaderBytes;
    const type = getIcmpType(view, message);
    const isQuestion = type === ND_NEIGHBOUR_SOLICIT;
    if (!isQuestion && type !== ND_NEIGHBOUR_ADVERT) return IN.rogueRouter;
    if (checkNeighbour(view, l3, message, bytes) !== Fault.None) return IN.malformed;
    const source = l3 + IPV6_SOURCE_OFFSET;
    const destination = l3 + IPV6_DESTINATION_OFFSET;
    const target = ndTarget(message);
    if (isMulticast6(view, destination) !== isGroupDestination(view, frame)) return IN.broadcast;
    const isProbe = isIpv6SourceUnspecified(view, l3);
    const isLocal = isLinkLocal6(view, source);
    if (!isProbe && !isLocal && !six.isFrom(view, source, name)) return IN.foreignSource;
    if (!isQuestion) {
      if (!six.isFrom(view, target, name)) return IN.foreignSource;
      if (isMulticast6(view, destination)) {
        return isAllNodes(view, destination) ? Carry.On : IN.multicast;
      }
      const isOurs = isLinkLocal6(view, destination) || six.isHere(view, destination);
      return isOurs ? Carry.On : IN.foreignDestination;
    }
    if (!six.isHere(view, target)) return IN.foreignDestination;
    if (!isAsked(view, destination, target)) return IN.malformed;
    six.homeOf(view, name, this.#home);
    if (isLocal) this.#homes.note(link.id, source, this.#home, nowMs);
    this.#homes.note(link.id, target, this.#home, nowMs);
    return Carry.On;
  }
}

/** Whether a question is asked of its target, or of the group that it is in. */
function isAsked(view: DataView, destination: number, target: number): boolean {
  return isSame6(view, destination, target) || isSolicitedNode(view, destination, target);
}
