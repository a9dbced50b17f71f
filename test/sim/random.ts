/**
 * Randomness that follows from a seed alone, so that a run can be played again.
 * @module
 */

/** sfc32 (Chris Doty-Humphrey's small fast counting generator): 128 bits of state. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  /** @param seed any number; neighbouring seeds give unrelated sequences. */
  constructor(seed: number) {
    this.#a = Math.floor(seed / 0x100000000) | 0;
    this.#b = seed | 0;
    this.#c = 0x9e3779b9 | 0;
    for (let i = 0; i < 12; i += 1) this.#step();
  }

  #step(): number {
    const sum = (this.#a + this.#b + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** From 0 up to, but not including, 1. */
  next(): number {
    return this.#step() / 0x100000000;
  }

  /** A whole number from 0 to `count` - 1; `count` at least 1. */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  /** From `least` up to `most`. */
  between(least: number, most: number): number {
    return least + (most - least) * this.next();
  }

  /** True with a probability of `share`. */
  chance(share: number): boolean {
    return share > 0 && this.next() < share;
  }

  /** One of the values; the list is not empty. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  /** `count` of the values, each at most once, in random order; all when there are fewer. */
  some<T>(values: readonly T[], count: number): T[] {
    const rest = [...values];
    const taken: T[] = [];
    while (taken.length < count && rest.length > 0) {
      taken.push(...rest.splice(this.below(rest.length), 1));
    }
    return taken;
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256));
  }

  /** A generator of its own: what one part draws does not shift what another gets. */
  fork(): Random {
    return new Random(this.#step() * 0x200000 + (this.#step() & 0x1fffff));
  }
}
