/**
 * Pings that run for others: somebody got no answer from a member and asked us to try.
 * @module
 */

import { type Endpoint, type Message, MessageType, type NodeId } from '../../wire/gossip/types.ts';
import type { Counters } from '../base/counters.ts';
import { RELAYS_MAX } from '../base/limits.ts';

/** Share of the probe time-out after which the asker hears that we got no answer either. */
const NACK_SHARE = 0.6;
const NUMBERS = 2 ** 32;

type Relay = { target: NodeId; asker: Endpoint; askerNumber: number; endMs: number };

export type RelaysOptions = {
  counters: Counters;
  random: () => number;
  timeoutMs: number;
  send: (to: Endpoint, message: Message) => void;
};

export class Relays {
  readonly #options: RelaysOptions;
  readonly #relays = new Map<number, Relay>();
  #number: number;

  constructor(options: RelaysOptions) {
    this.#options = options;
    this.#number = Math.floor(options.random() * NUMBERS);
  }

  get size(): number {
    return this.#relays.size;
  }

  /** Pings `target` at `endpoint` for the node at `asker`. */
  ask(target: NodeId, endpoint: Endpoint, asker: Endpoint, askerNumber: number, nowMs: number) {
    const { counters, timeoutMs, send } = this.#options;
    if (this.#relays.size >= RELAYS_MAX) {
      counters.count('overflow.relays');
      return;
    }
    this.#number = (this.#number + 1) % NUMBERS;
    const endMs = nowMs + timeoutMs * NACK_SHARE;
    this.#relays.set(this.#number, { target, asker, askerNumber, endMs });
    send(endpoint, { type: MessageType.Ping, number: this.#number, target });
  }

  /** @returns whether the answer was to a ping of ours for somebody. */
  ack(number: number, from: NodeId): boolean {
    const relay = this.#relays.get(number);
    if (relay === undefined || relay.target !== from) return false;
    this.#relays.delete(number);
    this.#options.send(relay.asker, { type: MessageType.Ack, number: relay.askerNumber });
    return true;
  }

  /** Tells those who asked what came to nothing. */
  tick(nowMs: number): void {
    for (const [number, relay] of this.#relays) {
      if (relay.endMs > nowMs) continue;
      this.#relays.delete(number);
      this.#options.counters.count('nacks.sent');
      this.#options.send(relay.asker, { type: MessageType.Nack, number: relay.askerNumber });
    }
  }
}
