/**
 * The super-packets that are being put together: one slot for each flow, columns side by side. The headers
 * of the first packet of a flow are edited in place, payloads stay in the receive buffer, and an iovec for
 * each gathers them.
 * @module
 */
import { getIpv4Destination, IPV4_PACKET_BYTES_MAX, PROTOCOL_TCP } from '../../../wire/ipv4.ts';
import { getTcpSequence, TCP_FLAGS_OFFSET, TCP_PSH } from '../../../wire/tcp.ts';
import { type Arena, IOVEC_BYTES } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import { Checksum } from '../../ground/transport-sum.ts';
import type { InnerPacket } from '../../packet/inner-packet.ts';

/** Flows that may have a super-packet open at once. */
export const FLOW_SLOTS = 32;
/** Segments in one super-packet; one iovec each, and one for the virtio-net header. */
export const SEGMENTS_MAX = 128;
const IOVECS_PER_SLOT = SEGMENTS_MAX + 1;

export class OpenFlows {
  readonly #arena: Arena;
  readonly #iovecs: number;
  /** The link of what is open in a slot, undefined where nothing is. */
  readonly link: (DataLink | undefined)[] = new Array(FLOW_SLOTS).fill(undefined);
  /** Of the flow's first packet: the frame, its IP and its transport header. */
  readonly frame = new Int32Array(FLOW_SLOTS);
  readonly l3 = new Int32Array(FLOW_SLOTS);
  readonly l4 = new Int32Array(FLOW_SLOTS);
  /** Bytes from the frame's start to its payload. */
  readonly prefixBytes = new Int32Array(FLOW_SLOTS);
  readonly protocol = new Uint8Array(FLOW_SLOTS);
  readonly segmentBytes = new Int32Array(FLOW_SLOTS);
  /** The most that the flow's super-packet may grow to, headers of IP and above included. */
  readonly bytesMax = new Int32Array(FLOW_SLOTS);
  readonly segments = new Int32Array(FLOW_SLOTS);
  readonly payloadBytes = new Int32Array(FLOW_SLOTS);
  readonly nextSequence = new Uint32Array(FLOW_SLOTS);
  /** 1 where the checksums hold the pseudo header's sum alone. */
  readonly unfinished = new Uint8Array(FLOW_SLOTS);
  /** How many are open. */
  count = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#iovecs = arena.allocate(FLOW_SLOTS * IOVECS_PER_SLOT * IOVEC_BYTES);
  }

  /** Where the iovecs of a slot begin: one for the virtio-net header, then one for each segment. */
  iovecsOf(slot: number): number {
    return this.#iovecs + slot * IOVECS_PER_SLOT * IOVEC_BYTES;
  }

  /** Where the iovec of the next segment of a slot is. */
  nextIovec(slot: number): number {
    return this.iovecsOf(slot) + (1 + (this.segments[slot] as number)) * IOVEC_BYTES;
  }

  /** Begins a super-packet with a packet. */
  open(slot: number, link: DataLink, packet: InnerPacket): void {
    const { view } = this.#arena;
    const { frame, l3, l4, end, payloadBytes } = packet;
    this.count++;
    this.link[slot] = link;
    this.frame[slot] = frame;
    this.l3[slot] = l3;
    this.l4[slot] = l4;
    this.prefixBytes[slot] = end - payloadBytes - frame;
    this.protocol[slot] = packet.protocol;
    this.segmentBytes[slot] = payloadBytes;
    this.bytesMax[slot] =
      packet.isTcp && !packet.isSix
        ? link.superBytesMax(getIpv4Destination(view, l3))
        : IPV4_PACKET_BYTES_MAX;
    this.segments[slot] = 1;
    this.payloadBytes[slot] = payloadBytes;
    this.unfinished[slot] = packet.state === Checksum.Unfinished ? 1 : 0;
    if (packet.isTcp) this.nextSequence[slot] = getTcpSequence(view, l4) + payloadBytes;
    this.#arena.writeIovec(this.iovecsOf(slot) + IOVEC_BYTES, frame, end - frame);
  }

  /** Puts a packet behind those of its flow; false when it is a short one, and so the last. */
  join(slot: number, packet: InnerPacket): boolean {
    const { view } = this.#arena;
    const { payloadBytes } = packet;
    this.#arena.writeIovec(this.nextIovec(slot), packet.end - payloadBytes, payloadBytes);
    this.segments[slot] = (this.segments[slot] as number) + 1;
    this.payloadBytes[slot] = (this.payloadBytes[slot] as number) + payloadBytes;
    if (packet.isTcp) {
      this.nextSequence[slot] = (this.nextSequence[slot] as number) + payloadBytes;
      if ((view.getUint8(packet.l4 + TCP_FLAGS_OFFSET) & TCP_PSH) !== 0) {
        const first = (this.l4[slot] as number) + TCP_FLAGS_OFFSET;
        view.setUint8(first, view.getUint8(first) | TCP_PSH);
      }
    }
    return payloadBytes >= (this.segmentBytes[slot] as number);
  }

  /** `count` whole segments more are in the flow of `slot`, whose iovecs are written. */
  joined(slot: number, count: number): void {
    const payloadBytes = count * (this.segmentBytes[slot] as number);
    this.segments[slot] = (this.segments[slot] as number) + count;
    this.payloadBytes[slot] = (this.payloadBytes[slot] as number) + payloadBytes;
    if (this.protocol[slot] === PROTOCOL_TCP) {
      this.nextSequence[slot] = (this.nextSequence[slot] as number) + payloadBytes;
    }
  }

  /** Nothing is open in a slot any more. */
  close(slot: number): void {
    this.link[slot] = undefined;
    this.count--;
  }
}
