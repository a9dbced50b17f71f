/**
 * Hashes by which two tables compare: the XOR over the blocks they hold, so that a change costs
 * what it changes and the order in which blocks came does not matter.
 * @module
 */
import { BUCKETS } from '../../wire/gossip/bounds.ts';
import type { NodeId } from '../../wire/gossip/types.ts';
import type { Held } from './owner-blocks.ts';

/** Which of the {@link BUCKETS} an owner is in. */
export function bucketOf(owner: NodeId): number {
  return Number.parseInt(owner.slice(0, 2), 16) % BUCKETS;
}

export class TableHash {
  readonly #whole = new Uint32Array(2);
  readonly #buckets = new Uint32Array(BUCKETS);

  /** Puts a block into the hashes, or takes it out again. */
  mix(bucket: number, { mark, check }: Held): void {
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) ^ mark;
    this.#whole[0] = (this.#whole[0] ?? 0) ^ mark;
    this.#whole[1] = (this.#whole[1] ?? 0) ^ check;
  }

  /** 8 bytes that are the same for two tables that hold the same blocks. */
  whole(): Uint8Array {
    return bigEndian(this.#whole);
  }

  /** 4 bytes for each bucket. */
  buckets(): Uint8Array {
    return bigEndian(this.#buckets);
  }
}

function bigEndian(words: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  words.forEach((word, index) => {
    view.setUint32(index * 4, word);
  });
  return bytes;
}
