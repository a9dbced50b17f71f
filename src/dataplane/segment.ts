/**
 * Segmentation of super-packets: one TCP or UDP packet of up to 64 kB from the device becomes
 * datagrams of the size that the sender's stack chose (the virtio-net header's gso_size). Only
 * headers are written, each into a scratch buffer; payload stays where the device put it.
 * @module
 */
import { updateChecksum16 } from '../wire/checksum.ts';
import {
  getIpv4Identification,
  IPV4_CHECKSUM_OFFSET,
  IPV4_DESTINATION_OFFSET,
  IPV4_IDENTIFICATION_OFFSET,
  IPV4_SOURCE_OFFSET,
  IPV4_TOTAL_OFFSET,
  PROTOCOL_TCP,
} from '../wire/ipv4.ts';
import {
  getTcpSequence,
  TCP_CHECKSUM_OFFSET,
  TCP_CWR,
  TCP_DATA_OFFSET,
  TCP_FIN,
  TCP_FLAGS_OFFSET,
  TCP_PSH,
  TCP_SEQUENCE_OFFSET,
} from '../wire/tcp.ts';
import { UDP_CHECKSUM_OFFSET, UDP_LENGTH_OFFSET } from '../wire/udp.ts';
import type { Arena } from './arena.ts';
import type { DataLink } from './link.ts';
import { SCRATCH_BYTES, type Trains } from './trains.ts';

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
  const { view, kernel } = arena;
  const l4 = l3 + headerBytes;
  const payload = l4 + l4Bytes;
  const end = l3 + totalBytes;
  const prefixBytes = payload - start;
  const isTcp = protocol === PROTOCOL_TCP;

  // Sums over what all segments share, with the fields that differ set to zero.
  const identification = getIpv4Identification(view, l3);
  view.setUint16(l3 + IPV4_TOTAL_OFFSET, 0);
  view.setUint16(l3 + IPV4_IDENTIFICATION_OFFSET, 0);
  view.setUint16(l3 + IPV4_CHECKSUM_OFFSET, 0);
  const ipSum = kernel.sum(l3, headerBytes, 0);
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
  const l4Sum = kernel.sum(l4, l4Bytes, fold(addressSum(view, l3) + protocol));
  // FIN and PSH belong to the last segment; CWR speaks once, on the first (RFC 3168 §6.1.2).
  const lastFlags = flags & ~TCP_CWR;
  const middleFlags = lastFlags & ~(TCP_FIN | TCP_PSH);

  let at = payload;
  let index = 0;
  while (at < end) {
    const payloadBytes = at + gsoBytes < end ? gsoBytes : end - at;
    const room = trains.reserveRun(link, peer, socket, tos, prefixBytes + payloadBytes);
    const count = Math.min(room, Math.ceil((end - at) / gsoBytes));
    const runBytes = Math.min(count * gsoBytes, end - at);
    const scratch = trains.takeScratch(count);
    kernel.segment(
      scratch,
      SCRATCH_BYTES,
      start,
      prefixBytes,
      l3 - start,
      l4 - start,
      isTcp ? 1 : 0,
      at,
      end,
      gsoBytes,
      count,
      trains.runIovec,
      ipSum,
      l4Sum,
      identification + index,
      (sequence + index * gsoBytes) >>> 0,
      lastFlags,
      middleFlags,
    );
    if (index === 0 && (flags & TCP_CWR) !== 0) setCwr(view, scratch + l4 - start);
    trains.commitRun(count, count * prefixBytes + runBytes, runBytes < count * gsoBytes);
    at += runBytes;
    index += count;
  }
}

/** Sets CWR in a finished TCP header and mends its checksum (RFC 1624). */
function setCwr(view: DataView, tcp: number): void {
  const before = view.getUint16(tcp + TCP_DATA_OFFSET);
  view.setUint16(tcp + TCP_DATA_OFFSET, before | TCP_CWR);
  const checksum = view.getUint16(tcp + TCP_CHECKSUM_OFFSET);
  view.setUint16(tcp + TCP_CHECKSUM_OFFSET, updateChecksum16(checksum, before, before | TCP_CWR));
}
