/**
 * The blocks of one owner: its head, and of the blocks that the head names those that are here.
 *
 * The head is the greatest block that was ever seen, by epoch, sequence and, for an owner that
 * signed two blocks with one number, by the bytes of the body. So whatever the order in which
 * blocks come, all who have seen the same ones hold the same.
 * @module
 */
import { createHash } from 'node:crypto';
import { type Block, compareVersions, type SignedBlock } from '../../wire/gossip/types.ts';
import {
  append,
  countOf,
  eachOf,
  fromAscending,
  includes,
  type Ranges,
  subtract,
} from './ranges.ts';

/** A block and two 32-bit numbers that stand for its body in the hashes of the table. */
export type Held = { readonly signed: SignedBlock; readonly mark: number; readonly check: number };

/** What a block would be among those that are here. */
type Place =
  /** The new head. */
  | 'head'
  /** One that the head names and that is missing, or that takes the place of a lesser one. */
  | 'named'
  | 'known'
  /** No longer in force. */
  | 'stale'
  /** Its number belongs to another block, which is the greater one. */
  | 'differs';

export function hold(signed: SignedBlock): Held {
  const digest = createHash('sha256').update(signed.body).digest();
  return { signed, mark: digest.readUInt32BE(0), check: digest.readUInt32BE(4) };
}

/** The numbers of the blocks that hold when `block` is the head. */
export function namedBy(block: Block): Ranges {
  return append(block.left ? [] : block.live, block.sequence);
}

export class OwnerBlocks {
  #head: Held;
  #named: Ranges;
  #namedCount: number;
  /** By sequence number. */
  readonly #held = new Map<number, Held>();
  #items: number;

  constructor(head: Held) {
    this.#head = head;
    this.#named = namedBy(head.signed.block);
    this.#namedCount = countOf(this.#named);
    this.#held.set(head.signed.block.sequence, head);
    this.#items = head.signed.block.items.length;
  }

  get head(): SignedBlock {
    return this.#head.signed;
  }

  get heldCount(): number {
    return this.#held.size;
  }

  get missingCount(): number {
    return this.#namedCount - this.#held.size;
  }

  /** Items in all blocks that are here. */
  get items(): number {
    return this.#items;
  }

  get named(): Ranges {
    return this.#named;
  }

  get(sequence: number): SignedBlock | undefined {
    return this.#held.get(sequence)?.signed;
  }

  held(): Iterable<Held> {
    return this.#held.values();
  }

  missing(): Ranges {
    if (this.missingCount === 0) return [];
    const here = [...this.#held.keys()].sort((a, b) => a - b);
    return subtract(this.#named, fromAscending(here));
  }

  place(block: Block, body: Uint8Array): Place {
    const head = this.#head.signed.block;
    if (compareVersions(block, head) > 0) return 'head';
    if (block.epoch < head.epoch) return 'stale';
    const there = this.#held.get(block.sequence);
    if (there === undefined) return includes(this.#named, block.sequence) ? 'named' : 'stale';
    const order = Buffer.compare(body, there.signed.body);
    if (order === 0) return 'known';
    if (order < 0) return 'differs';
    return there === this.#head ? 'head' : 'named';
  }

  /** Puts a block where {@link place} says. @returns the blocks that no longer hold. */
  put(added: Held, place: 'head' | 'named'): Held[] {
    const block = added.signed.block;
    const removed: Held[] = [];
    if (place === 'head') {
      const named = namedBy(block);
      if (block.epoch > this.#head.signed.block.epoch) removed.push(...this.#clear());
      // Never more than the old head named, which is bounded.
      else for (const number of eachOf(subtract(this.#named, named))) this.#take(number, removed);
      this.#head = added;
      this.#named = named;
      this.#namedCount = countOf(named);
    }
    this.#take(block.sequence, removed);
    this.#held.set(block.sequence, added);
    this.#items += block.items.length;
    return removed;
  }

  /** Lets go of all blocks but the head. @returns the others. */
  keepHead(): Held[] {
    const removed = this.#clear().filter((held) => held !== this.#head);
    this.#held.set(this.#head.signed.block.sequence, this.#head);
    this.#items = this.#head.signed.block.items.length;
    return removed;
  }

  #clear(): Held[] {
    const all = [...this.#held.values()];
    this.#held.clear();
    this.#items = 0;
    return all;
  }

  #take(sequence: number, removed: Held[]): void {
    const held = this.#held.get(sequence);
    if (held === undefined) return;
    this.#held.delete(sequence);
    this.#items -= held.signed.block.items.length;
    removed.push(held);
  }
}
