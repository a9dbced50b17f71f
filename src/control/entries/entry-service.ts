/**
 * Entries in the life of a router: sources tell what changes, the rib decides, and each change goes to
 * the table of the data path, to the routes of this machine and to whoever listens.
 * @module
 */
import { ENTRIES_MAX, ENTRIES_PER_OWNER_MAX } from '../../limits.ts';
import type { Log } from '../../log.ts';
import { formatIpAddress } from '../../net/ip.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { formatMac } from '../../net/mac.ts';
import { formatPrefix, type Prefix } from '../../net/prefix.ts';
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import type { Best, ClaimSource, ClaimUpdate, EntryId, RibChange } from '../../rib/entry.ts';
import { HOLD_MS } from '../../rib/flaps.ts';
import { Rib, type RibStatus } from '../../rib/rib.ts';
import type { ShareLimits } from '../../rib/shares.ts';
import type { RoutedEntries } from './routed-entries.ts';

/** Where entries are written for the data path. */
export type EntryWriter = {
  setEntry(link: string, prefix: Prefix, peer: UnderlayAddress): void;
  deleteEntry(link: string, prefix: Prefix): void;
};

/** What a source of entries needs: it tells changes, and takes back what it said. */
export type EntrySink = Pick<EntryService, 'update' | 'withdraw'>;

export type EntryServiceOptions = {
  writer: EntryWriter;
  /** undefined where no routes of the host follow from entries. */
  routes?: RoutedEntries;
  log: Log;
  /** Entries in all and of one member, those of limits.ts unless given. */
  limits?: ShareLimits;
};

const LIMITS: ShareLimits = { max: ENTRIES_MAX, ownerMax: ENTRIES_PER_OWNER_MAX };

/** An entry in words. */
export function entryText(id: EntryId): string {
  switch (id.kind) {
    case 'prefix':
      return formatPrefix(id);
    case 'mac':
      return formatMac(id.mac);
    case 'mac+ip':
      return formatIpAddress(id.address);
    case 'flood':
      return `floods to ${formatIpv4(id.member)}`;
    case 'vtep':
      return `tunnel endpoint ${formatIpv4(id.member)}`;
  }
}

export class EntryService {
  readonly #rib: Rib;
  readonly #options: EntryServiceOptions;
  readonly #listeners = new Set<(changes: readonly RibChange[]) => void>();
  #timer: NodeJS.Timeout | undefined;
  #isFull = false;

  constructor(options: EntryServiceOptions) {
    this.#options = options;
    this.#rib = new Rib(options.limits ?? LIMITS);
  }

  /** What `source` says of these entries is this from now on. */
  update(source: ClaimSource, updates: Iterable<ClaimUpdate>): void {
    this.#apply(this.#rib.update(source, updates, performance.now()));
  }

  /** A source has nothing more to say, of one link or of any. */
  withdraw(source: ClaimSource, link?: string): void {
    this.#apply(this.#rib.withdraw(source, link, performance.now()));
  }

  /** Calls `listener` at each change; returns how to end it. */
  listen(listener: (changes: readonly RibChange[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Links may have come, gone or changed, or somebody may have touched their routes. */
  refresh(): void {
    this.#options.routes?.refresh((link) => this.#rib.entries(link, 'prefix'));
  }

  /** The claim that counts for an entry. */
  get(id: EntryId): Best | undefined {
    return this.#rib.get(id);
  }

  /** Every entry, and the claim that counts. */
  all(): Iterable<{ id: EntryId; best: Best }> {
    return this.#rib.all();
  }

  status(): RibStatus {
    return this.#rib.status();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  #apply(changes: readonly RibChange[]): void {
    const { writer, routes } = this.#options;
    for (const { id, after } of changes) {
      // The data path has no other entries yet.
      if (id.kind !== 'prefix') continue;
      if (after === undefined) writer.deleteEntry(id.link, id);
      else writer.setEntry(id.link, id, after.peer);
      routes?.change(id.link, id, after?.peer);
    }
    if (changes.length > 0) for (const listener of this.#listeners) listener(changes);
    this.#tell();
    this.#wait();
  }

  #tell(): void {
    const { log } = this.#options;
    for (const id of this.#rib.takeHeld()) {
      log.warn(
        'entries',
        `${entryText(id)} of ${id.link} moves too often: left where it is for ${HOLD_MS / 1000} s`,
      );
    }
    const { isFull } = this.#rib;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    const [first] = isFull ? this.#rib.status().refusals : [];
    if (first === undefined) log.info('entries', 'there is room for all entries again');
    else {
      const { owner, source, cause } = first;
      const { max, ownerMax } = this.#options.limits ?? LIMITS;
      const what =
        cause === 'share' ? `the share of one member (${ownerMax})` : `the table (${max})`;
      log.warn('entries', `${what} is full: entries of ${owner} (${source}) are not taken`);
    }
  }

  #wait(): void {
    const { nextMs } = this.#rib;
    if (nextMs === undefined || this.#timer !== undefined) return;
    const delayMs = Math.max(0, nextMs - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#apply(this.#rib.release(performance.now()));
    }, delayMs);
    this.#timer.unref();
  }
}
