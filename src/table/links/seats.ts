/**
 * Peers that are to be reached, and are only believed, at another address and port than their own: those
 * behind a NAT that control has let in. All links together; who is not here is at its own address.
 *
 * ```
 * 0   version  odd while control writes
 * 4   count    rows in use
 * 64  rows     256 × 16 bytes: link, own address, outer address, outer port
 * ```
 * @module
 */
import { SEATS_MAX, type TableSegment } from '../segment.ts';

const VERSION = 0;
const COUNT = 1;
const FIRST_ROW = 16;
const ROW_WORDS = 4;
/** How often a reader looks for a moment in which nobody writes. */
const READ_ATTEMPTS = 64;

/** Where a peer is. Addresses are IPv4, u32. */
export type Seat = { peer: number; address: number; port: number };

export class SeatReader {
  protected readonly words: Int32Array;

  constructor(segment: TableSegment) {
    const { buffer, offset } = segment.seats;
    this.words = new Int32Array(buffer, offset, FIRST_ROW + SEATS_MAX * ROW_WORDS);
  }

  /** Changes whenever anything does; a plain load, so a change may be seen a moment late. */
  get version(): number {
    return this.words[VERSION] as number;
  }

  /** Those of a link; undefined when control did not finish writing. */
  read(link: number): { seats: Seat[]; version: number } | undefined {
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const version = Atomics.load(this.words, VERSION);
      if ((version & 1) !== 0) continue;
      const seats: Seat[] = [];
      const count = Math.min(this.words[COUNT] as number, SEATS_MAX);
      for (let row = 0; row < count; row++) {
        const at = FIRST_ROW + row * ROW_WORDS;
        if (this.words[at] !== link) continue;
        const word = (i: number): number => (this.words[at + i] as number) >>> 0;
        seats.push({ peer: word(1), address: word(2), port: word(3) });
      }
      if (Atomics.load(this.words, VERSION) === version) return { seats, version };
    }
    return undefined;
  }
}

function isSame(a: readonly Seat[], b: readonly Seat[]): boolean {
  const text = (seats: readonly Seat[]): string =>
    seats.map(({ peer, address, port }) => `${peer} ${address} ${port}`).join();
  return text(a) === text(b);
}

/** Control: the one writer. */
export class SeatWriter extends SeatReader {
  readonly #byLink = new Map<number, readonly Seat[]>();

  /** Makes the seats of a link these; how many found no room. */
  replace(link: number, seats: readonly Seat[]): number {
    const others = [...this.#byLink].filter(([id]) => id !== link);
    const used = others.reduce((sum, [, list]) => sum + list.length, 0);
    const kept = seats.slice(0, SEATS_MAX - used);
    if (isSame(kept, this.#byLink.get(link) ?? [])) return seats.length - kept.length;
    if (kept.length > 0) this.#byLink.set(link, kept);
    else this.#byLink.delete(link);
    this.#write();
    return seats.length - kept.length;
  }

  /** The link has gone. */
  clear(link: number): void {
    this.replace(link, []);
  }

  #write(): void {
    // Atomics order the odd version before, and the even one after, the plain stores between.
    Atomics.add(this.words, VERSION, 1);
    let at = FIRST_ROW;
    for (const [link, seats] of this.#byLink) {
      for (const { peer, address, port } of seats) {
        this.words.set([link, peer, address, port], at);
        at += ROW_WORDS;
      }
    }
    this.words[COUNT] = (at - FIRST_ROW) / ROW_WORDS;
    Atomics.add(this.words, VERSION, 1);
  }
}
