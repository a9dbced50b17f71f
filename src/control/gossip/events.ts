/**
 * The last changes of members, for whoever asks later.
 * @module
 */
import type { MemberEvent } from './views.ts';

/** Changes that are kept; older ones are counted as lost. */
export const EVENTS_MAX = 1024;

export type EventsAnswer = {
  /** Those after the number that was asked for, oldest first. */
  events: MemberEvent[];
  /** Number of the last there was; 0 before the first. */
  last: number;
  /** How many of those asked for are no longer kept. */
  lost: number;
};

export class EventRing {
  readonly #events: MemberEvent[] = [];
  #last = 0;

  add(event: Omit<MemberEvent, 'number'>): void {
    this.#last++;
    this.#events.push({ number: this.#last, ...event });
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
  }

  /** What came after event `number`. */
  after(number: number): EventsAnswer {
    const events = this.#events.filter((event) => event.number > number);
    const missed = Math.max(0, this.#last - number);
    return { events, last: this.#last, lost: missed - events.length };
  }
}
