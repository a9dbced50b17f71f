/**
 * TCP and UDP checksums over the arena (RFC 1071, RFC 9293 §3.1, RFC 768).
 * @module
 */
import {
  getIpVersion,
  IPV4_CHECKSUM_OFFSET,
  IPV4_DESTINATION_OFFSET,
  IPV4_PACKET_BYTES_MAX,
  IPV4_SOURCE_OFFSET,
  IPV4_TOTAL_OFFSET,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES, IPV6_SOURCE_OFFSET, setIpv6PayloadBytes } from '../../wire/ipv6.ts';
import { TCP_CHECKSUM_OFFSET } from '../../wire/tcp.ts';
import { UDP_CHECKSUM_OFFSET, UDP_LENGTH_OFFSET } from '../../wire/udp.ts';
import {
  getVirtioCsumOffset,
  getVirtioCsumStart,
  VIRTIO_NET_BYTES,
} from '../../wire/virtio-net.ts';
import type { Arena } from './arena.ts';

/** Bytes of an IPv6 address; the two of a header stand next to each other. */
const IPV6_ADDRESS_BYTES = 16;

/** How a transport checksum turned out. */
export const Checksum = { Wrong: 0, Right: 1, Unfinished: 2 } as const;

/** Folds a sum of a few 16-bit words to 16 bits. */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** Folded sum of both addresses of the header at `l3` and `rest` (protocol and length). */
export function pseudoSum(view: DataView, l3: number, rest: number): number {
  return fold(
    view.getUint16(l3 + IPV4_SOURCE_OFFSET) +
      view.getUint16(l3 + IPV4_SOURCE_OFFSET + 2) +
      view.getUint16(l3 + IPV4_DESTINATION_OFFSET) +
      view.getUint16(l3 + IPV4_DESTINATION_OFFSET + 2) +
      rest,
  );
}

/** The same for the IPv6 header at `l3`, whose length may need more than 16 bits. */
export function pseudoSum6(arena: Arena, l3: number, rest: number): number {
  return arena.kernel.sum(l3 + IPV6_SOURCE_OFFSET, 2 * IPV6_ADDRESS_BYTES, fold(rest));
}

/** The same for either family, told by the version at `l3`. */
export function pseudoSumOf(arena: Arena, l3: number, rest: number): number {
  const isSix = getIpVersion(arena.view, l3) === 6;
  return isSix ? pseudoSum6(arena, l3, rest) : pseudoSum(arena.view, l3, rest);
}

/** Where the checksum lies in a TCP or UDP header. */
export function checksumOffset(protocol: number): number {
  return protocol === PROTOCOL_TCP ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET;
}

/**
 * Checks the TCP or UDP checksum of the bytes from `l4` to `end`.
 *
 * `Unfinished`: the field holds just the pseudo header's sum. A kernel tunnel endpoint on a veth
 * leaves the inner checksum to hardware that is not there.
 */
export function verifyTransport(
  arena: Arena,
  l3: number,
  l4: number,
  end: number,
  protocol: number,
): number {
  const { view, kernel } = arena;
  const length = end - l4;
  const field = l4 + checksumOffset(protocol);
  const isSix = getIpVersion(view, l3) === 6;
  // RFC 768: a UDP sender that sends zero has not computed one. IPv6 has no other sum (RFC 8200 §8.1).
  if (protocol === PROTOCOL_UDP && view.getUint16(field) === 0) {
    return isSix ? Checksum.Wrong : Checksum.Right;
  }
  const rest = protocol + length;
  if (isSix && l4 === l3 + IPV6_HEADER_BYTES) {
    // Its addresses stand right before what is summed: one sum for both.
    const from = l3 + IPV6_SOURCE_OFFSET;
    if (kernel.sum(from, end - from, fold(rest)) === 0xffff) return Checksum.Right;
  }
  const pseudo = isSix ? pseudoSum6(arena, l3, rest) : pseudoSum(view, l3, rest);
  if (kernel.sum(l4, length, pseudo) === 0xffff) return Checksum.Right;
  return view.getUint16(field) === pseudo ? Checksum.Unfinished : Checksum.Wrong;
}

/** Finishes a checksum whose field holds the pseudo header's sum. */
export function finishTransport(arena: Arena, l4: number, end: number, protocol: number): void {
  const complement = ~arena.kernel.sum(l4, end - l4, 0) & 0xffff;
  arena.view.setUint16(l4 + checksumOffset(protocol), complement === 0 ? 0xffff : complement);
}

/**
 * Finishes a checksum that the stack left to the device (virtio NEEDS_CSUM) in the frame at `frame`, its
 * virtio-net header right before it: the field holds the pseudo header's sum, the rest from csum_start
 * to `end` is ours to add. False when out of bounds.
 */
export function finishLeft(arena: Arena, frame: number, end: number): boolean {
  const { view, kernel } = arena;
  const from = frame + getVirtioCsumStart(view, frame - VIRTIO_NET_BYTES);
  const field = from + getVirtioCsumOffset(view, frame - VIRTIO_NET_BYTES);
  if (field + 2 > end) return false;
  const complement = ~kernel.sum(from, end - from, 0) & 0xffff;
  // Zero would say "no checksum" to UDP; for TCP both zeros are the same number (RFC 1624).
  view.setUint16(field, complement === 0 ? 0xffff : complement);
  return true;
}

/**
 * Makes the headers at `l3` and `l4` speak for an IP packet of `totalBytes`, its transport checksum
 * left unfinished for the device. More bytes than the length field can say are said by zero there:
 * Linux takes the length of such a TCP packet ("BIG TCP") from the buffer.
 */
export function prepareSuper(
  arena: Arena,
  l3: number,
  l4: number,
  totalBytes: number,
  protocol: number,
): void {
  const { view, kernel } = arena;
  const l4Total = totalBytes - (l4 - l3);
  if (protocol === PROTOCOL_UDP) view.setUint16(l4 + UDP_LENGTH_OFFSET, l4Total);
  const field = l4 + checksumOffset(protocol);
  if (getIpVersion(view, l3) === 6) {
    setIpv6PayloadBytes(view, l3, totalBytes - IPV6_HEADER_BYTES);
    view.setUint16(field, pseudoSum6(arena, l3, protocol + l4Total));
    return;
  }
  view.setUint16(l3 + IPV4_TOTAL_OFFSET, totalBytes > IPV4_PACKET_BYTES_MAX ? 0 : totalBytes);
  view.setUint16(l3 + IPV4_CHECKSUM_OFFSET, 0);
  view.setUint16(l3 + IPV4_CHECKSUM_OFFSET, ~kernel.sum(l3, l4 - l3, 0) & 0xffff);
  view.setUint16(field, pseudoSum(view, l3, protocol + l4Total));
}
