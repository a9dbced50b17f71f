/**
 * Entries in the life of a router: sources tell what changes, the rib decides, and each change goes to
 * the table of the data path, to the routes of this machine and to whoever listens.
 * @module
 */

import { ENTRIES_MAX, ENTRIES_PER_OWNER_MAX } from '../../limits.ts';
import type { Log } from '../../log.ts';
import { formatMac } from '../../net/mac.ts';
import {
  formatHostAddress,
  formatHostPrefix,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../net/underlay-address.ts';
import type { Best, ClaimSource, ClaimUpdate, EntryId, RibChange } from '../../rib/entry.ts';
import { HOLD_MS } from '../../rib/flaps.ts';
import { FREEZE_MS } from '../../rib/moves.ts';
import { Rib, type RibStatus } from '../../rib/rib.ts';
import type { ShareLimits } from '../../rib/shares.ts';
import { FdbFlag } from '../../table/fdb.ts';
import { NeighbourFlag } from '../../table/neighbours.ts';
import { VtepFlag } from '../../table/vteps.ts';
import type { NetworkTable } from '../plane/tables/network-table.ts';
import type { RoutedEntries } from './routed-entries.ts';

/** Where entries are written for the data path. */
export type EntryWriter = {
  setEntry(link: string, prefix: UnderlayPrefix, peer: UnderlayAddress): void;
  deleteEntry(link: string, prefix: UnderlayPrefix): void;
  /** The tables of layer-2 networks; undefined while no link runs. */
  networks?(): NetworkWriter | undefined;
};

/** Where entries of layer-2 networks are written. */
export type NetworkWriter = Pick<
  NetworkTable,
  'setMac' | 'deleteMac' | 'setNeighbour' | 'deleteNeighbour' | 'setVtep' | 'deleteVtep'
>;

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
      return formatHostPrefix(id);
    case 'mac':
      return formatMac(id.mac);
    case 'mac+ip':
      return formatHostAddress(id.address);
    case 'flood':
      return `floods to ${formatHostAddress(id.member)}`;
    case 'vtep':
      return `tunnel endpoint ${formatHostAddress(id.member)}`;
  }
}

/** What the data path is told of an entry of a network. Floods go by the network's mode. */
function writeNetwork(
  writer: NetworkWriter,
  id: EntryId,
  after: Best | undefined,
  hasMoved: boolean,
): void {
  const isHere = after?.source === 'local';
  switch (id.kind) {
    case 'mac': {
      if (after === undefined) return writer.deleteMac(id.link, id.mac);
      const sticky = after.isSticky === true ? FdbFlag.Sticky : 0;
      const learned = after.source === 'learned' ? FdbFlag.Learned : 0;
      const moved = hasMoved || after.sequence > 0 ? FdbFlag.Moved : 0;
      const router = after.isRouter === true ? FdbFlag.Router : 0;
      const server = after.isDhcpServer === true ? FdbFlag.DhcpServer : 0;
      const host = isHere ? 'here' : after.peer;
      const flags = sticky | learned | moved | router | server;
      const label = isHere ? 0 : (after.label ?? 0);
      return writer.setMac(id.link, id.mac, { host, flags, label });
    }
    case 'mac+ip': {
      if (after === undefined) return writer.deleteNeighbour(id.link, id.address);
      const flags =
        (isHere ? NeighbourFlag.Local : 0) |
        (after.isSticky === true ? NeighbourFlag.Static : 0) |
        (after.isRouter === true ? NeighbourFlag.Router : 0);
      return writer.setNeighbour(id.link, id.address, { mac: after.mac, flags });
    }
    case 'vtep': {
      if (after === undefined) return writer.deleteVtep(id.link, id.member);
      const flags = after.isReplicator === true ? VtepFlag.Replicator : 0;
      return writer.setVtep(id.link, id.member, flags);
    }
    default:
      return;
  }
}

export class EntryService {
  readonly #rib: Rib;
  readonly #options: EntryServiceOptions;
  readonly #listeners = new Set<(changes: readonly RibChange[]) => void>();
  #timer: NodeJS.Timeout | undefined;
  #isFull = false;
  #isEnding = false;

  constructor(options: EntryServiceOptions) {
    this.#options = options;
    this.#rib = new Rib(options.limits ?? LIMITS);
  }

  /** What `source` says of these entries is this from now on. */
  update(source: ClaimSource, updates: Iterable<ClaimUpdate>): void {
    const wanted = this.#isEnding ? [...updates].filter(({ id }) => id.kind === 'prefix') : updates;
    this.#apply(this.#rib.update(source, wanted, performance.now()));
  }

  /**
   * The router ends: who is where in layer-2 networks goes with their links, as a whole, however many
   * there are. Until then the data path goes on with what it has.
   */
  end(): void {
    this.#isEnding = true;
    this.#rib.forgetNetworks();
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

  /** Whether an entry is left where it is because it moves too often. */
  isHeld(id: EntryId): boolean {
    return this.#rib.isHeld(id);
  }

  /** Whether several claim an entry. */
  isContested(id: EntryId): boolean {
    return this.#rib.isContested(id);
  }

  /** Entries of a link, in no order. */
  entries(link: string, kind: EntryId['kind']): Iterable<{ id: EntryId; best: Best }> {
    return this.#rib.entries(link, kind);
  }

  /** The claim that counts for an entry. */
  get(id: EntryId): Best | undefined {
    return this.#rib.get(id);
  }

  /** Every entry, and the claim that counts. */
  all(): Iterable<{ id: EntryId; best: Best }> {
    return this.#rib.all();
  }

  /** Writes an entry of a network for the data path again, as it was decided. */
  rewrite(id: EntryId): void {
    const networks = this.#options.writer.networks?.();
    const hasMoved = this.#rib.hasMoved(id, performance.now());
    if (networks !== undefined) writeNetwork(networks, id, this.#rib.get(id), hasMoved);
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
      if (id.kind !== 'prefix') {
        const networks = writer.networks?.();
        const hasMoved = this.#rib.hasMoved(id, performance.now());
        if (networks !== undefined) writeNetwork(networks, id, after, hasMoved);
        continue;
      }
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
        `${entryText(id)} of ${id.link} moves too often${id.kind === 'mac' ? ', two hosts may have it' : ''}: left where it is for ${(id.kind === 'mac' ? FREEZE_MS : HOLD_MS) / 1000} s`,
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
