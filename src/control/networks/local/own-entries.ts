/**
 * What this host has in its layer-2 networks: told to the rib as claims of the source `local`, and to
 * every speaker (gossip, BGP) as announcements, with sequence numbers by RFC 7432 §15.
 *
 * 1. Whoever shows up here while another host has it was moved: one more than the number it had there.
 * 2. What a host with a higher number claims is given up here, until it is seen here again.
 * 3. What moves too often is frozen by the rib: nothing is announced of it meanwhile.
 * 4. What has not moved for an hour, and nobody else claims, is announced from 0 again: a number that somebody
 *    drove to the highest would leave no higher one for the next move.
 * @module
 */
import type { UnderlayAddress } from '../../../net/underlay-address.ts';
import {
  type Best,
  type ClaimUpdate,
  type EntryId,
  keyOfEntry,
  MOVES_COUNT_MAX,
} from '../../../rib/entry.ts';
import type { NetworkSpec } from '../../store/link-spec.ts';

/** After so long without a move a number is over, ms; so many of them in one review. */
export const QUIET_MS = 3_600_000;
export const EXPIRED_MAX = 64;

/** A MAC, or one of its addresses, that is at this host. */
export type OwnEntry = {
  readonly spec: NetworkSpec;
  /** u48 */
  readonly mac: number;
  /** undefined: the MAC itself. */
  readonly address: UnderlayAddress | undefined;
  readonly isSticky: boolean;
  /** How often it moved. */
  sequence: number;
};

/** Whoever tells others. */
export type NetworkSpeaker = {
  /**
   * Announces an entry from now on, with its sequence number or a higher one that the speaker needs to
   * be believed; returns that.
   */
  announce(entry: OwnEntry): number;
  /** The same for one that is announced, with a lower number than before. */
  renew(entry: OwnEntry): number;
  withdraw(entry: OwnEntry): void;
};

/** Whoever tells others what this host knows as a gateway. */
export type RelaySpeaker = {
  /** The entry is told like this from now on; undefined = no more. */
  relay(spec: NetworkSpec, id: EntryId, best: Best | undefined): void;
};

export type OwnEntriesOptions = {
  /** What counts for an entry. */
  best: (id: EntryId) => Best | undefined;
  isHeld: (id: EntryId) => boolean;
  isContested: (id: EntryId) => boolean;
  nowMs: () => number;
  update: (updates: readonly ClaimUpdate[]) => void;
};

export function idOfOwn({ spec, mac, address }: OwnEntry): EntryId {
  const link = spec.name;
  return address === undefined ? { link, kind: 'mac', mac } : { link, kind: 'mac+ip', address };
}

export class OwnEntries {
  readonly #options: OwnEntriesOptions;
  readonly #speakers: NetworkSpeaker[] = [];
  readonly #entries = new Map<string, OwnEntry>();
  /** Not announced while they are frozen. */
  readonly #frozen = new Map<string, OwnEntry>();
  /** Those with a number above 0, by key, with when it came, ms: the oldest first. */
  readonly #numbered = new Map<string, { sequence: number; sinceMs: number }>();

