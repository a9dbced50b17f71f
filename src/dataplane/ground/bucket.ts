/**
 * A token bucket: so many a second, and a burst of as many as it holds. Time that goes back earns
 * nothing, and costs nothing.
 * @module
 */
export class Bucket {
  #perSecond: number;
  #burst: number;
  #tokens: number;
  #refilledAtMs = 0;

  constructor(perSecond: number, burst = perSecond) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Changes how many a second come; the burst is as many. What it holds more it has at once. */
  setRate(perSecond: number): void {
    this.#tokens = Math.max(0, this.#tokens + perSecond - this.#burst);
    this.#perSecond = perSecond;
    this.#burst = perSecond;
  }

  /** Takes one, or `count` at once, if there are so many. */
  take(nowMs: number, count = 1): boolean {
    const earned = ((nowMs - this.#refilledAtMs) * this.#perSecond) / 1000;
    this.#refilledAtMs = nowMs;
    if (earned > 0) this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }
}
