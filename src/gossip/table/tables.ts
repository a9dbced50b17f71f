/**
 * What is announced: by this node (author.ts), by all (store.ts), and which of it counts
 * (entries.ts). Says which blocks are worth passing on; whoever owns this passes them on.
 * @module
 */

import type { NodeId, PeerItem, RawBlock, SignedBlock } from '../../wire/gossip/types.ts';
import type { GossipEvents } from '../base/api.ts';
import type { Counters } from '../base/counters.ts';
import { OWN_BROADCASTS_MAX } from '../base/limits.ts';
import type { Signer, Verifier } from '../base/signer.ts';
import { Author } from './author.ts';
import { Conflicts } from './conflicts.ts';
import { type BestAnnouncement, Entries } from './entries.ts';
import type { Standing } from './rivals.ts';
import { Store } from './store.ts';
import { TableReader } from './table-reader.ts';

/** How often conflicts are looked at. */
const REVIEW_INTERVAL_MS = 1000;

export type TablesOptions = {
  id: NodeId;
  signer: Signer;
  verifier: Verifier;
  epoch: number;
  persistEpoch: (epoch: number) => void;
  instance: Uint8Array;
  standing: () => Standing;
  counters: Counters;
  events: GossipEvents;
  nowMs: () => number;
  isActive: (owner: NodeId) => boolean;
  nameOf: (owner: NodeId) => string;
  /** Asked when there is no room for another owner; true when one was forgotten. */
  makeRoom: () => boolean;
  /** Another owner's newer head, and the peer record that holds by it, if it is here. */
  head: (signed: SignedBlock, record: PeerItem | undefined) => void;
  peer: (owner: NodeId, record: PeerItem | undefined) => void;
  /** A block that others may not have. */
  spread: (signed: SignedBlock) => void;
  /** A block that no longer holds. */
  dropped: (signed: SignedBlock) => void;
};

export class Tables {
  readonly store: Store;
  readonly entries: Entries;
  readonly author: Author;
  readonly conflicts: Conflicts;
  readonly reader: TableReader;
  readonly #options: TablesOptions;
  #reviewedMs = -Infinity;

  constructor(options: TablesOptions) {
    this.#options = options;
    const { id, verifier, counters, makeRoom, isActive, nameOf, nowMs, peer } = options;
    this.store = new Store({ self: id, verifier, counters, makeRoom });
    this.entries = new Entries(isActive, {
      changed: (before, after) => this.#entryChanged(before, after),
      contest: (contest) => this.conflicts.contested(contest),
      peer: (owner, record) => {
        this.conflicts.peerChanged(owner, record);
        peer(owner, record);
        options.events.record?.(owner);
      },
    });
    const lifeOf = (owner: NodeId): number => this.store.head(owner)?.block.epoch ?? 0;
    this.reader = new TableReader(this.entries, nameOf, lifeOf);
    this.author = new Author(options);
    this.conflicts = new Conflicts({
      self: id,
      entries: this.entries,
      author: this.author,
      counters,
      isActive,
      nameOf,
      nowMs,
      changed: (event) => options.events.conflict(event),
    });
  }

  /**
   * Takes a block that came from elsewhere. A new head is always passed on, another block only if
   * it is news, and not an answer to what we asked.
   * @returns its owner, if it is new here.
   */
  take(raw: RawBlock, isNews: (owner: NodeId) => boolean): NodeId | undefined {
    const offer = this.store.offer(raw);
    if (offer.outcome === 'own') this.#absorb(offer.signed);
    if (offer.outcome !== 'new') return undefined;
    const { signed, removed, headChanged } = offer;
    const { head, spread } = this.#options;
    // Its entries first: what it withdrew while it counted as dead must not hold for a moment.
    this.#apply(signed, removed);
    if (headChanged) head(signed, this.entries.peer(signed.owner));
    if (headChanged || isNews(signed.owner)) spread(signed);
    return signed.owner;
  }

  /** Writes and spreads what this node has to tell. Of a long run only the head goes around. */
  publish(): void {
    const written = this.author.flush();
    for (const signed of written) {
      const offer = this.store.insert(signed);
      this.#options.counters.count('blocks.issued');
      this.#apply(signed, offer.outcome === 'new' ? offer.removed : []);
    }
    const told = written.length > OWN_BROADCASTS_MAX ? written.slice(-1) : written;
    for (const signed of told) this.#options.spread(signed);
  }

  /** Looks now and then who claims what another has. */
  review(nowMs: number): void {
    if (nowMs - this.#reviewedMs < REVIEW_INTERVAL_MS) return;
    this.#reviewedMs = nowMs;
    this.conflicts.review();
  }

  /** Keeps only the head of an owner that has been gone for long. */
  retire(owner: NodeId): void {
    this.#apply(undefined, this.store.retire(owner));
  }

  /** Makes room for another owner. */
  forget(owner: NodeId): void {
    this.#apply(undefined, this.store.forget(owner));
  }

  #apply(added: SignedBlock | undefined, removed: readonly SignedBlock[]): void {
    this.entries.apply(added, removed);
    for (const signed of removed) this.#options.dropped(signed);
  }

  /** A block with our signature that we did not write. */
  #absorb(signed: SignedBlock): void {
    const { epoch } = signed.block;
    const absorbed = this.author.absorb(signed);
    if (absorbed === 'older') return;
    const now = this.author.version.epoch;
    const { log } = this.#options.events;
    if (this.author.silent)
      log('another process runs with this key and keeps it: silent from now on');
    else if (absorbed === 'duplicate') log(`another process runs with this key (epoch ${epoch})`);
    else log(`an earlier life had epoch ${epoch}; this one goes on with ${now}`);
  }

  #entryChanged(before: BestAnnouncement | undefined, after: BestAnnouncement | undefined): void {
    const { entry } = this.#options.events;
    if (after !== undefined) {
      entry({ type: 'set', item: after.item, owner: after.owner, before: before?.owner });
    } else if (before !== undefined) {
      entry({ type: 'cleared', item: before.item, owner: before.owner });
    }
  }
}
