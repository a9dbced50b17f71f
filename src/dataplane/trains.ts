/**
 * Trains: consecutive datagrams of one size to one peer, port and TOS, handed to the kernel in one
 * send (UDP_SEGMENT). Where the socket cannot, each datagram is a message of its own in one
 * `sendmmsg`. Nothing is copied: a datagram is one or two iovecs into the arena.
 *
 * A train closes when a datagram of another size follows; a shorter one may be its last. Trains go
 * out in the order in which they were opened, and a flow always maps to one key, so a flow keeps
 * its order.
 * @module
 */

import { ErrorSite, type Layout } from '../shm/layout.ts';
import {
  AF_INET,
  EACCES,
  EAGAIN,
  ECONNREFUSED,
  EHOSTDOWN,
  EHOSTUNREACH,
  EINTR,
  EINVAL,
  EIO,
  EMSGSIZE,
  ENETDOWN,
  ENETUNREACH,
  ENOBUFS,
  ENOMEM,
  EPERM,
  IP_TOS,
  IPPROTO_IP,
  POLLOUT,
  SOL_UDP,
  UDP_PAYLOAD_BYTES_MAX,
  UDP_SEGMENT,
  UDP_SEGMENTS_MAX,
} from '../sys/constants.ts';
import { errno, libc } from '../sys/libc.ts';
import { egressIndex, eventIndex } from '../table/counters.ts';
import { type Arena, CMSG_HEADER_BYTES, IOVEC_BYTES, MMSGHDR_BYTES, MSGHDR } from './arena.ts';
import type { ErrorQueue } from './errors.ts';
import type { DataLink } from './link.ts';
import type { PeerTable } from './peers.ts';

/** Trains that may be open at once. */
export const TRAINS_MAX = 128;
/** Messages in one sendmmsg. */
const MESSAGES_MAX = 1024;
const IOVECS_PER_TRAIN = UDP_SEGMENTS_MAX * 2;
const NAME_BYTES = 16;
/** UDP_SEGMENT (u16, padded) and IP_TOS (int, padded). */
const CONTROL_ENTRY_BYTES = CMSG_HEADER_BYTES + 8;
const CONTROL_BYTES = 2 * CONTROL_ENTRY_BYTES;
const KEY_SLOTS = 256;
/** Rewritten headers of segments, bytes each: shim 8, Ethernet 14, IPv4 60, TCP 60. */
export const SCRATCH_BYTES = 144;
const SCRATCH_COUNT = 4096;
/** How long one full socket may hold up the loop before its datagrams are dropped, ms. */
const FULL_WAIT_MS = 1;

const DELIVERED = egressIndex('delivered');
const DELIVERED_BYTES = egressIndex('deliveredBytes');
const SEND_FULL = egressIndex('drop.send_full');
const SEND_DENIED = egressIndex('drop.send_denied');
const SEND_UNREACHABLE = egressIndex('drop.send_unreachable');
const SEND_TOO_BIG = egressIndex('drop.send_too_big');
const SEND_ERROR = egressIndex('drop.send_error');
const TRAINS_SENT = eventIndex('trains_sent');
const SEND_ERRORS = eventIndex('send_errors');
const SEGMENT_FALLBACKS = eventIndex('segment_fallbacks');

function add(column: Float64Array, index: number, amount: number): void {
  column[index] = (column[index] as number) + amount;
}

/** The counter that an errno of a failed send ends in. */
function dropCounterOf(error: number): number {
  switch (error) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
      return SEND_FULL;
    case EPERM:
    case EACCES:
      return SEND_DENIED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case ECONNREFUSED:
      return SEND_UNREACHABLE;
    case EMSGSIZE:
      return SEND_TOO_BIG;
    default:
      return SEND_ERROR;
  }
}

export class Trains {
  readonly #arena: Arena;
  readonly #layout: Layout;
  readonly #peers: PeerTable;
  readonly #errors: ErrorQueue;
  readonly #iovecs: number;
  readonly #names: number;
  readonly #controls: number;
  readonly #messages: number;
  readonly #pollfd: number;
  readonly #scratch: number;
  #scratchUsed = 0;

  #count = 0;
  readonly #link: (DataLink | undefined)[] = new Array(TRAINS_MAX).fill(undefined);
  readonly #peer = new Uint32Array(TRAINS_MAX);
  readonly #socket = new Int32Array(TRAINS_MAX);
  readonly #tos = new Uint8Array(TRAINS_MAX);
  readonly #segmentBytes = new Int32Array(TRAINS_MAX);
  readonly #segments = new Int32Array(TRAINS_MAX);
  readonly #bytes = new Int32Array(TRAINS_MAX);
  readonly #iovecsPerSegment = new Uint8Array(TRAINS_MAX);
  readonly #closed = new Uint8Array(TRAINS_MAX);
  readonly #bySlot = new Int16Array(KEY_SLOTS).fill(-1);
  readonly #slotOf = new Int16Array(TRAINS_MAX);

