/**
 * Who may send on a layer-2 network: tunnel endpoints (VTEPs) that control has admitted, by link and
 * outer address. Whoever is not here is a stranger there, whatever MACs it names.
 *
 * The table gives the peer's index; an IPv6 address is looked at in that peer's row.
 * @module
 */
import { FOLD_TRIES, fold128 } from '../shm/fold.ts';
import { type ByteRange, HashReader, HashWriter, TAG_MIN } from '../shm/hash.ts';
import type { PeerReader } from './peers.ts';
import { type TableSegment, VTEPS_MAX } from './segment.ts';

export const VtepFlag = {
  /** It sends floods on for others (RFC 9574), whose MACs these then bear. */
  Replicator: 1,
} as const;

const FLAGS_SHIFT = 16;
const PEER_MASK = 0xffff;
/** Tags of a link: one for IPv4, then one for each try of IPv6. */
const TAGS_PER_LINK = 1 + FOLD_TRIES;

function tagOf(link: number, attempt: number): number {
  return link * TAGS_PER_LINK + attempt + TAG_MIN;
}

/** Index of the peer of what {@link VtepReader} found. */
export function vtepPeer(packed: number): number {
  return packed & PEER_MASK;
}

/** Its {@link VtepFlag}s. */
export function vtepFlags(packed: number): number {
  return packed >>> FLAGS_SHIFT;
}

export class VtepReader {
  protected readonly peers: Pick<PeerReader, 'isAt' | 'read'>;
  protected readonly hash: HashReader;
  protected readonly seed: number;

  constructor(segment: TableSegment, peers: Pick<PeerReader, 'isAt' | 'read'>) {
    const { buffer, offset, slots, seed } = segment.vteps;
    this.hash = new HashReader(buffer, offset, slots, seed);
    this.seed = seed;
    this.peers = peers;
  }

  /** Every endpoint of a link, packed, in no order. */
  *entries(link: number, written?: readonly ByteRange[]): Generator<number> {
    for (const { tag, value } of this.hash.entries(written)) {
      if (Math.floor((tag - TAG_MIN) / TAGS_PER_LINK) === link) yield value;
    }
  }

  /** What is known of the one at an IPv4 address (u32), 0 = a stranger. */
  findIpv4(link: number, address: number): number {
    return this.hash.find(tagOf(link, 0), address);
  }

  /** The same for the 16 bytes at `at`. */
  findIpv6(link: number, view: DataView, at: number): number {
    const key = this.keyOf(view, at);
    for (let attempt = 1; attempt <= FOLD_TRIES; attempt++) {
      const packed = this.hash.find(tagOf(link, attempt), key);
      if (packed !== 0 && this.peers.isAt(vtepPeer(packed), view, at)) return packed;
    }
    return 0;
  }

  protected keyOf(view: DataView, at: number): number {
    const word = (i: number): number => view.getInt32(at + i);
    return fold128(word(0), word(4), word(8), word(12), this.seed);
  }
}

/** Control: the one writer. Peers are given by index, and must have their rows. */
export class VtepWriter extends VtepReader {
  readonly #table: HashWriter;
  /** Endpoints that found no room so far. */
  overflows = 0;

  constructor(segment: TableSegment, peers: Pick<PeerReader, 'isAt' | 'read'>) {
    super(segment, peers);
    const { buffer, offset, slots, seed } = segment.vteps;
    this.#table = new HashWriter(buffer, offset, slots, seed);
  }

  get count(): number {
    return this.#table.count;
  }

  /** The peer may send on this link. False, and nothing has changed, when there is no room. */
  set(link: number, peer: number, flags = 0): boolean {
    const place = this.#place(link, peer);
    if (
      place !== undefined &&
      (this.count < VTEPS_MAX || this.#table.find(place.tag, place.key) !== 0) &&
      this.#table.set(place.tag, place.key, peer | (flags << FLAGS_SHIFT))
    ) {
      return true;
    }
    this.overflows++;
    return false;
  }

  /** It is a stranger here from now on; false when it was one before. */
  delete(link: number, peer: number): boolean {
    const place = this.#place(link, peer);
    return place !== undefined && this.#table.delete(place.tag, place.key);
  }

  /** Where a peer is in the table, or would go; undefined when it has no row, or no place is left. */
  #place(link: number, peer: number): { tag: number; key: number } | undefined {
    const row = this.peers.read(peer);
    if (row === undefined) return undefined;
    const { address } = row;
    const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
    if (address.length === 4) return { tag: tagOf(link, 0), key: view.getInt32(0) };
    const key = this.keyOf(view, 0);
    let vacant: number | undefined;
    for (let attempt = 1; attempt <= FOLD_TRIES; attempt++) {
      const tag = tagOf(link, attempt);
      const packed = this.#table.find(tag, key);
      if (packed === 0) vacant ??= tag;
      else if (vtepPeer(packed) === peer) return { tag, key };
    }
    return vacant === undefined ? undefined : { tag: vacant, key };
  }
}
