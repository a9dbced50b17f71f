/**
 * How large a packet may be on its way to a peer, as far as control knows: what the peer itself has
 * told, or what echo requests have shown. By the underlay address, so that it holds for hosts that
 * only arithmetic names too.
 * @module
 */
import { HashReader, HashWriter, TAG_MIN } from '../shm/hash.ts';
import type { MtuSourceCode } from './paths.ts';
import type { TableSegment } from './segment.ts';

/** Limits that are kept at a time; half of the slots. */
export const PATH_LIMITS_MAX = 4096;
const TAG = TAG_MIN;
const SOURCE_SHIFT = 16;
const MTU_MASK = 0xffff;

/** `peer` is a host-order u32; `mtu` counts bytes of an outer IP packet, 1 to 65535. */
export type PathLimit = { peer: number; mtu: number; source: MtuSourceCode };

/** MTU of a value of {@link PathLimitReader.find}, bytes; 0 = no limit. */
export function limitMtu(value: number): number {
  return value & MTU_MASK;
}

/** Who told it. */
export function limitSource(value: number): MtuSourceCode {
  return (value >>> SOURCE_SHIFT) as MtuSourceCode;
}

export class PathLimitReader {
  readonly #hash: HashReader;

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.limits;
    this.#hash = new HashReader(buffer, offset, slots, seed);
  }

  /** The limit towards `peer` in one number, 0 when there is none. */
  find(peer: number): number {
    return this.#hash.find(TAG, peer);
  }
}

/** Control: the one writer. */
export class PathLimitWriter {
  readonly #hash: HashWriter;
  readonly #known = new Map<number, number>();

  constructor(segment: TableSegment) {
    const { buffer, offset, slots, seed } = segment.limits;
    this.#hash = new HashWriter(buffer, offset, slots, seed);
  }

  /** Makes the limits these, changing only what differs; returns how many found no room. */
  replace(limits: readonly PathLimit[]): number {
    const wanted = new Map(
      limits
        .slice(0, PATH_LIMITS_MAX)
        .map(({ peer, mtu, source }) => [peer, (source << SOURCE_SHIFT) | mtu]),
    );
    for (const peer of [...this.#known.keys()]) {
      if (wanted.has(peer)) continue;
      this.#hash.delete(TAG, peer);
      this.#known.delete(peer);
    }
    for (const [peer, value] of wanted) {
      if (this.#known.get(peer) === value) continue;
      if (this.#hash.set(TAG, peer, value)) this.#known.set(peer, value);
    }
    return limits.length - this.#known.size;
  }
}
