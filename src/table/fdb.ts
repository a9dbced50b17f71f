/**
 * The forwarding database of layer-2 networks: which peer has a MAC address, by link. Control alone
 * writes it; a MAC that is not in it does not exist, as far as the network's policy for floods says no
 * other.
 *
 * An entry is one number: the peer's index (0 = at our own bridge) and flags above it.
 * @module
 */
import { ENTRIES_MAX } from '../limits.ts';
import { type ByteRange, HashReader, HashWriter, TAG_MIN } from '../shm/hash.ts';
import type { TableSegment } from './segment.ts';

/** Entries of all links together. */
export const FDB_MAX = ENTRIES_MAX;

/** What is known of a MAC beside where it is. */
export const FdbFlag = {
  /** It never moves (RFC 7432 §15.2): whoever else claims it is wrong. */
  Sticky: 1,
  /** It may send router advertisements. */
  Router: 2,
  /** It may answer DHCP clients. */
  DhcpServer: 4,
  /** Known from frames of the peer alone, on a network that learns. */
  Learned: 8,
  /** It was at another host before: its connections go on, whoever had seen them begin. */
  Moved: 16,
} as const;

/** Where a MAC is: `peer` 0 = at our own bridge. */
export type FdbEntry = { peer: number; flags: number };

const FLAGS_SHIFT = 16;
const PEER_MASK = 0xffff;
/** Set in every entry, so that none is 0. */
const PRESENT = 1 << 28;
const FLAGS_MASK = 0xfff;
const LINK_SHIFT = 16;
const TWO_32 = 0x1_0000_0000;

function pack({ peer, flags }: FdbEntry): number {
  return PRESENT | ((flags & FLAGS_MASK) << FLAGS_SHIFT) | (peer & PEER_MASK);
}

/** Index of the peer of an entry as {@link FdbReader.find} gives it; 0 = here. */
export function fdbPeer(packed: number): number {
  return packed & PEER_MASK;
}

/** Its {@link FdbFlag}s. */
export function fdbFlags(packed: number): number {
  return (packed >>> FLAGS_SHIFT) & FLAGS_MASK;
}

function tagOf(link: number, macHigh: number): number {
  return ((link << LINK_SHIFT) | macHigh) + TAG_MIN;
}

export class FdbReader {
  readonly #hash: HashReader;

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.fdb;
    this.#hash = new HashReader(buffer, offset, slots, seed);
  }

  /** Every MAC of a link (u48) with its entry, in no order. */
  *entries(link: number, written?: readonly ByteRange[]): Generator<[mac: number, packed: number]> {
    for (const { tag, key, value } of this.#hash.entries(written)) {
      const bits = tag - TAG_MIN;
      if (bits >>> LINK_SHIFT === link) yield [(bits & 0xffff) * TWO_32 + key, value];
    }
  }

  /** The entry of a MAC, given as its first 16 and last 32 bits; 0 = unknown. */
  find(link: number, macHigh: number, macLow: number): number {
    return this.#hash.find(tagOf(link, macHigh), macLow);
  }
}

/** Control: the one writer. MACs are u48. */
export class FdbWriter {
  readonly #hash: HashWriter;
  /** Entries that found no room so far. */
  overflows = 0;

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.fdb;
    this.#hash = new HashWriter(buffer, offset, slots, seed);
  }

  get count(): number {
    return this.#hash.count;
  }

  get(link: number, mac: number): FdbEntry | undefined {
    const packed = this.#hash.find(tagOf(link, Math.floor(mac / TWO_32)), mac % TWO_32);
    return packed === 0 ? undefined : { peer: fdbPeer(packed), flags: fdbFlags(packed) };
  }

  /** The MAC is there from now on. False, and nothing has changed, when the table is full. */
  set(link: number, mac: number, entry: FdbEntry): boolean {
    const tag = tagOf(link, Math.floor(mac / TWO_32));
    const key = mac % TWO_32;
    const isFull = this.#hash.count >= FDB_MAX && this.#hash.find(tag, key) === 0;
    if (!isFull && this.#hash.set(tag, key, pack(entry))) return true;
    this.overflows++;
    return false;
  }

  /** The MAC is nobody's any more; false when it was nobody's before. */
  delete(link: number, mac: number): boolean {
    return this.#hash.delete(tagOf(link, Math.floor(mac / TWO_32)), mac % TWO_32);
  }
}
