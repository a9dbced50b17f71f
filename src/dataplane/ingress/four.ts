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
  IPV4_DESTINATION_OFFSET,
  IPV4_SOURCE_OFFSET,
  PROTOCOL_TCP,
} from '../../wire/ipv4.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import type { Arrival } from '../packet/arrival.ts';
import { isToTunnel } from '../packet/sound.ts';
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
  readonly #view: DataView;
  readonly #allLinks: readonly DataLink[];

  constructor(arena: Arena, allLinks: readonly DataLink[]) {
    this.#view = arena.view;
    this.#allLinks = allLinks;
  }

  /**
   * Judges the packet in hand, of which a fixed header is there: the number of the counter that it ends at,
   * or {@link DELIVER}.
   * @param mayCut whether longer packets than the link takes can be cut to size again
   */
  judge(link: DataLink, arrival: Arrival, mayCut: boolean): number {
    const view = this.#view;
    if (!arrival.takeIpv4(view)) return MALFORMED;
    const { l3, name, protocol } = arrival;
    const destination = getIpv4Destination(view, l3);
    if (destination >>> 28 === 0xe) return MULTICAST;
    if (destination === 0xffffffff) return BROADCAST;
    if (link.innerHeaderBytes !== 0 && isGroupDestination(view, arrival.frame)) {
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
    if (isTunnelProtocol(protocol)) return NESTED;
    const { totalBytes } = arrival;
    const l4 = l3 + arrival.headerBytes;
    if (isToTunnel(view, l3, l4, l3 + totalBytes, protocol, link.peerPort)) return NESTED;
    // Only TCP and known trains can be cut to size again; a fan of ours never sends more than its MTU.
    const isCut = protocol === PROTOCOL_TCP || mayCut;
    if (totalBytes > link.innerMtu && (!isCut || arrival.isFragment)) return TOO_BIG;
    return DELIVER;
  }
}