  readonly #messageTrain = new Int16Array(MESSAGES_MAX);
  readonly #messageSegments = new Int16Array(MESSAGES_MAX);
  /** Train and segment at which the next batch of messages begins. */
  #nextTrain = 0;
  #nextSegment = 0;

  #runTrain = 0;
  /** Where the iovecs of a reserved run begin. */
  runIovec = 0;
  /** Bytes waiting in all open trains. */
  pendingBytes = 0;

  constructor(arena: Arena, layout: Layout, peers: PeerTable, errors: ErrorQueue) {
    this.#arena = arena;
    this.#layout = layout;
    this.#peers = peers;
    this.#errors = errors;
    this.#iovecs = arena.allocate(TRAINS_MAX * IOVECS_PER_TRAIN * IOVEC_BYTES);
    this.#names = arena.allocate(TRAINS_MAX * NAME_BYTES);
    this.#controls = arena.allocate(TRAINS_MAX * CONTROL_BYTES);
    this.#messages = arena.allocate(MESSAGES_MAX * MMSGHDR_BYTES);
    this.#pollfd = arena.allocate(8);
    this.#scratch = arena.allocate(SCRATCH_COUNT * SCRATCH_BYTES);
    const { view } = arena;
    for (let train = 0; train < TRAINS_MAX; train++) {
      // Everything but the values stays the same for ever: write it once.
      view.setUint16(this.#names + train * NAME_BYTES, AF_INET, true);
      const segment = this.#controls + train * CONTROL_BYTES;
      view.setUint32(segment, CMSG_HEADER_BYTES + 2, true);
      view.setInt32(segment + 8, SOL_UDP, true);
      view.setInt32(segment + 12, UDP_SEGMENT, true);
      const tos = segment + CONTROL_ENTRY_BYTES;
      view.setUint32(tos, CMSG_HEADER_BYTES + 4, true);
      view.setInt32(tos + 8, IPPROTO_IP, true);
      view.setInt32(tos + 12, IP_TOS, true);
    }
  }

  /** Makes room for `segments` more datagrams and as many scratch headers, sending if need be. */
  ensureRoom(segments: number, nowMs: number): void {
    const trainsNeeded = 2 + Math.ceil(segments / UDP_SEGMENTS_MAX);
    if (this.#count + trainsNeeded > TRAINS_MAX || this.#scratchUsed + segments > SCRATCH_COUNT) {
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
   * Appends one datagram: `byteCount` bytes at arena offset `start`.
   * `borrowed:` the range must stay untouched until {@link flush}.
   */
  append(
    link: DataLink,
    peer: number,
    socket: number,
    tos: number,
    start: number,
    byteCount: number,
  ): void {
    const train = this.#find(link, peer, socket, tos, byteCount, 1);
    const segments = this.#segments[train] as number;
    const iovec = this.#iovecs + (train * IOVECS_PER_TRAIN + segments) * IOVEC_BYTES;
    this.#arena.writeIovec(iovec, start, byteCount);
    this.#add(train, 1, byteCount, byteCount < (this.#segmentBytes[train] as number));
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
    tos: number,
    datagramBytes: number,
  ): number {
    const train = this.#find(link, peer, socket, tos, datagramBytes, 2);
    const segments = this.#segments[train] as number;
    this.#runTrain = train;
    this.runIovec = this.#iovecs + (train * IOVECS_PER_TRAIN + segments * 2) * IOVEC_BYTES;
    const room = UDP_PAYLOAD_BYTES_MAX - (this.#bytes[train] as number);
    return Math.min(UDP_SEGMENTS_MAX - segments, Math.floor(room / datagramBytes));
  }

  /** Takes `count` datagrams whose iovecs were written; the last `isShort` ends the train. */
  commitRun(count: number, byteCount: number, isShort: boolean): void {
    this.#add(this.#runTrain, count, byteCount, isShort);
  }

  #add(train: number, count: number, byteCount: number, closes: boolean): void {
    this.#segments[train] = (this.#segments[train] as number) + count;
    this.#bytes[train] = (this.#bytes[train] as number) + byteCount;
    if (closes) this.#closed[train] = 1;
    this.pendingBytes += byteCount;
  }

  /** The open train that a datagram of `byteCount` bytes may join, or a new one. */
  #find(
    link: DataLink,
    peer: number,
    socket: number,
    tos: number,
    byteCount: number,
    iovecsPerSegment: number,
  ): number {
    const slot =
      (Math.imul(peer ^ Math.imul(socket + (tos << 8), 0x85ebca6b), 0x9e3779b1) >>> 24) &
      (KEY_SLOTS - 1);
    const train = this.#bySlot[slot] as number;
    if (
      train < 0 ||
      this.#closed[train] === 1 ||
      this.#peer[train] !== peer ||
      this.#socket[train] !== socket ||
      this.#link[train] !== link ||
      this.#tos[train] !== tos ||
      this.#iovecsPerSegment[train] !== iovecsPerSegment ||
      byteCount > (this.#segmentBytes[train] as number) ||
      this.#segments[train] === UDP_SEGMENTS_MAX ||
      (this.#bytes[train] as number) + byteCount > UDP_PAYLOAD_BYTES_MAX
    ) {
      return this.#open(link, peer, socket, tos, byteCount, iovecsPerSegment, slot);
    }
    return train;
  }

  #open(
    link: DataLink,
    peer: number,
    socket: number,
    tos: number,
    segmentBytes: number,
    iovecsPerSegment: number,
    slot: number,
  ): number {
    const train = this.#count++;
    const { view } = this.#arena;
    this.#link[train] = link;
    this.#peer[train] = peer;
    this.#socket[train] = socket;
    this.#tos[train] = tos;
    this.#segmentBytes[train] = segmentBytes;
    this.#segments[train] = 0;
    this.#bytes[train] = 0;
    this.#iovecsPerSegment[train] = iovecsPerSegment;
    this.#closed[train] = 0;
    this.#slotOf[train] = slot;
    this.#bySlot[slot] = train;
    const name = this.#names + train * NAME_BYTES;
    view.setUint16(name + 2, link.peerPort);
    view.setUint32(name + 4, peer);
    const control = this.#controls + train * CONTROL_BYTES;
    view.setUint16(control + CMSG_HEADER_BYTES, segmentBytes, true);
    view.setInt32(control + CONTROL_ENTRY_BYTES + CMSG_HEADER_BYTES, tos, true);
    return train;
  }

  /** Sends every open train. Whatever cannot be sent is dropped and counted, never kept. */
  flush(nowMs: number): void {
    const count = this.#count;
    if (count === 0) {
      this.#scratchUsed = 0;
      return;
    }
    for (let train = 0; train < count; train++) {
      if (this.#closed[train] !== 2) {
        this.#flushSocket(this.#socket[train] as number, train, nowMs);
      }
    }
    for (let train = 0; train < count; train++) {
      this.#bySlot[this.#slotOf[train] as number] = -1;
      const link = this.#link[train] as DataLink;
      this.#peers.noteSent(
        this.#peer[train] as number,
        (this.#segmentBytes[train] as number) + (link.endpoint.isRaw ? 20 : 28),
        nowMs,
      );
      this.#link[train] = undefined;
    }
    this.#count = 0;
    this.#scratchUsed = 0;
    this.pendingBytes = 0;
  }

  /** Sends all trains of one socket, in order, beginning with train `from`. */
  #flushSocket(socket: number, from: number, nowMs: number): void {
    this.#nextTrain = from;
    this.#nextSegment = 0;
    for (;;) {
      const messages = this.#buildMessages(socket);
      if (messages === 0) break;
      this.#sendMessages(socket, messages, nowMs);
    }
    // 2 marks a train whose socket is done in this flush.
    for (let train = from; train < this.#count; train++) {
      if (this.#socket[train] === socket) this.#closed[train] = 2;
    }
  }

  /** Fills the message array from the cursor on; returns how many messages there are. */
  #buildMessages(socket: number): number {
    let messages = 0;
    while (this.#nextTrain < this.#count && messages < MESSAGES_MAX) {
      const train = this.#nextTrain;
      if (this.#socket[train] !== socket) {
        this.#nextTrain++;
        continue;
      }
      const segments = this.#segments[train] as number;
      if ((this.#link[train] as DataLink).endpoint.segment) {
        // A fallback may have left the cursor inside this train; the rest goes as one again.
        this.#writeMessage(messages++, train, this.#nextSegment, segments - this.#nextSegment);
        this.#nextSegment = segments;
      } else {
        while (this.#nextSegment < segments && messages < MESSAGES_MAX) {
          this.#writeMessage(messages++, train, this.#nextSegment++, 1);
        }
      }
      if (this.#nextSegment === segments) {
        this.#nextTrain++;
        this.#nextSegment = 0;
      }
    }
    return messages;
  }

  #writeMessage(index: number, train: number, segment: number, segments: number): void {
    const { view } = this.#arena;
    const at = this.#messages + index * MMSGHDR_BYTES;
    const perSegment = this.#iovecsPerSegment[train] as number;
    const iovec = this.#iovecs + (train * IOVECS_PER_TRAIN + segment * perSegment) * IOVEC_BYTES;
    this.#arena.writePointer(at + MSGHDR.NAME, this.#names + train * NAME_BYTES);
    view.setUint32(at + MSGHDR.NAME_LENGTH, NAME_BYTES, true);
    this.#arena.writePointer(at + MSGHDR.IOV, iovec);
    view.setUint32(at + MSGHDR.IOV_LENGTH, segments * perSegment, true);
    const tos = this.#tos[train] !== 0;
    const isTrain = segments > 1;
    const control = this.#controls + train * CONTROL_BYTES + (isTrain ? 0 : CONTROL_ENTRY_BYTES);
    this.#arena.writePointer(at + MSGHDR.CONTROL, control);
    const controlBytes = (isTrain ? CONTROL_ENTRY_BYTES : 0) + (tos ? CONTROL_ENTRY_BYTES : 0);
    view.setUint32(at + MSGHDR.CONTROL_LENGTH, controlBytes, true);
    this.#messageTrain[index] = train;
    this.#messageSegments[index] = segments;
  }

  #sendMessages(socket: number, messages: number, nowMs: number): void {
    const base = this.#arena.base + this.#messages;
    let sent = 0;
    let retriedAt = -1;
    let waited = false;
    while (sent < messages) {
      const accepted = libc.sendmmsg(socket, base + sent * MMSGHDR_BYTES, messages - sent, 0);
      if (accepted > 0) {
        for (let i = sent; i < sent + accepted; i++) this.#countDelivered(i);
        sent += accepted;
        if (sent === messages) return;
        // The next send tells why it stopped; an ICMP error's text is in the queue already.
        this.#drainErrors(sent, nowMs);
        continue;
      }
      const error = errno();
      if (error === EINTR) continue;
      this.#drainErrors(sent, nowMs);
      this.#layout.recordError(ErrorSite.Send, error);
      const train = this.#messageTrain[sent] as number;
      const link = this.#link[train] as DataLink;
      add(link.counters, SEND_ERRORS, 1);
      if ((error === EAGAIN || error === ENOBUFS || error === ENOMEM) && !waited) {
        // Once per flush: give the device a moment, then let the packets go rather than the loop.
        waited = true;
        this.#waitWritable(socket);
        continue;
      }
      const segments = this.#messageSegments[sent] as number;
      if ((error === EIO || error === EINVAL) && segments > 1) {
        // This path cannot segment for us (no checksum offload under it): one by one from here on.
        link.endpoint.segment = false;
        add(link.counters, SEGMENT_FALLBACKS, 1);
        this.#nextTrain = train;
        this.#nextSegment = 0;
        return;
      }
      if (retriedAt !== sent && error !== EAGAIN && error !== ENOBUFS) {
        // The error may be an old ICMP message's, reported on this send: the same send again tells.
        retriedAt = sent;
        continue;
      }
      add(link.counters, dropCounterOf(error), segments);
      sent++;
    }
  }

  #drainErrors(message: number, nowMs: number): void {
    const train = this.#messageTrain[message] as number;
    const { endpoint } = this.#link[train] as DataLink;
    this.#errors.drain(endpoint, this.#socket[train] as number, nowMs);
  }

  #countDelivered(message: number): void {
    const train = this.#messageTrain[message] as number;
    const { counters } = this.#link[train] as DataLink;
    const segments = this.#messageSegments[message] as number;
    const all = segments === (this.#segments[train] as number);
    add(counters, DELIVERED, segments);
    add(
      counters,
      DELIVERED_BYTES,
      all ? (this.#bytes[train] as number) : segments * (this.#segmentBytes[train] as number),
    );
    if (segments > 1) add(counters, TRAINS_SENT, 1);
  }

  #waitWritable(socket: number): void {
    const { view } = this.#arena;
    view.setInt32(this.#pollfd, socket, true);
    view.setUint32(this.#pollfd + 4, POLLOUT, true);
    libc.poll(this.#arena.base + this.#pollfd, 1, FULL_WAIT_MS);
  }
}
