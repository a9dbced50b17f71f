/**
 * IPv4 on its way in: the checks of one packet that a peer has sent, cheapest first; six.ts has those of
 * IPv6. Whole headers, a source of the peer's own slice, a destination of ours, nothing that carries
 * another packet.
 * @module
 */
import { ingressIndex } from '../../table/counters.ts';
import { isTunnelProtocol } from '../../wire/classify.ts';
import { isGroupDestination } from '../../wire/ethernet.ts';
import {
  getIpv4Destination,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4TotalBytes,
  IPV4_DESTINATION_OFFSET,
  IPV4_SOURCE_OFFSET,
  isIpv4Fragment,
  PROTOCOL_TCP,
} from '../../wire/ipv4.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { isSoundIpv4, isToTunnel } from './sound.ts';
import { isMismatch } from './whose.ts';

/** It goes to the device: the number of no counter. */
const DELIVER = -1;

const MALFORMED = ingressIndex('drop.malformed');
const MULTICAST = ingressIndex('drop.multicast');
const BROADCAST = ingressIndex('drop.broadcast');
const FOREIGN_SOURCE = ingressIndex('drop.foreign_source');
const FOREIGN_DESTINATION = ingressIndex('drop.foreign_destination');
const MODE_MISMATCH = ingressIndex('drop.mode_mismatch');
const NESTED = ingressIndex('drop.nested');
const TOO_BIG = ingressIndex('drop.too_big');

export class FourIngress {
  readonly #arena: Arena;
  readonly #allLinks: readonly DataLink[];

  constructor(arena: Arena, allLinks: readonly DataLink[]) {
    this.#arena = arena;
    this.#allLinks = allLinks;
  }

  /**
   * Judges the packet in the frame at `frame`, of which `available` bytes are there, from the socket
   * address at `name`: the number of the counter that it ends at, or {@link DELIVER}.
   * @param mayCut whether longer packets than the link takes can be cut to size again
   */
  judge(link: DataLink, frame: number, available: number, name: number, mayCut: boolean): number {
    const { view } = this.#arena;
    const l3 = frame + link.innerHeaderBytes;
    if (!isSoundIpv4(view, l3, available)) return MALFORMED;
    const destination = getIpv4Destination(view, l3);
    if (destination >>> 28 === 0xe) return MULTICAST;
    if (destination === 0xffffffff) return BROADCAST;
    if (link.innerHeaderBytes !== 0 && isGroupDestination(view, frame)) {
      return BROADCAST;
    }
    const { route } = link;
    const from = l3 + IPV4_SOURCE_OFFSET;
    const to = l3 + IPV4_DESTINATION_OFFSET;
    if (!route.isFrom(view, from, name) || !route.isWorkload(view, from)) {
      return isMismatch(link, this.#allLinks, view, l3, name) ? MODE_MISMATCH : FOREIGN_SOURCE;
    }
    if (!route.isHere(view, to)) return FOREIGN_DESTINATION;
    if (!route.isWorkload(view, to)) return BROADCAST;
    const headerBytes = getIpv4HeaderBytes(view, l3);
    const totalBytes = getIpv4TotalBytes(view, l3);
    const protocol = getIpv4Protocol(view, l3);
    if (isTunnelProtocol(protocol)) return NESTED;
    const l4 = l3 + headerBytes;
    if (isToTunnel(view, l3, l4, l3 + totalBytes, protocol, link.peerPort)) return NESTED;
    // Only TCP and known trains can be cut to size again; a fan of ours never sends more than its MTU.
    const isCut = protocol === PROTOCOL_TCP || mayCut;
    if (totalBytes > link.innerMtu && (!isCut || isIpv4Fragment(view, l3))) {
      return TOO_BIG;
    }
    return DELIVER;
  }
}
