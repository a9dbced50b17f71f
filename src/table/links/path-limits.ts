/**
 * How large a packet may be on its way to a peer, as far as control knows: what the peer itself has
 * told, or what echo requests have shown; and which trains get there. By the underlay address, so that it holds for hosts that
 * only arithmetic names too.
 * @module
 */
import { hostBytes, type UnderlayAddress } from '../../net/underlay-address.ts';
import { HashReader, HashWriter } from '../../shm/hash.ts';
import type { MtuSourceCode } from '../paths.ts';
import type { TableSegment } from '../segment.ts';
import { hostKey, hostTag } from './host-key.ts';

/** Limits that are kept at a time; half of the slots. */
export const PATH_LIMITS_MAX = 4096;
const SOURCE_SHIFT = 16;
const SOURCE_MASK = 0xf;
const TRAINS_SHIFT = 20;
const MTU_MASK = 0xffff;

/** Which trains of datagrams get through to a peer. Append only. */
export const TrainUse = {
  Any: 0,
  /** Those that end in a shorter datagram. */
  Uneven: 1,
  None: 2,
} as const;
export type TrainUse = (typeof TrainUse)[keyof typeof TrainUse];

/** What tests have shown of the trains to a peer, and since when that is so, ms since 1970. */
export type TrainProof = { use: TrainUse; sinceMs: number };

/** `mtu` counts bytes of an outer IP packet, up to 65535; 0 = no limit. */
export type PathLimit = {
  peer: UnderlayAddress;
  mtu: number;
  source: MtuSourceCode;
  /** Any unless given. */
  trains?: TrainUse;
};

/** MTU of a value of {@link PathLimitReader.find}, bytes; 0 = no limit. */
export function limitMtu(value: number): number {
  return value & MTU_MASK;
}

/** Who told it. */
export function limitSource(value: number): MtuSourceCode {
  return ((value >>> SOURCE_SHIFT) & SOURCE_MASK) as MtuSourceCode;
}

/** Which trains a value of {@link PathLimitReader.find} allows. */
export function limitTrains(value: number): TrainUse {
  return ((value >>> TRAINS_SHIFT) & 3) as TrainUse;
}

export class PathLimitReader {
  readonly #hash: HashReader;
  readonly #seed: number;

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.limits;
    this.#hash = new HashReader(buffer, offset, slots, seed);
    this.#seed = seed;
  }

  /** The limit towards the host whose address of 4 or 16 bytes is at `at`; 0 when there is none. */
  find(view: DataView, at: number, bytes: 4 | 16): number {
    return this.#hash.find(
      hostTag(view, at, bytes, this.#seed),
      hostKey(view, at, bytes, this.#seed),
    );
  }
}

/** Control: the one writer. */
export class PathLimitWriter {
  readonly #hash: HashWriter;
  readonly #seed: number;
  readonly #known = new Map<UnderlayAddress, number>();

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.limits;
    this.#hash = new HashWriter(buffer, offset, slots, seed);
    this.#seed = seed;
  }

  /** Makes the limits these, changing only what differs; returns how many found no room. */
  replace(limits: readonly PathLimit[]): number {
    const wanted = new Map(
      limits
        .slice(0, PATH_LIMITS_MAX)
        .map(({ peer, mtu, source, trains = TrainUse.Any }) => [
          peer,
          (trains << TRAINS_SHIFT) | (source << SOURCE_SHIFT) | mtu,
        ]),
    );
    for (const peer of [...this.#known.keys()]) {
      if (wanted.has(peer)) continue;
      const [tag, key] = this.#slotOf(peer);
      this.#hash.delete(tag, key);
      this.#known.delete(peer);
    }
    for (const [peer, value] of wanted) {
      if (this.#known.get(peer) === value) continue;
      const [tag, key] = this.#slotOf(peer);
      if (this.#hash.set(tag, key, value)) this.#known.set(peer, value);
    }
    return limits.length - this.#known.size;
  }

  #slotOf(peer: UnderlayAddress): [tag: number, key: number] {
    const address = hostBytes(peer);
    const view = new DataView(address.buffer);
    const bytes = address.length === 16 ? 16 : 4;
    return [hostTag(view, 0, bytes, this.#seed), hostKey(view, 0, bytes, this.#seed)];
  }
}
