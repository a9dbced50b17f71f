/**
 * Which connections are known, in memory that several processes share: each adds and looks up at any
 * moment, and nobody waits.
 *
 * ```
 * 0     epoch      written by control alone: its last bit says which half is young
 * 8     keys       of the hash that makes fingerprints: two words, written once
 * 64    halves     two sets of 65,536 fingerprints of 8 bytes, in buckets of 8
 * ```
 *
 * A fingerprint is one store of 8 bytes, so that a reader meets the old one or the new one. What is found
 * in the old half alone is added to the young one; when control turns the epoch, the old half is emptied
 * and becomes the young one: what was not met for one to two turns is forgotten. A full bucket lets one go.
 * @module
 */

/** Slots of one half. */
const SLOTS = 65_536;
const BUCKET_SLOTS = 8;
const HEADER_BYTES = 64;
const KEY_WORD = 2;
/** Bytes of the whole; pages that are never touched cost nothing. */
export const FLOW_SET_BYTES = HEADER_BYTES + 2 * SLOTS * 8;
/** The high word of a double whose exponent is not all ones: no store of it can be a NaN's. */
const HIGH_MASK = 0xbfffffff;

export class FlowSet {
  readonly #epoch: Int32Array;
  readonly #words: Int32Array;
  readonly #pairs: Float64Array;
  readonly #pair = new Float64Array(1);
  readonly #pairWords = new Int32Array(this.#pair.buffer);
  /** Connections that had to go for others, by this process. */
  evicted = 0;

  constructor(buffer: ArrayBuffer) {
    this.#epoch = new Int32Array(buffer, 0, HEADER_BYTES / 4);
    this.#words = new Int32Array(buffer, HEADER_BYTES, 2 * SLOTS * 2);
    this.#pairs = new Float64Array(buffer, HEADER_BYTES, 2 * SLOTS);
  }

  /** Control: stamps fresh memory. Nobody outside should know the keys. */
  initialize(key0: number, key1: number): void {
    this.#epoch[KEY_WORD] = key0;
    this.#epoch[KEY_WORD + 1] = key1;
  }

  get keys(): readonly [number, number] {
    return [this.#epoch[KEY_WORD] as number, this.#epoch[KEY_WORD + 1] as number];
  }

  /** Control: what was not met since the last call but one is forgotten. */
  turn(): void {
    const next = (this.#epoch[0] as number) + 1;
    const half = next & 1;
    this.#pairs.fill(0, half * SLOTS, (half + 1) * SLOTS);
    Atomics.store(this.#epoch, 0, next);
  }

  /** Whether a connection is known; then it stays so for a while longer. */
  has(low: number, high: number): boolean {
    const young = (this.#epoch[0] as number) & 1;
    if (this.#find(young, low, high & HIGH_MASK)) return true;
    if (!this.#find(young ^ 1, low, high & HIGH_MASK)) return false;
    this.add(low, high);
    return true;
  }

  /** A connection is known from now on, by 63 bits of its fingerprint. */
  add(low: number, high: number): void {
    const young = (this.#epoch[0] as number) & 1;
    const wanted = high & HIGH_MASK;
    if (this.#find(young, low, wanted)) return;
    const bucket = this.#bucket(young, low);
    let slot = 0;
    while (slot < BUCKET_SLOTS && !this.#isVacant(bucket + slot)) slot++;
    if (slot === BUCKET_SLOTS) {
      this.evicted++;
      slot = (high >>> 3) & (BUCKET_SLOTS - 1);
    }
    this.#pairWords[0] = low;
    this.#pairWords[1] = wanted;
    this.#pairs[bucket + slot] = this.#pair[0] as number;
  }

  #isVacant(slot: number): boolean {
    return this.#words[2 * slot] === 0 && this.#words[2 * slot + 1] === 0;
  }

  #bucket(half: number, low: number): number {
    return half * SLOTS + (low & (SLOTS / BUCKET_SLOTS - 1)) * BUCKET_SLOTS;
  }

  #find(half: number, low: number, high: number): boolean {
    const words = this.#words;
    const bucket = this.#bucket(half, low);
    for (let slot = bucket; slot < bucket + BUCKET_SLOTS; slot++) {
      if (words[2 * slot] === low && words[2 * slot + 1] === high) return true;
    }
    return false;
  }
}
