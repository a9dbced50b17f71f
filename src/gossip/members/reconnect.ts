/**
 * Trying again, for ever: dead members and seeds nobody alive answers for. A partition ends
 * unannounced, so both sides keep knocking, each target with a back-off, all together within a
 * budget. The cap of the back-off bounds how long a healed partition goes unnoticed.
 * @module
 */

import { RECONNECTS_PER_SECOND_MAX } from '../base/limits.ts';

const BACKOFF_MIN_MS = 1000;
const BACKOFF_MAX_MS = 8000;
/** After one came back the others are probably reachable too: tried within this. */
const HEAL_SPREAD_MS = 2000;

type Attempt = { backoffMs: number; dueMs: number };

export class Reconnect {
  /** Ordered by nothing; the due times decide. */
  readonly #attempts = new Map<string, Attempt>();
  readonly #random: () => number;
  #budget = RECONNECTS_PER_SECOND_MAX;
  #refilledMs = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Begins to try a target, at once if `soon`; one that is being tried goes on as it was. */
  add(target: string, nowMs: number, soon = false): void {
    if (this.#attempts.has(target)) return;
    const dueMs = soon ? nowMs : nowMs + this.#jitter(BACKOFF_MIN_MS);
    this.#attempts.set(target, { backoffMs: BACKOFF_MIN_MS, dueMs });
  }

  remove(target: string): void {
    this.#attempts.delete(target);
  }

  get size(): number {
    return this.#attempts.size;
  }

  has(target: string): boolean {
    return this.#attempts.has(target);
  }

  /** Somebody came back: tries all others soon. */
  heal(nowMs: number): void {
    for (const attempt of this.#attempts.values()) {
      attempt.backoffMs = BACKOFF_MIN_MS;
      attempt.dueMs = Math.min(attempt.dueMs, nowMs + this.#random() * HEAL_SPREAD_MS);
    }
  }

  /** Targets to try now, those that waited longest first, as far as the budget goes. */
  due(nowMs: number): string[] {
    const refill = ((nowMs - this.#refilledMs) / 1000) * RECONNECTS_PER_SECOND_MAX;
    this.#budget = Math.min(RECONNECTS_PER_SECOND_MAX, this.#budget + refill);
    this.#refilledMs = nowMs;
    const due = [...this.#attempts].filter(([, attempt]) => attempt.dueMs <= nowMs);
    due.sort(([, a], [, b]) => a.dueMs - b.dueMs);
    const chosen = due.slice(0, Math.floor(this.#budget));
    this.#budget -= chosen.length;
    for (const [, attempt] of chosen) {
      attempt.dueMs = nowMs + this.#jitter(attempt.backoffMs);
      attempt.backoffMs = Math.min(BACKOFF_MAX_MS, attempt.backoffMs * 2);
    }
    return chosen.map(([target]) => target);
  }

  /** Between 3/4 and 5/4, so that nodes cut off together do not knock together. */
  #jitter(ms: number): number {
    return ms * (0.75 + this.#random() / 2);
  }
}
