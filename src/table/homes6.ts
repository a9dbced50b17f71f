/**
 * Which hosts have asked about, or speak from, an IPv6 address that does not say its host itself: the
 * link-local address of whoever asked for a neighbour, and the address that somebody asked for and
 * whose owner may have something to tell later.
 *
 * A fixed table: for each address as many hosts as fit near its place, the oldest giving way, so peers
 * that invent addresses cannot make it grow. A host is known by the first address of its slice.
 * @module
 */

const SLOTS = 4096;
/** Most hosts of one address, fewer where others have their places near by. */
export const HOMES_MAX = 32;
const KEY_WORDS = 4;
/** No link's number. */
const NO_LINK = 0xffff;
/** How long a host is remembered: longer than a neighbour's entry stays fresh (RFC 4861 §10), ms. */
const LIFETIME_MS = 60_000;
/** One host is told at most so often of one address, ms. */
const AGAIN_MS = 100;

export class Homes6 {
  readonly #view: DataView;
  readonly #link = new Uint16Array(SLOTS);
  readonly #keys = new Uint32Array(SLOTS * KEY_WORDS);
  readonly #homes = new Uint32Array(SLOTS * KEY_WORDS);
  /** 0 = empty. */
  readonly #seenMs = new Float64Array(SLOTS);
  readonly #toldMs = new Float64Array(SLOTS);

  /** @param view where the addresses are that others tell by their offsets */
  constructor(view: DataView) {
    this.#view = view;
  }

  #home(link: number, key: number): number {
    const view = this.#view;
    let mixed = link;
    for (let i = 0; i < KEY_WORDS; i++) {
      mixed = Math.imul(mixed ^ view.getUint32(key + 4 * i), 0x9e3779b1);
      mixed ^= mixed >>> 15;
    }
    return mixed >>> 20;
  }

  #isSame(words: Uint32Array, slot: number, at: number): boolean {
    const view = this.#view;
    const first = slot * KEY_WORDS;
    return (
      words[first] === view.getUint32(at) &&
      words[first + 1] === view.getUint32(at + 4) &&
      words[first + 2] === view.getUint32(at + 8) &&
      words[first + 3] === view.getUint32(at + 12)
    );
  }

  #put(words: Uint32Array, slot: number, at: number): void {
    const view = this.#view;
    for (let i = 0; i < KEY_WORDS; i++) words[slot * KEY_WORDS + i] = view.getUint32(at + 4 * i);
  }

  /**
   * Notes that the host whose first address is the 16 bytes at `home` has to do with the address at
   * `key` on the link with the id `link`. `nowMs` is above zero.
   */
  note(link: number, key: number, home: number, nowMs: number): void {
    const start = this.#home(link, key);
    let victim = start;
    for (let i = 0; i < HOMES_MAX; i++) {
      const slot = (start + i) & (SLOTS - 1);
      const seenMs = this.#seenMs[slot] as number;
      const isKnown =
        seenMs !== 0 &&
        this.#link[slot] === link &&
        this.#isSame(this.#keys, slot, key) &&
        this.#isSame(this.#homes, slot, home);
      if (isKnown) {
        this.#seenMs[slot] = nowMs;
        return;
      }
      if (seenMs === 0) {
        victim = slot;
        break;
      }
      if (seenMs < (this.#seenMs[victim] as number)) victim = slot;
    }
    this.#link[victim] = link;
    this.#put(this.#keys, victim, key);
    this.#put(this.#homes, victim, home);
    this.#seenMs[victim] = nowMs;
    this.#toldMs[victim] = 0;
  }

  /** A link has gone, and its number may become another's; its places stay taken. */
  forgetLink(link: number): void {
    for (let slot = 0; slot < SLOTS; slot++) {
      if (this.#link[slot] === link) this.#link[slot] = NO_LINK;
    }
  }

  /**
   * The next host of the address at `key` from the place `from` on (0 to begin with): its first address
   * is written to `out`. A place, or −1; go on at the one after it. With `telling` those are left out
   * that were found just now.
   */
  next(
    link: number,
    key: number,
    from: number,
    out: number,
    nowMs: number,
    telling: boolean,
  ): number {
    const start = this.#home(link, key);
    for (let i = from; i < HOMES_MAX; i++) {
      const slot = (start + i) & (SLOTS - 1);
      const seenMs = this.#seenMs[slot] as number;
      // Places are never freed: an empty one ends the neighbourhood.
      if (seenMs === 0) return -1;
      if (this.#link[slot] !== link || nowMs - seenMs > LIFETIME_MS) continue;
      if (!this.#isSame(this.#keys, slot, key)) continue;
      if (telling) {
        const toldMs = this.#toldMs[slot] as number;
        if (toldMs !== 0 && nowMs - toldMs < AGAIN_MS) continue;
        this.#toldMs[slot] = nowMs;
      }
      for (let word = 0; word < KEY_WORDS; word++) {
        this.#view.setUint32(out + 4 * word, this.#homes[slot * KEY_WORDS + word] as number);
      }
      return i;
    }
    return -1;
  }
}
