/**
 * Hands what happens to everybody who listens on the admin socket. What waits for one that reads
 * slowly is bounded; beyond, events are counted, and the count is told as soon as there is room.
 * @module
 */
import type { RouterEvent } from '../api/events.ts';
import { EVENTS_PATH, EVENTS_TYPE } from '../api/events.ts';
import { refusedError } from '../errors.ts';
import type { ConflictEvent } from '../gossip/base/api.ts';
import { formatHostAddress } from '../net/underlay-address.ts';
import type { RibChange } from '../rib/entry.ts';
import { type LineSink, type Route, StreamAnswer } from './admin/admin.ts';
import { entryText } from './entries/entry-service.ts';
import { conflictJson } from './speakers/gossip/views.ts';

/** Listeners at one time; each may hold {@link QUEUED_BYTES_MAX}. */
export const EVENT_CLIENTS_MAX = 8;
/** What may wait for one listener, bytes. */
export const QUEUED_BYTES_MAX = 256 * 1024;

type Client = { sink: LineSink; lost: number };

/** The part of a link that its events tell. */
type LinkState = { name: string; state: string; reason: string };

export class EventHub {
  readonly #clients = new Set<Client>();
  #links = new Map<string, LinkState>();

  get clients(): number {
    return this.#clients.size;
  }

  /** Begins to tell `sink`; returns how to end it. @throws FanwayError when too many listen. */
  open(sink: LineSink): () => void {
    if (this.#clients.size >= EVENT_CLIENTS_MAX) {
      throw refusedError('too-many', `${EVENT_CLIENTS_MAX} programs listen for events already`);
    }
    const client = { sink, lost: 0 };
    this.#clients.add(client);
    return () => this.#clients.delete(client);
  }

  publish(event: RouterEvent): void {
    if (this.#clients.size === 0) return;
    const line = JSON.stringify(event);
    for (const client of this.#clients) {
      const { sink } = client;
      if (sink.queuedBytes() > QUEUED_BYTES_MAX) {
        client.lost++;
        continue;
      }
      if (client.lost > 0) {
        sink.line(JSON.stringify({ kind: 'lost', count: client.lost } satisfies RouterEvent));
        client.lost = 0;
      }
      sink.line(line);
    }
  }

  /** Entries have changed. */
  entriesChanged(changes: readonly RibChange[]): void {
    if (this.#clients.size === 0) return;
    for (const { id, after } of changes) {
      this.publish({
        ...{ kind: 'entry', link: id.link, entry: entryText(id) },
        host: after === undefined ? null : formatHostAddress(after.peer),
        ...{ source: after?.source ?? '', owner: after?.owner ?? '' },
      });
    }
  }

  /** Two members claim one thing, or no longer. */
  conflict({ over, ...conflict }: ConflictEvent): void {
    this.publish({ kind: 'conflict', over, conflict: conflictJson(conflict) });
  }

  /** The links as they are now: what is another than the last time is told. */
  linksAre(links: readonly LinkState[]): void {
    const before = this.#links;
    this.#links = new Map(links.map(({ name, state, reason }) => [name, { name, state, reason }]));
    for (const link of this.#links.values()) {
      const known = before.get(link.name);
      before.delete(link.name);
      if (known?.state === link.state && known.reason === link.reason) continue;
      this.publish({ kind: 'link', ...link });
    }
    for (const name of before.keys()) {
      this.publish({ kind: 'link', name, state: 'gone', reason: '' });
    }
  }

  /** Where programs listen. */
  route(): Route {
    return {
      method: 'GET',
      path: EVENTS_PATH,
      handle: async () => new StreamAnswer(EVENTS_TYPE, (sink) => this.open(sink)),
    };
  }
}
