/**
 * Receiving from the underlay: one `recvmmsg` for a batch, each message perhaps a train (UDP_GRO),
 * with the outer source, TOS and train size that came along.
 * @module
 */
import type { Layout } from '../../shm/layout.ts';
import { ErrorSite } from '../../shm/worker.ts';
import {
  EAGAIN,
  EINTR,
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_TCLASS,
  MSG_CTRUNC,
  MSG_TRUNC,
  SOL_UDP,
  UDP_GRO,
} from '../../sys/libc/constants.ts';
import { eventIndex } from '../../table/counters.ts';
import {
  type Arena,
  CMSG_HEADER_BYTES,
  IOVEC_BYTES,
  MMSGHDR_BYTES,
  MMSGHDR_LENGTH,
  MSGHDR,
} from '../ground/arena.ts';
import type { DataEndpoint } from '../ground/link.ts';
import { isSameHost, SOCKADDR_BYTES } from '../ground/sockaddr.ts';
import type { Ingress } from './ingress.ts';

/** Datagrams (or trains) taken from a socket in one call: at most, and where trains are long. */
const BURST_MESSAGES = 64;
const BURST_MESSAGES_MIN = 8;
/** What one call should bring: as much as is still in the processor's cache when it is written. */
const BURST_BYTES = 512 * 1024;
/** Largest datagram or train that IPv4 can carry, and a little slack. */
const BUFFER_BYTES = 65536 + 64;
/** How often one receive is tried again after an error. */
const ATTEMPTS_MAX = 3;
const CONTROL_BYTES = 96;
/** A control message of at most 8 bytes. */
const CONTROL_ENTRY_BYTES = CMSG_HEADER_BYTES + 8;

const RECEIVE_ERRORS = eventIndex('receive_errors');

export class Receiver {
  readonly #arena: Arena;
  readonly #layout: Layout;
  readonly #ingress: Ingress;
  readonly #messages: number;
  readonly #names: number;
  readonly #controls: number;
  readonly #buffers: number;
  /** How many messages the next call asks for. */
  #burst = BURST_MESSAGES;
  // Ancillary data of the message in hand.
  #segmentBytes = 0;
  #tos = 0;

