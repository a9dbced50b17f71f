/**
 * A seeded mutator for parsers: takes honest packets and breaks them the ways that networks and
 * attackers do. Every mutation follows from the seed, so a failing run replays exactly.
 * @module
 */

import { skipLong } from '../support/long.ts';

/** Runs of a parser unless a test says otherwise. */
export const FUZZ_RUNS = skipLong === false ? 1_000_000 : 100_000;

/** xorshift32: small, fast, good enough to pick bytes. Never returns the state 0. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 0x9e3779b9;
  }

  /** A u32. */
  next(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state;
  }

  /** An integer from 0 to `count` - 1; `count` at least 1. */
  below(count: number): number {
    return Math.floor((this.next() / 0x100000000) * count);
  }

  /** One of the values; the list is not empty. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }
}

/** Values that lengths, types and offsets get wrong. */
const EDGES = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 19, 20, 27, 28, 0x3f, 0x40, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0xfe, 0xff,
];

/**
 * Broken copies of a set of seed packets, all in one buffer that is used again and again.
 */
export class Mutator {
  readonly random: Random;
  /** The mutated packet stands at 0 up to what {@link next} returned. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #seeds: readonly Uint8Array[];

  constructor(seed: number, seeds: readonly Uint8Array[], capacity = 2048) {
    this.random = new Random(seed);
    this.bytes = new Uint8Array(capacity);
    this.#seeds = seeds;
  }

  /** Makes the next packet and returns its length, 0 to the capacity. */
  next(): number {
    const { random, bytes } = this;
    const seed = random.pick(this.#seeds);
    let length = Math.min(seed.length, bytes.length);
    bytes.set(seed.subarray(0, length));
    const rounds = random.below(5);
    for (let round = 0; round < rounds; round++) length = this.#once(length);
    return length;
  }

  /** One mutation; the new length. */
  #once(length: number): number {
    const { random, bytes } = this;
    const at = random.below(Math.max(1, length));
    switch (random.below(9)) {
      case 0: // one bit
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
        return length;
      case 1: // any byte
        bytes[at] = random.next() & 255;
        return length;
      case 2: // an edge value
        bytes[at] = random.pick(EDGES);
        return length;
      case 3: // a 16-bit length that lies by a little
        if (at + 1 < length) {
          const word = (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)) + random.below(9) - 4;
          bytes[at] = (word >>> 8) & 255;
          bytes[at + 1] = word & 255;
        }
        return length;
      case 4: // cut
        return random.below(length + 1);
      case 5: {
        // old bytes of the buffer become a tail
        return Math.min(bytes.length, length + random.below(64));
      }
      case 6: {
        // a piece moves over another
        const bytesMoved = random.below(Math.max(1, length - at));
        bytes.copyWithin(random.below(Math.max(1, length)), at, at + bytesMoved);
        return length;
      }
      case 7: {
        // a piece of another seed lands here
        const other = random.pick(this.#seeds);
        const from = random.below(Math.max(1, other.length));
        const piece = other.subarray(from, from + random.below(40));
        const room = Math.min(piece.length, bytes.length - at);
        bytes.set(piece.subarray(0, room), at);
        return Math.max(length, at + room);
      }
      default: // a run of noise
        for (let end = Math.min(length, at + random.below(24)), to = at; to < end; to++) {
          bytes[to] = random.next() & 255;
        }
        return length;
    }
  }
}

/** What a run of {@link fuzz} is told. */
export type FuzzOptions = {
  /** Runs of the parser; {@link FUZZ_RUNS} unless said. */
  readonly runs?: number;
  /** Stops early after this time, ms. */
  readonly budgetMs?: number;
  /** 32-bit seed; taken from FANWAY_FUZZ_SEED or the clock unless given. */
  readonly seed?: number;
};

/** How a run of {@link fuzz} ended. */
export type FuzzReport = {
  readonly runs: number;
  readonly seed: number;
  /** Empty when nothing failed; else how to see it again. */
  readonly failure: string;
};

/**
 * Calls `parser` with mutated packets. The view given to it ends exactly where the packet ends, so
 * that reading outside the window throws; `parser` returns false for any other broken promise.
 */
export function fuzz(
  seeds: readonly Uint8Array[],
  parser: (view: DataView, length: number) => boolean,
  options: FuzzOptions = {},
): FuzzReport {
  const { runs = FUZZ_RUNS, budgetMs = 600_000 } = options;
  const seed = options.seed ?? (Number(process.env['FANWAY_FUZZ_SEED']) || Date.now() >>> 0);
  const mutator = new Mutator(seed, seeds);
  // One view for every length: making a million of them would be most of the time.
  const views = Array.from(
    { length: mutator.bytes.length + 1 },
    (_, length) => new DataView(mutator.bytes.buffer, 0, length),
  );
  const stopMs = performance.now() + budgetMs;
  let run = 0;
  for (; run < runs; run++) {
    if ((run & 0xfff) === 0 && performance.now() > stopMs) break;
    const length = mutator.next();
    let wrong = '';
    try {
      if (!parser(views[length] ?? new DataView(mutator.bytes.buffer, 0, length), length)) {
        wrong = 'broken promise';
      }
    } catch (error) {
      wrong = String(error);
    }
    if (wrong !== '') {
      const hex = Buffer.from(mutator.bytes.subarray(0, length)).toString('hex');
      const failure = `${wrong} at run ${run}: FANWAY_FUZZ_SEED=${seed}, ${length} bytes ${hex}`;
      return { runs: run + 1, seed, failure };
    }
  }
  return { runs: run, seed, failure: '' };
}
