/**
 * Trains: consecutive datagrams of one size and marks to one peer and port, handed to the kernel in one
 * send (UDP_SEGMENT). Where the socket cannot, each datagram is a message of its own in one
 * `sendmmsg`. Nothing is copied: a datagram is one or two iovecs into the arena.
 *
 * A train closes when a datagram of another size follows; a shorter one may be its last. Trains go
 * out in the order in which they were opened, and a flow has one key as long as a flush lasts, so a
 * flow keeps its order.
 * @module
 */

import type { Layout } from '../../shm/layout.ts';
import { UDP_PAYLOAD_BYTES_MAX, UDP_SEGMENTS_MAX } from '../../sys/libc/constants.ts';
import { type Arena, CMSG_HEADER_BYTES, IOVEC_BYTES } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { SCRATCH_BYTES } from '../ground/segment.ts';
import type { ErrorQueue } from './errors.ts';
import { FullSockets } from './full-sockets.ts';
import type { PathMtu } from './path-mtu.ts';
import {
  CONTROL_BYTES,
  CONTROL_ENTRY_BYTES,
  IOVECS_PER_TRAIN,
  labelOf,
  TRAINS_MAX,
  TrainColumns,
  TrainState,
  tosOf,
} from './train-columns.ts';
import { TrainSender } from './train-sender.ts';

const KEY_SLOTS = 256;
const SCRATCH_COUNT = 4096;

/** Not by the marks: a flow whose ECN changes on the way must still not overtake itself. */
function slotOf(peer: number, socket: number): number {
  return (Math.imul(peer ^ Math.imul(socket, 0x85ebca6b), 0x9e3779b1) >>> 24) & (KEY_SLOTS - 1);
}

export class Trains {
  readonly #arena: Arena;
  readonly #paths: PathMtu;
  readonly #columns: TrainColumns;
  readonly #sender: TrainSender;
  readonly #bySlot = new Int16Array(KEY_SLOTS).fill(-1);
  readonly #scratch: number;
  readonly #full = new FullSockets();
  #scratchUsed = 0;
  #runTrain = 0;
  /** Where the iovecs of a reserved run begin. */
  runIovec = 0;
  /** Bytes waiting in all open trains. */
  pendingBytes = 0;

  constructor(arena: Arena, layout: Layout, paths: PathMtu, errors: ErrorQueue) {
    this.#arena = arena;
    this.#paths = paths;
    this.#columns = new TrainColumns(arena);
    this.#sender = new TrainSender(arena, layout, errors, paths, this.#columns, this.#full);
    this.#scratch = arena.allocate(SCRATCH_COUNT * SCRATCH_BYTES);
  }

  /** Whether a socket was full a moment ago: what is for it is to be dropped, not appended. */
  isPaused(socket: number, nowMs: number): boolean {
    return this.#full.isPaused(socket, nowMs);
  }

  /** Makes room for `segments` more datagrams and as many scratch headers, sending if need be. */
  ensureRoom(segments: number, nowMs: number): void {
    const trainsNeeded = 2 + Math.ceil(segments / UDP_SEGMENTS_MAX);
    if (
      this.#columns.count + trainsNeeded > TRAINS_MAX ||
      this.#scratchUsed + segments > SCRATCH_COUNT
    ) {
      this.flush(nowMs);
    }
  }

  /** Offset of `count` fresh header buffers, {@link SCRATCH_BYTES} apart; room was ensured before. */
  takeScratch(count: number): number {
    const offset = this.#scratch + this.#scratchUsed * SCRATCH_BYTES;
    this.#scratchUsed += count;
    return offset;
  }

  /**
   * Appends one datagram: `byteCount` bytes at arena offset `start`. `marks` are those of its outer
   * header (train-columns.ts).
   * `borrowed:` the range must stay untouched until {@link flush}.
   */
  append(
    link: DataLink,
    peer: number,
    socket: number,
    marks: number,
    start: number,
    byteCount: number,
  ): void {
    const train = this.#find(link, peer, socket, marks, byteCount, 1);
    const segments = this.#columns.segments[train] as number;
    const iovec = this.#columns.iovecs + (train * IOVECS_PER_TRAIN + segments) * IOVEC_BYTES;
    this.#arena.writeIovec(iovec, start, byteCount);
    this.#add(train, 1, byteCount, byteCount < (this.#columns.segmentBytes[train] as number));
  }

