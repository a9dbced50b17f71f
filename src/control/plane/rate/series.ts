/**
 * The last values of something, each with its time: columns of fixed length, so that a look allocates nothing.
 * @module
 */

export class Series {
  readonly #atMs: Float64Array;
  readonly #values: Float64Array;
  #count = 0;

  /** @param length how many are kept */
  constructor(length: number) {
    this.#atMs = new Float64Array(length);
    this.#values = new Float64Array(length);
  }

  /** How many there are. */
  get size(): number {
    return Math.min(this.#count, this.#atMs.length);
  }

  /** Appends a value; one from before the last counts as of its time. */
  push(atMs: number, value: number): void {
    const at = this.size === 0 ? atMs : Math.max(atMs, this.atMs(0));
    const place = this.#count++ % this.#atMs.length;
    this.#atMs[place] = at;
    this.#values[place] = value;
  }

  clear(): void {
    this.#count = 0;
  }

  /** Time of the last one (`back` 0), or of one so many before it. */
  atMs(back: number): number {
    return this.#atMs[(this.#count - 1 - back) % this.#atMs.length] as number;
  }

  /** Its value. */
  value(back: number): number {
    return this.#values[(this.#count - 1 - back) % this.#values.length] as number;
  }

  /** The least of those between two times; Infinity where there is none. */
  leastBetween(fromMs: number, toMs: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (let back = 0; back < this.size && this.atMs(back) >= fromMs; back++) {
      if (this.atMs(back) <= toMs) least = Math.min(least, this.value(back));
    }
    return least;
  }

  /** The least of the last `count`. */
  leastOf(count: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (let back = 0; back < Math.min(count, this.size); back++) {
      least = Math.min(least, this.value(back));
    }
    return least;
  }

  /** What it was at a time, on a straight line between the two that are nearest; of what it kept at the ends. */
  at(ms: number): number {
    for (let back = 0; back < this.size; back++) {
      const atMs = this.atMs(back);
      if (atMs > ms) continue;
      if (back === 0 || ms === atMs) return this.value(back);
      const share = (ms - atMs) / (this.atMs(back - 1) - atMs);
      return this.value(back) + share * (this.value(back - 1) - this.value(back));
    }
    return this.size === 0 ? 0 : this.value(this.size - 1);
  }
}
