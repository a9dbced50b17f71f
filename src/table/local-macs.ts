/**
 * The MAC addresses that live behind this host's own bridge ports, learned from what they send.
 * A frame from the underlay that claims one of them would make the bridge believe that our
 * container has moved to the tunnel; it is refused instead.
 *
 * A fixed table: the oldest entry of a crowded neighbourhood gives way, so guests that invent
 * addresses cannot make it grow. MACs are given as their first 16 and last 32 bits.
 * @module
 */

const SLOTS = 4096;
const PROBES_MAX = 8;
/** A MAC that was silent for this long may be somewhere else: the kernel bridge's ageing time, ms. */
export const LOCAL_MAC_LIFETIME_MS = 300_000;

export class LocalMacs {
  readonly #high = new Uint16Array(SLOTS);
  readonly #low = new Uint32Array(SLOTS);
  /** 0 = empty. */
  readonly #seenMs = new Float64Array(SLOTS);
  // Consecutive frames mostly come from one sender.
  #lastHigh = -1;
  #lastLow = 0;
  #lastMs = 0;

  #home(high: number, low: number): number {
    return (Math.imul(low ^ (high << 8), 0x9e3779b1) >>> 20) & (SLOTS - 1);
  }

  /** Notes that a local port sent from this MAC. `nowMs` is above zero and never goes back. */
  note(high: number, low: number, nowMs: number): void {
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
    this.#seenMs[victim] = nowMs;
  }

  /** Whether a local port has sent from this MAC within {@link LOCAL_MAC_LIFETIME_MS}. */
  has(high: number, low: number, nowMs: number): boolean {
    const home = this.#home(high, low);
    for (let i = 0; i < PROBES_MAX; i++) {
      const slot = (home + i) & (SLOTS - 1);
      const seenMs = this.#seenMs[slot] as number;
      // Entries are never removed, so an empty slot ends the neighbourhood.
      if (seenMs === 0) return false;
      if (this.#low[slot] === low && this.#high[slot] === high) {
        return nowMs - seenMs <= LOCAL_MAC_LIFETIME_MS;
      }
    }
    return false;
  }
}
