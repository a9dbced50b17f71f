/**
 * How much work is done for addresses that have proved nothing yet: opening a datagram costs a
 * key derivation, and a challenge costs a datagram. An address that we wrote to a moment ago may
 * answer more often, or whoever sends rubbish in its name could keep the answer out.
 * @module
 */

import type { UnderlayAddress } from '../../net/underlay-address.ts';

/** Datagrams of one unknown source address, or of one /64 of IPv6. */
export const STRANGER_PER_SECOND = 20;
export const STRANGER_BURST = 5;
/** Datagrams of one source address that we wrote to within {@link EXPECTED_MS}. */
export const EXPECTED_PER_SECOND = 500;
export const EXPECTED_MS = 2000;
/** Datagrams of all unknown source addresses together, so that forged addresses gain nothing. */
export const STRANGERS_PER_SECOND = 1000;
/** Challenges of one session, with a burst as large, and to one address. */
export const CHALLENGES_PER_SECOND = 5;
export const CHALLENGES_PER_ADDRESS = 200;
/** Source addresses (and sessions) that are remembered; a bucket that is full again needs no memory. */
export const STRANGERS_MAX = 4096;

/** Digits of an IPv6 address that name its network: whoever has one /64 has all addresses in it. */
const NETWORK_DIGITS = 16;

/** What one stranger has at least, an IPv4 address or an IPv6 network. */
export function strangerOf(address: UnderlayAddress): UnderlayAddress {
  return typeof address === 'number' ? address : address.slice(0, NETWORK_DIGITS);
}

type Bucket = { tokens: number; atMs: number };

/** Token buckets by a key, at most `max` of them. */
export class TokenBuckets<Key extends number | string> {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #max: number;
  /** The one that was used longest ago comes first. */
  readonly #buckets = new Map<Key, Bucket>();

  constructor(perSecond: number, burst: number, max: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#max = max;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes a token; false when there is none, or no room for one more bucket. */
  take(key: Key, nowMs: number): boolean {
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
  readonly #each: TokenBuckets<UnderlayAddress>;
  readonly #all: TokenBuckets<number>;
  readonly #expected: TokenBuckets<UnderlayAddress>;
  /** When we wrote to an address, the one that we wrote to longest ago first. */
  readonly #wroteMs = new Map<UnderlayAddress, number>();

  constructor() {
    this.#each = new TokenBuckets(STRANGER_PER_SECOND, STRANGER_BURST, STRANGERS_MAX);
    this.#all = new TokenBuckets(STRANGERS_PER_SECOND, STRANGERS_PER_SECOND, 1);
    this.#expected = new TokenBuckets(EXPECTED_PER_SECOND, EXPECTED_PER_SECOND, STRANGERS_MAX);
  }

  /** Notes that something was sent to this address. */
  expect(address: UnderlayAddress, nowMs: number): void {
    this.#wroteMs.delete(address);
    this.#wroteMs.set(address, nowMs);
    if (this.#wroteMs.size <= STRANGERS_MAX) return;
    for (const oldest of this.#wroteMs.keys()) {
      this.#wroteMs.delete(oldest);
      return;
    }
  }

  /** Whether anything is to be done for this address now. */
  admit(address: UnderlayAddress, nowMs: number): boolean {
    const wroteMs = this.#wroteMs.get(address);
    if (wroteMs !== undefined && nowMs - wroteMs <= EXPECTED_MS) {
      return this.#expected.take(address, nowMs);
    }
    return this.#each.take(strangerOf(address), nowMs) && this.#all.take(0, nowMs);
  }
}

/** How many challenges are sent, to whomever, or their answers checked. */
export class ChallengeBudget {
  readonly #ofSession: TokenBuckets<string>;
  readonly #toAddress: TokenBuckets<UnderlayAddress>;

  constructor() {
    const [of, to] = [CHALLENGES_PER_SECOND, CHALLENGES_PER_ADDRESS];
    this.#ofSession = new TokenBuckets(of, of, STRANGERS_MAX);
    this.#toAddress = new TokenBuckets(to, to, STRANGERS_MAX);
  }

  /** Each session has its own: a recording of an old one takes nothing from one that lives. */
  take(session: string, address: UnderlayAddress, nowMs: number): boolean {
    return this.#ofSession.take(session, nowMs) && this.#toAddress.take(strangerOf(address), nowMs);
  }
}
