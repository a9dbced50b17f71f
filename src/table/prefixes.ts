/**
 * Which peer has an overlay address, by link and longest prefix. On a fan these are the exceptions
 * to its arithmetic.
 *
 * One hash table over all lengths: a look-up asks it once for each length that its link has in use,
 * longest first. In practice that is once: workloads move as single addresses.
 * @module
 */
import { ENTRIES_MAX } from '../limits.ts';
import { maskOf } from '../net/prefix.ts';
import { HashReader, HashWriter, TAG_MIN } from '../shm/hash.ts';
import type { TableSegment } from './segment.ts';

/** Lengths of IPv4 prefixes, 0 included. */
const LENGTHS = 33;
/** Bits of a tag that hold the length. */
const LENGTH_BITS = 6;

function tagOf(link: number, length: number): number {
  return ((link << LENGTH_BITS) | length) + TAG_MIN;
}

/** The bit of a link's word that stands for a length, 1 to 32. */
function lengthBit(length: number): number {
  return 1 << (length - 1);
}

export class PrefixReader {
  readonly #hash: HashReader;
  readonly #lengths: Int32Array;

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.prefixes;
    this.#hash = new HashReader(buffer, offset, slots, seed);
    this.#lengths = segment.lengths;
  }

  /** Number of the peer that has `address` (u32) on link `link` by a prefix; 0 when there is none. */
  find(link: number, address: number): number {
    let lengths = this.#lengths[link] as number;
    while (lengths !== 0) {
      const down = Math.clz32(lengths);
      const peer = this.#hash.find(tagOf(link, 32 - down), address & (-1 << down));
      if (peer !== 0) return peer;
      lengths &= ~(0x80000000 >>> down);
    }
    return 0;
  }
}

/** Control: the one writer. Takes part of the work of {@link PrefixReader} too. */
export class PrefixWriter {
  readonly #hash: HashWriter;
  readonly #lengths: Int32Array;
  /** Entries of each length, by link. */
  readonly #uses: Uint32Array;

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.prefixes;
    this.#hash = new HashWriter(buffer, offset, slots, seed);
    this.#lengths = segment.lengths;
    this.#uses = new Uint32Array(this.#lengths.length * LENGTHS);
  }

  get count(): number {
    return this.#hash.count;
  }

  /** The peer of exactly this prefix, 0 when it has none. */
  get(link: number, address: number, length: number): number {
    return this.#hash.find(tagOf(link, length), address & maskOf(length));
  }

  /**
   * The prefix `address`/`length` (u32; 1 to 32) of link `link` is at `peer` from now on. False when
   * the table is full: then nothing has changed.
   */
  set(link: number, address: number, length: number, peer: number): boolean {
    const tag = tagOf(link, length);
    const network = address & maskOf(length);
    const isNew = this.#hash.find(tag, network) === 0;
    if (isNew && this.#hash.count >= ENTRIES_MAX) return false;
    if (!this.#hash.set(tag, network, peer)) return false;
    if (!isNew) return true;
    const use = link * LENGTHS + length;
    this.#uses[use] = (this.#uses[use] ?? 0) + 1;
    this.#lengths[link] = (this.#lengths[link] ?? 0) | lengthBit(length);
    return true;
  }

  /** The prefix is nobody's any more; false when it was nobody's before. */
  delete(link: number, address: number, length: number): boolean {
    if (!this.#hash.delete(tagOf(link, length), address & maskOf(length))) return false;
    const use = link * LENGTHS + length;
    this.#uses[use] = (this.#uses[use] ?? 0) - 1;
    if (this.#uses[use] === 0) {
      this.#lengths[link] = (this.#lengths[link] ?? 0) & ~lengthBit(length);
    }
    return true;
  }
}
