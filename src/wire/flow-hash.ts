/**
 * A hash of the inner flow, and the outer UDP source port made from it (RFC 7348 §5, RFC 8085
 * §5.1.1), so that routers below spread flows and keep each one in order.
 *
 * All pieces of a fragmented datagram, the first included, hash without ports: they must share a
 * path. The hash is not symmetric and not secret.
 * @module
 */
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, getEtherType } from './ethernet.ts';
import {
  getIpv4Destination,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Source,
  getIpv4TotalBytes,
  isIpv4Fragment,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from './ipv4.ts';
import {
  getIpv6FlowLabel,
  getIpv6NextHeader,
  getIpv6PayloadBytes,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE_OFFSET,
} from './ipv6.ts';

/** First port of the dynamic range, and how many it has (RFC 6335 §6). */
export const DYNAMIC_PORT_MIN = 49152;
export const DYNAMIC_PORT_COUNT = 16384;

/** Murmur3's 32-bit round: one word into the state. */
export function absorb(state: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51);
  const turned = Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
  const mixed = state ^ turned;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

/** Murmur3's finalizer: every input bit reaches every output bit. Returns a u32. */
export function finish(state: number): number {
  let hash = state;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Whether a transport begins with two ports. */
export function hasPorts(protocol: number): boolean {
  return (
    protocol === PROTOCOL_TCP ||
    protocol === PROTOCOL_UDP ||
    protocol === PROTOCOL_SCTP ||
    protocol === PROTOCOL_UDPLITE
  );
}

/**
 * Hash of the IP packet at `l3Offset` (u32). Its header must have passed `checkIpv4` or
 * `checkIpv6`; any other version gives 0.
 */
export function flowHash(view: DataView, l3Offset: number): number {
  const version = view.getUint8(l3Offset) >>> 4;
  if (version === 4) {
    const protocol = getIpv4Protocol(view, l3Offset);
    let state = absorb(
      absorb(protocol, getIpv4Source(view, l3Offset)),
      getIpv4Destination(view, l3Offset),
    );
    const headerBytes = getIpv4HeaderBytes(view, l3Offset);
    const readable = getIpv4TotalBytes(view, l3Offset) >= headerBytes + 4;
    if (readable && hasPorts(protocol) && !isIpv4Fragment(view, l3Offset)) {
      state = absorb(state, view.getUint32(l3Offset + headerBytes));
    }
    return finish(state);
  }
  if (version !== 6) return 0;
  const next = getIpv6NextHeader(view, l3Offset);
  let state = next;
  for (let at = IPV6_SOURCE_OFFSET; at < IPV6_HEADER_BYTES; at += 4) {
    state = absorb(state, view.getUint32(l3Offset + at));
  }
  if (hasPorts(next) && getIpv6PayloadBytes(view, l3Offset) >= 4) {
    state = absorb(state, view.getUint32(l3Offset + IPV6_HEADER_BYTES));
  } else {
    // Behind extension headers the sender's flow label stands in for the ports (RFC 6438 §2).
    state = absorb(state, getIpv6FlowLabel(view, l3Offset));
  }
  return finish(state);
}

/**
 * Hash of an Ethernet frame (u32): of its IP flow, or of its two addresses and type.
 * The headers must have been checked.
 */
export function frameHash(view: DataView, offset: number): number {
  const etherType = getEtherType(view, offset);
  if (etherType === ETHERTYPE_IPV4 || etherType === ETHERTYPE_IPV6) {
    return flowHash(view, offset + ETHERNET_HEADER_BYTES);
  }
  let state = absorb(etherType, view.getUint32(offset));
  state = absorb(state, view.getUint32(offset + 4));
  return finish(absorb(state, view.getUint32(offset + 8)));
}

/**
 * The outer source port for a hash: one of `count` ports from 49152 up.
 * @param count 1 to {@link DYNAMIC_PORT_COUNT}; 1 always gives 49152
 */
export function outerSourcePort(hash: number, count: number): number {
  // The upper half times the count, as Linux scales it: no division, no bias toward low ports.
  return DYNAMIC_PORT_MIN + (((hash >>> 16) * count) >>> 16);
}
