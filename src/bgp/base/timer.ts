/**
 * One timer that can be started again and stopped.
 * @module
 */
import type { Timers } from './api.ts';

export class Timer {
  readonly #timers: Timers;
  readonly #action: () => void;
  #cancel: (() => void) | undefined;

  constructor(timers: Timers, action: () => void) {
    this.#timers = timers;
    this.#action = action;
  }

  get isRunning(): boolean {
    return this.#cancel !== undefined;
  }

  /** Runs the action `delayMs` from now, and not when it was to run before. */
  start(delayMs: number): void {
    this.stop();
    this.#cancel = this.#timers.after(delayMs, () => {
      this.#cancel = undefined;
      this.#action();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
