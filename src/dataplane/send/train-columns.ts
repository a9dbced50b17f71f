/**
 * The trains being made up, as columns: one typed array for each property, indexed by train, and
 * the arena memory of each train's iovecs and control messages.
 * @module
 */
import {
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_TCLASS,
  SOL_UDP,
  UDP_SEGMENT,
  UDP_SEGMENTS_MAX,
} from '../../sys/libc/constants.ts';
import { type Arena, CMSG_HEADER_BYTES, IOVEC_BYTES } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { SOCKADDR_BYTES, setSockaddrFlowLabel } from '../ground/sockaddr.ts';

/** Trains that may be open at once. */
export const TRAINS_MAX = 128;
/** Two pieces for each datagram: header and payload. */
export const IOVECS_PER_TRAIN = UDP_SEGMENTS_MAX * 2;
/** UDP_SEGMENT (u16, padded), then IP_TOS or IPV6_TCLASS (int, padded). */
export const CONTROL_ENTRY_BYTES = CMSG_HEADER_BYTES + 8;
export const CONTROL_BYTES = 2 * CONTROL_ENTRY_BYTES;

/** States of the `closed` column. */
export const TrainState = { Open: 0, Closed: 1, Sent: 2 } as const;

/**
 * What the outer headers of a train have in common, in one number: the TOS byte or traffic class, and
 * above it the flow label (RFC 6437), 20 bits, where we say one ourselves.
 */
export function marksOf(tos: number, label: number): number {
  return ((label << 8) | tos) >>> 0;
}

export function tosOf(marks: number): number {
  return marks & 0xff;
}

export function labelOf(marks: number): number {
  return marks >>> 8;
}

export class TrainColumns {
  count = 0;
  readonly link: (DataLink | undefined)[] = new Array(TRAINS_MAX).fill(undefined);
  readonly peer = new Uint32Array(TRAINS_MAX);
  readonly socket = new Int32Array(TRAINS_MAX);
  /** See {@link marksOf}. */
  readonly marks = new Uint32Array(TRAINS_MAX);
  /** Size of every datagram but the last, which may be shorter. */
  readonly segmentBytes = new Int32Array(TRAINS_MAX);
  readonly segments = new Int32Array(TRAINS_MAX);
  readonly bytes = new Int32Array(TRAINS_MAX);
  readonly iovecsPerSegment = new Uint8Array(TRAINS_MAX);
  /** One of {@link TrainState}. */
  readonly closed = new Uint8Array(TRAINS_MAX);
  /** 1 = datagrams of it went out as one send. */
  readonly asOne = new Uint8Array(TRAINS_MAX);
  /** Slot of the key table that leads to the train. */
  readonly slotOf = new Int16Array(TRAINS_MAX);
  /** Arena offsets of train 0's iovecs and control messages. */
  readonly iovecs: number;
  readonly controls: number;
  /** Socket addresses of the trains that have a flow label. */
  readonly #names: number;
  /** 1 = the second control message is IPv6's. */
  readonly #isIpv6 = new Uint8Array(TRAINS_MAX);
  readonly #view: DataView;

  constructor(arena: Arena) {
    this.iovecs = arena.allocate(TRAINS_MAX * IOVECS_PER_TRAIN * IOVEC_BYTES);
    this.controls = arena.allocate(TRAINS_MAX * CONTROL_BYTES);
    this.#names = arena.allocate(TRAINS_MAX * SOCKADDR_BYTES);
    const { view } = arena;
    this.#view = view;
    for (let train = 0; train < TRAINS_MAX; train++) {
      // Everything but the values, and the family of the second, stays the same for ever: write it once.
      const segment = this.controls + train * CONTROL_BYTES;
      view.setUint32(segment, CMSG_HEADER_BYTES + 2, true);
      view.setInt32(segment + 8, SOL_UDP, true);
      view.setInt32(segment + 12, UDP_SEGMENT, true);
      const tos = segment + CONTROL_ENTRY_BYTES;
      view.setUint32(tos, CMSG_HEADER_BYTES + 4, true);
      this.#writeFamily(train, 0);
    }
  }

  #writeFamily(train: number, isIpv6: 0 | 1): void {
    this.#isIpv6[train] = isIpv6;
    const tos = this.controls + train * CONTROL_BYTES + CONTROL_ENTRY_BYTES;
    this.#view.setInt32(tos + 8, isIpv6 === 1 ? IPPROTO_IPV6 : IPPROTO_IP, true);
    this.#view.setInt32(tos + 12, isIpv6 === 1 ? IPV6_TCLASS : IP_TOS, true);
  }

  /** Gives a train the socket address at `name`, with the flow label that its marks say. */
  nameWithLabel(train: number, name: number): void {
    const at = this.nameOf(train);
    for (let i = 0; i < SOCKADDR_BYTES; i += 4) {
      this.#view.setUint32(at + i, this.#view.getUint32(name + i));
    }
    setSockaddrFlowLabel(this.#view, at, labelOf(this.marks[train] as number));
  }

  /** Arena offset of the address of a train that has a flow label. */
  nameOf(train: number): number {
    return this.#names + train * SOCKADDR_BYTES;
  }

  /** All trains go on without one. */
  clearLabels(): void {
    for (let train = 0; train < this.count; train++) {
      setSockaddrFlowLabel(this.#view, this.nameOf(train), 0);
    }
  }

  /** The train goes over IPv6 or not; seldom another way than the last one in its place. */
  setFamily(train: number, isIpv6: boolean): void {
    const wanted = isIpv6 ? 1 : 0;
    if (this.#isIpv6[train] !== wanted) this.#writeFamily(train, wanted);
  }
}
