/**
 * Receiving from the underlay: one `recvmmsg` for a batch, each message perhaps a train (UDP_GRO),
 * with the outer source, TOS and train size that came along.
 * @module
 */
import type { Layout } from '../../shm/layout.ts';
import { ErrorSite } from '../../shm/worker.ts';
import { EAGAIN, EINTR } from '../../sys/libc/constants.ts';
import { eventIndex } from '../../table/counters.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataEndpoint } from '../ground/link.ts';
import { isSameHost } from '../ground/sockaddr.ts';
import { Ancillary } from './ancillary.ts';
import type { Ingress } from './ingress.ts';
import { BUFFER_BYTES, Messages } from './messages.ts';

/** Datagrams (or trains) taken from a socket in one call: at most, and where trains are long. */
const BURST_MESSAGES = 64;
const BURST_MESSAGES_MIN = 8;
/** What one call should bring: as much as is still in the processor's cache when it is written. */
const BURST_BYTES = 512 * 1024;
/** How often one receive is tried again after an error. */
const ATTEMPTS_MAX = 3;

const RECEIVE_ERRORS = eventIndex('receive_errors');

export class Receiver {
  readonly #arena: Arena;
  readonly #layout: Layout;
  readonly #ingress: Ingress;
  /** What a call fills. */
  readonly messages: Messages;
  readonly #ancillary: Ancillary;
  /** How many messages the next call asks for. */
  #burst = BURST_MESSAGES;

  constructor(arena: Arena, layout: Layout, ingress: Ingress) {
    this.#arena = arena;
    this.#layout = layout;
    this.#ingress = ingress;
    this.#ancillary = new Ancillary(arena);
    this.messages = new Messages(arena, BURST_MESSAGES);
  }

  /** Moves up to one burst from an endpoint to its links' devices; returns messages received. */
  receiveBurst(endpoint: DataEndpoint, socket: number, nowMs: number): number {
    this.#ingress.begin(nowMs, endpoint.versionInside(socket));
    const count = this.#receive(endpoint, socket);
    if (count > 0) this.#take(endpoint, count);
    return count;
  }

  /** Takes `count` messages that were laid ({@link Messages.lay}), as if they had been received. */
  takeLaid(endpoint: DataEndpoint, count: number, nowMs: number): void {
    this.#ingress.begin(nowMs, endpoint.versionInside(endpoint.listeners[0] ?? -1));
    this.#take(endpoint, count);
  }

  /** Hands the first `count` messages on, and makes room for the next ones. */
  #take(endpoint: DataEndpoint, count: number): void {
    const ingress = this.#ingress;
    const { messages } = this;
    let bytes = 0;
    let alikeEnd = 0;
    for (let i = 0; i < count; ) {
      if (i >= alikeEnd) alikeEnd = this.#endOfAlike(i, count);
      const buffer = messages.bufferOf(i);
      const length = messages.lengthOf(i);
      const source = messages.nameOf(i);
      if (messages.isCutOff(i)) ingress.truncated(endpoint, length, source);
      else {
        const { tos, segmentBytes } = this.#ancillary;
        ingress.message(endpoint, buffer, length, source, tos, segmentBytes);
      }
      let next = i + 1;
      if (next < alikeEnd) {
        const more = alikeEnd - next;
        next += ingress.more(endpoint, buffer + BUFFER_BYTES, length, BUFFER_BYTES, more);
      }
      bytes += (next - i) * length;
      for (; i < next; i++) messages.rearm(i);
    }
    ingress.flush();
    this.#adapt(count, bytes);
  }

  /** One call, again where an error was reported in its place; returns messages received. */
  #receive(endpoint: DataEndpoint, socket: number): number {
    for (let attempt = 0; ; attempt++) {
      const count = endpoint.underlay.receive(socket, this.messages.headers, this.#burst);
      if (count >= 0) {
        endpoint.receiveErrors = 0;
        return count;
      }
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
  }

  /**
   * Reads the ancillary data of `message` and returns where the messages end that are single
   * datagrams of the same length, source and ancillary data: they may continue its flow.
   */
  #endOfAlike(message: number, count: number): number {
    const { view } = this.#arena;
    const { messages } = this;
    const ancillary = this.#ancillary;
    ancillary.read(messages.controlOf(message), messages.controlBytesOf(message));
    let end = message + 1;
    if (ancillary.segmentBytes !== 0) return end;
    const { tos } = ancillary;
    const length = messages.lengthOf(message);
    const source = messages.nameOf(message);
    for (; end < count; end++) {
      if (
        messages.lengthOf(end) !== length ||
        !isSameHost(view, messages.nameOf(end), source) ||
        messages.isCutOff(end)
      ) {
        break;
      }
      ancillary.read(messages.controlOf(end), messages.controlBytesOf(end));
      if (ancillary.segmentBytes !== 0 || ancillary.tos !== tos) break;
    }
    ancillary.segmentBytes = 0;
    ancillary.tos = tos;
    return end;
  }

  /** Sizes the next call after what one message of the last brought: trains or small packets. */
  #adapt(count: number, bytes: number): void {
    const fitting = Math.floor((BURST_BYTES * count) / Math.max(bytes, 1));
    this.#burst = Math.max(BURST_MESSAGES_MIN, Math.min(fitting, BURST_MESSAGES));
  }
}