  constructor(options: OwnEntriesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** A speaker that is told everything from now on. */
  addSpeaker(speaker: NetworkSpeaker): void {
    this.#speakers.push(speaker);
  }

  /** Everything that is announced, for a speaker that begins. */
  all(): IterableIterator<OwnEntry> {
    return this.#entries.values();
  }

  has(id: EntryId): boolean {
    return this.#entries.has(keyOfEntry(id));
  }

  /** The entry is here: seen now, wherever it was before. */
  add(entry: Omit<OwnEntry, 'sequence'>): void {
    const own: OwnEntry = { ...entry, sequence: 0 };
    const id = idOfOwn(own);
    const key = keyOfEntry(id);
    if (this.#options.isHeld(id)) {
      this.#frozen.set(key, own);
      return;
    }
    const best = this.#options.best(id);
    const isElsewhere = best !== undefined && best.source !== 'local';
    const known = this.#entries.get(key);
    own.sequence = isElsewhere
      ? Math.min(best.sequence + 1, MOVES_COUNT_MAX)
      : (known?.sequence ?? 0);
    this.#entries.set(key, own);
    this.#claim(own);
    // One move too many: what the rib says counts, and others are told nothing.
    if (this.#options.isHeld(id)) {
      this.#entries.delete(key);
      this.#frozen.set(key, own);
      return;
    }
    this.announce(own, this.#speakers);
  }

  /** Remembers since when an entry has its number. */
  #note(own: OwnEntry): void {
    const { sequence } = own;
    const key = keyOfEntry(idOfOwn(own));
    if (this.#numbered.get(key)?.sequence === sequence) return;
    this.#numbered.delete(key);
    if (sequence > 0) this.#numbered.set(key, { sequence, sinceMs: this.#options.nowMs() });
  }

  /** Tells speakers an entry; what they need to be believed becomes its number. */
  announce(own: OwnEntry, speakers: readonly NetworkSpeaker[]): void {
    this.#tell(own, speakers);
    this.#note(own);
  }

  #tell(own: OwnEntry, speakers: readonly NetworkSpeaker[]): void {
    const before = own.sequence;
    const told = new Map<NetworkSpeaker, number>();
    for (const speaker of speakers) {
      own.sequence = Math.max(own.sequence, speaker.announce(own));
      told.set(speaker, own.sequence);
    }
    if (own.sequence === before) return;
    // What one of them needs, all others say too: there is one number for each entry.
    for (const speaker of this.#speakers) {
      if ((told.get(speaker) ?? before) < own.sequence) speaker.announce(own);
    }
    this.#claim(own);
  }

  #claim(own: OwnEntry): void {
    const { spec, mac, address, isSticky, sequence } = own;
    const isMac = address === undefined;
    const claim = {
      ...{ peer: spec.local, owner: 'here', sequence, mac: isMac ? 0 : mac },
      ...(isSticky && { isSticky }),
      ...(spec.routers?.includes(mac) === true && { isRouter: true }),
      ...(isMac && spec.dhcpServers?.includes(mac) === true && { isDhcpServer: true }),
    };
    this.#options.update([{ id: idOfOwn(own), claim }]);
  }

  /** The entry is here no more. */
  remove(id: EntryId): void {
    const key = keyOfEntry(id);
    const wasFrozen = this.#frozen.delete(key);
    const own = this.#entries.get(key);
    if (own === undefined && !wasFrozen) return;
    this.#entries.delete(key);
    this.#numbered.delete(key);
    if (own !== undefined) for (const speaker of this.#speakers) speaker.withdraw(own);
    this.#options.update([{ id, claim: undefined }]);
  }

  /** Nothing of a link is here any more. */
  removeLink(link: string): void {
    const ids = [...this.#entries.values(), ...this.#frozen.values()].map(idOfOwn);
    for (const id of ids) if (id.link === link) this.remove(id);
  }

  /** Ends the numbers of what has long been where it is. */
  #expire(): void {
    const overMs = this.#options.nowMs() - QUIET_MS;
    let count = 0;
    for (const [key, { sinceMs }] of this.#numbered) {
      if (sinceMs > overMs || count >= EXPIRED_MAX) return;
      this.#numbered.delete(key);
      const own = this.#entries.get(key);
      if (own === undefined) continue;
      count++;
      const id = idOfOwn(own);
      // As long as somebody else claims it too, the number is what decides.
      if (!this.#options.isContested(id) && this.#options.best(id)?.source === 'local') {
        own.sequence = 0;
        for (const speaker of this.#speakers) {
          own.sequence = Math.max(own.sequence, speaker.renew(own));
        }
        this.#claim(own);
      }
      this.#note(own);
    }
  }

  /** Announces what was frozen and no longer is, and ends numbers whose time is over. */
  review(): void {
    this.#expire();
    for (const [key, own] of [...this.#frozen]) {
      if (this.#options.isHeld(idOfOwn(own))) continue;
      this.#frozen.delete(key);
      this.add(own);
    }
  }
}
