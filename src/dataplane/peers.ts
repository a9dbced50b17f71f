/**
 * What we remember of each underlay peer: the largest datagram that we sent it lately, and a path
 * MTU that the network told us. A fixed table, so that strangers cannot make it grow.
 * @module
 */

const SLOTS = 4096;
const PROBES_MAX = 8;
/** An ICMP error speaks of a packet that we sent at most this long ago, ms. */
const SENT_MEMORY_MS = 60_000;
/** How long a lowered path MTU is believed, ms (RFC 1191 §6.3 suggests ten minutes). */
const PMTU_LIFETIME_MS = 600_000;
/** No ICMP takes the path MTU below this, bytes: RFC 791 hosts must accept 576. */
export const PATH_MTU_FLOOR_BYTES = 576;

export class PeerTable {
  readonly #address = new Uint32Array(SLOTS);
  readonly #sentBytes = new Uint16Array(SLOTS);
  readonly #sentAtMs = new Float64Array(SLOTS);
  readonly #pathMtu = new Uint16Array(SLOTS);
  readonly #pathMtuUntilMs = new Float64Array(SLOTS);
  /** Peers whose path MTU is lowered; while zero the hot path does not look. */
  loweredCount = 0;

  #home(peer: number): number {
    return (Math.imul(peer, 0x9e3779b1) >>> 20) & (SLOTS - 1);
  }

  #find(peer: number): number {
    const home = this.#home(peer);
    for (let i = 0; i < PROBES_MAX; i++) {
      const slot = (home + i) & (SLOTS - 1);
      if (this.#address[slot] === peer) return slot;
    }
    return -1;
  }

  /** The peer's slot; a crowded neighbourhood forgets the peer that was silent for longest. */
  #claim(peer: number): number {
    const found = this.#find(peer);
    if (found >= 0) return found;
    const home = this.#home(peer);
    let oldest = home;
    for (let i = 0; i < PROBES_MAX; i++) {
      const slot = (home + i) & (SLOTS - 1);
      if (this.#address[slot] === 0) {
        oldest = slot;
        break;
      }
      if ((this.#sentAtMs[slot] ?? 0) < (this.#sentAtMs[oldest] ?? 0)) oldest = slot;
    }
    if (this.#pathMtu[oldest] !== 0) this.loweredCount--;
    this.#address[oldest] = peer;
    this.#sentBytes[oldest] = 0;
    this.#pathMtu[oldest] = 0;
    return oldest;
  }

  /** Notes that a datagram of `outerBytes` (IP length) went to `peer`. */
  noteSent(peer: number, outerBytes: number, nowMs: number): void {
    const slot = this.#claim(peer);
    const stale = nowMs - (this.#sentAtMs[slot] ?? 0) > SENT_MEMORY_MS;
    if (stale || outerBytes > (this.#sentBytes[slot] ?? 0)) this.#sentBytes[slot] = outerBytes;
    this.#sentAtMs[slot] = nowMs;
  }

  /**
   * Believes "packet too big, next-hop MTU `mtu`" about `peer` only where we lately sent it
   * something larger. Returns whether the path MTU changed.
   */
  lower(peer: number, mtu: number, nowMs: number): boolean {
    const slot = this.#find(peer);
    if (slot < 0 || nowMs - (this.#sentAtMs[slot] ?? 0) > SENT_MEMORY_MS) return false;
    const floored = Math.max(mtu, PATH_MTU_FLOOR_BYTES);
    if ((this.#sentBytes[slot] ?? 0) <= floored) return false;
    const known = this.#pathMtu[slot] ?? 0;
    if (known !== 0 && known <= floored) return false;
    if (known === 0) this.loweredCount++;
    this.#pathMtu[slot] = floored;
    this.#pathMtuUntilMs[slot] = nowMs + PMTU_LIFETIME_MS;
    return true;
  }

  /** Path MTU towards `peer` in bytes, or 65535 when nothing lowered it. */
  pathMtu(peer: number, nowMs: number): number {
    const slot = this.#find(peer);
    if (slot < 0) return 65535;
    const mtu = this.#pathMtu[slot] ?? 0;
    if (mtu === 0) return 65535;
    if (nowMs > (this.#pathMtuUntilMs[slot] ?? 0)) {
      this.#pathMtu[slot] = 0;
      // Only packets sent from now on may lower it again.
      this.#sentBytes[slot] = 0;
      this.loweredCount--;
      return 65535;
    }
    return mtu;
  }
}
