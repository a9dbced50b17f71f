/**
 * Who in the overlay has asked for, or answered, the address of a container here: they hold its
 * MAC in their ARP caches, and want to know when it gets another one.
 *
 * A fixed table: for each address as many as fit near its place, the oldest giving way, so a peer
 * that invents addresses cannot make it grow.
 * @module
 */

const SLOTS = 8192;
/** No link's number. */
const NO_LINK = 0xffff;
/** Most talkers of one address, fewer where others have their places near by. */
export const TALKERS_MAX = 64;
/** One talker is told at most so often of one address, ms. */
const AGAIN_MS = 100;

export class Talkers {
  readonly #link = new Uint16Array(SLOTS);
  readonly #address = new Uint32Array(SLOTS);
  readonly #talker = new Uint32Array(SLOTS);
  readonly #macHigh = new Uint16Array(SLOTS);
  readonly #macLow = new Uint32Array(SLOTS);
  /** 0 = empty. */
  readonly #seenMs = new Float64Array(SLOTS);
  readonly #toldMs = new Float64Array(SLOTS);

  #home(link: number, address: number): number {
    return (Math.imul(address ^ (link << 16), 0x9e3779b1) >>> 19) & (SLOTS - 1);
  }

  /**
   * Notes that `talker`, with the MAC of the first 16 bits `high` and the last 32 `low`, knows the
   * MAC of `address` on the link with the id `link`. `nowMs` is above zero.
   */
  note(
    link: number,
    address: number,
    talker: number,
    high: number,
    low: number,
    nowMs: number,
  ): void {
    const home = this.#home(link, address);
    let victim = home;
    for (let i = 0; i < TALKERS_MAX; i++) {
      const slot = (home + i) & (SLOTS - 1);
      const seenMs = this.#seenMs[slot] as number;
      const isSame =
        this.#talker[slot] === talker &&
        this.#address[slot] === address &&
        this.#link[slot] === link;
      if (seenMs === 0 || isSame) {
        victim = slot;
        break;
      }
      if (seenMs < (this.#seenMs[victim] as number)) victim = slot;
    }
    this.#link[victim] = link;
    this.#address[victim] = address;
    this.#talker[victim] = talker;
    this.#macHigh[victim] = high;
    this.#macLow[victim] = low;
    this.#seenMs[victim] = nowMs;
    this.#toldMs[victim] = 0;
  }

  /**
   * The next talker of `address` from the place `from` on (0 to begin with) that was not told just
   * now, which it counts as from here on: a place for the accessors, or −1. Go on at the place
   * after {@link next}.
   */
  take(link: number, address: number, from: number, nowMs: number): number {
    const home = this.#home(link, address);
    for (let i = from; i < TALKERS_MAX; i++) {
      const slot = (home + i) & (SLOTS - 1);
      // Places are never freed: an empty one ends the neighbourhood.
      if (this.#seenMs[slot] === 0) return -1;
      if (this.#address[slot] !== address || this.#link[slot] !== link) continue;
      const toldMs = this.#toldMs[slot] as number;
      if (toldMs !== 0 && nowMs - toldMs < AGAIN_MS) continue;
      this.#toldMs[slot] = nowMs;
      this.#taken = slot;
      return i;
    }
    return -1;
  }

  /** A link has gone, and its number may become another's. */
  forgetLink(link: number): void {
    for (let slot = 0; slot < SLOTS; slot++) {
      // The place stays taken, so that searches go on past it.
      if (this.#link[slot] === link) this.#link[slot] = NO_LINK;
    }
  }

  #taken = 0;

  /** Overlay address of the talker that {@link take} found last. */
  get talker(): number {
    return this.#talker[this.#taken] as number;
  }

  /** First 16 bits of its MAC. */
  get macHigh(): number {
    return this.#macHigh[this.#taken] as number;
  }

  /** Last 32 bits of its MAC. */
  get macLow(): number {
    return this.#macLow[this.#taken] as number;
  }
}
