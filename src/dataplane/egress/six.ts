/**
 * IPv6 on its way out: the checks of one packet from our own device, cheapest first, up to the peer that
 * it goes to. Strict as for IPv4: whole headers, a source of our own slice, a destination that some host
 * owns, nothing that carries another packet.
 * @module
 */
import { egressIndex } from '../../table/counters.ts';
import { isTunnelProtocol } from '../../wire/classify.ts';
import { isGroupDestination } from '../../wire/ethernet.ts';
import { getIcmpType, ICMP_HEADER_BYTES } from '../../wire/icmp.ts';
import { PROTOCOL_ICMPV6 } from '../../wire/ipv4.ts';
import {
  IPV6_DESTINATION_OFFSET,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE_OFFSET,
  isIpv6MulticastDestination,
} from '../../wire/ipv6.ts';
import { isNd } from '../../wire/six/nd.ts';
import { Carry, type NeighbourDiscovery } from '../answer/nd.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { noPeerCounter } from '../ground/route.ts';
import type { InHand } from '../packet/in-hand.ts';

/** What becomes of a packet: the number of a drop counter, or one of these. */
export const Fate = {
  /** It goes to its peer. */
  Forward: -1,
  /** It goes to every peer that {@link SixEgress.nextPeer} names. */
  ForwardToMany: -2,
} as const;

const RUNT = egressIndex('drop.runt');
const MALFORMED = egressIndex('drop.malformed');
const IPV6 = egressIndex('drop.ipv6');
const MULTICAST = egressIndex('drop.multicast');
const BROADCAST = egressIndex('drop.broadcast');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');
const NESTED = egressIndex('drop.nested');

export class SixEgress {
  readonly #view: DataView;
  readonly #discovery: NeighbourDiscovery;

  constructor(arena: Arena, discovery: NeighbourDiscovery) {
    this.#view = arena.view;
    this.#discovery = discovery;
  }

  /** Judges the packet in hand and fills in the rest of what is known of it. */
  judge(link: DataLink, hand: InHand, nowMs: number): number {
    const view = this.#view;
    const { six } = link;
    const { frame, l3 } = hand;
    const available = hand.byteCount - link.innerHeaderBytes;
    if (six === undefined) return IPV6;
    if (available < IPV6_HEADER_BYTES) return RUNT;
    if (!hand.takeIpv6(view, available)) return MALFORMED;
    hand.vni = link.vni6;
    const { protocol, headerBytes } = hand;
    const bytes = hand.totalBytes - headerBytes;
    if (protocol === PROTOCOL_ICMPV6 && !hand.isFragment && bytes >= ICMP_HEADER_BYTES) {
      const message = l3 + headerBytes;
      if (isNd(getIcmpType(view, message))) {
        // A routed link has no neighbours.
        if (link.innerHeaderBytes === 0) return MULTICAST;
        const discovery = this.#discovery;
        const carry = discovery.leave(link, six, frame, message, bytes, nowMs);
        hand.peer = discovery.peer;
        return carry === Carry.Many ? Fate.ForwardToMany : carry;
      }
    }
    if (isIpv6MulticastDestination(view, l3)) return MULTICAST;
    if (link.innerHeaderBytes !== 0 && isGroupDestination(view, frame)) return BROADCAST;
    if (!six.isHere(view, l3 + IPV6_SOURCE_OFFSET)) return FOREIGN_SOURCE;
    link.noteMac(view, frame, nowMs);
    const peer = six.to(view, l3 + IPV6_DESTINATION_OFFSET);
    if (peer < 0) return noPeerCounter(peer);
    if (isTunnelProtocol(protocol)) return NESTED;
    hand.peer = peer;
    return Fate.Forward;
  }

  /** Makes the next peer that the packet in hand goes to its own; false when there is none left. */
  nextPeer(link: DataLink, hand: InHand, nowMs: number): boolean {
    if (link.six === undefined || !this.#discovery.nextPeer(link, link.six, nowMs)) return false;
    hand.peer = this.#discovery.peer;
    return true;
  }
}
