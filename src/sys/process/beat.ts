/**
 * Work that is done again and again, in step with all other such work of this process: a program that only looks
 * whether there is something to do wakes up once for all who look, and not once for each. What a look itself takes
 * is little beside a wake-up.
 * @module
 */

/** A timer that is early by less than this share of its interval has been on time. */
const EARLY_SHARE = 1 / 8;

/** How long after `nowMs` the next beat of an interval is, ms; all intervals are counted from the same moment. */
export function untilBeat(nowMs: number, intervalMs: number): number {
  const leftMs = intervalMs - (nowMs % intervalMs);
  return leftMs < intervalMs * EARLY_SHARE ? leftMs + intervalMs : leftMs;
}

export class Beat {
  readonly #intervalMs: number;
  readonly #work: () => void;
  #timer: NodeJS.Timeout;
  #isKeeping = true;

  /** @param work done at every beat of the interval until {@link close}; it never throws */
  constructor(intervalMs: number, work: () => void) {
    this.#intervalMs = intervalMs;
    this.#work = work;
    this.#timer = this.#await();
  }

  #await(): NodeJS.Timeout {
    const timer = setTimeout(
      () => {
        this.#timer = this.#await();
        this.#work();
      },
      untilBeat(performance.now(), this.#intervalMs),
    );
    if (!this.#isKeeping) timer.unref();
    return timer;
  }

  /** It does not keep the process. */
  unref(): this {
    this.#isKeeping = false;
    this.#timer.unref();
    return this;
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
