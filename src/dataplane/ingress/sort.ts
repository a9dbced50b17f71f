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

export class Sort {
  readonly #messages: Messages;
  readonly #ancillary: Ancillary;
  readonly #ingress: Ingress;
  /** What has to wait. */
  readonly backlog: Backlog;

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
    this.backlog = new Backlog(arena, ingress, seed, clock);
  }

  /**
   * Whether the first `count` messages are small packets, and too many of them for one turn.
   * @param isMore there may be more of them in the socket
   */
  areMany(count: number, isMore: boolean): boolean {
    if (count < MESSAGES_MIN) return false;
    const [messages, ancillary] = [this.#messages, this.#ancillary];
    let bytes = 0;
    let packets = 0;
    for (let i = 0; i < count; i++) {
      const length = messages.lengthOf(i);
      ancillary.read(messages.controlOf(i), messages.controlBytesOf(i));
      bytes += length;
      packets += ancillary.segmentBytes > 0 ? Math.ceil(length / ancillary.segmentBytes) : 1;
    }
    return (isMore || packets > MANY_PACKETS) && bytes < packets * SMALL_BYTES;
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
        this.backlog.sort(messages.bufferOf(i), length, source, tos, segmentBytes);
      }
      bytes += length;
      messages.rearm(i);
    }
    this.#ingress.flush();
    return bytes;
  }
}
