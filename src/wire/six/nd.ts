/**
 * Neighbour Discovery for IPv6 (RFC 4861): ICMPv6 messages by which hosts of one network find each
 * other's MAC addresses, see whether an address is taken (RFC 4862 §5.4), and hear of routers.
 * `message` is where the ICMPv6 header begins; accessors need {@link ND_NEIGHBOUR_BYTES} there.
 * @module
 */
import { addToSum, internetChecksum, pseudoSumIpv6 } from '../checksum.ts';
import { Fault } from '../classify.ts';
import { setMac } from '../ethernet.ts';
import { getIcmpCode, getIcmpType, ICMP_CHECKSUM_OFFSET } from '../icmp.ts';
import { PROTOCOL_ICMPV6 } from '../ipv4.ts';
import {
  emitIpv6,
  getIpv6HopLimit,
  IPV6_DESTINATION_OFFSET,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE_OFFSET,
  isIpv6MulticastDestination,
  isIpv6SourceUnspecified,
} from '../ipv6.ts';

/** IANA registry "ICMPv6 type Numbers", 2025-03. */
export const ND_ROUTER_SOLICIT = 133;
export const ND_ROUTER_ADVERT = 134;
export const ND_NEIGHBOUR_SOLICIT = 135;
export const ND_NEIGHBOUR_ADVERT = 136;
export const ND_REDIRECT = 137;

/** A message that was forwarded has fewer hops left, and is not believed (RFC 4861 §3.1). */
export const ND_HOP_LIMIT = 255;
/** Solicitation or advertisement of a neighbour without options: header, 4 bytes, target. */
export const ND_NEIGHBOUR_BYTES = 24;
const TARGET_OFFSET = 8;
/** Options count their length in units of 8 bytes, type and length included (RFC 4861 §4.6). */
const OPTION_UNIT_BYTES = 8;
const SOURCE_LINK_ADDRESS = 1;
const PREFIX_INFORMATION = 3;
const MTU = 5;
const ROUTE_INFORMATION = 24;

/** Where the target address lies. */
export function ndTarget(message: number): number {
  return message + TARGET_OFFSET;
}

/** Whether an ICMPv6 type is one of Neighbour Discovery. */
export function isNd(type: number): boolean {
  return type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT;
}

/** True for a multicast address (ff00::/8) at `address`. */
export function isMulticast6(view: DataView, address: number): boolean {
  return view.getUint8(address) === 0xff;
}

/** True for a link-local address (fe80::/10) at `address`. */
export function isLinkLocal6(view: DataView, address: number): boolean {
  return (view.getUint16(address) & 0xffc0) === 0xfe80;
}

/** True when the 16 bytes at `a` and `b` are the same. */
export function isSame6(view: DataView, a: number, b: number): boolean {
  return (
    view.getUint32(a) === view.getUint32(b) &&
    view.getUint32(a + 4) === view.getUint32(b + 4) &&
    view.getUint32(a + 8) === view.getUint32(b + 8) &&
    view.getUint32(a + 12) === view.getUint32(b + 12)
  );
}

/** True when `address` is the solicited-node group of `target`: ff02::1:ffXX:XXXX (RFC 4291 §2.7.1). */
export function isSolicitedNode(view: DataView, address: number, target: number): boolean {
  return (
    view.getUint32(address) === 0xff020000 &&
    view.getUint32(address + 4) === 0 &&
    view.getUint32(address + 8) === 1 &&
    view.getUint32(address + 12) === (0xff000000 | (view.getUint32(target + 12) & 0xffffff)) >>> 0
  );
}

/** True for ff02::1, all nodes of a link. */
export function isAllNodes(view: DataView, address: number): boolean {
  return (
    view.getUint32(address) === 0xff020000 &&
    view.getUint32(address + 4) === 0 &&
    view.getUint32(address + 8) === 0 &&
    view.getUint32(address + 12) === 1
  );
}

