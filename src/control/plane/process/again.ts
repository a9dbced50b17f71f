/** Trying something again, later each time. @module */

const MS_MIN = 1000;
const MS_MAX = 30_000;

export class Again {
  #timer: NodeJS.Timeout | undefined;
  #waitMs = MS_MIN;

  /** Calls `work` once, after twice as long as the last time. */
  later(work: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(work, this.#waitMs).unref();
    this.#waitMs = Math.min(this.#waitMs * 2, MS_MAX);
  }

  /** It worked: nothing is tried again, and the next failure soon. */
  worked(): void {
    clearTimeout(this.#timer);
    this.#waitMs = MS_MIN;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
