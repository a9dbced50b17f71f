/**
 * By which of a link's underlays each peer can be reached now, for links that have several. Control
 * finds it out and writes it; a peer that is not here is reached by the first underlay alone, as one
 * that has no others is.
 *
 * A peer is named by its address on the link's first underlay, whichever way a packet goes.
 * @module
 */
import { HashReader, HashWriter, TAG_MIN } from '../../shm/hash.ts';
import type { TableSegment } from '../segment.ts';
import { HomeReader } from './homes.ts';

/** Peers of all links together that are kept at a time; half of the slots. */
export const REACHES_MAX = 4096;
const PREFERRED_SHIFT = 4;
const USABLE_BITS = 0xf;
/** The first underlay alone: what holds for peers that are not in the table. */
export const FIRST_ONLY = 1;

/** Bit k: the underlay number k leads to the peer. Never 0. */
export function usableOf(reach: number): number {
  return reach & USABLE_BITS;
}

/** The underlay that goes before others where one is enough; it is among the usable ones. */
export function preferredOf(reach: number): number {
  return reach >>> PREFERRED_SHIFT;
}

/** What {@link usableOf} and {@link preferredOf} read. @param usable bits, not 0 */
export function reachOf(usable: number, preferred: number): number {
  return (preferred << PREFERRED_SHIFT) | (usable & USABLE_BITS);
}

export class UnderlayReader {
  readonly #hash: HashReader;
  readonly #segment: TableSegment;

  constructor(segment: TableSegment) {
    this.#segment = segment;
    const { buffer, offset, slots, seed } = segment.underlays;
    this.#hash = new HashReader(buffer, offset, slots, seed);
  }

  /** How `link` reaches the peer (IPv4, u32); {@link FIRST_ONLY} where nobody has said. */
  find(link: number, peer: number): number {
    return this.#hash.find(TAG_MIN + link, peer) || FIRST_ONLY;
  }

  /** Where the peers of a link say that they are on its underlays, of which there are so many. */
  homesOf(link: number, underlays: number): HomeReader {
    return new HomeReader(this.#segment, link, underlays);
  }
}

/** Control: the one writer. */
export class UnderlayWriter {
  readonly #hash: HashWriter;
  readonly #known = new Map<number, Map<number, number>>();

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.underlays;
    this.#hash = new HashWriter(buffer, offset, slots, seed);
  }

  /** Makes the peers of a link these, changing only what differs; how many found no room. */
  replace(link: number, reaches: ReadonlyMap<number, number>): number {
    const known = this.#known.get(link) ?? new Map<number, number>();
    this.#known.set(link, known);
    for (const peer of known.keys()) {
      if (reaches.has(peer)) continue;
      this.#hash.delete(TAG_MIN + link, peer);
      known.delete(peer);
    }
    let left = 0;
    for (const [peer, reach] of reaches) {
      if (known.get(peer) === reach) continue;
      const hasRoom = known.has(peer) || this.#hash.count < REACHES_MAX;
      if (hasRoom && this.#hash.set(TAG_MIN + link, peer, reach)) known.set(peer, reach);
      else left++;
    }
    return left;
  }

  /** The link has gone. */
  clear(link: number): void {
    this.replace(link, new Map());
    this.#known.delete(link);
  }
}
