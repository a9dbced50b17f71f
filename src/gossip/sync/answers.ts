/**
 * What a table answers to those who compare theirs with it. All of it together has a budget, so
 * that questions without end cost no more than that; what is not answered is asked again.
 * @module
 */
import { type Message, MessageType, type OwnerSummary } from '../../wire/gossip/types.ts';
import type { Want } from '../base/api.ts';
import type { GossipCounter } from '../base/counters.ts';
import type { Store } from '../table/store.ts';
import { blocksFor, DATAGRAM_BLOCKS_BYTES, grouped, ownersMessages } from './digest.ts';

/** Blocks that one question brings in datagrams. */
export const DATAGRAM_BLOCKS_MAX = 32;
/** What answers may cost, bytes a second and at once. */
const ANSWER_BYTES_PER_SECOND = 262_144;
const ANSWER_BYTES_MAX = 524_288;
/** What a summary, and any message beside it, takes in a datagram, about. */
const SUMMARY_BYTES = 40;
const BUCKETS_BYTES = 264;

export type AnswersOptions = {
  store: Store;
  counters: { count(name: GossipCounter): void };
  nowMs: () => number;
};

export class Answers {
  readonly #options: AnswersOptions;
  #bytes = ANSWER_BYTES_MAX;
  #earnedMs: number;

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#earnedMs = options.nowMs();
  }

  /** To the hash of a table that differs: the hashes of ours, bucket by bucket. */
  buckets(): Message[] {
    const { store } = this.#options;
    return this.#spend(BUCKETS_BYTES, () => [
      { type: MessageType.Buckets, hashes: store.buckets() },
    ]);
  }

  /** To the hashes of all buckets: how our owners stand in those that differ. */
  differing(buckets: readonly number[]): Message[] {
    return buckets.flatMap((bucket) => this.#owners(bucket, true, []));
  }

  /** To how owners of a bucket stand: which of ours stand otherwise. */
  owners(bucket: number, theirs: readonly OwnerSummary[]): Message[] {
    return this.#owners(bucket, false, theirs);
  }

  /** To a question for blocks: as many as are here and fit one answer. */
  blocks(want: Want): Message[] {
    const { store, counters } = this.#options;
    const blocks = blocksFor(store, want).slice(0, DATAGRAM_BLOCKS_MAX);
    const messages: Message[] = [];
    for (const group of grouped(blocks, DATAGRAM_BLOCKS_BYTES)) {
      const bytes = group.reduce((sum, { body }) => sum + body.length, 0);
      const message: Message = { type: MessageType.Blocks, blocks: group };
      messages.push(...this.#spend(bytes, () => [message]));
    }
    if (messages.length > 0) counters.count('sync.wants_served');
    return messages;
  }

  #owners(bucket: number, reply: boolean, theirs: readonly OwnerSummary[]): Message[] {
    const { store } = this.#options;
    return this.#spend(SUMMARY_BYTES * (1 + store.summaries(bucket).length), () =>
      ownersMessages(store, bucket, reply, theirs),
    );
  }

  /** Makes an answer if there is budget for it. */
  #spend(bytes: number, make: () => Message[]): Message[] {
    const now = this.#options.nowMs();
    const earned = ((now - this.#earnedMs) / 1000) * ANSWER_BYTES_PER_SECOND;
    this.#earnedMs = now;
    this.#bytes = Math.min(ANSWER_BYTES_MAX, this.#bytes + earned);
    if (this.#bytes < bytes) {
      this.#options.counters.count('sync.limited');
      return [];
    }
    this.#bytes -= bytes;
    return make();
  }
}
