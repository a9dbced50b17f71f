/**
 * ARP from a peer: of the peer's own slice, and about an address of ours.
 * @module
 */
import { ingressIndex } from '../../table/counters.ts';
import { ARP_BYTES, ARP_SENDER_ADDRESS_OFFSET, ARP_TARGET_ADDRESS_OFFSET } from '../../wire/arp.ts';
import { checkArp, Fault } from '../../wire/classify.ts';
import type { DataLink } from '../ground/link.ts';

const RUNT = ingressIndex('drop.runt');
const MALFORMED = ingressIndex('drop.malformed');
const FOREIGN_SOURCE = ingressIndex('drop.foreign_source');
const FOREIGN_DESTINATION = ingressIndex('drop.foreign_destination');

/** The counter of a message at `arp` that ends here, −1 where it may pass. */
export function judgeArp(
  link: DataLink,
  view: DataView,
  arp: number,
  available: number,
  source: number,
): number {
  if (available < ARP_BYTES) return RUNT;
  if (checkArp(view, arp, available) !== Fault.None) return MALFORMED;
  const { route } = link;
  if (!route.isFrom(view, arp + ARP_SENDER_ADDRESS_OFFSET, source)) return FOREIGN_SOURCE;
  return route.isHere(view, arp + ARP_TARGET_ADDRESS_OFFSET) ? -1 : FOREIGN_DESTINATION;
}