  /**
   * Prepares for datagrams of `datagramBytes` in two pieces each (header, payload): returns how
   * many of them may follow; {@link runIovec} then says where their iovecs go, and
   * {@link commitRun} takes them. Always at least one.
   */
  reserveRun(
    link: DataLink,
    peer: number,
    socket: number,
    marks: number,
    datagramBytes: number,
  ): number {
    const train = this.#find(link, peer, socket, marks, datagramBytes, 2);
    const segments = this.#columns.segments[train] as number;
    this.#runTrain = train;
    this.runIovec = this.#columns.iovecs + (train * IOVECS_PER_TRAIN + segments * 2) * IOVEC_BYTES;
    const room = UDP_PAYLOAD_BYTES_MAX - (this.#columns.bytes[train] as number);
    return Math.min(UDP_SEGMENTS_MAX - segments, Math.floor(room / datagramBytes));
  }

  /** Takes `count` datagrams whose iovecs were written; the last `isShort` ends the train. */
  commitRun(count: number, byteCount: number, isShort: boolean): void {
    this.#add(this.#runTrain, count, byteCount, isShort);
  }

  #add(train: number, count: number, byteCount: number, closes: boolean): void {
    this.#columns.segments[train] = (this.#columns.segments[train] as number) + count;
    this.#columns.bytes[train] = (this.#columns.bytes[train] as number) + byteCount;
    if (closes) this.#columns.closed[train] = TrainState.Closed;
    this.pendingBytes += byteCount;
  }

  /** The open train that a datagram of `byteCount` bytes may join, or a new one. */
  #find(
    link: DataLink,
    peer: number,
    socket: number,
    marks: number,
    byteCount: number,
    iovecsPerSegment: number,
  ): number {
    const train = this.#bySlot[slotOf(peer, socket)] as number;
    if (
      train < 0 ||
      this.#columns.closed[train] === TrainState.Closed ||
      this.#columns.peer[train] !== peer ||
      this.#columns.socket[train] !== socket ||
      this.#columns.link[train] !== link ||
      this.#columns.marks[train] !== marks ||
      this.#columns.iovecsPerSegment[train] !== iovecsPerSegment ||
      byteCount > (this.#columns.segmentBytes[train] as number) ||
      // A shorter datagram ends a train, so a run of several needs one of its own size.
      (iovecsPerSegment === 2 && byteCount !== this.#columns.segmentBytes[train]) ||
      this.#columns.segments[train] === UDP_SEGMENTS_MAX ||
      (this.#columns.bytes[train] as number) + byteCount > UDP_PAYLOAD_BYTES_MAX
    ) {
      return this.#open(link, peer, socket, marks, byteCount, iovecsPerSegment);
    }
    return train;
  }

  #open(
    link: DataLink,
    peer: number,
    socket: number,
    marks: number,
    segmentBytes: number,
    iovecsPerSegment: number,
  ): number {
    const slot = slotOf(peer, socket);
    const train = this.#columns.count++;
    const { view } = this.#arena;
    this.#columns.link[train] = link;
    this.#columns.peer[train] = peer;
    this.#columns.socket[train] = socket;
    this.#columns.marks[train] = marks;
    this.#columns.segmentBytes[train] = segmentBytes;
    this.#columns.segments[train] = 0;
    this.#columns.bytes[train] = 0;
    this.#columns.iovecsPerSegment[train] = iovecsPerSegment;
    this.#columns.closed[train] = TrainState.Open;
    this.#columns.asOne[train] = 0;
    this.#columns.slotOf[train] = slot;
    this.#bySlot[slot] = train;
    this.#columns.setFamily(train, link.endpoint.isIpv6);
    const control = this.#columns.controls + train * CONTROL_BYTES;
    view.setUint16(control + CMSG_HEADER_BYTES, segmentBytes, true);
    view.setInt32(control + CONTROL_ENTRY_BYTES + CMSG_HEADER_BYTES, tosOf(marks), true);
    if (labelOf(marks) !== 0) this.#columns.nameWithLabel(train, this.#paths.peers.nameOf(peer));
    return train;
  }

  /** Sends every open train. Whatever cannot be sent is dropped and counted, never kept. */
  flush(nowMs: number): void {
    const count = this.#columns.count;
    if (count === 0) {
      this.#scratchUsed = 0;
      return;
    }
    for (let train = 0; train < count; train++) {
      if (this.#columns.closed[train] !== TrainState.Sent) {
        this.#sender.sendSocket(this.#columns.socket[train] as number, train, nowMs);
      }
    }
    for (let train = 0; train < count; train++) {
      this.#bySlot[this.#columns.slotOf[train] as number] = -1;
      const link = this.#columns.link[train] as DataLink;
      const { peers } = this.#paths;
      const peer = this.#columns.peer[train] as number;
      const bytes = this.#columns.segmentBytes[train] as number;
      peers.noteSent(peer, bytes + link.endpoint.outerHeaderBytes, nowMs);
      if (this.#columns.asOne[train] !== 0) peers.noteSegmented(peer);
      this.#columns.link[train] = undefined;
    }
    this.#columns.count = 0;
    this.#scratchUsed = 0;
    this.pendingBytes = 0;
  }
}
