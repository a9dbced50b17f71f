/**
 * Coalescing: consecutive segments of one inner flow become one super-packet that a single write
 * hands to the device (TCP: GSO_TCPV4; UDP datagrams of one size: GSO_UDP_L4). It is what the
 * kernel's GRO does for a NIC, with the same rules: all headers equal but for what counts up, each
 * checksum verified before. The headers of the first segment are edited in place, payloads stay in
 * the receive buffer, and the write gathers them.
 *
 * Order within a flow is kept: a flow has one slot, and whatever cannot join what is open there
 * pushes it out first.
 * @module
 */
import { eventIndex, ingressIndex } from '../../table/counters.ts';
import { flowHash } from '../../wire/flow-hash.ts';
import {
  getIpVersion,
  getIpv4Destination,
  getIpv4Fragment,
  getIpv4Identification,
  IPV4_CHECKSUM_OFFSET,
  IPV4_DF,
  IPV4_PACKET_BYTES_MAX,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import {
  getTcpSequence,
  TCP_ACK,
  TCP_ACKNOWLEDGE_OFFSET,
  TCP_DATA_OFFSET,
  TCP_ECE,
  TCP_FLAGS_OFFSET,
  TCP_HEADER_BYTES,
  TCP_PSH,
} from '../../wire/tcp.ts';
import { UDP_CHECKSUM_OFFSET, UDP_LENGTH_OFFSET } from '../../wire/udp.ts';
import {
  emitVirtioNet,
  emitVirtioNetPlain,
  setVirtioGso,
  VIRTIO_DATA_VALID,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../../wire/virtio-net.ts';
import { type Arena, IOVEC_BYTES } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import {
  Checksum,
  checksumOffset,
  fold,
  prepareSuper,
  pseudoSum,
  pseudoSum6,
  verifyTransport,
} from '../ground/transport-sum.ts';
import { isSameWay } from './alike.ts';
import { type DeviceWriter, superTypeOf } from './device-writer.ts';
import { InnerPacket } from './inner-packet.ts';

/** Flows that may have a super-packet open at once. */
const FLOW_SLOTS = 32;
/** Segments in one super-packet; one iovec each, and one for the virtio-net header. */
const SEGMENTS_MAX = 128;
const IOVECS_PER_SLOT = SEGMENTS_MAX + 1;
const VNET_STRIDE_BYTES = 16;
/** Flags with which segments may be joined; AE and ECE (RFC 9768) have to agree. CWR stays alone: who cuts again leaves it on one. */
const MAY_JOIN_WITH = TCP_PSH | TCP_ECE;

const BAD_CHECKSUM = ingressIndex('drop.bad_checksum');
const SUPER_PACKETS_OUT = eventIndex('super_packets_out');

export class Coalescer {
  readonly #arena: Arena;
  readonly #writer: DeviceWriter;
  readonly #packet = new InnerPacket();
  readonly #iovecs: number;
  readonly #vnets: number;

  readonly #link: (DataLink | undefined)[] = new Array(FLOW_SLOTS).fill(undefined);
  readonly #frame = new Int32Array(FLOW_SLOTS);
  readonly #l3 = new Int32Array(FLOW_SLOTS);
  readonly #l4 = new Int32Array(FLOW_SLOTS);
  /** Bytes from the frame's start to its payload. */
  readonly #prefixBytes = new Int32Array(FLOW_SLOTS);
  readonly #protocol = new Uint8Array(FLOW_SLOTS);
  readonly #segmentBytes = new Int32Array(FLOW_SLOTS);
  /** The most that the flow's super-packet may grow to, headers of IP and above included. */
  readonly #bytesMax = new Int32Array(FLOW_SLOTS);
  readonly #segments = new Int32Array(FLOW_SLOTS);
  readonly #payloadBytes = new Int32Array(FLOW_SLOTS);
  readonly #nextSequence = new Uint32Array(FLOW_SLOTS);
  readonly #unfinished = new Uint8Array(FLOW_SLOTS);
  #openSlots = 0;
  /** Payload of each datagram when what is pushed is a train of inner UDP datagrams, 0 otherwise. */
  innerSegmentBytes = 0;
  /** Where the last pushed packet waits as a full segment, so that more may join; −1 if nowhere. */
  #lastSlot = -1;

  constructor(arena: Arena, writer: DeviceWriter) {
    this.#arena = arena;
    this.#writer = writer;
    this.#iovecs = arena.allocate(FLOW_SLOTS * IOVECS_PER_SLOT * IOVEC_BYTES);
    this.#vnets = arena.allocate(FLOW_SLOTS * VNET_STRIDE_BYTES);
  }

  /**
   * Takes one verified inner frame of `frameBytes` bytes at `frame` with IP header at `l3`; it
   * reaches the device now or at the next {@link flush}.
   * `borrowed:` the bytes must stay untouched until then.
   */
  push(link: DataLink, frame: number, frameBytes: number, l3: number, headerBytes: number): void {
    const { view } = this.#arena;
    const packet = this.#packet;
    this.#lastSlot = -1;
    packet.find(view, frame, frameBytes, l3, headerBytes);
    if (packet.isPiece) {
      // Fragments, and what stands behind extension headers, show no ports to find their flow by:
      // nothing may overtake them.
      this.flush();
      return this.#writer.writePlain(link, frame, frameBytes);
    }
    const slot = flowHash(view, l3) & (FLOW_SLOTS - 1);
    if (!packet.isTcp && !packet.isUdp) {
      // A cut-off TCP header still belongs to a flow that it must not overtake.
      if (this.#link[slot] !== undefined) this.#flushSlot(slot);
      return this.#writer.writePlain(link, frame, frameBytes);
    }
    packet.findPayload(view);
    packet.state = verifyTransport(this.#arena, l3, packet.l4, packet.end, packet.protocol);
    if (packet.state === Checksum.Wrong) {
      link.counters[BAD_CHECKSUM] = (link.counters[BAD_CHECKSUM] as number) + 1;
      return;
    }
    const { innerSegmentBytes } = this;
    const isTrain = innerSegmentBytes > 0 && packet.payloadBytes > innerSegmentBytes;
    const isGiant = isTrain || packet.end - l3 > link.innerMtu;
    if (isGiant || !this.#mayJoin(link, packet)) {
      if (this.#link[slot] !== undefined) this.#flushSlot(slot);
      if (isGiant) return this.#writer.writeGiant(link, packet, innerSegmentBytes);
      // SYN, FIN, pure ACK, UDP that must stay as it is.
      return this.#writer.writeTransport(link, packet);
    }
    if (this.#link[slot] !== undefined) {
      if (this.#joins(slot, link, packet)) return this.#join(slot, packet);
      this.#flushSlot(slot);
    }
    this.#open(slot, link, packet);
  }

  /** Whether more may be joined to a packet, or it to others. */
  #mayJoin(link: DataLink, packet: InnerPacket): boolean {
    const { view } = this.#arena;
    const { l4 } = packet;
    if (packet.payloadBytes <= 0) return false;
    if (packet.isTcp) {
      return (
        link.vnetHeader &&
        packet.l4Bytes >= TCP_HEADER_BYTES &&
        (view.getUint8(l4 + TCP_FLAGS_OFFSET) & ~MAY_JOIN_WITH) === TCP_ACK
      );
    }
    return (
      link.uso &&
      view.getUint16(l4 + UDP_LENGTH_OFFSET) === packet.end - l4 &&
      view.getUint16(l4 + UDP_CHECKSUM_OFFSET) !== 0
    );
  }

  /** Begins a super-packet with a packet. */
  #open(slot: number, link: DataLink, packet: InnerPacket): void {
    const { view } = this.#arena;
    const { frame, l3, l4, end, payloadBytes } = packet;
    this.#openSlots++;
    this.#lastSlot = slot;
    this.#link[slot] = link;
    this.#frame[slot] = frame;
    this.#l3[slot] = l3;
    this.#l4[slot] = l4;
    this.#prefixBytes[slot] = end - payloadBytes - frame;
    this.#protocol[slot] = packet.protocol;
    this.#segmentBytes[slot] = payloadBytes;
    this.#bytesMax[slot] =
      packet.isTcp && !packet.isSix
        ? link.superBytesMax(getIpv4Destination(view, l3))
        : IPV4_PACKET_BYTES_MAX;
    this.#segments[slot] = 1;
    this.#payloadBytes[slot] = payloadBytes;
    this.#unfinished[slot] = packet.state === Checksum.Unfinished ? 1 : 0;
    if (packet.isTcp) this.#nextSequence[slot] = getTcpSequence(view, l4) + payloadBytes;
    const iovec = this.#iovecs + (slot * IOVECS_PER_SLOT + 1) * IOVEC_BYTES;
    this.#arena.writeIovec(iovec, frame, end - frame);
  }

  /** Puts a packet behind those of its flow. */
  #join(slot: number, packet: InnerPacket): void {
    const { view } = this.#arena;
    const { payloadBytes } = packet;
    const segments = this.#segments[slot] as number;
    this.#arena.writeIovec(
      this.#iovecs + (slot * IOVECS_PER_SLOT + 1 + segments) * IOVEC_BYTES,
      packet.end - payloadBytes,
      payloadBytes,
    );
    this.#segments[slot] = segments + 1;
    this.#payloadBytes[slot] = (this.#payloadBytes[slot] as number) + payloadBytes;
    if (packet.isTcp) {
      this.#nextSequence[slot] = (this.#nextSequence[slot] as number) + payloadBytes;
      if ((view.getUint8(packet.l4 + TCP_FLAGS_OFFSET) & TCP_PSH) !== 0) {
        const first = (this.#l4[slot] as number) + TCP_FLAGS_OFFSET;
        view.setUint8(first, view.getUint8(first) | TCP_PSH);
      }
    }
    if (payloadBytes < (this.#segmentBytes[slot] as number)) this.#flushSlot(slot);
    else this.#lastSlot = slot;
  }

  /**
   * Joins, all in one go, up to `countMax` datagrams of `datagramBytes` (shim included), the first
   * at `at` and each `stride` bytes behind the one before, to the packet pushed last, as far as they
   * continue its flow exactly. Returns how many; the caller sends the others the careful way.
   */
  joinRun(at: number, datagramBytes: number, stride: number, countMax: number): number {
    const slot = this.#lastSlot;
    if (slot < 0 || this.#unfinished[slot] === 1) return 0;
    const { shimBytes } = this.#link[slot] as DataLink;
    const payloadBytes = this.#segmentBytes[slot] as number;
    const prefixBytes = (this.#prefixBytes[slot] as number) + shimBytes;
    if (prefixBytes + payloadBytes !== datagramBytes) return 0;
    const { view, kernel } = this.#arena;
    const first = (this.#frame[slot] as number) - shimBytes;
    const l3 = this.#l3[slot] as number;
    const l4 = this.#l4[slot] as number;
    const segments = this.#segments[slot] as number;
    const taken = first + prefixBytes - l3 + (this.#payloadBytes[slot] as number);
    const isTcp = this.#protocol[slot] === PROTOCOL_TCP;
    const room = Math.floor(((this.#bytesMax[slot] as number) - taken) / payloadBytes);
    const most = Math.max(0, Math.min(countMax, SEGMENTS_MAX - segments, room));
    const rest = (this.#protocol[slot] as number) + datagramBytes - (l4 - first);
    const iovec = this.#iovecs + (slot * IOVECS_PER_SLOT + 1 + segments) * IOVEC_BYTES;
    if (getIpVersion(view, l3) === 6) {
      const count = kernel.joinRun6(
        first,
        l4 - first,
        prefixBytes,
        isTcp ? 1 : 0,
        datagramBytes,
        stride,
        at,
        most,
        this.#nextSequence[slot] as number,
        pseudoSum6(this.#arena, l3, rest),
        iovec,
      );
      return this.#joined(slot, count);
    }
    const id = getIpv4Identification(view, l3);
    const hasDf = (getIpv4Fragment(view, l3) & IPV4_DF) !== 0;
    const count = kernel.joinRun(
      first,
      l3 - first,
      l4 - first,
      prefixBytes,
      isTcp ? 1 : 0,
      datagramBytes,
      stride,
      at,
      most,
      hasDf ? -1 : (id + segments) & 0xffff,
      this.#nextSequence[slot] as number,
      // A right header sums to 0xffff: take out what differs between segments.
      fold(0xffff + (~id & 0xffff) + (~view.getUint16(l3 + IPV4_CHECKSUM_OFFSET) & 0xffff)),
      pseudoSum(view, l3, rest),
      iovec,
    );
    return this.#joined(slot, count);
  }

  /** `count` segments more are in the flow of `slot`, whose iovecs are written. */
  #joined(slot: number, count: number): number {
    const payloadBytes = this.#segmentBytes[slot] as number;
    this.#segments[slot] = (this.#segments[slot] as number) + count;
    this.#payloadBytes[slot] = (this.#payloadBytes[slot] as number) + count * payloadBytes;
    if (this.#protocol[slot] === PROTOCOL_TCP) {
      this.#nextSequence[slot] = (this.#nextSequence[slot] as number) + count * payloadBytes;
    }
    return count;
  }

  /** Writes one frame that never waits (ARP); for frames without IPv4 inside. */
  pushPlain(link: DataLink, frame: number, frameBytes: number): void {
    this.#writer.writePlain(link, frame, frameBytes);
  }

  /** Writes every open super-packet to its device. */
  flush(): void {
    for (let slot = 0; slot < FLOW_SLOTS && this.#openSlots > 0; slot++) {
      if (this.#link[slot] !== undefined) this.#flushSlot(slot);
    }
  }

  /** Whether a packet continues the flow that is open in a slot, exactly. */
  #joins(slot: number, link: DataLink, packet: InnerPacket): boolean {
    const { view } = this.#arena;
    const { frame, l3, l4, l4Bytes, payloadBytes, protocol } = packet;
    const first = this.#frame[slot] as number;
    const firstL3 = this.#l3[slot] as number;
    const firstL4 = this.#l4[slot] as number;
    const segments = this.#segments[slot] as number;
    if (
      this.#link[slot] !== link ||
      this.#protocol[slot] !== protocol ||
      l4 + l4Bytes - frame !== this.#prefixBytes[slot] ||
      l4 - l3 !== firstL4 - firstL3 ||
      payloadBytes > (this.#segmentBytes[slot] as number) ||
      segments === SEGMENTS_MAX ||
      firstL4 - firstL3 + l4Bytes + (this.#payloadBytes[slot] as number) + payloadBytes >
        (this.#bytesMax[slot] as number) ||
      (packet.state === Checksum.Unfinished ? 1 : 0) !== this.#unfinished[slot] ||
      !isSameWay(view, l3, firstL3, l4 - l3, segments) ||
      view.getUint32(l4) !== view.getUint32(firstL4)
    ) {
      return false;
    }
    for (let i = 0; i < link.innerHeaderBytes; i += 2) {
      if (view.getUint16(frame + i) !== view.getUint16(first + i)) return false;
    }
    if (protocol === PROTOCOL_UDP) return true;
    if (
      getTcpSequence(view, l4) !== this.#nextSequence[slot] ||
      view.getUint32(l4 + TCP_ACKNOWLEDGE_OFFSET) !==
        view.getUint32(firstL4 + TCP_ACKNOWLEDGE_OFFSET) ||
      ((view.getUint32(l4 + TCP_DATA_OFFSET) ^ view.getUint32(firstL4 + TCP_DATA_OFFSET)) &
        ~(TCP_PSH << 16)) !==
        0
    ) {
      return false;
    }
    for (let i = TCP_HEADER_BYTES; i < l4Bytes; i += 4) {
      if (view.getUint32(l4 + i) !== view.getUint32(firstL4 + i)) return false;
    }
    return true;
  }

  #flushSlot(slot: number): void {
    const link = this.#link[slot] as DataLink;
    const { view } = this.#arena;
    const segments = this.#segments[slot] as number;
    const frame = this.#frame[slot] as number;
    const l3 = this.#l3[slot] as number;
    const l4 = this.#l4[slot] as number;
    const prefixBytes = this.#prefixBytes[slot] as number;
    const payloadBytes = this.#payloadBytes[slot] as number;
    const protocol = this.#protocol[slot] as number;
    const vnet = this.#vnets + slot * VNET_STRIDE_BYTES;
    const field = checksumOffset(protocol);
    this.#link[slot] = undefined;
    this.#openSlots--;
    if (segments === 1) {
      if (this.#unfinished[slot] === 1) {
        emitVirtioNet(view, vnet, VIRTIO_NEEDS_CSUM, l4 - frame, field);
      } else {
        emitVirtioNetPlain(view, vnet, VIRTIO_DATA_VALID);
      }
    } else {
      prepareSuper(this.#arena, l3, l4, frame + prefixBytes - l3 + payloadBytes, protocol);
      emitVirtioNet(view, vnet, VIRTIO_NEEDS_CSUM, l4 - frame, field);
      const gsoBytes = this.#segmentBytes[slot] as number;
      setVirtioGso(view, vnet, superTypeOf(view, l3, protocol), prefixBytes, gsoBytes);
      link.counters[SUPER_PACKETS_OUT] = (link.counters[SUPER_PACKETS_OUT] as number) + 1;
    }
    const iovec = this.#iovecs + slot * IOVECS_PER_SLOT * IOVEC_BYTES;
    const frameBytes = prefixBytes + payloadBytes;
    // Joining needs the virtio-net header, so a super-packet always has one.
    if (link.vnetHeader) {
      this.#arena.writeIovec(iovec, vnet, VIRTIO_NET_BYTES);
      this.#writer.write(link, iovec, segments + 1, segments, frameBytes);
    } else {
      this.#writer.write(link, iovec + IOVEC_BYTES, segments, segments, frameBytes);
    }
  }
}
