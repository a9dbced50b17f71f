/**
 * Sending trains: all of one socket's in one `sendmmsg`, each as one message where the socket
 * segments for us, else a message for each datagram. Errors end in a named drop counter or in one
 * repetition; nothing waits here, and nothing is kept.
 * @module
 */
import type { Layout } from '../../shm/layout.ts';
import { ErrorSite } from '../../shm/worker.ts';
import {
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
} from '../../sys/libc/constants.ts';
import { egressIndex, eventIndex } from '../../table/counters.ts';
import { TrainUse } from '../../table/links/path-limits.ts';
import { type Arena, IOVEC_BYTES, MMSGHDR_BYTES, MSGHDR } from '../ground/arena.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import type { ErrorQueue } from './errors.ts';
import type { FullSockets } from './full-sockets.ts';
import type { PathMtu } from './path-mtu.ts';
import {
  CONTROL_BYTES,
  CONTROL_ENTRY_BYTES,
  IOVECS_PER_TRAIN,
  labelOf,
  type TrainColumns,
  TrainState,
  tosOf,
} from './train-columns.ts';

/** Messages in one sendmmsg. */
const MESSAGES_MAX = 1024;
/** How often one message is sent again after an error that may be another's. */
const RETRIES_MAX = 3;
/** The same while ICMP errors keep coming: forged ones shall not cost us a packet. */
const STORM_RETRIES_MAX = 64;

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
const PMTU_LOWERED = eventIndex('pmtu_lowered');
const SEND_PAUSES = eventIndex('send_pauses');

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

export class TrainSender {
  readonly #arena: Arena;
  readonly #layout: Layout;
  readonly #errors: ErrorQueue;
  readonly #paths: PathMtu;
  readonly #columns: TrainColumns;
  readonly #messages: number;
  readonly #full: FullSockets;
  readonly #messageTrain = new Int16Array(MESSAGES_MAX);
  readonly #messageSegments = new Int16Array(MESSAGES_MAX);
  /** Train and segment at which the next batch of messages begins. */
  #nextTrain = 0;
  #nextSegment = 0;

  constructor(
    arena: Arena,
    layout: Layout,
    errors: ErrorQueue,
    paths: PathMtu,
    columns: TrainColumns,
    full: FullSockets,
  ) {
    this.#arena = arena;
    this.#layout = layout;
    this.#errors = errors;
    this.#paths = paths;
    this.#columns = columns;
    this.#messages = arena.allocate(MESSAGES_MAX * MMSGHDR_BYTES);
    this.#full = full;
  }

