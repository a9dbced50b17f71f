/**
 * A turn that is bounded in time: how many packets fit depends on how warm the code is, and on who else uses the
 * processor's caches. The clock is asked once for some packets.
 * @module
 */

/** Packets between two looks at the clock: some 30 µs of warm code, half a millisecond of cold. */
const PACKETS_A_LOOK = 16;

/** A clock that nobody sets, ms. */
export type Clock = () => number;

export const ownClock: Clock = () => performance.now();

export class TimeSlice {
  readonly #nowMs: Clock;
  readonly #ms: number;
  #endMs = 0;
  #unseen = 0;

  /** @param ms how long a turn takes */
  constructor(ms: number, nowMs: Clock) {
    this.#ms = ms;
    this.#nowMs = nowMs;
  }

  begin(): void {
    this.#endMs = this.#nowMs() + this.#ms;
    this.#unseen = 0;
  }

  /** Some more packets are done: whether the turn is over. */
  isOver(packets: number): boolean {
    this.#unseen += packets;
    if (this.#unseen < PACKETS_A_LOOK) return false;
    this.#unseen = 0;
    return this.#nowMs() >= this.#endMs;
  }
}
