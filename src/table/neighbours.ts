/**
 * Which MAC an IPv4 or IPv6 address has, by link: what ARP and Neighbour Discovery are answered from, and
 * what a port's senders are held to.
 *
 * A hash table leads from link and address to a row of 32 bytes:
 *
 * ```
 * 0  seal        computed from all that follows
 * 4  MAC high    first 16 bits, flags in the upper half
 * 8  MAC low     last 32 bits
 * 12 link        and the family, 4 or 6, from bit 8 on
 * 16 address     four words; IPv4 in the first
 * ```
 *
 * A row that something leads to never changes: a binding that does gets a new row, and the old one is
 * the last to be used again. So a reader needs no lock; whatever it meets in a row that was given away
 * meanwhile does not fit the seal, or not the address.
 * @module
 */
import { ENTRIES_MAX } from '../limits.ts';
import { FOLD_TRIES, fold128 } from '../shm/fold.ts';
import { type ByteRange, HashReader, HashWriter, TAG_MIN } from '../shm/hash.ts';
import { RowPool } from '../shm/row-pool.ts';
import { NEIGHBOUR_ROW_BYTES, NEIGHBOUR_ROWS, type TableSegment } from './segment.ts';

/** Bindings of all links together. */
export const NEIGHBOURS_MAX = ENTRIES_MAX;

export const NeighbourFlag = {
  /** It is at our own bridge. */
  Local: 1,
  /** It routes: the R bit of its advertisements (RFC 4861 §4.4). */
  Router: 2,
  /** Somebody wrote it down: no other MAC may speak for the address. */
  Static: 4,
} as const;

/** `mac` is u48. */
type Neighbour = { mac: number; flags: number };

const ROW_WORDS = NEIGHBOUR_ROW_BYTES / 4;
const SEAL = 0;
const HIGH = 1;
const LOW = 2;
const OWNER = 3;
const ADDRESS = 4;
const FAMILY_SHIFT = 8;
const FLAGS_SHIFT = 16;
/** Tags of a link: one for IPv4, then one for each try of IPv6. */
const TAGS_PER_LINK = 1 + FOLD_TRIES;
const TWO_32 = 0x1_0000_0000;

function tagOf(link: number, attempt: number): number {
  return link * TAGS_PER_LINK + attempt + TAG_MIN;
}

/** What the seal of a row with these words is. */
function sealOf(high: number, low: number, owner: number, folded: number): number {
  const mixed = Math.imul(high ^ Math.imul(low, 0x9e3779b1) ^ folded, 0x85ebca6b) ^ owner;
  // Not 0, which is what a row has that was never written.
  return (mixed ^ (mixed >>> 16)) | 1;
}

export class NeighbourReader {
  readonly #hash: HashReader;
  protected readonly rows: Int32Array;
  protected readonly seed: number;
  // What the last search found; nothing of it holds after one that found nothing.
  macHigh = 0;
  macLow = 0;
  flags = 0;

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.neighbours;
    this.#hash = new HashReader(buffer, offset, slots, seed);
    this.rows = new Int32Array(buffer, segment.neighbourRowsOffset, NEIGHBOUR_ROWS * ROW_WORDS);
    this.seed = seed;
  }

  /** Every binding of a link, in no order; addresses are 4 or 16 bytes. */
  *entries(
    link: number,
    written?: readonly ByteRange[],
  ): Generator<Neighbour & { address: Uint8Array }> {
    for (const { tag, value } of this.#hash.entries(written)) {
      if (Math.floor((tag - TAG_MIN) / TAGS_PER_LINK) !== link) continue;
      const at = value * ROW_WORDS;
      const isIpv4 = this.rows[at + OWNER] === (link | (4 << FAMILY_SHIFT));
      const words = [0, 1, 2, 3].map((i) => this.rows[at + ADDRESS + i] as number);
      const [a = 0, b = 0, c = 0, d = 0] = words;
      const owner = link | ((isIpv4 ? 4 : 6) << FAMILY_SHIFT);
      if (!this.#read(value, owner, a, b, c, d)) continue;
      const bytes = new DataView(new ArrayBuffer(isIpv4 ? 4 : 16));
      for (let i = 0; i * 4 < bytes.byteLength; i++) bytes.setInt32(i * 4, words[i] as number);
      const mac = this.macHigh * TWO_32 + this.macLow;
      yield { address: new Uint8Array(bytes.buffer), mac, flags: this.flags };
    }
  }

  /** Finds the MAC of an IPv4 address (u32): {@link macHigh} and the others tell. */
  findIpv4(link: number, address: number): boolean {
    const row = this.#hash.find(tagOf(link, 0), address);
    return row !== 0 && this.#read(row, link | (4 << FAMILY_SHIFT), address | 0, 0, 0, 0);
  }

  /** The same for the 16 bytes at `at`. */
  findIpv6(link: number, view: DataView, at: number): boolean {
    return this.findWords(
      link,
      view.getInt32(at),
      view.getInt32(at + 4),
      view.getInt32(at + 8),
      view.getInt32(at + 12),
    );
  }

  /** The same for an IPv6 address as four words. */
  protected findWords(link: number, a: number, b: number, c: number, d: number): boolean {
    const key = fold128(a, b, c, d, this.seed);
    for (let attempt = 1; attempt <= FOLD_TRIES; attempt++) {
      const row = this.#hash.find(tagOf(link, attempt), key);
      if (row !== 0 && this.#read(row, link | (6 << FAMILY_SHIFT), a, b, c, d)) return true;
    }
    return false;
  }

  #read(row: number, owner: number, a: number, b: number, c: number, d: number): boolean {
    const { rows } = this;
    const at = row * ROW_WORDS;
    const high = rows[at + HIGH] as number;
    const low = rows[at + LOW] as number;
    if (
      rows[at + OWNER] !== owner ||
      rows[at + ADDRESS] !== a ||
      rows[at + ADDRESS + 1] !== b ||
      rows[at + ADDRESS + 2] !== c ||
      rows[at + ADDRESS + 3] !== d ||
      rows[at + SEAL] !== sealOf(high, low, owner, fold128(a, b, c, d, this.seed))
    ) {
      return false;
    }
    this.macHigh = high & 0xffff;
    this.macLow = low >>> 0;
    this.flags = high >>> FLAGS_SHIFT;
    return true;
  }
}

