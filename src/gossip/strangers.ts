/**
 * How much work is done for addresses that have proved nothing yet: opening a datagram costs a
 * key derivation, and a challenge costs a datagram.
 * @module
 */

/** Datagrams of one unknown source address. */
export const STRANGER_PER_SECOND = 20;
export const STRANGER_BURST = 5;
/** Datagrams of all unknown source addresses together, so that forged addresses gain nothing. */
export const STRANGERS_PER_SECOND = 1000;
/** Source addresses that are remembered; a bucket that is full again needs no memory. */
export const STRANGERS_MAX = 4096;

type Bucket = { tokens: number; atMs: number };

/** Token buckets by a number, at most `max` of them. */
export class TokenBuckets {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #max: number;
  /** The one that was used longest ago comes first. */
  readonly #buckets = new Map<number, Bucket>();

  constructor(perSecond: number, burst: number, max: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#max = max;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes a token; false when there is none, or no room for one more bucket. */
  take(key: number, nowMs: number): boolean {
    const known = this.#buckets.get(key);
    if (known === undefined && this.#buckets.size >= this.#max && !this.#forgetFull(nowMs)) {
      return false;
    }
    const tokens = known === undefined ? this.#burst : this.#tokens(known, nowMs);
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: tokens < 1 ? tokens : tokens - 1, atMs: nowMs });
    return tokens >= 1;
  }

  #tokens(bucket: Bucket, nowMs: number): number {
    return Math.min(this.#burst, bucket.tokens + (nowMs - bucket.atMs) * this.#perMs);
  }

  /** Forgets the bucket that was used longest ago, if it is full. */
  #forgetFull(nowMs: number): boolean {
    for (const [key, bucket] of this.#buckets) {
      if (this.#tokens(bucket, nowMs) < this.#burst) return false;
      this.#buckets.delete(key);
      return true;
    }
    return false;
  }
}

/** Admits the datagrams (or connections) of unknown source addresses. */
export class Strangers {
  readonly #each = new TokenBuckets(STRANGER_PER_SECOND, STRANGER_BURST, STRANGERS_MAX);
  readonly #all = new TokenBuckets(STRANGERS_PER_SECOND, STRANGERS_PER_SECOND, 1);

  /** Whether anything is to be done for this IPv4 address now. */
  admit(address: number, nowMs: number): boolean {
    return this.#each.take(address, nowMs) && this.#all.take(0, nowMs);
  }
}
