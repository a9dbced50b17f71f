/**
 * Sorting what a socket brings where more of small packets is there than can be delivered at once: it is taken all,
 * and whoever has nothing waiting goes first (queue/backlog.ts).
 * @module
 */
import type { Arena } from '../ground/arena.ts';
import type { DataEndpoint } from '../ground/link.ts';
import { Backlog } from '../queue/backlog.ts';
import type { Ancillary } from './ancillary.ts';
import type { Ingress } from './ingress.ts';
import type { Messages } from './messages.ts';

/**
 * Packets that are shorter than this, on average, bytes, are small. What is longer takes less time to deliver
 * than the socket has room for.
 */
const SMALL_BYTES = 512;

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
  ) {
    this.#messages = messages;
    this.#ancillary = ancillary;
    this.#ingress = ingress;
    this.backlog = new Backlog(arena, ingress, seed);
  }

  /** Whether the packets of the first `count` messages are small. */
  areSmall(count: number): boolean {
    const [messages, ancillary] = [this.#messages, this.#ancillary];
    let bytes = 0;
    let packets = 0;
    for (let i = 0; i < count; i++) {
      const length = messages.lengthOf(i);
      ancillary.read(messages.controlOf(i), messages.controlBytesOf(i));
      bytes += length;
      packets += ancillary.segmentBytes > 0 ? Math.ceil(length / ancillary.segmentBytes) : 1;
    }
    return bytes < packets * SMALL_BYTES;
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
