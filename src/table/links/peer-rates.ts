/**
 * The most that a link may send to single hosts, by the underlay address of each, whichever way it is
 * reached. Control writes it; hosts that are not here share what the link may send.
 * @module
 */
import { hostBytes, type UnderlayAddress } from '../../net/underlay-address.ts';
import { HashReader, HashWriter, TAG_MIN } from '../../shm/hash.ts';
import type { TableSegment } from '../segment.ts';
import { hostKey, hostTag } from './host-key.ts';

/** Rates of all links together; half of the slots. */
export const PEER_RATES_ALL_MAX = 4096;

/** Another secret for each link, so that the same host is another key there. */
function seedOf(seed: number, link: number): number {
  return seed ^ Math.imul(link + 1, 0x9e3779b1);
}

/** Where a host of a link is; over IPv4 its address is the key, and the link the tag. */
function tagOf(view: DataView, at: number, bytes: 4 | 16, link: number, seed: number): number {
  return bytes === 4 ? TAG_MIN + link : hostTag(view, at, bytes, seedOf(seed, link));
}

export class PeerRateReader {
  readonly #hash: HashReader;
  readonly #seed: number;

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.peerRates;
    this.#hash = new HashReader(buffer, offset, slots, seed);
    this.#seed = seed;
  }

  /** Bytes a second to the host whose address of 4 or 16 bytes is at `at`; 0 = it has no rate of its own. */
  find(view: DataView, at: number, bytes: 4 | 16, link: number): number {
    const tag = tagOf(view, at, bytes, link, this.#seed);
    return this.#hash.find(tag, hostKey(view, at, bytes, seedOf(this.#seed, link))) >>> 0;
  }
}

/** Control: the one writer. */
export class PeerRateWriter {
  readonly #hash: HashWriter;
  readonly #seed: number;
  readonly #known = new Map<number, Map<UnderlayAddress, number>>();

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.peerRates;
    this.#hash = new HashWriter(buffer, offset, slots, seed);
    this.#seed = seed;
  }

  /** Makes the rates of a link these, bytes a second; how many found no room. */
  replace(link: number, rates: ReadonlyMap<UnderlayAddress, number>): number {
    const known = this.#known.get(link) ?? new Map<UnderlayAddress, number>();
    this.#known.set(link, known);
    for (const peer of known.keys()) {
      if (rates.has(peer)) continue;
      this.#hash.delete(...this.#slotOf(peer, link));
      known.delete(peer);
    }
    let left = 0;
    for (const [peer, rate] of rates) {
      if (known.get(peer) === rate) continue;
      const hasRoom = known.has(peer) || this.#hash.count < PEER_RATES_ALL_MAX;
      if (hasRoom && this.#hash.set(...this.#slotOf(peer, link), rate | 0)) known.set(peer, rate);
      else left++;
    }
    return left;
  }

  #slotOf(peer: UnderlayAddress, link: number): [tag: number, key: number] {
    const address = hostBytes(peer);
    const view = new DataView(address.buffer);
    const bytes = address.length === 16 ? 16 : 4;
    return [
      tagOf(view, 0, bytes, link, this.#seed),
      hostKey(view, 0, bytes, seedOf(this.#seed, link)),
    ];
  }

  /** The link has gone. */
  clear(link: number): void {
    this.replace(link, new Map());
    this.#known.delete(link);
  }
}
