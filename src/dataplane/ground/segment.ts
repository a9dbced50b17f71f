/**
 * Segmentation of super-packets: one TCP or UDP packet of up to 64 kB becomes packets of the size
 * that the sender's stack chose (the virtio-net header's gso_size). Only headers are written, each
 * into a scratch buffer; payload stays where it is.
 * @module
 */
import { updateChecksum16 } from '../../wire/checksum.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
} from '../../wire/ethernet.ts';
import {
  getIpVersion,
  getIpv4HeaderBytes,
  getIpv4Identification,
  getIpv4Protocol,
  IPV4_CHECKSUM_OFFSET,
  IPV4_HEADER_BYTES,
  IPV4_IDENTIFICATION_OFFSET,
  IPV4_TOTAL_OFFSET,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { getIpv6NextHeader, IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';
import {
  getTcpHeaderBytes,
  getTcpSequence,
  TCP_CHECKSUM_OFFSET,
  TCP_CWR,
  TCP_DATA_OFFSET,
  TCP_FIN,
  TCP_FLAGS_OFFSET,
  TCP_HEADER_BYTES,
  TCP_PSH,
  TCP_SEQUENCE_OFFSET,
} from '../../wire/tcp.ts';
import { UDP_CHECKSUM_OFFSET, UDP_HEADER_BYTES, UDP_LENGTH_OFFSET } from '../../wire/udp.ts';
import { VIRTIO_GSO_TCPV4, VIRTIO_GSO_TCPV6, VIRTIO_GSO_UDP_L4 } from '../../wire/virtio-net.ts';
import type { Arena } from './arena.ts';
import { pseudoSumOf } from './transport-sum.ts';

/** The longest IP header that a segment may have, bytes: IPv4's with all options. */
export const IP_HEADER_BYTES_MAX = 60;
/** A header buffer, bytes: shim 8, Ethernet 14, IP 60, TCP 60, rounded up to 16. */
export const SCRATCH_BYTES = 144;

/** Transport header length of a super-packet of virtio type `gsoType`, or 0 when we cannot cut it. */
export function l4HeaderBytes(
  view: DataView,
  l4: number,
  available: number,
  protocol: number,
  gsoType: number,
): number {
  const isTcp = gsoType === VIRTIO_GSO_TCPV4 || gsoType === VIRTIO_GSO_TCPV6;
  if (isTcp && protocol === PROTOCOL_TCP) {
    if (available < TCP_HEADER_BYTES) return 0;
    const headerBytes = getTcpHeaderBytes(view, l4);
    return headerBytes < TCP_HEADER_BYTES || headerBytes >= available ? 0 : headerBytes;
  }
  if (gsoType === VIRTIO_GSO_UDP_L4 && protocol === PROTOCOL_UDP) {
    return available > UDP_HEADER_BYTES ? UDP_HEADER_BYTES : 0;
  }
  return 0;
}

/**
 * How many packets on the wire a super-packet stands for; 1 when its headers make no sense.
 * @param innerHeaderBytes 14 where there is an Ethernet header before `l3`
 */
export function segmentCount(
  view: DataView,
  { innerHeaderBytes }: { innerHeaderBytes: number },
  l3: number,
  available: number,
  gsoType: number,
  gsoBytes: number,
): number {
  if (gsoBytes === 0 || available < IPV4_HEADER_BYTES) return 1;
  const isSix = getIpVersion(view, l3) === 6;
  if (!isSix && getIpVersion(view, l3) !== 4) return 1;
  const etherType = isSix ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
  if (innerHeaderBytes !== 0 && getEtherType(view, l3 - ETHERNET_HEADER_BYTES) !== etherType) {
    return 1;
  }
  // A super-packet behind extension headers counts as one: it is refused.
  const headerBytes = isSix ? IPV6_HEADER_BYTES : getIpv4HeaderBytes(view, l3);
  if (headerBytes < IPV4_HEADER_BYTES || headerBytes > available) return 1;
  const l4Available = available - headerBytes;
  const protocol = isSix ? getIpv6NextHeader(view, l3) : getIpv4Protocol(view, l3);
  const l4Bytes = l4HeaderBytes(view, l3 + headerBytes, l4Available, protocol, gsoType);
  return l4Bytes === 0 ? 1 : Math.ceil((l4Available - l4Bytes) / gsoBytes);
}

/** By how much segments may be shortened so that the last one is shorter still, bytes. */
const SHORTENED = [8, 16, 24, 4, 2, 1] as const;

/**
 * A size of segments below `gsoBytes` that does not divide `payload`, so that the last one is shorter than
 * the others; `gsoBytes` where there is none.
 */
export function unevenBytes(payload: number, gsoBytes: number): number {
  for (const by of SHORTENED) {
    if (gsoBytes > by && payload % (gsoBytes - by) !== 0) return gsoBytes - by;
  }
  return gsoBytes;
}

/**
 * Cuts one super-packet at a time: {@link begin}, then {@link run} until {@link at} reaches
 * {@link end}.
 */
export class Segmenter {
  readonly #arena: Arena;
  /** Next payload byte to cut, and where the payload ends; arena offsets. */
  at = 0;
  end = 0;
  /** Headers of a segment, from the shim to the transport header's end, bytes. */
  prefixBytes = 0;
  /** CWR goes on every segment (RFC 9768 §3.2.3) and not on the first alone; set it before {@link begin}. */
  repeatsCwr = false;
  /** Payload of a segment, bytes; set it before {@link begin}. */
  gsoBytes = 0;
  #start = 0;
  #l3 = 0;
  #l4 = 0;
  #isTcp = false;
  #isSix = false;
  #ipSum = 0;
  #l4Sum = 0;
  #identification = 0;
  #sequence = 0;
  #flags = 0;
  #index = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /**
   * Takes the super-packet whose headers begin at `start` (shim or frame) with the IP header at
   * `l3`; its headers are overwritten.
   * @param l4Bytes transport header length
   * @param totalBytes the IP packet's real length: its own field is not trusted on super-packets
   */
  begin(
    start: number,
    l3: number,
    headerBytes: number,
    l4Bytes: number,
    totalBytes: number,
    protocol: number,
  ): void {
    const { view, kernel } = this.#arena;
    const l4 = l3 + headerBytes;
    this.#start = start;
    this.#l3 = l3;
    this.#l4 = l4;
    this.#isTcp = protocol === PROTOCOL_TCP;
    this.#index = 0;
    this.at = l4 + l4Bytes;
    this.end = l3 + totalBytes;
    this.prefixBytes = this.at - start;
    // Sums over what all segments share, with the fields that differ set to zero.
    this.#isSix = getIpVersion(view, l3) === 6;
    if (!this.#isSix) {
      this.#identification = getIpv4Identification(view, l3);
      view.setUint16(l3 + IPV4_TOTAL_OFFSET, 0);
      view.setUint16(l3 + IPV4_IDENTIFICATION_OFFSET, 0);
      view.setUint16(l3 + IPV4_CHECKSUM_OFFSET, 0);
      this.#ipSum = kernel.sum(l3, headerBytes, 0);
    }
    if (this.#isTcp) {
      this.#sequence = getTcpSequence(view, l4);
      this.#flags = view.getUint8(l4 + TCP_FLAGS_OFFSET);
      view.setUint32(l4 + TCP_SEQUENCE_OFFSET, 0);
      view.setUint8(l4 + TCP_FLAGS_OFFSET, 0);
      view.setUint16(l4 + TCP_CHECKSUM_OFFSET, 0);
    } else {
      this.#flags = 0;
      view.setUint16(l4 + UDP_LENGTH_OFFSET, 0);
      view.setUint16(l4 + UDP_CHECKSUM_OFFSET, 0);
    }
    this.#l4Sum = kernel.sum(l4, l4Bytes, pseudoSumOf(this.#arena, l3, protocol));
  }

  /** Payload of the next segment, bytes. */
  get nextBytes(): number {
    return Math.min(this.gsoBytes, this.end - this.at);
  }

  /** Segments still to come. */
  get remaining(): number {
    return Math.ceil((this.end - this.at) / this.gsoBytes);
  }

  /**
   * Writes the next `count` segments (at most {@link remaining}): headers to `scratch`,
   * {@link SCRATCH_BYTES} apart, and two iovecs each to `iovec`. Returns their payload bytes.
   */
  run(count: number, scratch: number, iovec: number): number {
    // FIN and PSH belong to the last segment; CWR speaks once, on the first (RFC 3168 §6.1.2).
    const last = this.repeatsCwr ? this.#flags : this.#flags & ~TCP_CWR;
    const runBytes = Math.min(count * this.gsoBytes, this.end - this.at);
    const sequence = (this.#sequence + this.#index * this.gsoBytes) >>> 0;
    const middle = last & ~(TCP_FIN | TCP_PSH);
    if (this.#isSix) {
      this.#arena.kernel.segment6(
        scratch,
        SCRATCH_BYTES,
        this.#start,
        this.prefixBytes,
        this.#l3 - this.#start,
        this.#l4 - this.#start,
        this.#isTcp ? 1 : 0,
        this.at,
        this.end,
        this.gsoBytes,
        count,
        iovec,
        this.#l4Sum,
        sequence,
        last,
        middle,
      );
    } else {
      this.#arena.kernel.segment(
        scratch,
        SCRATCH_BYTES,
        this.#start,
        this.prefixBytes,
        this.#l3 - this.#start,
        this.#l4 - this.#start,
        this.#isTcp ? 1 : 0,
        this.at,
        this.end,
        this.gsoBytes,
        count,
        iovec,
        this.#ipSum,
        this.#l4Sum,
        this.#identification + this.#index,
        sequence,
        last,
        middle,
      );
    }
    if (this.#index === 0 && !this.repeatsCwr && (this.#flags & TCP_CWR) !== 0) {
      setCwr(this.#arena.view, scratch + this.#l4 - this.#start);
    }
    this.at += runBytes;
    this.#index += count;
    return runBytes;
  }
}

/** Sets CWR in a finished TCP header and mends its checksum (RFC 1624). */
function setCwr(view: DataView, tcp: number): void {
  const before = view.getUint16(tcp + TCP_DATA_OFFSET);
  view.setUint16(tcp + TCP_DATA_OFFSET, before | TCP_CWR);
  const checksum = view.getUint16(tcp + TCP_CHECKSUM_OFFSET);
  view.setUint16(tcp + TCP_CHECKSUM_OFFSET, updateChecksum16(checksum, before, before | TCP_CWR));
}