/** Control: the one writer. Addresses are 4 or 16 bytes in network order. */
export class NeighbourWriter extends NeighbourReader {
  readonly #table: HashWriter;
  readonly #pool = new RowPool(NEIGHBOUR_ROWS);
  /** Bindings that found no room so far. */
  overflows = 0;

  constructor(segment: TableSegment) {
    super(segment);
    const { buffer, offset, slots, seed } = segment.neighbours;
    this.#table = new HashWriter(buffer, offset, slots, seed);
  }

  get count(): number {
    return this.#table.count;
  }

  get(link: number, address: Uint8Array): Neighbour | undefined {
    const [a, b, c, d] = wordsOf(address);
    const isKnown =
      address.length === 4 ? this.findIpv4(link, a) : this.findWords(link, a, b, c, d);
    return isKnown ? { mac: this.macHigh * TWO_32 + this.macLow, flags: this.flags } : undefined;
  }

  /** The address has this MAC from now on. False, and nothing has changed, when there is no room. */
  set(link: number, address: Uint8Array, { mac, flags }: Neighbour): boolean {
    const place = this.#place(link, address);
    const known = place === undefined ? 0 : this.#table.find(place.tag, place.key);
    const row = known === 0 && this.count >= NEIGHBOURS_MAX ? 0 : this.#pool.take();
    if (place === undefined || row === 0) {
      if (row !== 0) this.#pool.give(row);
      this.overflows++;
      return false;
    }
    this.#write(row, link, address, { mac, flags });
    if (!this.#table.set(place.tag, place.key, row)) {
      this.#pool.give(row);
      this.overflows++;
      return false;
    }
    if (known !== 0) this.#pool.give(known);
    return true;
  }

  /** The address is nobody's any more; false when it was nobody's before. */
  delete(link: number, address: Uint8Array): boolean {
    const place = this.#place(link, address);
    const row = place === undefined ? 0 : this.#table.find(place.tag, place.key);
    if (place === undefined || row === 0) return false;
    this.#table.delete(place.tag, place.key);
    this.#pool.give(row);
    return true;
  }

  /** Where an address is in the table, or would go; undefined when others have all its places. */
  #place(link: number, address: Uint8Array): { tag: number; key: number } | undefined {
    const words = wordsOf(address);
    if (address.length === 4) return { tag: tagOf(link, 0), key: words[0] };
    const key = fold128(...words, this.seed);
    let vacant: number | undefined;
    for (let attempt = 1; attempt <= FOLD_TRIES; attempt++) {
      const tag = tagOf(link, attempt);
      const row = this.#table.find(tag, key);
      if (row === 0) vacant ??= tag;
      else if (this.#holds(row, words)) return { tag, key };
    }
    return vacant === undefined ? undefined : { tag: vacant, key };
  }

  #holds(row: number, words: readonly number[]): boolean {
    const at = row * ROW_WORDS + ADDRESS;
    return words.every((word, i) => this.rows[at + i] === word);
  }

  #write(row: number, link: number, address: Uint8Array, { mac, flags }: Neighbour): void {
    const { rows } = this;
    const at = row * ROW_WORDS;
    const [a, b, c, d] = wordsOf(address);
    const high = Math.floor(mac / TWO_32) | (flags << FLAGS_SHIFT);
    const low = mac | 0;
    const owner = link | ((address.length === 4 ? 4 : 6) << FAMILY_SHIFT);
    rows[at + SEAL] = 0;
    rows[at + HIGH] = high;
    rows[at + LOW] = low;
    rows[at + OWNER] = owner;
    for (const [i, word] of [a, b, c, d].entries()) rows[at + ADDRESS + i] = word;
    // Before anything leads here; and with Atomics, so that nobody sees the seal first.
    Atomics.store(rows, at + SEAL, sealOf(high, low, owner, fold128(a, b, c, d, this.seed)));
  }
}

/** The four words of an address; of IPv4 the last three are 0. */
function wordsOf(address: Uint8Array): [number, number, number, number] {
  const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
  if (address.length === 4) return [view.getInt32(0), 0, 0, 0];
  return [view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12)];
}
