/**
 * IPv6 on its way in: the checks of one packet that a peer has sent, cheapest first. Strict as for IPv4:
 * whole headers, a source of the peer's own slice, a destination of ours, nothing that carries another
 * packet.
 * @module
 */
import { ingressIndex } from '../../table/counters.ts';
import { isTunnelProtocol } from '../../wire/classify.ts';
import { isGroupDestination } from '../../wire/ethernet.ts';
import { getIcmpType, ICMP_HEADER_BYTES } from '../../wire/icmp.ts';
import { PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import {
  IPV6_DESTINATION_OFFSET,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE_OFFSET,
  isIpv6MulticastDestination,
} from '../../wire/ipv6.ts';
import { isNd } from '../../wire/six/nd.ts';
import { getUdpDestination, UDP_HEADER_BYTES } from '../../wire/udp.ts';
import { Carry, type NeighbourDiscovery } from '../answer/nd.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import type { Arrival } from '../packet/arrival.ts';

/** What becomes of a packet: the number of a drop counter, or one of these. */
export const Fate = {
  /** It goes to the device as any packet. */
  Deliver: -1,
  /** A message of Neighbour Discovery goes there as it is. */
  Pass: -2,
} as const;

const RUNT = ingressIndex('drop.runt');
const MALFORMED = ingressIndex('drop.malformed');
const IPV6 = ingressIndex('drop.ipv6');
const MULTICAST = ingressIndex('drop.multicast');
const BROADCAST = ingressIndex('drop.broadcast');
const FOREIGN_SOURCE = ingressIndex('drop.foreign_source');
const FOREIGN_DESTINATION = ingressIndex('drop.foreign_destination');
const MODE_MISMATCH = ingressIndex('drop.mode_mismatch');
const NESTED = ingressIndex('drop.nested');
const TOO_BIG = ingressIndex('drop.too_big');

export class SixIngress {
  readonly #view: DataView;
  readonly #discovery: NeighbourDiscovery;
  readonly #allLinks: readonly DataLink[];

  constructor(arena: Arena, discovery: NeighbourDiscovery, allLinks: readonly DataLink[]) {
    this.#view = arena.view;
    this.#discovery = discovery;
    this.#allLinks = allLinks;
  }

  /**
   * Judges the packet in hand.
   * @param mayCut whether longer packets than the link takes can be cut to size again
   */
  judge(link: DataLink, arrival: Arrival, mayCut: boolean): number {
    const view = this.#view;
    const { frame, l3, name } = arrival;
    const { six } = link;
    if (six === undefined) return IPV6;
    if (arrival.end - l3 < IPV6_HEADER_BYTES) return RUNT;
    if (!arrival.takeIpv6(view)) return MALFORMED;
    const { headerBytes, totalBytes, protocol, isFragment } = arrival;
    const bytes = totalBytes - headerBytes;
    if (protocol === PROTOCOL_ICMPV6 && !isFragment && bytes >= ICMP_HEADER_BYTES) {
      const message = l3 + headerBytes;
      if (isNd(getIcmpType(view, message))) {
        // A routed link has no neighbours.
        if (link.innerHeaderBytes === 0) return MULTICAST;
        const carry = this.#discovery.arrive(link, frame, message, bytes, name, arrival.nowMs);
        return carry === Carry.On ? Fate.Pass : carry;
      }
    }
    if (isIpv6MulticastDestination(view, l3)) return MULTICAST;
    if (link.innerHeaderBytes !== 0 && isGroupDestination(view, frame)) return BROADCAST;
    const from = l3 + IPV6_SOURCE_OFFSET;
    const to = l3 + IPV6_DESTINATION_OFFSET;
    if (!six.isFrom(view, from, name)) {
      return this.#isMismatch(link, from, to, name) ? MODE_MISMATCH : FOREIGN_SOURCE;
    }
    if (!six.isHere(view, to)) return FOREIGN_DESTINATION;
    if (isTunnelProtocol(protocol)) return NESTED;
    if (
      protocol === PROTOCOL_UDP &&
      link.peerPort !== 0 &&
      bytes >= UDP_HEADER_BYTES &&
      !isFragment &&
      getUdpDestination(view, l3 + headerBytes) === link.peerPort
    ) {
      return NESTED;
    }
    // Only TCP and known trains can be cut to size again; a fan of ours never sends more than its MTU.
    const isCut = (protocol === PROTOCOL_TCP || mayCut) && headerBytes === IPV6_HEADER_BYTES;
    if (totalBytes > link.innerMtu && (!isCut || isFragment)) return TOO_BIG;
    return Fate.Deliver;
  }

  /** Whether a packet would be honest on a link of another encapsulation. */
  #isMismatch(link: DataLink, from: number, to: number, name: number): boolean {
    const view = this.#view;
    const links = this.#allLinks;
    for (let i = 0; i < links.length; i++) {
      const other = links[i] as DataLink;
      if (other.encap !== link.encap && other.six?.couldBe(view, from, to, name) === true)
        return true;
    }
    return false;
  }
}
