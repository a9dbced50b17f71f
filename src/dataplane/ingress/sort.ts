/**
 * Sorting what a socket brings where more of small packets is there than can be delivered at once: it is taken all,
 * and whoever has nothing waiting goes first (queue/backlog.ts).
 * @module
 */
import type { Arena } from '../ground/arena.ts';
import type { DataEndpoint } from '../ground/link.ts';
import { Backlog } from '../queue/backlog.ts';
import type { Clock } from '../queue/time-slice.ts';
import type { Ancillary } from './ancillary.ts';
import type { Ingress } from './ingress.ts';
import type { Messages } from './messages.ts';

/**
 * Packets that are shorter than this, on average, bytes, are small. What is longer takes less time to deliver
 * than the socket has room for.
 */
const SMALL_BYTES = 512;
/** More of them than a turn is for (queue/backlog.ts). */
const MANY_PACKETS = 256;
/** Fewer messages hold no more than that. */
const MESSAGES_MIN = 4;

/**
 * Whether `messages` messages, together so many small packets, are too many for one turn.
 * @param isMore there may be more of them in the socket
 */
export function areMany(messages: number, smallPackets: number, isMore: boolean): boolean {
  return messages >= MESSAGES_MIN && smallPackets > (isMore ? 0 : MANY_PACKETS);
}

export class Sort {
  readonly #messages: Messages;
  readonly #ancillary: Ancillary;
  readonly #ingress: Ingress;
  /** What has to wait. */
  readonly held: Backlog;
  /** Small packets, of all that were counted. */
  #cameSmall = 0;

  constructor(
    arena: Arena,
    messages: Messages,
    ancillary: Ancillary,
    ingress: Ingress,
    seed?: number,
    clock?: Clock,
  ) {
    this.#messages = messages;
    this.#ancillary = ancillary;
    this.#ingress = ingress;
    this.held = new Backlog(arena, ingress, seed, clock);
  }

  /** Counts how many packets the first `count` messages are, if they are small; else 0. */
  countSmall(count: number): number {
    const [messages, ancillary] = [this.#messages, this.#ancillary];
    let bytes = 0;
    let packets = 0;
    for (let i = 0; i < count; i++) {
      const length = messages.lengthOf(i);
      ancillary.read(messages.controlOf(i), messages.controlBytesOf(i));
      bytes += length;
      packets += ancillary.segmentBytes > 0 ? Math.ceil(length / ancillary.segmentBytes) : 1;
    }
    const small = bytes < packets * SMALL_BYTES ? packets : 0;
    this.#cameSmall += small;
    return small;
  }

  /** Small packets that have come since this was asked last. */
  takeSmall(): number {
    const came = this.#cameSmall;
    this.#cameSmall = 0;
    return came;
  }

  /** Delivers of what waits that which has waited longest; returns how many packets. */
  release(nowMs: number): number {
    return this.held.release(nowMs);
  }

  /** Delivers of the first `count` messages what may go first, keeps the rest, and makes room; returns their bytes. */
  take(endpoint: DataEndpoint, count: number): number {
    const [messages, ancillary] = [this.#messages, this.#ancillary];
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const length = messages.lengthOf(i);
      const source = messages.nameOf(i);
      ancillary.read(messages.controlOf(i), messages.controlBytesOf(i));
      if (messages.isCutOff(i)) this.#ingress.truncated(endpoint, length, source);
      else {
        const { tos, segmentBytes } = ancillary;
        this.held.sort(messages.bufferOf(i), length, source, tos, segmentBytes);
      }
      bytes += length;
      messages.rearm(i);
    }
    this.#ingress.flush();
    return bytes;
  }
}
