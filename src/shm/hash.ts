/**
 * A hash table in shared memory: one process writes, entry by entry, any number of others look up
 * at any moment without asking.
 *
 * ```
 * slot (16 bytes):  tag | key | value | seal
 * ```
 *
 * Open addressing, linear probing, no slot ever moves. Readers need no order of loads and no
 * `Atomics`, of which one costs more than the whole look-up (20 ns in Node 20, a plain load 1 to 2):
 * the `seal` is computed from tag, key and value, for one key a one-to-one image of the value, so a
 * reader that meets a slot in the middle of a change sees a seal that does not fit and looks again, a
 * bounded number of times. It does the work of a sequence word, for each slot.
 *
 * A writer that is stopped or killed anywhere leaves either the old entry or the new one: value and
 * seal are one store of 8 bytes, and the tag, stored last with `Atomics`, is what makes a new entry be
 * there.
 * @module
 */

/** Tags below this say that a slot holds nothing. */
export const TAG_MIN = 2;
const EMPTY = 0;
/** Held something, and searches for others pass it. */
const DELETED = 1;

const SLOT_WORDS = 4;
export const SLOT_BYTES = SLOT_WORDS * 4;
/** Slots that a search looks at; with at most half of them in use no honest one comes near. */
const PROBES_MAX = 128;
/** Looks at one slot that is being changed, before it counts as not there. */
const LOOKS_MAX = 64;
/** The high word of a double whose exponent is not all ones: no store of it can be a NaN's. */
const SEAL_MASK = 0xbfffffff;

/** Where tag and key lead; `seed` keeps others from choosing keys that meet. */
function mix(tag: number, key: number, seed: number): number {
  let hash = Math.imul(key ^ seed, 0x9e3779b1);
  hash ^= hash >>> 15;
  hash = Math.imul(hash ^ tag, 0x85ebca6b);
  return hash ^ (hash >>> 13);
}

/** For a given hash each value has another seal, as far as values are below 2³⁰. */
function sealOf(hash: number, value: number): number {
  return ((hash & SEAL_MASK) ^ value) & SEAL_MASK;
}

/** Bytes of a buffer, from `from` on and before `to`. */
export type ByteRange = { from: number; to: number };

/** Looks up. Tags are integers from {@link TAG_MIN}, keys i32 or u32, values 1 to 2³⁰ − 1. */
export class HashReader {
  protected readonly words: Int32Array;
  protected readonly mask: number;
  readonly #shift: number;
  readonly #seed: number;

  /**
   * @param offset of the slots in `buffer`, a multiple of 8
   * @param slots a power of two
   * @param seed the same for everybody who uses the table
   */
  constructor(buffer: ArrayBufferLike, offset: number, slots: number, seed: number) {
    this.words = new Int32Array(buffer, offset, slots * SLOT_WORDS);
    this.mask = slots - 1;
    this.#shift = Math.clz32(slots) + 1;
    this.#seed = seed | 0;
  }

  protected hash(tag: number, key: number): number {
    return mix(tag, key | 0, this.#seed);
  }

  protected home(hash: number): number {
    return hash >>> this.#shift;
  }

  /** The value under tag and key, 0 when there is none. */
  find(tag: number, key: number): number {
    const { words, mask } = this;
    const wanted = key | 0;
    const hash = this.hash(tag, wanted);
    let slot = this.home(hash);
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const at = slot * SLOT_WORDS;
      const met = words[at] as number;
      if (met === tag && words[at + 1] === wanted) {
        const value = words[at + 2] as number;
        if (words[at + 3] === sealOf(hash, value)) return value;
        const again = this.#lookAgain(at, tag, wanted, hash);
        if (again !== 0) return again;
      } else if (met === EMPTY) return 0;
      slot = (slot + 1) & mask;
    }
    return 0;
  }

