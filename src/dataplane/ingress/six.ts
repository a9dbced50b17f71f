/**
 * IPv6 on its way in: the checks of one packet that a peer has sent, cheapest first. Strict as for IPv4:
 * whole headers, a source of the peer's own slice, a destination of ours, nothing that carries another
 * packet.
 * @module
 */
import { ingressIndex } from '../../table/counters.ts';
import { checkIpv6, Fault, isTunnelProtocol, walkIpv6 } from '../../wire/classify.ts';
import { isGroupDestination } from '../../wire/ethernet.ts';
import { getIcmpType, ICMP_HEADER_BYTES } from '../../wire/icmp.ts';
import { PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import {
  getIpv6PayloadBytes,
  IPV6_DESTINATION_OFFSET,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE_OFFSET,
  isIpv6MulticastDestination,
  NEXT_FRAGMENT,
} from '../../wire/ipv6.ts';
import { checkExtensions, isIpv6Fragment } from '../../wire/six/extensions.ts';
import { isNd } from '../../wire/six/nd.ts';
import { getUdpDestination, UDP_HEADER_BYTES } from '../../wire/udp.ts';
import { Carry, type NeighbourDiscovery } from '../answer/nd.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';

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
  readonly #arena: Arena;
  readonly #discovery: NeighbourDiscovery;
  readonly #allLinks: readonly DataLink[];
  /** Of the packet judged last: all before the transport header, and the whole packet, bytes. */
  headerBytes = 0;
  totalBytes = 0;

  constructor(arena: Arena, discovery: NeighbourDiscovery, allLinks: readonly DataLink[]) {
    this.#arena = arena;
    this.#discovery = discovery;
    this.#allLinks = allLinks;
  }

  /**
   * Judges the packet in the frame at `frame`, of which `available` bytes are there, from the socket
   * address at `name`.
   * @param mayCut whether longer packets than the link takes can be cut to size again
   */
  judge(
    link: DataLink,
    frame: number,
    available: number,
    name: number,
    mayCut: boolean,
    nowMs: number,
  ): number {
    const { view } = this.#arena;
    const l3 = frame + link.innerHeaderBytes;
    const { six } = link;
    if (six === undefined) return IPV6;
    if (available < IPV6_HEADER_BYTES) return RUNT;
    if (checkIpv6(view, l3, available) !== Fault.None) return MALFORMED;
    const chain = walkIpv6(view, l3);
    if (chain < 0) return MALFORMED;
    const protocol = chain >>> 16;
    const headerBytes = chain & 0xffff;
    const totalBytes = IPV6_HEADER_BYTES + getIpv6PayloadBytes(view, l3);
    this.headerBytes = headerBytes;
    this.totalBytes = totalBytes;
    let isFragment = false;
    if (headerBytes !== IPV6_HEADER_BYTES || protocol === NEXT_FRAGMENT) {
      if (checkExtensions(view, l3, chain) !== Fault.None) return MALFORMED;
      isFragment = isIpv6Fragment(view, l3, headerBytes);
    }
    const bytes = totalBytes - headerBytes;
    if (protocol === PROTOCOL_ICMPV6 && !isFragment && bytes >= ICMP_HEADER_BYTES) {
      const message = l3 + headerBytes;
      if (isNd(getIcmpType(view, message))) {
        // A routed link has no neighbours.
        if (link.innerHeaderBytes === 0) return MULTICAST;
        const carry = this.#discovery.arrive(link, frame, message, bytes, name, nowMs);
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
    const { view } = this.#arena;
    const links = this.#allLinks;
    for (let i = 0; i < links.length; i++) {
      const other = links[i] as DataLink;
      if (other.encap !== link.encap && other.six?.couldBe(view, from, to, name) === true)
        return true;
    }
    return false;
  }
}
