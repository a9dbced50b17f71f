/**
 * A map whose keys are numbers, or now and then text: half a million MACs take a third of what a `Map`
 * needs for them, which boxes each number above 2³¹ and doubles as it grows.
 *
 * Open addressing with linear probing. What is deleted leaves a mark that the next key there takes, so
 * nothing moves but when the map grows; whoever walks it meanwhile goes on over what there was.
 * @module
 */

const CAPACITY_MIN = 8;
/** A search meets few others as long as no more than this share is in use. */
const LOAD_MAX = 0.8;
/** Room after growing, as a multiple of what is in it. */
const ROOM = 1.9;
const U32 = 0x1_0000_0000;

/** Stands where something was deleted. */
const GONE = Symbol('gone');
type Place<V> = V | undefined | typeof GONE;

/** Others choose MACs: they are not to choose where in the map those meet. */
const [seed = 0] = crypto.getRandomValues(new Uint32Array(1));

/** A place below `capacity` for a number of up to 53 bits. */
function homeOf(key: number, capacity: number): number {
  let hash = Math.imul((key % U32) ^ seed, 0x9e3779b1);
  hash ^= hash >>> 15;
  hash = Math.imul(hash ^ Math.floor(key / U32), 0x85ebca6b);
  hash ^= hash >>> 13;
  return Math.floor(((hash >>> 0) / U32) * capacity);
}

/** Keys are whole numbers of up to 53 bits, or text. Walks are in no order. */
export class KeyMap<K extends number | string, V extends object> {
  #keys = new Float64Array(CAPACITY_MIN);
  #values: Place<V>[] = new Array<Place<V>>(CAPACITY_MIN).fill(undefined);
  /** Numbers that are there, and places that are not empty. */
  #numbers = 0;
  #used = 0;
  readonly #texts = new Map<string, V>();

  get size(): number {
    return this.#numbers + this.#texts.size;
  }

  get(key: K): V | undefined {
    if (typeof key === 'string') return this.#texts.get(key);
    const value = this.#values[this.#find(key)];
    return value === GONE ? undefined : value;
  }

  set(key: K, value: V): this {
    if (typeof key === 'string') {
      this.#texts.set(key, value);
      return this;
    }
    let at = this.#find(key);
    if (this.#values[at] === undefined) {
      at = this.#freeFor(key);
      this.#keys[at] = key;
      this.#numbers++;
    }
    this.#values[at] = value;
    return this;
  }

  /** False when it was not there. */
  delete(key: K): boolean {
    if (typeof key === 'string') return this.#texts.delete(key);
    const at = this.#find(key);
    if (this.#values[at] === undefined) return false;
    this.#values[at] = GONE;
    this.#numbers--;
    return true;
  }

  *[Symbol.iterator](): Generator<[key: K, value: V]> {
    const [keys, values] = [this.#keys, this.#values];
    for (let at = 0; at < values.length; at++) {
      const value = values[at];
      if (value !== undefined && value !== GONE) yield [keys[at] as K, value];
    }
    for (const [key, value] of this.#texts) yield [key as K, value];
  }

  *keys(): Generator<K> {
    for (const [key] of this) yield key;
  }

  *values(): Generator<V> {
    for (const [, value] of this) yield value;
  }

  /** Where the number is, or an empty place. */
  #find(key: number): number {
    const [keys, values] = [this.#keys, this.#values];
    let at = homeOf(key, values.length);
    for (;;) {
      const value = values[at];
      if (value === undefined || (value !== GONE && keys[at] === key)) return at;
      at = at + 1 === values.length ? 0 : at + 1;
    }
  }

  /** Where a number that is not there can be put. */
  #freeFor(key: number): number {
    if (this.#used >= this.#values.length * LOAD_MAX) this.#resize();
    const values = this.#values;
    let at = homeOf(key, values.length);
    while (values[at] !== undefined && values[at] !== GONE) {
      at = at + 1 === values.length ? 0 : at + 1;
    }
    if (values[at] === undefined) this.#used++;
    return at;
  }

  /** Makes room for as many again, and forgets what was deleted. */
  #resize(): void {
    const [keys, values] = [this.#keys, this.#values];
    const capacity = Math.max(CAPACITY_MIN, Math.ceil(this.#numbers * ROOM));
    this.#keys = new Float64Array(capacity);
    this.#values = new Array<Place<V>>(capacity).fill(undefined);
    this.#used = 0;
    for (const [at, value] of values.entries()) {
      if (value === undefined || value === GONE) continue;
      const key = keys[at] as number;
      const to = this.#freeFor(key);
      this.#keys[to] = key;
      this.#values[to] = value;
    }
  }
}
