/**
 * IPv4 on its way out: the checks of one packet from our own device, cheapest first, up to the peer that
 * it goes to; six.ts has those of IPv6.
 * @module
 */
import { egressIndex } from '../../table/counters.ts';
import { isTunnelProtocol } from '../../wire/classify.ts';
import { isGroupDestination } from '../../wire/ethernet.ts';
import {
  getIpv4Destination,
  getIpv4Source,
  IPV4_DESTINATION_OFFSET,
  IPV4_SOURCE_OFFSET,
} from '../../wire/ipv4.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { noPeerCounter } from '../ground/route.ts';
import type { InHand } from '../packet/in-hand.ts';

/** It goes to its peer: the number of no counter. */
const FORWARD = -1;

const MALFORMED = egressIndex('drop.malformed');
const MULTICAST = egressIndex('drop.multicast');
const BROADCAST = egressIndex('drop.broadcast');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');
const NESTED = egressIndex('drop.nested');

export class FourEgress {
  readonly #view: DataView;

  constructor(arena: Arena) {
    this.#view = arena.view;
  }

  /**
   * Judges the packet in hand, of which a fixed header is there, and fills in the rest of what is known
   * of it: the number of the counter that it ends at, or {@link FORWARD}.
   */
  judge(link: DataLink, hand: InHand, nowMs: number): number {
    const view = this.#view;
    const { frame, l3 } = hand;
    if (!hand.takeIpv4(view, hand.byteCount - link.innerHeaderBytes)) return MALFORMED;
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
    if (isTunnelProtocol(hand.protocol)) return NESTED;
    hand.peer = peer;
    hand.vni = link.vni;
    return FORWARD;
  }
}
