/**
 * Which of an endpoint's outer source ports a packet takes. Networks spread flows by it and keep
 * each in order, so a flow stays with one port; but each port is a socket with sends of its own, so
 * that a burst of many slow flows should not be scattered over all of them.
 *
 * Flowlets give both: a flow that was silent for longer than one packet can be late on its way goes
 * on by any port, and still in order. So slow flows take, all together, one port a burst, another
 * one in the next; flows that are busy, that are new, or that send super-packets have the port of
 * their hash. Where several data processes share the work, all do: on the far side, which is made
 * like this one, the port decides which of them a packet goes to, and on a machine that is overrun one
 * may be late by any time.
 * @module
 */

/**
 * Silence after which nothing of a flow is under way any more, ms. In that time 50 MB pass at 10 Gb/s:
 * no path between two hosts of one network is so much longer than another.
 */
const GAP_MS = 40;
/** After a longer silence it may be a new flow, and nobody knows how busy that will be. */
const NEW_AFTER_MS = 1000;
/** Flows are told apart by so many values of their hash; those that share one are like one flow. */
const BUCKETS = 8192;

export class SourcePorts {
  readonly #seenAtMs = new Float64Array(BUCKETS).fill(Number.NEGATIVE_INFINITY);
  readonly #port = new Uint8Array(BUCKETS);
  readonly #mayMove: boolean;
  #shared = 0;

  /** @param mayMove flows may leave the port of their hash */
  constructor(mayMove: boolean) {
    this.#mayMove = mayMove;
  }

  /** A new burst begins: its slow flows share another port than the last one's. */
  nextBurst(): void {
    this.#shared = (this.#shared + 1) & 0xff;
  }

  /**
   * The port, 0 to `count` − 1, of a packet.
   * @param hash of its inner flow, u32
   * @param count of ports, 1 to 256
   * @param isBulk it is a super-packet
   */
  choose(hash: number, count: number, isBulk: boolean, nowMs: number): number {
    const bucket = hash & (BUCKETS - 1);
    const silentMs = nowMs - (this.#seenAtMs[bucket] as number);
    this.#seenAtMs[bucket] = nowMs;
    if (silentMs > GAP_MS) {
      const isSlow = this.#mayMove && silentMs < NEW_AFTER_MS && !isBulk;
      this.#port[bucket] = isSlow ? this.#shared : hash >>> 24;
    }
    return (this.#port[bucket] as number) % count;
  }
}