  constructor(arena: Arena, layout: Layout, ingress: Ingress) {
    this.#arena = arena;
    this.#layout = layout;
    this.#ingress = ingress;
    this.#messages = arena.allocate(BURST_MESSAGES * MMSGHDR_BYTES);
    const iovecs = arena.allocate(BURST_MESSAGES * IOVEC_BYTES);
    this.#names = arena.allocate(BURST_MESSAGES * SOCKADDR_BYTES);
    this.#controls = arena.allocate(BURST_MESSAGES * CONTROL_BYTES);
    this.#buffers = arena.allocate(BURST_MESSAGES * BUFFER_BYTES);
    for (let i = 0; i < BURST_MESSAGES; i++) {
      const at = this.#messages + i * MMSGHDR_BYTES;
      arena.writeIovec(iovecs + i * IOVEC_BYTES, this.#buffers + i * BUFFER_BYTES, BUFFER_BYTES);
      arena.writePointer(at + MSGHDR.NAME, this.#names + i * SOCKADDR_BYTES);
      arena.writePointer(at + MSGHDR.IOV, iovecs + i * IOVEC_BYTES);
      arena.view.setUint32(at + MSGHDR.IOV_LENGTH, 1, true);
      arena.writePointer(at + MSGHDR.CONTROL, this.#controls + i * CONTROL_BYTES);
      this.#rearm(i);
    }
  }

  /** The kernel overwrites these words with what it used. */
  #rearm(message: number): void {
    const { view } = this.#arena;
    const at = this.#messages + message * MMSGHDR_BYTES;
    view.setUint32(at + MSGHDR.NAME_LENGTH, SOCKADDR_BYTES, true);
    view.setUint32(at + MSGHDR.CONTROL_LENGTH, CONTROL_BYTES, true);
    view.setUint32(at + MSGHDR.FLAGS, 0, true);
  }

  /** Moves up to one burst from an endpoint to its links' devices; returns messages received. */
  receiveBurst(endpoint: DataEndpoint, socket: number, nowMs: number): number {
    this.#ingress.nowMs = nowMs;
    this.#ingress.versionInside = endpoint.versionInside(socket);
    let count = -1;
    for (let attempt = 0; count < 0; attempt++) {
      count = endpoint.underlay.receive(socket, this.#messages, this.#burst);
      if (count >= 0) break;
      const error = -count;
      if (error === EAGAIN || error === EINTR) return 0;
      const link = endpoint.links[0];
      if (link !== undefined) {
        link.counters[RECEIVE_ERRORS] = (link.counters[RECEIVE_ERRORS] as number) + 1;
      }
      this.#layout.recordError(ErrorSite.Receive, error);
      // Usually an ICMP error, reported once, with its text in the error queue: what arrived
      // waits behind it, and must not wait for ever while more errors come.
      if (attempt < ATTEMPTS_MAX) continue;
      endpoint.receiveErrors++;
      return 0;
    }
    endpoint.receiveErrors = 0;
    this.#take(endpoint, count);
    return count;
  }

  /** Hands the first `count` messages on, and makes room for the next ones. */
  #take(endpoint: DataEndpoint, count: number): void {
    const { view } = this.#arena;
    let bytes = 0;
    let alikeEnd = 0;
    for (let i = 0; i < count; ) {
      if (i >= alikeEnd) alikeEnd = this.#endOfAlike(i, count);
      const at = this.#messages + i * MMSGHDR_BYTES;
      const buffer = this.#buffers + i * BUFFER_BYTES;
      const length = view.getUint32(at + MMSGHDR_LENGTH, true);
      const source = this.#names + i * SOCKADDR_BYTES;
      if (this.#isCutOff(at)) this.#ingress.truncated(endpoint, length, source);
      else {
        this.#ingress.message(endpoint, buffer, length, source, this.#tos, this.#segmentBytes);
      }
      let next = i + 1;
      if (next < alikeEnd) {
        const more = alikeEnd - next;
        next += this.#ingress.more(endpoint, buffer + BUFFER_BYTES, length, BUFFER_BYTES, more);
      }
      bytes += (next - i) * length;
      for (; i < next; i++) this.#rearm(i);
    }
    this.#ingress.flush();
    this.#adapt(count, bytes);
  }

  /**
   * Lays the `length` bytes at `offset` where the kernel would have put a message, with what it would have told
   * beside: a warm-up's sockets tell nothing. {@link takeLaid} takes all that lie.
   * @param message its place, below 64
   * @param source arena offset of the socket address that it comes from
   * @param segmentBytes of a train; 0 = it is none
   */
  lay(
    message: number,
    offset: number,
    length: number,
    source: number,
    tos: number,
    segmentBytes: number,
  ): void {
    const { bytes, view } = this.#arena;
    const at = this.#messages + message * MMSGHDR_BYTES;
    const control = this.#controls + message * CONTROL_BYTES;
    const name = this.#names + message * SOCKADDR_BYTES;
    bytes.copyWithin(this.#buffers + message * BUFFER_BYTES, offset, offset + length);
    bytes.copyWithin(name, source, source + SOCKADDR_BYTES);
    view.setUint32(at + MMSGHDR_LENGTH, length, true);
    emitControl(view, control, IPPROTO_IP, IP_TOS, 1);
    view.setUint8(control + CMSG_HEADER_BYTES, tos);
    let controlBytes = CONTROL_ENTRY_BYTES;
    if (segmentBytes !== 0) {
      emitControl(view, control + controlBytes, SOL_UDP, UDP_GRO, 4);
      view.setInt32(control + controlBytes + CMSG_HEADER_BYTES, segmentBytes, true);
      controlBytes += CONTROL_ENTRY_BYTES;
    }
    view.setUint32(at + MSGHDR.CONTROL_LENGTH, controlBytes, true);
  }

  /** Takes `count` messages that were laid, as if they had been received. */
  takeLaid(endpoint: DataEndpoint, count: number, nowMs: number): void {
    this.#ingress.nowMs = nowMs;
    this.#ingress.versionInside = endpoint.versionInside(endpoint.listeners[0] ?? -1);
    this.#take(endpoint, count);
  }

  #isCutOff(header: number): boolean {
    return (
      (this.#arena.view.getUint32(header + MSGHDR.FLAGS, true) & (MSG_TRUNC | MSG_CTRUNC)) !== 0
    );
  }

  /**
   * Reads the ancillary data of `message` and returns where the messages end that are single
   * datagrams of the same length, source and ancillary data: they may continue its flow.
   */
  #endOfAlike(message: number, count: number): number {
    const { view } = this.#arena;
    const at = this.#messages + message * MMSGHDR_BYTES;
    this.#readControl(
      this.#controls + message * CONTROL_BYTES,
      view.getUint32(at + MSGHDR.CONTROL_LENGTH, true),
    );
    let end = message + 1;
    if (this.#segmentBytes !== 0) return end;
    const tos = this.#tos;
    const length = view.getUint32(at + MMSGHDR_LENGTH, true);
    const source = this.#names + message * SOCKADDR_BYTES;
    for (; end < count; end++) {
      const header = this.#messages + end * MMSGHDR_BYTES;
      if (
        view.getUint32(header + MMSGHDR_LENGTH, true) !== length ||
        !isSameHost(view, this.#names + end * SOCKADDR_BYTES, source) ||
        this.#isCutOff(header)
      ) {
        break;
      }
      this.#readControl(
        this.#controls + end * CONTROL_BYTES,
        view.getUint32(header + MSGHDR.CONTROL_LENGTH, true),
      );
      if (this.#segmentBytes !== 0 || this.#tos !== tos) break;
    }
    this.#segmentBytes = 0;
    this.#tos = tos;
    return end;
  }

  /** Sizes the next call after what one message of the last brought: trains or small packets. */
  #adapt(count: number, bytes: number): void {
    const fitting = Math.floor((BURST_BYTES * count) / Math.max(bytes, 1));
    this.#burst = Math.max(BURST_MESSAGES_MIN, Math.min(fitting, BURST_MESSAGES));
  }

  /** Takes TOS and train segment size from the control messages at `at`. */
  #readControl(at: number, length: number): void {
    const { view } = this.#arena;
    this.#segmentBytes = 0;
    this.#tos = 0;
    const end = at + Math.min(length, CONTROL_BYTES);
    let entry = at;
    while (entry + 16 < end) {
      const entryBytes = view.getUint32(entry, true);
      if (entryBytes <= 16) return;
      const level = view.getInt32(entry + 8, true);
      const type = view.getInt32(entry + 12, true);
      if (level === SOL_UDP && type === UDP_GRO) {
        this.#segmentBytes = view.getInt32(entry + 16, true);
      } else if (
        (level === IPPROTO_IP && type === IP_TOS) ||
        (level === IPPROTO_IPV6 && type === IPV6_TCLASS)
      ) {
        // A byte in the one, an int in the other, whose first byte it is.
        this.#tos = view.getUint8(entry + 16);
      }
      entry += (entryBytes + 7) & ~7;
    }
  }
}

/** Writes the head of a control message with `dataBytes` behind it (`struct cmsghdr`). */
function emitControl(
  view: DataView,
  at: number,
  level: number,
  type: number,
  dataBytes: number,
): void {
  view.setUint32(at, CMSG_HEADER_BYTES + dataBytes, true);
  view.setUint32(at + 4, 0, true);
  view.setInt32(at + 8, level, true);
  view.setInt32(at + 12, type, true);
}
