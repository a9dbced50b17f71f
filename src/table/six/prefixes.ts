/**
 * Which peer has an IPv6 overlay address, by link and longest prefix: what ../prefixes.ts is for IPv4, and
 * like there these are the exceptions to a fan's arithmetic.
 *
 * A hash table leads from link, length and address to a row of 32 bytes:
 *
 * ```
 * 0  seal        computed from all that follows
 * 4  peer
 * 8  owner       link, and the length from bit 8 on
 * 16 address     four words, 0 behind the length
 * ```
 *
 * A row that something leads to never changes: a prefix that moves gets a new row, and the old one is the
 * last to be used again. So a reader needs no lock; whatever it meets in a row that was given away
 * meanwhile does not fit the seal, or not the address.
 * @module
 */
import { type Ipv6, maskOf6 } from '../../net/prefix6.ts';
import { FOLD_TRIES, fold128 } from '../../shm/fold.ts';
import { HashReader, HashWriter, TAG_MIN } from '../../shm/hash.ts';
import { RowPool } from '../../shm/row-pool.ts';
import { PREFIX6_ROW_BYTES, PREFIX6_ROWS, PREFIXES6_MAX, type TableSegment } from '../segment.ts';

const ROW_WORDS = PREFIX6_ROW_BYTES / 4;
const SEAL = 0;
const PEER = 1;
const OWNER = 2;
const ADDRESS = 4;
/** Lengths of IPv6 prefixes, 0 included. */
const LENGTHS = 129;
const LENGTH_SHIFT = 8;
/** Words of a link's set of lengths, and of an address. */
const WORDS = 4;

function tagOf(link: number, length: number, attempt: number): number {
  return (link * LENGTHS + length) * FOLD_TRIES + attempt + TAG_MIN;
}

/** What the seal of a row is; not 0, which is what a row has that was never written. */
function sealOf(peer: number, owner: number, folded: number): number {
  const mixed = Math.imul(peer ^ Math.imul(owner, 0x9e3779b1) ^ folded, 0x85ebca6b);
  return (mixed ^ (mixed >>> 16)) | 1;
}

export class Prefix6Reader {
  readonly #hash: HashReader;
  protected readonly rows: Int32Array;
  protected readonly seed: number;
  protected readonly lengths: Int32Array;

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.prefixes6;
    this.#hash = new HashReader(buffer, offset, slots, seed);
    this.rows = new Int32Array(buffer, segment.prefix6RowsOffset, PREFIX6_ROWS * ROW_WORDS);
    this.lengths = segment.lengths6;
    this.seed = seed;
  }

  /** Number of the peer that has the 16 bytes at `at` on link `link` by a prefix; 0 = none. */
  find(link: number, view: DataView, at: number): number {
    for (let word = WORDS - 1; word >= 0; word--) {
      let lengths = this.lengths[link * WORDS + word] as number;
      while (lengths !== 0) {
        const down = Math.clz32(lengths);
        const peer = this.#findMasked(link, view, at, word, down);
        if (peer !== 0) return peer;
        lengths &= ~(0x80000000 >>> down);
      }
    }
    return 0;
  }

  /** The same by the one prefix that ends in this word, with so many of its bits left out. */
  #findMasked(link: number, view: DataView, at: number, word: number, down: number): number {
    const mask = -1 << down;
    const a = view.getInt32(at) & (word === 0 ? mask : -1);
    const b = word < 1 ? 0 : view.getInt32(at + 4) & (word === 1 ? mask : -1);
    const c = word < 2 ? 0 : view.getInt32(at + 8) & (word === 2 ? mask : -1);
    const d = word < 3 ? 0 : view.getInt32(at + 12) & mask;
    return this.findWords(link, 32 * word + 32 - down, a, b, c, d);
  }

  /** The peer of exactly the prefix of these words; all behind the length are 0. */
  protected findWords(
    link: number,
    length: number,
    a: number,
    b: number,
    c: number,
    d: number,
  ): number {
    const { rows } = this;
    const folded = fold128(a, b, c, d, this.seed);
    const owner = link | (length << LENGTH_SHIFT);
    for (let attempt = 0; attempt < FOLD_TRIES; attempt++) {
      const row = this.#hash.find(tagOf(link, length, attempt), folded);
      if (row === 0) continue;
      const at = row * ROW_WORDS;
      const peer = rows[at + PEER] as number;
      if (
        rows[at + OWNER] === owner &&
        rows[at + ADDRESS] === a &&
        rows[at + ADDRESS + 1] === b &&
        rows[at + ADDRESS + 2] === c &&
        rows[at + ADDRESS + 3] === d &&
        rows[at + SEAL] === sealOf(peer, owner, folded)
      ) {
        return peer;
      }
    }
    return 0;
  }
}

