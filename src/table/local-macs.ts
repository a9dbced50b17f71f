/**
 * The MAC addresses that live behind this host's own bridge ports, learned from what they send.
 * A frame from the underlay that claims one of them would make the bridge believe that our
 * container has moved to the tunnel; it is refused instead, until control has asked the bridge
 * whether that is true.
 *
 * It also tells which of them do not answer any more what others send them.
 *
 * A fixed table: the oldest entry of a crowded neighbourhood gives way, so guests that invent
 * addresses cannot make it grow. MACs are given as their first 16 and last 32 bits.
 * @module
 */

const SLOTS = 4096;
/** Four times of 8 bytes, two words, half a word. */
const ROW_BYTES = 42;
const PROBES_MAX = 8;
/** A MAC that was silent for this long may be somewhere else: the kernel bridge's ageing time, ms. */
export const LOCAL_MAC_LIFETIME_MS = 300_000;
/** A MAC that says nothing for so long to what it is sent is worth a question, ms. */
export const UNANSWERED_MS = 300;
/** Of one MAC not more often than this, ms: a question about it, or a word about who claims it. */
const AGAIN_MS = 500;
/** When a forgotten MAC was seen last: before everything, and still not the 0 of an empty slot. */
const NEVER_MS = Number.NEGATIVE_INFINITY;

export class LocalMacs {
  /** All columns: one block, large enough that the system gives it page by page as it is used. */
  readonly #block = new ArrayBuffer(SLOTS * ROW_BYTES);
  /** 0 = empty. */
  readonly #seenMs = new Float64Array(this.#block, 0, SLOTS);
  /** When the first of those frames came that it has not said a word to. */
  readonly #waitingMs = new Float64Array(this.#block, SLOTS * 8, SLOTS);
  readonly #askedMs = new Float64Array(this.#block, SLOTS * 16, SLOTS);
  readonly #claimedMs = new Float64Array(this.#block, SLOTS * 24, SLOTS);
  readonly #low = new Uint32Array(this.#block, SLOTS * 32, SLOTS);
  /** The overlay address that it spoke for last, u32. */
  readonly #address = new Uint32Array(this.#block, SLOTS * 36, SLOTS);
  readonly #high = new Uint16Array(this.#block, SLOTS * 40, SLOTS);
  // Consecutive frames mostly come from one sender, and go to one.
  #lastHigh = -1;
  #lastLow = 0;
  #lastMs = 0;
  #toSlot = 0;

  #home(high: number, low: number): number {
    return (Math.imul(low ^ (high << 8), 0x9e3779b1) >>> 20) & (SLOTS - 1);
  }

  /** Notes that a local port sent from this MAC for `address`. `nowMs` is above zero and never goes back. */
  note(high: number, low: number, address: number, nowMs: number): void {
    if (low === this.#lastLow && high === this.#lastHigh && nowMs === this.#lastMs) return;
    this.#lastHigh = high;
    this.#lastLow = low;
    this.#lastMs = nowMs;
    const home = this.#home(high, low);
    let victim = home;
    for (let i = 0; i < PROBES_MAX; i++) {
      const slot = (home + i) & (SLOTS - 1);
      const seenMs = this.#seenMs[slot] as number;
      if (seenMs === 0 || (this.#low[slot] === low && this.#high[slot] === high)) {
        victim = slot;
        break;
      }
      if (seenMs < (this.#seenMs[victim] as number)) victim = slot;
    }
    this.#high[victim] = high;
    this.#low[victim] = low;
    this.#address[victim] = address;
    this.#seenMs[victim] = nowMs;
  }

  /** Notes that a local port sent from this MAC, for whichever address: what is known of that stays. */
  noteMac(high: number, low: number, nowMs: number): void {
    if (low === this.#lastLow && high === this.#lastHigh && nowMs === this.#lastMs) return;
    const slot = this.#find(high, low);
    this.note(high, low, slot < 0 ? 0 : (this.#address[slot] as number), nowMs);
  }

  #find(high: number, low: number): number {
    const home = this.#home(high, low);
    for (let i = 0; i < PROBES_MAX; i++) {
      const slot = (home + i) & (SLOTS - 1);
      // Entries are never removed, so an empty slot ends the neighbourhood.
      if (this.#seenMs[slot] === 0) return -1;
      if (this.#low[slot] === low && this.#high[slot] === high) return slot;
    }
    return -1;
  }

  /** Whether a local port has sent from this MAC within {@link LOCAL_MAC_LIFETIME_MS}. */
  has(high: number, low: number, nowMs: number): boolean {
    const slot = this.#find(high, low);
    return slot >= 0 && nowMs - (this.#seenMs[slot] as number) <= LOCAL_MAC_LIFETIME_MS;
  }

  /** The overlay address that a MAC spoke for last, 0 when it never did. */
  addressOf(high: number, low: number): number {
    const slot = this.#find(high, low);
    return slot < 0 ? 0 : (this.#address[slot] as number);
  }

  /** Somebody else claims this MAC: whether it is time to ask about it (again). */
  isClaimNews(high: number, low: number, nowMs: number): boolean {
    const slot = this.#find(high, low);
    if (slot < 0 || nowMs - (this.#claimedMs[slot] as number) < AGAIN_MS) return false;
    this.#claimedMs[slot] = nowMs;
    return true;
  }

  /** It is known not to be here any more. Returns whether it was. */
  forget(high: number, low: number): boolean {
    const slot = this.#find(high, low);
    if (slot < 0 || this.#seenMs[slot] === NEVER_MS) return false;
    this.#seenMs[slot] = NEVER_MS;
    this.#lastHigh = -1;
    return true;
  }

  /**
   * Notes that a frame came for this MAC. True when it has said nothing since frames began to come
   * {@link UNANSWERED_MS} ago, and nobody was asked lately: its address may have another MAC now.
   */
  isUnanswered(high: number, low: number, nowMs: number): boolean {
    let slot = this.#toSlot;
    if (this.#low[slot] !== low || this.#high[slot] !== high) {
      slot = this.#find(high, low);
      if (slot < 0) return false;
      this.#toSlot = slot;
    }
    const waitingMs = this.#waitingMs[slot] as number;
    if (waitingMs <= (this.#seenMs[slot] as number) || waitingMs === 0) {
      this.#waitingMs[slot] = nowMs;
      return false;
    }
    if (nowMs - waitingMs < UNANSWERED_MS) return false;
    if (nowMs - (this.#askedMs[slot] as number) < AGAIN_MS) return false;
    this.#askedMs[slot] = nowMs;
    return true;
  }
}
