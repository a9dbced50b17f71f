/**
 * What the extension headers of an IPv6 packet must not do (RFC 8200 §4), beyond being whole, which
 * `walkIpv6` looks after: lead it somewhere else, or hide what it carries.
 * @module
 */
import { Fault, IPV6_EXTENSIONS_MAX } from '../classify.ts';
import { PROTOCOL_TCP } from '../ipv4.ts';
import {
  getIpv6NextHeader,
  getIpv6PayloadBytes,
  IPV6_HEADER_BYTES,
  NEXT_AUTHENTICATION,
  NEXT_DESTINATION_OPTIONS,
  NEXT_FRAGMENT,
  NEXT_HOP_BY_HOP,
  NEXT_ROUTING,
} from '../ipv6.ts';
import { TCP_HEADER_BYTES } from '../tcp.ts';

/** Fragment offset and the flag that more follow, in one half word of the fragment header (§4.5). */
const OFFSET_MASK = 0xfff8;
const MORE = 1;
/** The longest packet that fragments may make up: 65,535 bytes behind the first header. */
const PAYLOAD_BYTES_MAX = 65_535;

/**
 * A chain that `walkIpv6` has passed: no routing header, which names other destinations than the one
 * that was checked (RFC 5095, and segments of RFC 8754 have no business in a fan); hop-by-hop options
 * first or not at all (§4.3); a fragment cut on 8-byte borders, ending where a packet can end, whose
 * first piece holds the transport header (RFC 7112 §5).
 * @param chain what `walkIpv6` returned
 */
export function checkExtensions(view: DataView, offset: number, chain: number): Fault {
  const end = IPV6_HEADER_BYTES + getIpv6PayloadBytes(view, offset);
  let next = getIpv6NextHeader(view, offset);
  let at = IPV6_HEADER_BYTES;
  for (let count = 0; count <= IPV6_EXTENSIONS_MAX; count++) {
    if (next === NEXT_ROUTING) return Fault.SourceRoute;
    if (next === NEXT_HOP_BY_HOP && count > 0) return Fault.Extension;
    if (next === NEXT_FRAGMENT) {
      const fault = checkFragment(view, offset + at, end - at - 8, chain, offset + end);
      if (fault !== Fault.None) return fault;
      if ((view.getUint16(offset + at + 2) & OFFSET_MASK) !== 0) return Fault.None;
      next = view.getUint8(offset + at);
      at += 8;
      continue;
    }
    if (
      next !== NEXT_HOP_BY_HOP &&
      next !== NEXT_DESTINATION_OPTIONS &&
      next !== NEXT_AUTHENTICATION
    ) {
      return Fault.None;
    }
    const units = view.getUint8(offset + at + 1);
    const isAuthentication = next === NEXT_AUTHENTICATION;
    next = view.getUint8(offset + at);
    at += isAuthentication ? (units + 2) << 2 : (units + 1) << 3;
  }
  return Fault.Extension;
}

/** @param bytes of the packet that this piece carries */
function checkFragment(
  view: DataView,
  header: number,
  bytes: number,
  chain: number,
  end: number,
): Fault {
  const word = view.getUint16(header + 2);
  const at = word & OFFSET_MASK;
  const more = (word & MORE) !== 0;
  if (bytes <= 0 || (more && (bytes & 7) !== 0)) return Fault.FragmentForged;
  if (at + bytes > PAYLOAD_BYTES_MAX) return Fault.FragmentForged;
  const protocol = chain >>> 16;
  const isShort = protocol === PROTOCOL_TCP && end - header - 8 < TCP_HEADER_BYTES;
  return at === 0 && more && isShort ? Fault.FragmentForged : Fault.None;
}

/** Whether some header of a chain that `walkIpv6` has passed says that this is a piece of a packet. */
export function isIpv6Fragment(view: DataView, offset: number, headerBytes: number): boolean {
  let next = getIpv6NextHeader(view, offset);
  for (let at = IPV6_HEADER_BYTES; at < headerBytes; ) {
    if (next === NEXT_FRAGMENT) return true;
    const units = view.getUint8(offset + at + 1);
    const isAuthentication = next === NEXT_AUTHENTICATION;
    next = view.getUint8(offset + at);
    at += isAuthentication ? (units + 2) << 2 : (units + 1) << 3;
  }
  return next === NEXT_FRAGMENT;
}
