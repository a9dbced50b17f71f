/**
 * How fast bulk transfers go, all together.
 * @module
 */

/** What a server sends, all streams together: a receiver verifies a block in about 0.15 ms. */
export const STREAM_BYTES_PER_SECOND = 2 * 1024 * 1024;
/** Waits shorter than this are not worth a timer, ms. */
const PACE_MS = 20;

/** Spaces out what is sent so that it stays below a rate, whoever sends it. */
export class Pace {
  #freeAtMs = 0;

  /** Resolves when `bytes` more may be sent. */
  async take(bytes: number): Promise<void> {
    const now = performance.now();
    const waitMs = this.#freeAtMs - now;
    this.#freeAtMs = Math.max(this.#freeAtMs, now) + (bytes * 1000) / STREAM_BYTES_PER_SECOND;
    if (waitMs > PACE_MS) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}
