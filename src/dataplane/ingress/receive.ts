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
import type { Clock } from '../queue/time-slice.ts';
import { Ancillary } from './ancillary.ts';
import type { Ingress } from './ingress.ts';
import { BUFFER_BYTES, Messages } from './messages.ts';
import { areMany, Sort } from './sort.ts';

/** Datagrams (or trains) taken from a socket in one call: at most, and where trains are long. */
const BURST_MAX = 64;
const BURST_MIN = 8;
/** What one call should bring: as much as is still in the processor's cache when it is written. */
const BURST_BYTES = 512 * 1024;
/** Bursts that a router which is behind takes from a socket at a time, to see who is in it. */
const BURSTS_BEHIND = 16;
/** How often one receive is tried again after an error. */
const ATTEMPTS_MAX = 3;

const RECEIVE_ERRORS = eventIndex('receive_errors');

export class Receiver {
  readonly #layout: Layout;
  readonly #ingress: Ingress;
  /** What a call fills. */
  readonly messages: Messages;
  readonly #ancillary: Ancillary;
  /** Where what is too much for one turn is sorted. */
  readonly sort: Sort;
  /** How many messages the next call asks for. */
  #burst = BURST_MAX;

  /**
   * @param seed what flows that wait are hashed with; a secret of its own unless given
   * @param clock what turns are timed by; the system's unless given
   */
  constructor(arena: Arena, layout: Layout, ingress: Ingress, seed?: number, clock?: Clock) {
    this.#layout = layout;
    this.#ingress = ingress;
    this.#ancillary = new Ancillary(arena);
    this.messages = new Messages(arena, BURST_MAX);
    this.sort = new Sort(arena, this.messages, this.#ancillary, ingress, seed, clock);
  }

  /** Moves up to one burst, `most` messages, from an endpoint to its links' devices; returns messages received. */
  receiveBurst(endpoint: DataEndpoint, socket: number, nowMs: number, most = BURST_MAX): number {
    this.#ingress.begin(nowMs, endpoint.versionInside(socket));
    const count = this.#receive(endpoint, socket, Math.min(most, this.#burst));
    if (count === 0) return 0;
    const small = this.sort.countSmall(count);
    const isMuch = areMany(count, small, count === BURST_MAX);
    const toSort = isMuch || (this.sort.held.gathers && small > 0);
    if ((toSort && !this.#ingress.sheds) || this.backlog > 0) {
      return this.#sortAll(endpoint, socket, count, nowMs);
    }
    this.#take(endpoint, count);
    return count;
  }

  /** What is received and has to wait, packets. */
  get backlog(): number {
    return this.sort.held.packets;
  }

  /** More is there than can be delivered at once: takes it all, the first `count` that are here and what follows. */
  #sortAll(endpoint: DataEndpoint, socket: number, count: number, nowMs: number): number {
    this.sort.held.begin(endpoint, socket, nowMs);
    let all = 0;
    for (let [taken, burst] = [count, 1]; taken > 0; burst++) {
      if (burst > 1) this.sort.countSmall(taken);
      const isFull = taken === this.#burst;
      this.#adapt(taken, this.sort.take(endpoint, taken));
      all += taken;
      taken = isFull && burst < BURSTS_BEHIND ? this.#receive(endpoint, socket, this.#burst) : 0;
    }
    return all;
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
      if (i >= alikeEnd) alikeEnd = this.#ancillary.endOfAlike(messages, i, count);
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

  /** One call for up to `most`, again where an error was reported in its place; returns messages received. */
  #receive(endpoint: DataEndpoint, socket: number, most: number): number {
    for (let attempt = 0; ; attempt++) {
      const count = endpoint.underlay.receive(socket, this.messages.headers, most);
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

  /** Sizes the next call after what one message of the last brought: trains or small packets. */
  #adapt(count: number, bytes: number): void {
    const fitting = Math.floor((BURST_BYTES * count) / Math.max(bytes, 1));
    this.#burst = Math.max(BURST_MIN, Math.min(fitting, BURST_MAX));
  }
}