  /** A slot in the middle of a change: the change takes nanoseconds. */
  #lookAgain(at: number, tag: number, key: number, hash: number): number {
    const { words } = this;
    for (let look = 0; look < LOOKS_MAX; look++) {
      if (Atomics.load(words, at) !== tag || words[at + 1] !== key) return 0;
      const value = words[at + 2] as number;
      if (words[at + 3] === sealOf(hash, value)) return value;
    }
    return 0;
  }

  /**
   * Every entry, in no order; changes meanwhile may be seen or not.
   * @param written parts of the buffer beyond which it holds zeros, and is not looked at
   */
  *entries(written?: readonly ByteRange[]): Generator<{ tag: number; key: number; value: number }> {
    const { byteOffset, byteLength } = this.words;
    for (const { from, to } of written ?? [{ from: byteOffset, to: byteOffset + byteLength }]) {
      const first = Math.max(0, Math.floor((from - byteOffset) / SLOT_BYTES)) * SLOT_WORDS;
      const end = Math.min(byteLength, to - byteOffset) / 4;
      for (let at = first; at < end; at += SLOT_WORDS) {
        const tag = this.words[at] as number;
        if (tag < TAG_MIN) continue;
        const key = (this.words[at + 1] as number) >>> 0;
        yield { tag, key, value: this.words[at + 2] as number };
      }
    }
  }
}

/** The one writer of a table. */
export class HashWriter extends HashReader {
  readonly #pairs: Float64Array;
  readonly #pair = new Float64Array(1);
  readonly #pairWords = new Int32Array(this.#pair.buffer);
  #count = 0;

  /** As {@link HashReader}; the table is empty. */
  constructor(buffer: ArrayBufferLike, offset: number, slots: number, seed: number) {
    super(buffer, offset, slots, seed);
    this.#pairs = new Float64Array(buffer, offset, (slots * SLOT_WORDS) / 2);
  }

  get count(): number {
    return this.#count;
  }

  #store(at: number, hash: number, value: number): void {
    this.#pairWords[0] = value;
    this.#pairWords[1] = sealOf(hash, value);
    this.#pairs[(at + 2) / 2] = this.#pair[0] as number;
  }

  /** Where tag and key are, −1 when nowhere. */
  #locate(tag: number, key: number, hash: number): number {
    let slot = this.home(hash);
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const at = slot * SLOT_WORDS;
      const met = this.words[at];
      if (met === tag && this.words[at + 1] === key) return at;
      if (met === EMPTY) return -1;
      slot = (slot + 1) & this.mask;
    }
    return -1;
  }

  /** Puts `value` under tag and key, whatever was there; false when its neighbourhood is full. */
  set(tag: number, key: number, value: number): boolean {
    const wanted = key | 0;
    const hash = this.hash(tag, wanted);
    const known = this.#locate(tag, wanted, hash);
    if (known >= 0) {
      this.#store(known, hash, value);
      return true;
    }
    let slot = this.home(hash);
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const at = slot * SLOT_WORDS;
      if ((this.words[at] as number) < TAG_MIN) {
        this.words[at + 1] = wanted;
        this.#store(at, hash, value);
        // Readers may see this before the stores above: then the seal does not fit yet.
        Atomics.store(this.words, at, tag);
        this.#count++;
        return true;
      }
      slot = (slot + 1) & this.mask;
    }
    return false;
  }

  /** Takes an entry away; false when it was not there. */
  delete(tag: number, key: number): boolean {
    const wanted = key | 0;
    const hash = this.hash(tag, wanted);
    const at = this.#locate(tag, wanted, hash);
    if (at < 0) return false;
    this.#count--;
    Atomics.store(this.words, at, DELETED);
    // What it kept alive between its home and its place may be empty now, like its place itself.
    const last = at / SLOT_WORDS;
    for (let slot = this.home(hash); ; slot = (slot + 1) & this.mask) {
      if (this.words[slot * SLOT_WORDS] === DELETED && !this.#isPassed(slot)) {
        Atomics.store(this.words, slot * SLOT_WORDS, EMPTY);
      }
      if (slot === last) return true;
    }
  }

  /** Whether a search for some entry passes this slot. */
  #isPassed(slot: number): boolean {
    for (let distance = 1; distance < PROBES_MAX; distance++) {
      const at = ((slot + distance) & this.mask) * SLOT_WORDS;
      const tag = this.words[at] as number;
      if (tag === EMPTY) return false;
      if (tag < TAG_MIN) continue;
      const home = this.home(this.hash(tag, this.words[at + 1] as number));
      if (((at / SLOT_WORDS - home) & this.mask) >= distance) return true;
    }
    return false;
  }
}
