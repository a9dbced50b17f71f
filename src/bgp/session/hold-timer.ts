/**
 * The hold timer of a session (RFC 4271 §8). It is not set anew with each message: when it runs out
 * it looks how long ago the last one came.
 * @module
 */
import type { Timers } from '../base/api.ts';
import { Timer } from '../base/timer.ts';

/** It looks once more this much later: what came while this process slept is read first. */
const GRACE_MS = 500;

export class HoldTimer {
  readonly #timers: Timers;
  readonly #timer: Timer;
  readonly #expired: (silentMs: number) => void;
  #holdMs = 0;
  #heardMs = 0;
  #isLate = false;

  constructor(timers: Timers, expired: (silentMs: number) => void) {
    this.#timers = timers;
    this.#expired = expired;
    this.#timer = new Timer(timers, () => this.#look());
  }

  /** Agreed, ms; 0 = never. */
  get holdMs(): number {
    return this.#holdMs;
  }

  /** Begins anew with this time, ms; 0 stops it. */
  start(holdMs: number): void {
    this.#holdMs = holdMs;
    this.heard();
    if (holdMs === 0) this.#timer.stop();
    else this.#timer.start(holdMs);
  }

  stop(): void {
    this.#timer.stop();
  }

  /** The neighbour said something. */
  heard(): void {
    this.#heardMs = this.#timers.nowMs();
    this.#isLate = false;
  }

  #look(): void {
    const silentMs = this.#timers.nowMs() - this.#heardMs;
    if (silentMs < this.#holdMs) {
      this.#timer.start(this.#holdMs - silentMs);
    } else if (!this.#isLate) {
      this.#isLate = true;
      this.#timer.start(GRACE_MS);
    } else {
      this.#expired(silentMs);
    }
  }
}