/** Options that fill the bytes from `at` to `end` whole; with `maySayWho` one may be the sender's link-layer address. */
function checkOptions(view: DataView, at: number, end: number, maySayWho: boolean): Fault {
  while (at < end) {
    if (at + OPTION_UNIT_BYTES > end) return Fault.OptionsMalformed;
    const bytes = view.getUint8(at + 1) * OPTION_UNIT_BYTES;
    if (bytes === 0 || at + bytes > end) return Fault.OptionsMalformed;
    if (view.getUint8(at) === SOURCE_LINK_ADDRESS && !maySayWho) return Fault.OptionsMalformed;
    at += bytes;
  }
  return Fault.None;
}

/**
 * A neighbour's solicitation or advertisement as RFC 4861 §7.1.1 and §7.1.2 want it, checksum
 * included: everything that a receiver would not believe is told apart here.
 * @param l3 start of its IPv6 header, which `checkIpv6` has passed
 * @param bytes length of the ICMPv6 message
 */
export function checkNeighbour(view: DataView, l3: number, message: number, bytes: number): Fault {
  if (bytes < ND_NEIGHBOUR_BYTES) return Fault.Truncated;
  if (getIpv6HopLimit(view, l3) !== ND_HOP_LIMIT || getIcmpCode(view, message) !== 0) {
    return Fault.HeaderLength;
  }
  const target = ndTarget(message);
  if (isMulticast6(view, target)) return Fault.SourceGroup;
  const isQuestion = getIcmpType(view, message) === ND_NEIGHBOUR_SOLICIT;
  const isProbe = isIpv6SourceUnspecified(view, l3);
  const destination = l3 + IPV6_DESTINATION_OFFSET;
  if (isQuestion) {
    // Duplicate address detection asks the group, and does not say who asks.
    if (isProbe && !isSolicitedNode(view, destination, target)) return Fault.SourceGroup;
  } else if (
    isProbe ||
    (isIpv6MulticastDestination(view, l3) && (view.getUint8(message + 4) & ND_SOLICITED) !== 0)
  ) {
    return Fault.SourceGroup;
  }
  const fault = checkOptions(
    view,
    message + ND_NEIGHBOUR_BYTES,
    message + bytes,
    !(isQuestion && isProbe),
  );
  if (fault !== Fault.None) return fault;
  const pseudo = pseudoSumIpv6(view, l3, PROTOCOL_ICMPV6, bytes);
  return internetChecksum(view, message, bytes, pseudo) === 0 ? Fault.None : Fault.Checksum;
}

/** Flag S of an advertisement: it answers a question (RFC 4861 §4.4). */
export const ND_SOLICITED = 0x40;

/** A network that a router speaks for. `address` and lifetimes as RFC 4861 §4.6.2 has them. */
export type AdvertisedPrefix = {
  /** 16 bytes, network order. */
  address: Uint8Array;
  length: number;
  /** Neighbours are asked for directly (flag L). */
  onLink: boolean;
  /** Hosts make addresses of it for themselves (flag A). */
  autonomous: boolean;
  validSeconds: number;
  preferredSeconds: number;
};

/** What a router says. */
export type RouterAdvert = {
  /** Its link-local address and MAC: 16 bytes, and a 48-bit number. */
  source: Uint8Array;
  mac: number;
  /** How long it may be taken for a default router, seconds; 0 = it is none. */
  routerSeconds: number;
  /** MTU of the network, bytes. */
  mtu: number;
  prefixes: readonly AdvertisedPrefix[];
  /** Networks behind it (RFC 4191 §2.3); `seconds` 0 takes one back. */
  routes: readonly { address: Uint8Array; length: number; seconds: number }[];
};

const ADVERT_BYTES = 16;
const PREFIX_OPTION_BYTES = 32;
const ROUTE_OPTION_BYTES = 24;
const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC = 0x3333_0000_0001;
/** Hop limit that hosts are to use (RFC 4861 §4.2). */
const HOP_LIMIT_USUAL = 64;
const ETHERNET_BYTES = 14;
const ETHERTYPE_IPV6 = 0x86dd;

