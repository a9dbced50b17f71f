/**
 * What data processes tell of layer-2 networks, brought to whoever listens: when a process rings, and at
 * every look at its heart. Many at a time are told in pieces, so that nothing else waits for long.
 * @module
 */
import type { EventReader, LinkEvent } from '../../table/events.ts';

/** Events that are told in one go; the others follow in the next turn. */
const EVENTS_AT_ONCE = 1024;

export class NetworkEvents {
  readonly #readers: () => readonly EventReader[];
  readonly #nameOf: (link: number) => string | undefined;
  readonly #tell: (events: readonly LinkEvent[]) => void;
  #again: NodeJS.Immediate | undefined;
  #closed = false;

  /**
   * @param readers of the data processes that there are
   * @param nameOf the link with a number; events of one that has gone are of no use
   */
  constructor(
    readers: () => readonly EventReader[],
    nameOf: (link: number) => string | undefined,
    tell: (events: readonly LinkEvent[]) => void,
  ) {
    this.#readers = readers;
    this.#nameOf = nameOf;
    this.#tell = tell;
  }

  /** Events that found no room in a ring so far, of all processes. */
  get lost(): number {
    return this.#readers().reduce((sum, { lost }) => sum + lost, 0);
  }

  /** Tells what there is, and asks to be rung for when there is more. */
  look(): void {
    if (this.#closed) return;
    let isMore = false;
    for (const reader of this.#readers()) {
      const events = reader.take(EVENTS_AT_ONCE).flatMap((event): LinkEvent[] => {
        const name = this.#nameOf(event.link);
        return name === undefined ? [] : [{ ...event, name }];
      });
      if (events.length > 0) this.#tell(events);
      if (!reader.sleep()) isMore = true;
    }
    if (!isMore || this.#again !== undefined) return;
    this.#again = setImmediate(() => {
      this.#again = undefined;
      this.look();
    });
  }

  close(): void {
    this.#closed = true;
    clearImmediate(this.#again);
  }
}
