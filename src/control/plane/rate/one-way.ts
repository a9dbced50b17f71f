/**
 * How much longer the way to a host is than when it is idle, from times on two clocks whose difference
 * nobody knows: it is the same for all packets, but for what the clocks drift, so the least that was seen
 * lately is the idle way (RFC 6817 §2.1).
 *
 * Pure: times come in, ms on whatever clock each side has.
 * @module
 */

/** The least of each such time is kept, ms, and so many of them. */
const WINDOW_MS = 5000;
const WINDOWS = 8;
/** A round trip that is longer than the shortest one by no more than this met no queue, ms. */
const CLEAN_MS = 0.5;
/** Drift is told from this many windows on in which round trips met none, over this time at least, ms. */
const DRIFT_WINDOWS = 4;
const DRIFT_MS = 15_000;
/** Clocks of computers drift by less than this, ms a ms. */
const DRIFT_MAX = 200e-6;
/** A way that is longer by more than its round trip, ms: somebody has set a clock. */
const STEP_MS = 2;

type Time = { atMs: number; ms: number };
/** The least that was seen in a window, and of those whose round trip met no queue. */
type Window = { least: Time; clean: Time | undefined };

export class OneWay {
  /** The window in hand is the last one. */
  #windows: Window[] = [];
  #sinceMs = 0;

  /**
   * Takes a packet's time into account.
   * @param sentMs on our clock
   * @param ms until it arrived, by both clocks
   * @param roundTripAboveMs how much longer than the shortest one its round trip was
   * @returns how much longer it took than on the idle way, ms
   */
  note(sentMs: number, ms: number, roundTripAboveMs: number): number {
    if (this.#windows.length > 0 && ms - this.#idleMs(sentMs) > roundTripAboveMs + STEP_MS) {
      // Some of the round trip cannot take longer than all of it.
      this.forget();
    }
    const now = { atMs: sentMs, ms };
    const clean = roundTripAboveMs <= CLEAN_MS ? now : undefined;
    const last = this.#windows.at(-1);
    if (last === undefined || sentMs - this.#sinceMs > WINDOW_MS) {
      this.#windows.push({ least: now, clean });
      if (this.#windows.length > WINDOWS) this.#windows.shift();
      this.#sinceMs = sentMs;
    } else {
      if (ms < last.least.ms) last.least = now;
      if (clean !== undefined && ms < (last.clean?.ms ?? Number.POSITIVE_INFINITY))
        last.clean = clean;
    }
    const above = Math.max(0, ms - this.#idleMs(sentMs));
    return Math.min(above, Math.max(0, roundTripAboveMs));
  }

  /** How long the idle way takes at a time, by both clocks. */
  #idleMs(atMs: number): number {
    const drift = this.#drift();
    let idle = Number.POSITIVE_INFINITY;
    for (const { least } of this.#windows) {
      idle = Math.min(idle, least.ms + drift * (atMs - least.atMs));
    }
    return idle;
  }

  /** By how much the clocks drift apart, ms a ms: the slope of a line through what met no queue. */
  #drift(): number {
    const clean = this.#windows.flatMap(({ clean }) => (clean === undefined ? [] : [clean]));
    const [first] = clean;
    const last = clean.at(-1);
    if (first === undefined || last === undefined || clean.length < DRIFT_WINDOWS) return 0;
    if (last.atMs - first.atMs < DRIFT_MS) return 0;
    const atMs = clean.reduce((sum, one) => sum + one.atMs, 0) / clean.length;
    const ms = clean.reduce((sum, one) => sum + one.ms, 0) / clean.length;
    let [product, square] = [0, 0];
    for (const one of clean) {
      product += (one.atMs - atMs) * (one.ms - ms);
      square += (one.atMs - atMs) ** 2;
    }
    return Math.max(-DRIFT_MAX, Math.min(DRIFT_MAX, product / square));
  }

  /** The way is another one, or a clock is. */
  forget(): void {
    this.#windows = [];
  }
}
