/**
 * The trains being made up, as columns: one typed array for each property, indexed by train, and
 * the arena memory of each train's iovecs and control messages.
 * @module
 */
import {
  IP_TOS,
  IPPROTO_IP,
  SOL_UDP,
  UDP_SEGMENT,
  UDP_SEGMENTS_MAX,
} from '../../sys/libc/constants.ts';
import { type Arena, CMSG_HEADER_BYTES, IOVEC_BYTES } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';

/** Trains that may be open at once. */
export const TRAINS_MAX = 128;
/** Two pieces for each datagram: header and payload. */
export const IOVECS_PER_TRAIN = UDP_SEGMENTS_MAX * 2;
/** UDP_SEGMENT (u16, padded), then IP_TOS (int, padded). */
export const CONTROL_ENTRY_BYTES = CMSG_HEADER_BYTES + 8;
export const CONTROL_BYTES = 2 * CONTROL_ENTRY_BYTES;

/** States of the `closed` column. */
export const TrainState = { Open: 0, Closed: 1, Sent: 2 } as const;

export class TrainColumns {
  count = 0;
  readonly link: (DataLink | undefined)[] = new Array(TRAINS_MAX).fill(undefined);
  readonly peer = new Uint32Array(TRAINS_MAX);
  readonly socket = new Int32Array(TRAINS_MAX);
  readonly tos = new Uint8Array(TRAINS_MAX);
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

  constructor(arena: Arena) {
    this.iovecs = arena.allocate(TRAINS_MAX * IOVECS_PER_TRAIN * IOVEC_BYTES);
    this.controls = arena.allocate(TRAINS_MAX * CONTROL_BYTES);
    const { view } = arena;
    for (let train = 0; train < TRAINS_MAX; train++) {
      // Everything but the values stays the same for ever: write it once.
      const segment = this.controls + train * CONTROL_BYTES;
      view.setUint32(segment, CMSG_HEADER_BYTES + 2, true);
      view.setInt32(segment + 8, SOL_UDP, true);
      view.setInt32(segment + 12, UDP_SEGMENT, true);
      const tos = segment + CONTROL_ENTRY_BYTES;
      view.setUint32(tos, CMSG_HEADER_BYTES + 4, true);
      view.setInt32(tos + 8, IPPROTO_IP, true);
      view.setInt32(tos + 12, IP_TOS, true);
    }
  }
}
