/**
 * Moderation: while packets stream one way faster than they are worth a wake-up each, the loop sleeps
 * for a moment after a small round, so that the next one finds more. A wake-up, a poll and a send cost
 * the same for two packets as for sixty; and on a machine that is busy, a process that asks for the core
 * after every packet takes it from whoever makes or consumes them.
 *
 * A real-time thread sleeps for the others' sake too: whatever comes, it leaves them a share of its core.
 *
 * What is slow, what goes both ways (an answer waits for nobody here) and what comes in large rounds
 * anyway is never held up.
 * @module
 */

/** Packets and trains a second, one way, from which on they stream. */
const STREAM_PER_SECOND = 20_000;
/** The other way may carry this share of them: acknowledgements, but no conversation. */
const OTHER_WAY_SHARE = 1 / 4;
/** A round that moved so many is worth its wake-up. */
const ROUND_PACKETS = 32;
/** How long what streams is counted before it is judged, ms. */
const WINDOW_MS = 5;
/** A window that took longer than this had silence in it: nothing streams. */
const WINDOW_MS_MAX = 4 * WINDOW_MS;

/** A real-time loop that was awake for so long sleeps for a moment: a tenth is everybody else's. */
const REALTIME_AWAKE_MS = 0.9;
/** That moment, µs. Both are short: whoever waits behind it, be it another real-time one, waits no longer. */
export const REALTIME_REST_US = 100;
/** A wait that took so long was a sleep, ms. */
const ASLEEP_MS = 0.03;
/**
 * How often to ask whether the thread is real-time, ms: control makes it so while it is behind, an administrator at
 * any time, and then it must sleep long before its limit (sys/process/priority.ts).
 */
const ASK_MS = 5;

/** How long the loop sleeps after a small round, µs: some 12 packets at 120,000 a second. */
export const MODERATION_US = 100;

/**
 * The same for a real-time thread, which takes the core from whoever makes the packets as soon as there is one: it lets
 * more of them gather.
 */
const URGENT_PACKETS = 256;
export const URGENT_US = 300;

export class Moderation {
  #out = 0;
  #in = 0;
  #sinceMs = 0;
  #streams = false;
  readonly #isRealtime: () => boolean;
  #realtime = false;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #awakeSinceMs = 0;

  /** @param isRealtime whether the calling thread runs before all ordinary ones */
  constructor(isRealtime: () => boolean) {
    this.#isRealtime = isRealtime;
  }

  /** Whether the thread runs before all ordinary ones, as of a moment ago. */
  get isUrgent(): boolean {
    return this.#realtime;
  }

  /** The loop waited from `beganMs` to `nowMs`, asleep if that took longer than asking does. */
  waited(beganMs: number, nowMs: number): void {
    if (nowMs - beganMs >= ASLEEP_MS) this.#awakeSinceMs = nowMs;
  }

  /**
   * Takes note of a round that moved packets each way, at `nowMs`; returns how long to sleep before
   * the next, µs: 0, {@link MODERATION_US} or {@link REALTIME_REST_US}.
   */
  note(out: number, inward: number, nowMs: number): number {
    this.#out += out;
    this.#in += inward;
    const elapsedMs = nowMs - this.#sinceMs;
    if (elapsedMs >= WINDOW_MS) {
      const most = Math.max(this.#out, this.#in);
      const least = Math.min(this.#out, this.#in);
      this.#streams =
        elapsedMs <= WINDOW_MS_MAX &&
        most * 1000 >= STREAM_PER_SECOND * elapsedMs &&
        least <= most * OTHER_WAY_SHARE;
      this.#out = 0;
      this.#in = 0;
      this.#sinceMs = nowMs;
    }
    if (nowMs - this.#askedAtMs >= ASK_MS) {
      this.#realtime = this.#isRealtime();
      this.#askedAtMs = nowMs;
    }
    if (this.#realtime && nowMs - this.#awakeSinceMs >= REALTIME_AWAKE_MS) return REALTIME_REST_US;
    if (!this.#streams) return 0;
    if (this.#realtime) return out + inward < URGENT_PACKETS ? URGENT_US : 0;
    return out + inward < ROUND_PACKETS ? MODERATION_US : 0;
  }
}
