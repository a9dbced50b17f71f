/**
 * Work that is done while there is nothing to forward, a moment at a time: packets come first.
 * @module
 */
import type { PollSet } from './poll-set.ts';

/** How long the loop sleeps between two pieces of it, µs: others want the core too. */
const REST_US = 50;

export class AtWork {
  /** Does a piece of it; false = that was the last. Undefined = there is nothing to do. */
  work: (() => boolean) | undefined;
  readonly #poll: PollSet;

  constructor(poll: PollSet) {
    this.#poll = poll;
  }

  /** Waits for what is ready, and does a piece of work meanwhile; how many are ready. */
  wait(): number {
    const ready = this.#poll.wait(0);
    if (ready !== 0) return ready;
    if (this.work?.() === false) this.work = undefined;
    return this.#poll.waitUs(REST_US);
  }
}
