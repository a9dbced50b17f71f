/**
 * The payloads that were sent a moment ago. Who does not know our session yet cannot take them and
 * asks who we are; with the answer they are sent again.
 *
 * A question names the datagram that it asks about, and each is answered once: a question that
 * somebody recorded and sends again finds nothing here.
 * @module
 */
import type { Endpoint } from '../../wire/gossip/types.ts';
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
   * Takes out the payload of the datagram with `counter`; undefined when it was sent too long ago,
   * or was taken before.
   */
  take(counter: number, nowMs: number): Sent | undefined {
    const sent = this.#sent.get(counter);
    this.#sent.delete(counter);
    return sent !== undefined && nowMs - sent.atMs <= SENT_KEPT_MS ? sent : undefined;
  }

  /** Takes out what else went to the same place. */
  takeOthers(to: Endpoint, nowMs: number): Sent[] {
    const place = placeOf(to);
    return [...this.#sent.values()]
      .filter((sent) => placeOf(sent.to) === place)
      .flatMap(({ counter }) => this.take(counter, nowMs) ?? []);
  }

  clear(): void {
    this.#sent.clear();
  }
}
