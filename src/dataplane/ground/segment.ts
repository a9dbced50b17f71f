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
import {
  CUT_AT,
  CUT_BYTES,
  CUT_END,
  CUT_FLAGS,
  CUT_FLAGS_LAST,
  CUT_IDENTIFICATION,
  CUT_IP,
  CUT_IP_SUM,
  CUT_IS_TCP,
  CUT_L4,
  CUT_L4_SUM,
  CUT_PIECE,
  CUT_PREFIX,
  CUT_SEQUENCE,
  CUT_START,
  CUT_VERSION,
} from '../wasm/descriptor.ts';
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
  /** Its descriptor (wasm/descriptor.ts), which the packet kernel goes by. */
  readonly #cut: number;
  readonly #words: Int32Array;
  /** CWR goes on every segment (RFC 9768 §3.2.3) and not on the first alone; set it before {@link begin}. */
  repeatsCwr = false;
  /** CWR is still to go on a segment, the first one. */
  #owesCwr = false;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#cut = arena.allocate(CUT_BYTES);
    this.#words = new Int32Array(arena.view.buffer, this.#cut, CUT_BYTES >> 2);
  }

  /** Next payload byte to cut, and where the payload ends; arena offsets. */
  get at(): number {
    return this.#words[CUT_AT >> 2] as number;
  }

  get end(): number {
    return this.#words[CUT_END >> 2] as number;
  }

  /** Headers of a segment, from the shim to the transport header's end, bytes. */
  get prefixBytes(): number {
    return this.#words[CUT_PREFIX >> 2] as number;
  }

  /** Payload of a segment, bytes; set it before {@link begin}. */
  get gsoBytes(): number {
    return this.#words[CUT_PIECE >> 2] as number;
  }

  set gsoBytes(bytes: number) {
    this.#words[CUT_PIECE >> 2] = bytes;
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
    const words = this.#words;
    const l4 = l3 + headerBytes;
    const isTcp = protocol === PROTOCOL_TCP;
    const version = getIpVersion(view, l3);
    words[CUT_START >> 2] = start;
    words[CUT_PREFIX >> 2] = l4 + l4Bytes - start;
    words[CUT_IP >> 2] = l3 - start;
    words[CUT_L4 >> 2] = l4 - start;
    words[CUT_VERSION >> 2] = version;
    words[CUT_IS_TCP >> 2] = isTcp ? 1 : 0;
    words[CUT_AT >> 2] = l4 + l4Bytes;
    words[CUT_END >> 2] = l3 + totalBytes;
    // Sums over what all segments share, with the fields that differ set to zero.
    if (version === 4) {
      words[CUT_IDENTIFICATION >> 2] = getIpv4Identification(view, l3);
      view.setUint16(l3 + IPV4_TOTAL_OFFSET, 0);
      view.setUint16(l3 + IPV4_IDENTIFICATION_OFFSET, 0);
      view.setUint16(l3 + IPV4_CHECKSUM_OFFSET, 0);
      words[CUT_IP_SUM >> 2] = kernel.sum(l3, headerBytes, 0);
    }
    let flags = 0;
    if (isTcp) {
      words[CUT_SEQUENCE >> 2] = getTcpSequence(view, l4);
      flags = view.getUint8(l4 + TCP_FLAGS_OFFSET);
      view.setUint32(l4 + TCP_SEQUENCE_OFFSET, 0);
      view.setUint8(l4 + TCP_FLAGS_OFFSET, 0);
      view.setUint16(l4 + TCP_CHECKSUM_OFFSET, 0);
    } else {
      view.setUint16(l4 + UDP_LENGTH_OFFSET, 0);
      view.setUint16(l4 + UDP_CHECKSUM_OFFSET, 0);
    }
    // FIN and PSH belong to the last segment; CWR speaks once, on the first (RFC 3168 §6.1.2).
    const last = this.repeatsCwr ? flags : flags & ~TCP_CWR;
    this.#owesCwr = last !== flags;
    words[CUT_FLAGS_LAST >> 2] = last;
    words[CUT_FLAGS >> 2] = last & ~(TCP_FIN | TCP_PSH);
    words[CUT_L4_SUM >> 2] = kernel.sum(l4, l4Bytes, pseudoSumOf(this.#arena, l3, protocol));
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
    const { kernel, view } = this.#arena;
    const bytes = kernel.segment(this.#cut, scratch, SCRATCH_BYTES, count, iovec);
    if (this.#owesCwr) {
      this.#owesCwr = false;
      setCwr(view, scratch + (this.#words[CUT_L4 >> 2] as number));
    }
    return bytes;
  }
}

/** Sets CWR in a finished TCP header and mends its checksum (RFC 1624). */
function setCwr(view: DataView, tcp: number): void {
  const before = view.getUint16(tcp + TCP_DATA_OFFSET);
  view.setUint16(tcp + TCP_DATA_OFFSET, before | TCP_CWR);
  const checksum = view.getUint16(tcp + TCP_CHECKSUM_OFFSET);
  view.setUint16(tcp + TCP_CHECKSUM_OFFSET, updateChecksum16(checksum, before, before | TCP_CWR));
}
