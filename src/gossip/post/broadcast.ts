/**
 * What waits to be passed on. Each message is sent a limited number of times, which grows with the
 * logarithm of the members, then it has reached all with near certainty; what was sent least goes
 * first. Accusations and the heads that answer them do not wait behind tables.
 * @module
 */

import type { Message, NodeId, SignedBlock } from '../../wire/gossip/types.ts';
import type { Counters } from '../base/counters.ts';
import { blocksOf, hasPeer } from './messages.ts';

/** A message is sent `4 × (1 + ceil(log10(members + 1)))` times. */
const TRANSMIT_MULTIPLIER = 4;
/** Messages that did not fit and are looked past for one that does. */
const LOOK_PAST_MAX = 16;

export const Lane = { Urgent: 0, Bulk: 1 } as const;
export type Lane = (typeof Lane)[keyof typeof Lane];

/**
 * How often each node sends a message in a cluster of `members`. A member is missed by all with
 * the probability e^-limit, and all members together have to be reached.
 */
export function transmitLimit(members: number): number {
  return TRANSMIT_MULTIPLIER * (1 + Math.ceil(Math.log10(members + 1)));
}

type Waiting = {
  key: string;
  message: Message;
  sizeBytes: number;
  lane: Lane;
  sends: number;
};

export class BroadcastQueue {
  /** By lane, then by how often it was sent; in each the oldest first. */
  readonly #levels: Map<string, Waiting>[][] = [[], []];
  readonly #places = new Map<string, Waiting>();
  readonly #max: number;
  readonly #counters: Counters;
  readonly #sizeOf: (message: Message) => number;

  constructor(max: number, counters: Counters, sizeOf: (message: Message) => number) {
    this.#max = max;
    this.#counters = counters;
    this.#sizeOf = sizeOf;
  }

  get size(): number {
    return this.#places.size;
  }

  /**
   * Queues a message under a key; one that waits under the same key is replaced and its count of
   * sends begins anew.
   */
  add(key: string, message: Message, lane: Lane): void {
    if (this.drop(key)) this.#counters.count('broadcasts.replaced');
    if (this.#places.size >= this.#max) this.#dropMostSent();
    const waiting = { key, message, sizeBytes: this.#sizeOf(message), lane, sends: 0 };
    this.#places.set(key, waiting);
    this.#level(lane, 0).set(key, waiting);
    this.#counters.count('broadcasts.queued');
  }

  /** Queues a block; heads and peer records are urgent, tables are not. */
  addBlock(signed: SignedBlock): void {
    const isUrgent = signed.block.items.length === 0 || hasPeer(signed.block);
    this.add(blockKey(signed), blocksOf(signed), isUrgent ? Lane.Urgent : Lane.Bulk);
  }

  /** A block no longer holds. */
  dropBlock(signed: SignedBlock): void {
    this.drop(blockKey(signed));
  }

  /** @returns whether something waited under the key. */
  drop(key: string): boolean {
    const waiting = this.#places.get(key);
    if (waiting === undefined) return false;
    this.#places.delete(key);
    this.#level(waiting.lane, waiting.sends).delete(key);
    return true;
  }

  /** Messages to put into one datagram that has `roomBytes` left, for a cluster of `members`. */
  take(roomBytes: number, members: number): Message[] {
    const limit = transmitLimit(members);
    const taken: Waiting[] = [];
    let past = 0;
    let left = roomBytes;
    for (const levels of this.#levels) {
      for (const level of levels) {
        for (const waiting of level.values()) {
          if (past >= LOOK_PAST_MAX) break;
          if (waiting.sizeBytes > left) {
            past++;
            continue;
          }
          left -= waiting.sizeBytes;
          taken.push(waiting);
        }
      }
    }
    for (const waiting of taken) this.#sent(waiting, limit);
    return taken.map((waiting) => waiting.message);
  }

  #sent(waiting: Waiting, limit: number): void {
    this.#level(waiting.lane, waiting.sends).delete(waiting.key);
    waiting.sends++;
    if (waiting.sends < limit) {
      this.#level(waiting.lane, waiting.sends).set(waiting.key, waiting);
      return;
    }
    this.#places.delete(waiting.key);
    this.#counters.count('broadcasts.finished');
  }

  #level(lane: Lane, sends: number): Map<string, Waiting> {
    const levels = this.#levels[lane] ?? [];
    while (levels.length <= sends) levels.push(new Map());
    return levels[sends] ?? new Map();
  }

  /** Makes room: bulk before urgent, and of those what was sent most, oldest first. */
  #dropMostSent(): void {
    for (const levels of this.#levels.toReversed()) {
      for (const level of levels.toReversed()) {
        const oldest = level.keys().next().value;
        if (oldest === undefined) continue;
        this.drop(oldest);
        this.#counters.count('overflow.broadcasts');
        return;
      }
    }
  }
}

const blockKey = ({ owner, block }: SignedBlock): string =>
  `b:${owner}:${block.epoch}:${block.sequence}`;

/** Key of what was last said against a node; later words replace earlier ones. */
export const accusationKey = (node: NodeId, accuser: NodeId): string => `a:${node}:${accuser}`;