  /** Sends all trains of one socket, in order, beginning with train `from`. */
  sendSocket(socket: number, from: number, nowMs: number): void {
    this.#nextTrain = from;
    this.#nextSegment = 0;
    for (;;) {
      const messages = this.#buildMessages(socket, nowMs);
      if (messages === 0) break;
      this.#sendMessages(socket, messages, nowMs);
    }
    for (let train = from; train < this.#columns.count; train++) {
      if (this.#columns.socket[train] === socket) this.#columns.closed[train] = TrainState.Sent;
    }
  }

  /** Fills the message array from the cursor on; returns how many messages there are. */
  #buildMessages(socket: number, nowMs: number): number {
    let messages = 0;
    while (this.#nextTrain < this.#columns.count && messages < MESSAGES_MAX) {
      const train = this.#nextTrain;
      if (this.#columns.socket[train] !== socket) {
        this.#nextTrain++;
        continue;
      }
      const segments = this.#columns.segments[train] as number;
      if (segments === 1 || this.#maySegment(train, nowMs)) {
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

  #maySegment(train: number, nowMs: number): boolean {
    if (!(this.#columns.link[train] as DataLink).endpoint.segment) return false;
    const { peers } = this.#paths;
    const use = this.#paths.trainUse(this.#columns.peer[train] as number, nowMs);
    if (use !== TrainUse.Any && (use === TrainUse.None || this.#isEven(train))) return false;
    return peers.refusedCount === 0 || peers.maySegment(this.#columns.peer[train] as number, nowMs);
  }

  /** Whether the last datagram is as long as the others. */
  #isEven(train: number): boolean {
    const bytes = this.#columns.bytes[train] as number;
    const segments = this.#columns.segments[train] as number;
    return bytes === segments * (this.#columns.segmentBytes[train] as number);
  }

  #writeMessage(index: number, train: number, segment: number, segments: number): void {
    const { view } = this.#arena;
    const at = this.#messages + index * MMSGHDR_BYTES;
    const perSegment = this.#columns.iovecsPerSegment[train] as number;
    const iovec =
      this.#columns.iovecs + (train * IOVECS_PER_TRAIN + segment * perSegment) * IOVEC_BYTES;
    const { peers } = this.#paths;
    const peer = this.#columns.peer[train] as number;
    const marks = this.#columns.marks[train] as number;
    const name = labelOf(marks) === 0 ? peers.nameOf(peer) : this.#columns.nameOf(train);
    this.#arena.writePointer(at + MSGHDR.NAME, name);
    view.setUint32(at + MSGHDR.NAME_LENGTH, peers.nameBytes(peer), true);
    this.#arena.writePointer(at + MSGHDR.IOV, iovec);
    view.setUint32(at + MSGHDR.IOV_LENGTH, segments * perSegment, true);
    const tos = tosOf(marks) !== 0;
    const isTrain = segments > 1;
    const control =
      this.#columns.controls + train * CONTROL_BYTES + (isTrain ? 0 : CONTROL_ENTRY_BYTES);
    this.#arena.writePointer(at + MSGHDR.CONTROL, control);
    const controlBytes = (isTrain ? CONTROL_ENTRY_BYTES : 0) + (tos ? CONTROL_ENTRY_BYTES : 0);
    view.setUint32(at + MSGHDR.CONTROL_LENGTH, controlBytes, true);
    this.#messageTrain[index] = train;
    this.#messageSegments[index] = segments;
  }

  #sendMessages(socket: number, messages: number, nowMs: number): void {
    let sent = 0;
    let retriedAt = -1;
    let retries = 0;
    while (sent < messages) {
      const { underlay } = this.#endpointOf(sent);
      const at = this.#messages + sent * MMSGHDR_BYTES;
      const accepted = underlay.send(socket, at, messages - sent);
      if (accepted > 0) {
        for (let i = sent; i < sent + accepted; i++) this.#countDelivered(i);
        sent += accepted;
        if (sent === messages) return;
        // The next send tells why it stopped; an ICMP error's text is in the queue already.
        this.#drainErrors(sent, nowMs);
        continue;
      }
      const error = -accepted;
      if (error === EINTR) continue;
      const sawIcmp = this.#drainErrors(sent, nowMs);
      this.#layout.recordError(ErrorSite.Send, error);
      const train = this.#messageTrain[sent] as number;
      const link = this.#columns.link[train] as DataLink;
      add(link.counters, SEND_ERRORS, 1);
      if (error === EAGAIN) {
        // The buffer has no room for anything, and waiting here would hold up the other direction.
        if (this.#full.pause(socket, nowMs)) add(link.counters, SEND_PAUSES, 1);
        for (; sent < messages; sent++) this.#countFull(sent);
        return;
      }
      if (error === EINVAL && link.endpoint.saysFlowLabel) {
        // Somebody in this namespace has flow labels of his own, and then only leased ones may be sent.
        link.endpoint.saysFlowLabel = false;
        this.#columns.clearLabels();
        continue;
      }
      const segments = this.#messageSegments[sent] as number;
      if ((error === EIO || error === EINVAL) && segments > 1) {
        // This path cannot segment for us (no checksum offload under it): one by one from here on.
        this.#paths.peers.refuseSegments(this.#columns.peer[train] as number, error, nowMs);
        add(link.counters, SEGMENT_FALLBACKS, 1);
        this.#nextTrain = train;
        this.#nextSegment = 0;
        return;
      }
      if (retriedAt !== sent) retries = 0;
      // A queue that refused this datagram (ENOBUFS) has chosen by its own rule: the next may pass.
      if (
        retries < (sawIcmp ? STORM_RETRIES_MAX : RETRIES_MAX) &&
        error !== ENOBUFS &&
        error !== ENOMEM
      ) {
        // The error may be an old ICMP message's, reported on this send: the same send again tells.
        retriedAt = sent;
        retries++;
        continue;
      }
      if (error === EMSGSIZE) this.#refused(train, nowMs);
      add(link.counters, dropCounterOf(error), segments);
      sent++;
    }
  }

  /** The kernel itself says that a datagram of this train is too large for the way to its peer. */
  #refused(train: number, nowMs: number): void {
    const link = this.#columns.link[train] as DataLink;
    const bytes = (this.#columns.segmentBytes[train] as number) + link.endpoint.outerHeaderBytes;
    const lowered = this.#paths.refused(link, this.#columns.peer[train] as number, bytes, nowMs);
    if (lowered) add(link.counters, PMTU_LOWERED, 1);
  }

  #drainErrors(message: number, nowMs: number): boolean {
    const train = this.#messageTrain[message] as number;
    const socket = this.#columns.socket[train] as number;
    return this.#errors.drain(this.#endpointOf(message), socket, nowMs);
  }

  #endpointOf(message: number): DataEndpoint {
    const train = this.#messageTrain[message] as number;
    const { endpoint, ways } = this.#columns.link[train] as DataLink;
    return ways === undefined ? endpoint : ways.endpointOf(this.#columns.socket[train] as number);
  }

  #countDelivered(message: number): void {
    const train = this.#messageTrain[message] as number;
    const { counters } = this.#columns.link[train] as DataLink;
    const segments = this.#messageSegments[message] as number;
    const all = segments === (this.#columns.segments[train] as number);
    add(counters, DELIVERED, segments);
    add(
      counters,
      DELIVERED_BYTES,
      all
        ? (this.#columns.bytes[train] as number)
        : segments * (this.#columns.segmentBytes[train] as number),
    );
    if (segments === 1) return;
    add(counters, TRAINS_SENT, 1);
    this.#columns.asOne[train] = 1;
  }

  #countFull(message: number): void {
    const train = this.#messageTrain[message] as number;
    const { counters } = this.#columns.link[train] as DataLink;
    add(counters, SEND_FULL, this.#messageSegments[message] as number);
  }
}
