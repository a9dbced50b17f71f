/**
 * Neighbour Discovery as a switch sees it: honest or not, which MAC a message names, and the answer to a
 * question. `message` is where the ICMPv6 header begins, behind the IPv6 header at `l3`.
 * @module
 */
import { addToSum, finishSum, internetChecksum, pseudoSumIpv6 } from '../checksum.ts';
import { Fault } from '../classify.ts';
import { setMac } from '../ethernet.ts';
import { getIcmpCode, getIcmpType, ICMP_CHECKSUM_OFFSET } from '../icmp.ts';
import { PROTOCOL_ICMPV6 } from '../ipv4.ts';
import {
  copyIpv6Address,
  emitIpv6,
  getIpv6HopLimit,
  IPV6_DESTINATION_OFFSET,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE_OFFSET,
  isIpv6SourceUnspecified,
} from '../ipv6.ts';
import {
  checkNeighbour,
  ND_HOP_LIMIT,
  ND_NEIGHBOUR_ADVERT,
  ND_NEIGHBOUR_BYTES,
  ND_NEIGHBOUR_SOLICIT,
  ND_REDIRECT,
  ND_ROUTER_ADVERT,
  ND_SOLICITED,
  ndTarget,
} from './nd.ts';

/** Flags of an advertisement beside {@link ND_SOLICITED} (RFC 4861 §4.4). */
export const ND_ROUTER = 0x80;
export const ND_OVERRIDE = 0x20;
const FLAGS_OFFSET = 4;
const ROUTER_SOLICIT_BYTES = 8;
const ROUTER_ADVERT_BYTES = 16;
const REDIRECT_BYTES = 40;
const OPTION_UNIT_BYTES = 8;
const OPTION_SOURCE = 1;
const OPTION_TARGET = 2;
/** IPv6 header, advertisement, one option: what {@link emitNeighbourAdvert} writes. */
export const NEIGHBOUR_ADVERT_PACKET_BYTES =
  IPV6_HEADER_BYTES + ND_NEIGHBOUR_BYTES + OPTION_UNIT_BYTES;
/** IPv6 header, solicitation, one option: what {@link emitNeighbourSolicit} writes. */
export const NEIGHBOUR_SOLICIT_PACKET_BYTES = NEIGHBOUR_ADVERT_PACKET_BYTES;
/** ff02::1, all nodes, in its first and last word. */
const ALL_NODES_FIRST = 0xff02_0000;
const ALL_NODES_LAST = 1;

/** Bytes of a message without its options. */
function fixedBytes(type: number): number {
  if (type === ND_NEIGHBOUR_SOLICIT || type === ND_NEIGHBOUR_ADVERT) return ND_NEIGHBOUR_BYTES;
  if (type === ND_ROUTER_ADVERT) return ROUTER_ADVERT_BYTES;
  return type === ND_REDIRECT ? REDIRECT_BYTES : ROUTER_SOLICIT_BYTES;
}

/** What is wrong with a message of any type of Neighbour Discovery, `bytes` long, checksum included. */
export function checkNd(view: DataView, l3: number, message: number, bytes: number): Fault {
  const type = getIcmpType(view, message);
  if (type === ND_NEIGHBOUR_SOLICIT || type === ND_NEIGHBOUR_ADVERT) {
    return checkNeighbour(view, l3, message, bytes);
  }
  if (bytes < fixedBytes(type)) return Fault.Truncated;
  if (getIpv6HopLimit(view, l3) !== ND_HOP_LIMIT || getIcmpCode(view, message) !== 0) {
    return Fault.HeaderLength;
  }
  for (let at = fixedBytes(type); at < bytes; ) {
    if (at + OPTION_UNIT_BYTES > bytes) return Fault.OptionsMalformed;
    const optionBytes = view.getUint8(message + at + 1) * OPTION_UNIT_BYTES;
    if (optionBytes === 0 || at + optionBytes > bytes) return Fault.OptionsMalformed;
    at += optionBytes;
  }
  const pseudo = pseudoSumIpv6(view, l3, PROTOCOL_ICMPV6, bytes);
  return internetChecksum(view, message, bytes, pseudo) === 0 ? Fault.None : Fault.Checksum;
}

/**
 * Where the MAC stands that a checked message names: of its sender, in an advertisement of its target; −1
 * when it names none.
 */
export function ndMacAt(view: DataView, message: number, bytes: number): number {
  const type = getIcmpType(view, message);
  const wanted = type === ND_NEIGHBOUR_ADVERT ? OPTION_TARGET : OPTION_SOURCE;
  for (let at = fixedBytes(type); at + OPTION_UNIT_BYTES <= bytes; ) {
    const units = view.getUint8(message + at + 1);
    if (units === 0) return -1;
    if (view.getUint8(message + at) === wanted && units === 1) return message + at + 2;
    at += units * OPTION_UNIT_BYTES;
  }
  return -1;
}

