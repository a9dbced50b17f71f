/**
 * Whether two packets of one flow could be cut from one: the same IP header, but for what counts up.
 * @module
 */
import {
  getIpVersion,
  getIpv4Fragment,
  getIpv4Identification,
  IPV4_DESTINATION_OFFSET,
  IPV4_DF,
  IPV4_HEADER_BYTES,
  IPV4_SOURCE_OFFSET,
} from '../../../wire/ipv4.ts';
import { IPV6_NEXT_HEADER_OFFSET, IPV6_SOURCE_OFFSET } from '../../../wire/ipv6.ts';

/**
 * Compares the IP header at `l3` with that of the flow's first packet, `segments` before it.
 * @param headerBytes of both
 */
export function isSameWay(
  view: DataView,
  l3: number,
  first: number,
  headerBytes: number,
  segments: number,
): boolean {
  return getIpVersion(view, first) === 6
    ? isSameWay6(view, l3, first, headerBytes)
    : isSameWay4(view, l3, first, headerBytes, segments);
}

function isSameWay4(
  view: DataView,
  l3: number,
  first: number,
  headerBytes: number,
  segments: number,
): boolean {
  if (
    // version, IHL, TOS | TTL, protocol | addresses
    view.getUint16(l3) !== view.getUint16(first) ||
    view.getUint16(l3 + 8) !== view.getUint16(first + 8) ||
    view.getUint32(l3 + IPV4_SOURCE_OFFSET) !== view.getUint32(first + IPV4_SOURCE_OFFSET) ||
    view.getUint32(l3 + IPV4_DESTINATION_OFFSET) !==
      view.getUint32(first + IPV4_DESTINATION_OFFSET) ||
    getIpv4Fragment(view, l3) !== getIpv4Fragment(view, first)
  ) {
    return false;
  }
  if ((getIpv4Fragment(view, l3) & IPV4_DF) === 0) {
    // Without DF the identification means something, and cutting again will count it up.
    const expected = (getIpv4Identification(view, first) + segments) & 0xffff;
    if (getIpv4Identification(view, l3) !== expected) return false;
  }
  for (let i = IPV4_HEADER_BYTES; i < headerBytes; i += 4) {
    if (view.getUint32(l3 + i) !== view.getUint32(first + i)) return false;
  }
  return true;
}

function isSameWay6(view: DataView, l3: number, first: number, headerBytes: number): boolean {
  // version, traffic class, flow label | next header, hop limit | addresses
  if (
    view.getUint32(l3) !== view.getUint32(first) ||
    view.getUint16(l3 + IPV6_NEXT_HEADER_OFFSET) !== view.getUint16(first + IPV6_NEXT_HEADER_OFFSET)
  ) {
    return false;
  }
  for (let i = IPV6_SOURCE_OFFSET; i < headerBytes; i += 4) {
    if (view.getUint32(l3 + i) !== view.getUint32(first + i)) return false;
  }
  return true;
}
