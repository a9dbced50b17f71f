/**
 * The payloads that were sent a moment ago. Who does not know our session yet cannot take them and
 * asks who we are; with the answer they are sent again.
 *
 * A question names the datagram that it asks about, and each is answered once: a question that
 * somebody recorded and sends again finds nothing here.
 * @module
 */
import type { Endpoint } from '../wire/gossip/types.ts';
import { placeOf } from './sessions.ts';

/** For so long a question about a datagram is answered. */
export const SENT_KEPT_MS = 2000;
export const SENT_MAX = 256;

export type Sent = { counter: number; to: Endpoint; payload: Uint8Array; atMs: number };

export class SentPayloads {
  /** By counter, oldest first. */
  readonly #sent = new Map<number, Sent>();

  /** Keeps a payload; beyond {@link SENT_MAX} the oldest is forgotten. */
  keep(sent: Sent): void {
    this.#sent.set(sent.counter, sent);
    if (this.#sent.size <= SENT_MAX) return;
    for (const oldest of this.#sent.keys()) {
      this.#sent.delete(oldest);
      return;
    }
  }

  /**
   * Takes out what went to the place where the datagram with `counter` went, that one included;
   * undefined when it was too long ago, or taken before.
   */
  take(counter: number, nowMs: number): Sent[] | undefined {
    const asked = this.#sent.get(counter);
    if (asked === undefined || nowMs - asked.atMs > SENT_KEPT_MS) return undefined;
    const there: Sent[] = [];
    for (const sent of this.#sent.values()) {
      if (placeOf(sent.to) !== placeOf(asked.to)) continue;
      this.#sent.delete(sent.counter);
      if (nowMs - sent.atMs <= SENT_KEPT_MS) there.push(sent);
    }
    return there;
  }

  clear(): void {
    this.#sent.clear();
  }
}
