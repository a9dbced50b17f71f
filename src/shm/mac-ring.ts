/**
 * MAC addresses from one side of the shared memory to the other: the last few that were told, in a
 * ring that never waits. One side writes, the other looks when it likes; what it was too slow for
 * is lost, and will be told again if it still matters. An entry that is overwritten while it is
 * read comes out as one that nobody knows, which harms nothing.
 * @module
 */

/** Entries of a ring. */
export const MAC_RING_ENTRIES = 64;
const COUNT_BYTES = 8;
const ENTRY_BYTES = 12;
/** Size of a ring, bytes. */
export const MAC_RING_BYTES = COUNT_BYTES + MAC_RING_ENTRIES * ENTRY_BYTES;

/** A MAC, as its first 16 and last 32 bits, behind the link with this id. */
export type LinkMac = { link: number; high: number; low: number };

export class MacRing {
  readonly #words: Int32Array;

  /** @param offset of the ring in the shared memory, a multiple of 4 */
  constructor(buffer: ArrayBuffer, offset: number) {
    this.#words = new Int32Array(buffer, offset, MAC_RING_BYTES / 4);
  }

  /** How many were ever told; wraps after 2^32. */
  get count(): number {
    return Atomics.load(this.#words, 0);
  }

  /** Writer: tells one more. */
  push(link: number, high: number, low: number): void {
    const count = this.#words[0] as number;
    const at = 2 + (count & (MAC_RING_ENTRIES - 1)) * (ENTRY_BYTES / 4);
    this.#words[at] = link;
    this.#words[at + 1] = high;
    this.#words[at + 2] = low;
    // The count goes last: whoever sees it sees the entry too.
    Atomics.store(this.#words, 0, (count + 1) | 0);
  }

  /** Reader: those that were told after `since`, a {@link count} of before; at most the whole ring. */
  after(since: number): LinkMac[] {
    const count = this.count;
    const entries: LinkMac[] = [];
    for (let back = Math.min((count - since) >>> 0, MAC_RING_ENTRIES); back > 0; back--) {
      const at = 2 + ((count - back) & (MAC_RING_ENTRIES - 1)) * (ENTRY_BYTES / 4);
      entries.push({
        link: this.#words[at] as number,
        high: this.#words[at + 1] as number,
        low: (this.#words[at + 2] as number) >>> 0,
      });
    }
    return entries;
  }
}