/**
 * Writes the IPv6 packet, {@link NEIGHBOUR_ADVERT_PACKET_BYTES} long, that answers the solicitation at
 * `message` of the packet at `l3`: its target has the MAC `mac` (u48). Where that came from no address,
 * the answer is for all (RFC 4861 §7.2.4).
 * @param flags {@link ND_ROUTER} and the like
 */
export function emitNeighbourAdvert(
  view: DataView,
  at: number,
  l3: number,
  message: number,
  mac: number,
  flags: number,
): void {
  const answer = at + IPV6_HEADER_BYTES;
  const bytes = NEIGHBOUR_ADVERT_PACKET_BYTES - IPV6_HEADER_BYTES;
  const to = at + IPV6_DESTINATION_OFFSET;
  const isForAll = isIpv6SourceUnspecified(view, l3);
  emitIpv6(view, at, bytes, PROTOCOL_ICMPV6, ND_HOP_LIMIT);
  copyIpv6Address(view, ndTarget(message), view, at + IPV6_SOURCE_OFFSET);
  if (isForAll) {
    view.setUint32(to, ALL_NODES_FIRST);
    view.setUint32(to + 4, 0);
    view.setUint32(to + 8, 0);
    view.setUint32(to + 12, ALL_NODES_LAST);
  } else {
    copyIpv6Address(view, l3 + IPV6_SOURCE_OFFSET, view, to);
  }
  const all = (isForAll ? 0 : ND_SOLICITED) | flags;
  view.setUint32(answer, (ND_NEIGHBOUR_ADVERT << 24) >>> 0);
  view.setUint32(answer + FLAGS_OFFSET, (all << 24) >>> 0);
  copyIpv6Address(view, ndTarget(message), view, ndTarget(answer));
  view.setUint8(answer + ND_NEIGHBOUR_BYTES, OPTION_TARGET);
  view.setUint8(answer + ND_NEIGHBOUR_BYTES + 1, 1);
  setMac(view, answer + ND_NEIGHBOUR_BYTES + 2, mac);
  const sum = addToSum(view, answer, bytes, pseudoSumIpv6(view, at, PROTOCOL_ICMPV6, bytes));
  view.setUint16(answer + ICMP_CHECKSUM_OFFSET, finishSum(sum));
}

/**
 * Writes the IPv6 packet, {@link NEIGHBOUR_SOLICIT_PACKET_BYTES} long, by which `source` with the MAC `mac`
 * (u48) asks who has `target`. Addresses are 16 bytes; it goes to the group of those that may have it
 * (RFC 4861 §4.3).
 */
export function emitNeighbourSolicit(
  view: DataView,
  at: number,
  source: Uint8Array,
  target: Uint8Array,
  mac: number,
): void {
  const message = at + IPV6_HEADER_BYTES;
  const to = at + IPV6_DESTINATION_OFFSET;
  const bytes = NEIGHBOUR_SOLICIT_PACKET_BYTES - IPV6_HEADER_BYTES;
  emitIpv6(view, at, bytes, PROTOCOL_ICMPV6, ND_HOP_LIMIT);
  for (let i = 0; i < 16; i++) {
    view.setUint8(at + IPV6_SOURCE_OFFSET + i, source[i] ?? 0);
    view.setUint8(ndTarget(message) + i, target[i] ?? 0);
  }
  // RFC 4291 §2.7.1: ff02::1:ff and the last three bytes of the target.
  view.setUint32(to, ALL_NODES_FIRST);
  view.setUint32(to + 4, 0);
  view.setUint32(to + 8, 1);
  view.setUint32(
    to + 12,
    (0xff00_0000 | (view.getUint32(ndTarget(message) + 12) & 0xff_ffff)) >>> 0,
  );
  view.setUint32(message, (ND_NEIGHBOUR_SOLICIT << 24) >>> 0);
  view.setUint32(message + FLAGS_OFFSET, 0);
  view.setUint8(message + ND_NEIGHBOUR_BYTES, OPTION_SOURCE);
  view.setUint8(message + ND_NEIGHBOUR_BYTES + 1, 1);
  setMac(view, message + ND_NEIGHBOUR_BYTES + 2, mac);
  const sum = addToSum(view, message, bytes, pseudoSumIpv6(view, at, PROTOCOL_ICMPV6, bytes));
  view.setUint16(message + ICMP_CHECKSUM_OFFSET, finishSum(sum));
}
