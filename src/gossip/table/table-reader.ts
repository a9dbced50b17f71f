/**
 * The table as others read it, a piece at a time and without views of everything.
 * @module
 */
import type { Announcement, NodeId, PeerItem } from '../../wire/gossip/types.ts';
import type { EntryView } from '../base/api.ts';
import type { EntryKey } from '../base/keys.ts';
import type { BestAnnouncement, Entries, EntryFilter } from './entries.ts';

export class TableReader {
  readonly #entries: Entries;
  readonly #nameOf: (owner: NodeId) => string;
  /** The epoch of the newest block of an owner, 0 = there is none. */
  readonly lifeOf: (owner: NodeId) => number;

  constructor(
    entries: Entries,
    nameOf: (owner: NodeId) => string,
    lifeOf: (owner: NodeId) => number,
  ) {
    this.#entries = entries;
    this.#nameOf = nameOf;
    this.lifeOf = lifeOf;
  }

  /** What counts for a key; undefined = nobody active announces it. */
  lookup(key: EntryKey): BestAnnouncement | undefined {
    return this.#entries.lookup(key);
  }

  /** What an owner says of itself. */
  record(owner: NodeId): PeerItem | undefined {
    return this.#entries.peer(owner);
  }

  nameOf(owner: NodeId): string {
    return this.#nameOf(owner);
  }

  /** What an owner announces, whether it counts or not. */
  announcedBy(owner: NodeId): Iterable<Announcement> {
    return this.#entries.announcedBy(owner);
  }

  /** All that counts, in no order. */
  list(filter?: EntryFilter): Iterable<BestAnnouncement> {
    return this.#entries.list(filter);
  }

  /** The same with the names of the owners. */
  views(filter?: EntryFilter): EntryView[] {
    const views: EntryView[] = [];
    for (const { item, owner } of this.#entries.list(filter)) {
      views.push({ item, owner, ownerName: this.#nameOf(owner) });
    }
    return views;
  }
}
