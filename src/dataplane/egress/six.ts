/**
 * IPv6 on its way out: the checks of one packet from our own device, cheapest first, up to the peer that
 * it goes to. Strict as for IPv4: whole headers, a source of our own slice, a destination that some host
 * owns, nothing that carries another packet.
 * @module
 */
import { egressIndex } from '../../table/counters.ts';
import { checkIpv6, Fault, isTunnelProtocol, walkIpv6 } from '../../wire/classify.ts';
import { isGroupDestination } from '../../wire/ethernet.ts';
import { getIcmpType, ICMP_HEADER_BYTES } from '../../wire/icmp.ts';
import { PROTOCOL_ICMPV6 } from '../../wire/ipv4.ts';
import {
  getIpv6PayloadBytes,
  getIpv6TrafficClass,
  IPV6_DESTINATION_OFFSET,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE_OFFSET,
  isIpv6MulticastDestination,
  NEXT_FRAGMENT,
} from '../../wire/ipv6.ts';
import { checkExtensions, isIpv6Fragment } from '../../wire/six/extensions.ts';
import { isNd } from '../../wire/six/nd.ts';
import { VIRTIO_GSO_NONE } from '../../wire/virtio-net.ts';
import { Carry, type NeighbourDiscovery } from '../answer/nd.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { noPeerCounter } from '../ground/route.ts';
import type { InHand } from './in-hand.ts';

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
  readonly #arena: Arena;
  readonly #discovery: NeighbourDiscovery;

  constructor(arena: Arena, discovery: NeighbourDiscovery) {
    this.#arena = arena;
    this.#discovery = discovery;
  }

  /** Judges the packet in hand and fills in the rest of what is known of it. */
  judge(link: DataLink, hand: InHand, nowMs: number): number {
    const { view } = this.#arena;
    const { six } = link;
    const { frame, l3 } = hand;
    const available = hand.byteCount - link.innerHeaderBytes;
    if (six === undefined) return IPV6;
    if (available < IPV6_HEADER_BYTES) return RUNT;
    if (checkIpv6(view, l3, available) !== Fault.None) return MALFORMED;
    const chain = walkIpv6(view, l3);
    if (chain < 0) return MALFORMED;
    const protocol = chain >>> 16;
    const headerBytes = chain & 0xffff;
    hand.headerBytes = headerBytes;
    hand.protocol = protocol;
    // The length field of a super-packet is not trusted: one beyond 65,535 bytes says 0 there.
    hand.totalBytes =
      hand.gsoType === VIRTIO_GSO_NONE
        ? IPV6_HEADER_BYTES + getIpv6PayloadBytes(view, l3)
        : available;
    hand.isFragment = false;
    hand.vni = link.vni6;
    if (headerBytes !== IPV6_HEADER_BYTES || protocol === NEXT_FRAGMENT) {
      if (checkExtensions(view, l3, chain) !== Fault.None) return MALFORMED;
      hand.isFragment = isIpv6Fragment(view, l3, headerBytes);
    }
    const bytes = hand.totalBytes - headerBytes;
    hand.tos = getIpv6TrafficClass(view, l3);
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
