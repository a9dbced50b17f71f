/**
 * How well this node itself is doing (Lifeguard's local health). Who cannot even get answers from
 * healthy helpers, or wakes up late, doubts itself first: all its time-outs get longer.
 * @module
 */

/** The score stays below this, so no time-out grows by more than this factor. */
export const AWARENESS_MAX = 8;

export class Awareness {
  #score = 0;

  /** 0 when all is well, at most `AWARENESS_MAX - 1`. */
  get score(): number {
    return this.#score;
  }

  /** Raises (bad signs) or lowers (a probe that went well) the score, within its bounds. */
  apply(delta: number): void {
    this.#score = Math.min(AWARENESS_MAX - 1, Math.max(0, this.#score + delta));
  }

  /** A time-out as this node should use it now. */
  scale(timeoutMs: number): number {
    return timeoutMs * (this.#score + 1);
  }
}
