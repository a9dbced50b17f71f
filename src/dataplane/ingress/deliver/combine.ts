/**
 * The outer header's last word: congestion that it was marked with goes on inside (RFC 6040), and its DSCP
 * where the link says so (RFC 2983). Each packet is counted in its cell of the ECN table.
 * @module
 */
import { ECN_BASE, ingressIndex } from '../../../table/counters.ts';
import { decapsulateTos, ecnCell, isEcnDrop } from '../../../wire/ecn.ts';
import { replaceIpv4Tos } from '../../../wire/ipv4.ts';
import { replaceIpv6TrafficClass } from '../../../wire/ipv6.ts';
import type { DataLink } from '../../ground/link.ts';
import { type Arrival, NO_CELL } from '../../packet/arrival.ts';

const ECN_NOT_CAPABLE = ingressIndex('drop.ecn_not_capable');

/**
 * Counts what the packet in hand, `innerTos` in its header, was marked with. False where it is dropped for
 * it: congestion must be heard, and its sender would not hear of it.
 */
export function countMark(link: DataLink, arrival: Arrival, innerTos: number): boolean {
  const cell = ecnCell(innerTos, arrival.outerTos);
  link.counters[ECN_BASE + cell] = (link.counters[ECN_BASE + cell] as number) + 1;
  arrival.cell = cell;
  if (!isEcnDrop(cell)) return true;
  arrival.drop(link, ECN_NOT_CAPABLE);
  return false;
}

/** The TOS byte of the IPv4 packet in hand, `innerTos`, becomes what both headers say together. */
export function combineTos(
  view: DataView,
  link: DataLink,
  arrival: Arrival,
  innerTos: number,
): void {
  const tos = decapsulateTos(link.dscpMode, innerTos, arrival.outerTos);
  if (tos === innerTos) return;
  replaceIpv4Tos(view, arrival.l3, tos);
  // The next header as it arrived will not equal this one.
  arrival.cell = NO_CELL;
}

/** The same for the traffic class of an IPv6 packet. */
export function combineClass(
  view: DataView,
  link: DataLink,
  arrival: Arrival,
  inner: number,
): void {
  const combined = decapsulateTos(link.dscpMode, inner, arrival.outerTos);
  if (combined === inner) return;
  replaceIpv6TrafficClass(view, arrival.l3, combined);
  arrival.cell = NO_CELL;
}