/** Control: the one writer. Words of addresses behind the length do not count; lengths are 1 to 128. */
export class Prefix6Writer extends Prefix6Reader {
  readonly #table: HashWriter;
  readonly #pool = new RowPool(PREFIX6_ROWS);
  /** Entries of each length, by link. */
  readonly #uses: Uint32Array;

  constructor(segment: TableSegment) {
    super(segment);
    const { buffer, offset, slots, seed } = segment.prefixes6;
    this.#table = new HashWriter(buffer, offset, slots, seed);
    this.#uses = new Uint32Array((this.lengths.length / WORDS) * LENGTHS);
  }

  get count(): number {
    return this.#table.count;
  }

  /** The peer of exactly this prefix, 0 when it has none. */
  get(link: number, address: Ipv6, length: number): number {
    const [a, b, c, d] = masked(address, length);
    return this.findWords(link, length, a, b, c, d);
  }

  /** The prefix of link `link` is at `peer` from now on. False, and nothing has changed, when there is no room. */
  set(link: number, address: Ipv6, length: number, peer: number): boolean {
    const words = masked(address, length);
    const place = this.#place(link, length, words);
    if (place === undefined) return false;
    const known = this.#table.find(place.tag, place.key);
    if (known === 0 && this.count >= PREFIXES6_MAX) return false;
    const row = this.#pool.take();
    if (row === 0) return false;
    this.#write(row, link | (length << LENGTH_SHIFT), words, peer);
    if (!this.#table.set(place.tag, place.key, row)) {
      this.#pool.give(row);
      return false;
    }
    if (known !== 0) this.#pool.give(known);
    else this.#use(link, length, 1);
    return true;
  }

  /** The prefix is nobody's any more; false when it was nobody's before. */
  delete(link: number, address: Ipv6, length: number): boolean {
    const place = this.#place(link, length, masked(address, length));
    const row = place === undefined ? 0 : this.#table.find(place.tag, place.key);
    if (place === undefined || row === 0) return false;
    this.#table.delete(place.tag, place.key);
    this.#pool.give(row);
    this.#use(link, length, -1);
    return true;
  }

  /** Counts an entry of a length in or out, and tells readers which lengths there are. */
  #use(link: number, length: number, by: number): void {
    const use = link * LENGTHS + length;
    const count = (this.#uses[use] ?? 0) + by;
    this.#uses[use] = count;
    const word = link * WORDS + ((length - 1) >>> 5);
    const bit = 1 << ((length - 1) & 31);
    const before = this.lengths[word] ?? 0;
    this.lengths[word] = count === 0 ? before & ~bit : before | bit;
  }

  /** Where a prefix is in the table, or would go; undefined when others have all its places. */
  #place(link: number, length: number, words: Words): { tag: number; key: number } | undefined {
    const key = fold128(...words, this.seed);
    let vacant: number | undefined;
    for (let attempt = 0; attempt < FOLD_TRIES; attempt++) {
      const tag = tagOf(link, length, attempt);
      const row = this.#table.find(tag, key);
      if (row === 0) vacant ??= tag;
      else if (this.#holds(row, words)) return { tag, key };
    }
    return vacant === undefined ? undefined : { tag: vacant, key };
  }

  #holds(row: number, words: Words): boolean {
    const at = row * ROW_WORDS + ADDRESS;
    return words.every((word, i) => this.rows[at + i] === word);
  }

  #write(row: number, owner: number, words: Words, peer: number): void {
    const { rows } = this;
    const at = row * ROW_WORDS;
    rows[at + SEAL] = 0;
    rows[at + PEER] = peer;
    rows[at + OWNER] = owner;
    for (const [i, word] of words.entries()) rows[at + ADDRESS + i] = word;
    // Before anything leads here; and with Atomics, so that nobody sees the seal first.
    Atomics.store(rows, at + SEAL, sealOf(peer, owner, fold128(...words, this.seed)));
  }
}

type Words = [number, number, number, number];

/** The words of a prefix, signed as the table has them. */
function masked([a, b, c, d]: Ipv6, length: number): Words {
  const [ma, mb, mc, md] = maskOf6(length);
  return [a & ma, b & mb, c & mc, d & md];
}
