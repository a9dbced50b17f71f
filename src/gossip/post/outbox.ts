/**
 * The way out of a node: packs messages into datagrams, and fills what room is left in each with
 * what waits to be passed on.
 * @module
 */

import { encodeMessages, messageBytes, PAYLOAD_OVERHEAD_BYTES } from '../../wire/gossip/message.ts';
import type { Endpoint, Message } from '../../wire/gossip/types.ts';
import type { GossipWire } from '../base/api.ts';
import type { Counters } from '../base/counters.ts';
import { PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import type { BroadcastQueue } from './broadcast.ts';

/** Room for messages in one datagram, bytes. */
export const MESSAGES_BYTES_MAX = PAYLOAD_BYTES_MAX - PAYLOAD_OVERHEAD_BYTES;

export type OutboxOptions = {
  wire: GossipWire;
  queue: BroadcastQueue;
  counters: Counters;
  /** Ourselves and all active members. */
  members: () => number;
  /** How often what waits goes out on its own. */
  intervalMs: number;
};

export class Outbox {
  readonly #options: OutboxOptions;
  #gossipedMs = -Infinity;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /**
   * Sends messages to one endpoint, in order, in as few datagrams as they fit. One that does not
   * fit any is a fault of ours.
   */
  send(to: Endpoint, messages: readonly Message[]): void {
    let batch: Message[] = [];
    let left = MESSAGES_BYTES_MAX;
    for (const message of messages) {
      const size = messageBytes(message);
      if (size > left && batch.length > 0) {
        this.#datagram(to, batch);
        batch = [];
        left = MESSAGES_BYTES_MAX;
      }
      batch.push(message);
      left -= size;
    }
    const { queue, members } = this.#options;
    if (queue.size > 0) batch.push(...queue.take(left, members()));
    if (batch.length > 0) this.#datagram(to, batch);
  }

  /** What waits goes to each of `targets`, unless it is too early; `nowMs` in ms. */
  gossip(nowMs: number, targets: () => Iterable<Endpoint>): void {
    const { queue, intervalMs } = this.#options;
    if (queue.size === 0 || nowMs - this.#gossipedMs < intervalMs) return;
    this.#gossipedMs = nowMs;
    for (const to of targets()) this.send(to, []);
  }

  #datagram(to: Endpoint, messages: readonly Message[]): void {
    const { wire, counters } = this.#options;
    const payload = encodeMessages(messages);
    counters.count('datagrams.sent');
    counters.count('bytes.sent', payload.length);
    wire.send(to, payload);
  }
}