/** A router advertisement to all nodes (RFC 4861 §4.2), as a whole Ethernet frame. */
export function routerAdvertFrame(advert: RouterAdvert): Uint8Array<ArrayBuffer> {
  const { prefixes, routes } = advert;
  const bytes =
    ADVERT_BYTES +
    2 * OPTION_UNIT_BYTES +
    prefixes.length * PREFIX_OPTION_BYTES +
    routes.length * ROUTE_OPTION_BYTES;
  const frame = new Uint8Array(ETHERNET_BYTES + IPV6_HEADER_BYTES + bytes);
  const view = new DataView(frame.buffer);
  setMac(view, 0, ALL_NODES_MAC);
  setMac(view, 6, advert.mac);
  view.setUint16(12, ETHERTYPE_IPV6);
  const l3 = ETHERNET_BYTES;
  emitIpv6(view, l3, bytes, PROTOCOL_ICMPV6, ND_HOP_LIMIT);
  frame.set(advert.source, l3 + IPV6_SOURCE_OFFSET);
  frame.set(ALL_NODES, l3 + IPV6_DESTINATION_OFFSET);
  const message = l3 + IPV6_HEADER_BYTES;
  view.setUint8(message, ND_ROUTER_ADVERT);
  view.setUint8(message + 4, HOP_LIMIT_USUAL);
  view.setUint16(message + 6, advert.routerSeconds);
  let at = message + ADVERT_BYTES;
  view.setUint8(at, SOURCE_LINK_ADDRESS);
  view.setUint8(at + 1, 1);
  setMac(view, at + 2, advert.mac);
  at += OPTION_UNIT_BYTES;
  view.setUint8(at, MTU);
  view.setUint8(at + 1, 1);
  view.setUint32(at + 4, advert.mtu);
  at += OPTION_UNIT_BYTES;
  for (const prefix of prefixes) {
    view.setUint8(at, PREFIX_INFORMATION);
    view.setUint8(at + 1, PREFIX_OPTION_BYTES / OPTION_UNIT_BYTES);
    view.setUint8(at + 2, prefix.length);
    view.setUint8(at + 3, (prefix.onLink ? 0x80 : 0) | (prefix.autonomous ? 0x40 : 0));
    view.setUint32(at + 4, prefix.validSeconds);
    view.setUint32(at + 8, prefix.preferredSeconds);
    frame.set(prefix.address, at + 16);
    at += PREFIX_OPTION_BYTES;
  }
  for (const route of routes) {
    view.setUint8(at, ROUTE_INFORMATION);
    view.setUint8(at + 1, ROUTE_OPTION_BYTES / OPTION_UNIT_BYTES);
    view.setUint8(at + 2, route.length);
    view.setUint32(at + 4, route.seconds);
    frame.set(route.address, at + 8);
    at += ROUTE_OPTION_BYTES;
  }
  const sum = addToSum(view, message, bytes, pseudoSumIpv6(view, l3, PROTOCOL_ICMPV6, bytes));
  view.setUint16(message + ICMP_CHECKSUM_OFFSET, internetChecksum(view, message, 0, sum));
  return frame;
}

/** Whether an Ethernet frame is a router solicitation that a router believes (RFC 4861 §6.1.1). */
export function isRouterSolicit(frame: Uint8Array): boolean {
  const l3 = ETHERNET_BYTES;
  const message = l3 + IPV6_HEADER_BYTES;
  if (frame.length < message + 8) return false;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  return (
    view.getUint16(12) === ETHERTYPE_IPV6 &&
    view.getUint8(l3) >>> 4 === 6 &&
    view.getUint8(l3 + 6) === PROTOCOL_ICMPV6 &&
    getIpv6HopLimit(view, l3) === ND_HOP_LIMIT &&
    getIcmpType(view, message) === ND_ROUTER_SOLICIT &&
    getIcmpCode(view, message) === 0
  );
}
