/**
 * Time as far as this node was awake to see it. A process that is stopped, swapped out or starved
 * misses the answers of others, not because they are dead but because it was not there; so time
 * that went by between two late ticks does not count against anybody.
 * @module
 */

/** A tick that comes this much later than it was asked for is late. */
export const LATE_MS = 250;

export class WakingClock {
  #nowMs: number;
  #awakeMs = 0;
  #wantedMs = 0;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  /** Milliseconds awake since the start, as of the last tick. */
  get awakeMs(): number {
    return this.#awakeMs;
  }

  /**
   * A tick begins.
   * @returns by how much it is late, ms; 0 when it is in time.
   */
  advance(nowMs: number): number {
    const gapMs = Math.max(0, nowMs - this.#nowMs);
    const lateMs = gapMs - this.#wantedMs;
    this.#nowMs = nowMs;
    this.#awakeMs += lateMs > LATE_MS ? this.#wantedMs : gapMs;
    return lateMs > LATE_MS ? lateMs : 0;
  }

  /** The next tick is asked for in so many milliseconds. */
  sleep(wantedMs: number): void {
    this.#wantedMs = wantedMs;
  }
}
