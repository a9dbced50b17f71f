/**
 * IPv4 on its way out: the checks of one packet from our own device, cheapest first, up to the peer that
 * it goes to; six.ts has those of IPv6.
 * @module
 */
import { egressIndex } from '../../table/counters.ts';
import { isTunnelProtocol } from '../../wire/classify.ts';
import { isGroupDestination } from '../../wire/ethernet.ts';
import {
  getIpVersion,
  getIpv4Destination,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Source,
  getIpv4Tos,
  getIpv4TotalBytes,
  IPV4_DESTINATION_OFFSET,
  IPV4_HEADER_BYTES,
  IPV4_SOURCE_OFFSET,
  isIpv4Fragment,
} from '../../wire/ipv4.ts';
import { VIRTIO_GSO_NONE } from '../../wire/virtio-net.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { noPeerCounter } from '../ground/route.ts';
import type { InHand } from './in-hand.ts';

/** It goes to its peer: the number of no counter. */
const FORWARD = -1;

const MALFORMED = egressIndex('drop.malformed');
const MULTICAST = egressIndex('drop.multicast');
const BROADCAST = egressIndex('drop.broadcast');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');
const NESTED = egressIndex('drop.nested');

export class FourEgress {
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /**
   * Judges the packet in hand, of which a fixed header is there, and fills in the rest of what is known
   * of it: the number of the counter that it ends at, or {@link FORWARD}.
   */
  judge(link: DataLink, hand: InHand, nowMs: number): number {
    const { view } = this.#arena;
    const { frame, l3 } = hand;
    const available = hand.byteCount - link.innerHeaderBytes;
    const headerBytes = getIpv4HeaderBytes(view, l3);
    // The length field of a super-packet is not trusted.
    const totalBytes = hand.gsoType === VIRTIO_GSO_NONE ? getIpv4TotalBytes(view, l3) : available;
    if (
      getIpVersion(view, l3) !== 4 ||
      headerBytes < IPV4_HEADER_BYTES ||
      totalBytes < headerBytes ||
      totalBytes > available
    ) {
      return MALFORMED;
    }
    const destination = getIpv4Destination(view, l3);
    if (destination >>> 28 === 0xe) return MULTICAST;
    if (destination === 0xffffffff) return BROADCAST;
    if (link.innerHeaderBytes !== 0 && isGroupDestination(view, frame)) return BROADCAST;
    const { route } = link;
    if (!route.isHere(view, l3 + IPV4_SOURCE_OFFSET)) return FOREIGN_SOURCE;
    link.noteSender(view, frame, getIpv4Source(view, l3), nowMs);
    const peer = route.to(view, l3 + IPV4_DESTINATION_OFFSET);
    if (peer < 0) return noPeerCounter(peer);
    if (!route.isWorkload(view, l3 + IPV4_DESTINATION_OFFSET)) return BROADCAST;
    const protocol = getIpv4Protocol(view, l3);
    if (isTunnelProtocol(protocol)) return NESTED;
    hand.headerBytes = headerBytes;
    hand.totalBytes = totalBytes;
    hand.protocol = protocol;
    hand.isFragment = isIpv4Fragment(view, l3);
    hand.tos = getIpv4Tos(view, l3);
    hand.peer = peer;
    hand.vni = link.vni;
    return FORWARD;
  }
}
