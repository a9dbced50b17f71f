/**
 * Watches the sockets that only send. What ICMP says of a datagram has to be judged when it comes:
 * left in the error queue until that socket sends again, a lie about a small packet would be read
 * after a large one and believed. One epoll descriptor stands for all of them in the poll set.
 * @module
 */
import { SystemError } from '../../sys/libc/libc.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataEndpoint } from '../ground/link.ts';
import type { Waiting } from '../ground/ports.ts';

/** `struct epoll_event`: events u32, data u64; packed on x86 only (epoll_ctl(2)). */
const IS_PACKED = process.arch === 'x64';
const EVENT_BYTES = IS_PACKED ? 12 : 16;
const DATA_OFFSET = IS_PACKED ? 4 : 8;
/** Sockets looked at in one round; epoll is fair about the others. */
const EVENTS_MAX = 16;

export class SenderWatch {
  /** Readable when one of the sockets has an error waiting. */
  readonly descriptor: number;
  readonly #arena: Arena;
  readonly #waiting: Waiting;
  readonly #events: number;
  /** By the number that the events of a socket bear; a place whose socket has gone is used again. */
  readonly #endpoints: (DataEndpoint | undefined)[] = [];
  readonly #sockets: number[] = [];

  /** @throws SystemError when the kernel refuses */
  constructor(arena: Arena, waiting: Waiting) {
    this.#arena = arena;
    this.#waiting = waiting;
    this.#events = arena.allocate(EVENTS_MAX * EVENT_BYTES);
    this.descriptor = waiting.openSet();
  }

  /** Watches the sockets of an endpoint that only send. @throws SystemError when the kernel refuses */
  add(endpoint: DataEndpoint): void {
    for (const socket of endpoint.sockets.slice(endpoint.listeners.length))
      this.#add(endpoint, socket);
  }

  /** Before they are closed: control may hold them still, and the set goes by what they are. */
  remove(endpoint: DataEndpoint): void {
    for (const [place, held] of this.#endpoints.entries()) {
      if (held !== endpoint) continue;
      this.#endpoints[place] = undefined;
      this.#waiting.unwatchErrors(this.descriptor, this.#sockets[place] as number);
    }
  }

  #add(endpoint: DataEndpoint, socket: number): void {
    const { view } = this.#arena;
    const free = this.#endpoints.indexOf(undefined);
    const place = free < 0 ? this.#endpoints.length : free;
    // No event is asked for: errors are reported always.
    view.setUint32(this.#events, 0, true);
    view.setUint32(this.#events + DATA_OFFSET, place, true);
    view.setUint32(this.#events + DATA_OFFSET + 4, 0, true);
    const result = this.#waiting.watchErrors(this.descriptor, socket, this.#events);
    if (result < 0) throw new SystemError('epoll_ctl', -result);
    this.#endpoints[place] = endpoint;
    this.#sockets[place] = socket;
  }

  /** It cannot be used any more. */
  close(): void {
    this.#waiting.closeSet(this.descriptor);
  }

  /** Calls `drain` for each socket that has an error waiting. */
  serve(drain: (endpoint: DataEndpoint, socket: number) => void): void {
    const { view } = this.#arena;
    const count = this.#waiting.takeEvents(this.descriptor, this.#events, EVENTS_MAX);
    for (let i = 0; i < count; i++) {
      const index = view.getUint32(this.#events + i * EVENT_BYTES + DATA_OFFSET, true);
      const endpoint = this.#endpoints[index];
      if (endpoint !== undefined) drain(endpoint, this.#sockets[index] as number);
    }
  }
}
