/**
 * Who was in the packets that were dropped lately: the kernel's programs tell of the first few for each
 * reason, and a status says so behind the cause.
 * @module
 */
import { formatMac } from '../../../net/mac.ts';
import { formatHostAddress, hostOfBytes } from '../../../net/underlay-address.ts';
import { counterAt } from '../../../table/counters.ts';
import { EventKind, type LinkEvent } from '../../../table/events.ts';

/** Kept of each reason of a link, and told in a line. */
const KEPT_MAX = 16;
const SHOWN_MAX = 3;
/** Reasons of all links. */
const REASONS_MAX = 1024;

type Seen = { who: string; atMs: number };

/** Who an event is about, '' where it is not about a drop. */
function whoOf({ kind, mac, address }: LinkEvent): string {
  if (address.length === 0) return '';
  const host = formatHostAddress(hostOfBytes(address));
  if (kind === EventKind.Miss) return `${host}, by MAC ${formatMac(mac)}`;
  if (kind !== EventKind.Dropped) return '';
  return mac === 0 ? host : `${host} (MAC ${formatMac(mac)})`;
}

export class Witnesses {
  readonly #keptMs: number;
  /** By link and counter; who was seen last is at the end. */
  readonly #seen = new Map<string, Seen[]>();

  /** @param keptMs who was not seen for so long is told of no more */
  constructor(keptMs: number) {
    this.#keptMs = keptMs;
  }

  /** Takes note of what is about drops. */
  note(events: readonly LinkEvent[], nowMs: number): void {
    for (const event of events) {
      const counter = counterAt(event.detail);
      const who = whoOf(event);
      if (counter === undefined || who === '') continue;
      const key = `${event.name} ${counter}`;
      const others = (this.#seen.get(key) ?? []).filter((one) => one.who !== who);
      this.#seen.delete(key);
      this.#seen.set(key, [...others, { who, atMs: nowMs }].slice(-KEPT_MAX));
    }
    for (const key of this.#seen.keys()) {
      if (this.#seen.size <= REASONS_MAX) break;
      this.#seen.delete(key);
    }
  }

  /** Who was dropped on a link for the reason of a counter, for a sentence; '' when nobody is known. */
  textOf(link: string, counter: string, nowMs: number): string {
    const key = `${link} ${counter}`;
    const seen = (this.#seen.get(key) ?? []).filter(({ atMs }) => nowMs - atMs < this.#keptMs);
    if (seen.length === 0) {
      this.#seen.delete(key);
      return '';
    }
    const shown = seen.slice(-SHOWN_MAX).map(({ who }) => who);
    return `${shown.join('; ')}${seen.length > SHOWN_MAX ? ' and others' : ''}`;
  }
}
