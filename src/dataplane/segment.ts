/**
 * Segmentation of super-packets: one TCP or UDP packet of up to 64 kB from the device becomes
 * datagrams of the size that the sender's stack chose (the virtio-net header's gso_size). Only
 * headers are written, each into a scratch buffer; payload stays where the device put it.
 * @module
 */
import {
  getIpv4Identification,
  IPV4_CHECKSUM_OFFSET,
  IPV4_DESTINATION_OFFSET,
  IPV4_IDENTIFICATION_OFFSET,
  IPV4_SOURCE_OFFSET,
  IPV4_TOTAL_OFFSET,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import {
  getTcpSequence,
  TCP_CHECKSUM_OFFSET,
  TCP_CWR,
  TCP_FIN,
  TCP_FLAGS_OFFSET,
  TCP_PSH,
  TCP_SEQUENCE_OFFSET,
} from '../wire/tcp.ts';
import { UDP_CHECKSUM_OFFSET, UDP_LENGTH_OFFSET } from '../wire/udp.ts';
import type { Arena } from './arena.ts';
import type { DataLink } from './link.ts';
import type { Trains } from './trains.ts';

/** One's-complement sum of the four words of source and destination address, not folded. */
function addressSum(view: DataView, l3: number): number {
  return (
    view.getUint16(l3 + IPV4_SOURCE_OFFSET) +
    view.getUint16(l3 + IPV4_SOURCE_OFFSET + 2) +
    view.getUint16(l3 + IPV4_DESTINATION_OFFSET) +
    view.getUint16(l3 + IPV4_DESTINATION_OFFSET + 2)
  );
}

function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/**
 * Cuts the super-packet whose shim begins at `start` and IPv4 header at `l3` into segments of at
 * most `gsoBytes` payload and appends them to the trains. Room for all segments was ensured.
 *
 * @param headerBytes IPv4 header length; `l4Bytes` transport header length; `totalBytes` the IPv4
 *   packet's real length (its own length field is not trusted on super-packets).
 */
export function segmentIpv4(
  arena: Arena,
  trains: Trains,
  link: DataLink,
  peer: number,
  socket: number,
  tos: number,
  start: number,
  l3: number,
  headerBytes: number,
  l4Bytes: number,
  totalBytes: number,
  gsoBytes: number,
  protocol: number,
): void {
  const { view, bytes, checksum } = arena;
  const l4 = l3 + headerBytes;
  const payload = l4 + l4Bytes;
  const end = l3 + totalBytes;
  const prefixBytes = payload - start;
  const l3Shift = l3 - start;
  const l4Shift = l4 - start;
  const isTcp = protocol === PROTOCOL_TCP;

  // Sums over what all segments share, with the fields that differ set to zero.
  const identification = getIpv4Identification(view, l3);
  view.setUint16(l3 + IPV4_TOTAL_OFFSET, 0);
  view.setUint16(l3 + IPV4_IDENTIFICATION_OFFSET, 0);
  view.setUint16(l3 + IPV4_CHECKSUM_OFFSET, 0);
  const ipSum = checksum.sum(l3, headerBytes, 0);
  const sequence = isTcp ? getTcpSequence(view, l4) : 0;
  const flags = isTcp ? view.getUint8(l4 + TCP_FLAGS_OFFSET) : 0;
  if (isTcp) {
    view.setUint32(l4 + TCP_SEQUENCE_OFFSET, 0);
    view.setUint8(l4 + TCP_FLAGS_OFFSET, 0);
    view.setUint16(l4 + TCP_CHECKSUM_OFFSET, 0);
  } else {
    view.setUint16(l4 + UDP_LENGTH_OFFSET, 0);
    view.setUint16(l4 + UDP_CHECKSUM_OFFSET, 0);
  }
  const l4Sum = checksum.sum(l4, l4Bytes, fold(addressSum(view, l3) + protocol));
  // RFC 3168 §6.1.2: CWR speaks once, on the first segment; FIN and PSH belong to the last.
  const middleFlags = flags & ~(TCP_FIN | TCP_PSH);

  let index = 0;
  for (let at = payload; at < end; at += gsoBytes, index++) {
    const payloadBytes = at + gsoBytes < end ? gsoBytes : end - at;
    const header = trains.takeScratch();
    bytes.copyWithin(header, start, payload);
    const ip = header + l3Shift;
    const transport = header + l4Shift;
    const segmentTotal = headerBytes + l4Bytes + payloadBytes;
    const id = (identification + index) & 0xffff;
    view.setUint16(ip + IPV4_TOTAL_OFFSET, segmentTotal);
    view.setUint16(ip + IPV4_IDENTIFICATION_OFFSET, id);
    view.setUint16(ip + IPV4_CHECKSUM_OFFSET, ~fold(ipSum + segmentTotal + id) & 0xffff);
    const l4Total = l4Bytes + payloadBytes;
    if (isTcp) {
      const segmentSequence = (sequence + index * gsoBytes) >>> 0;
      let segmentFlags = at + gsoBytes < end ? middleFlags : flags;
      if (index > 0) segmentFlags &= ~TCP_CWR;
      view.setUint32(transport + TCP_SEQUENCE_OFFSET, segmentSequence);
      view.setUint8(transport + TCP_FLAGS_OFFSET, segmentFlags);
      const initial = fold(
        l4Sum + l4Total + (segmentSequence >>> 16) + (segmentSequence & 0xffff) + segmentFlags,
      );
      const sum = checksum.sum(at, payloadBytes, initial);
      view.setUint16(transport + TCP_CHECKSUM_OFFSET, ~sum & 0xffff);
    } else {
      view.setUint16(transport + UDP_LENGTH_OFFSET, l4Total);
      // The length stands in the header and in the pseudo header (RFC 768).
      const sum = checksum.sum(at, payloadBytes, fold(l4Sum + 2 * l4Total));
      const complement = ~sum & 0xffff;
      view.setUint16(transport + UDP_CHECKSUM_OFFSET, complement === 0 ? 0xffff : complement);
    }
    trains.append(link, peer, socket, tos, header, prefixBytes, at, payloadBytes);
  }
}

/** Whether {@link segmentIpv4} can cut this protocol. */
export function canSegment(protocol: number): boolean {
  return protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP;
}
