/**
 * How much of the table each owner of a source has, and what of it found no room.
 *
 * What is refused waits here, as much again as the table holds, and comes in when room is made; what
 * would be more than that is counted only.
 * @module
 */
import type { Claim, ClaimSource, EntryId } from './entry.ts';

/** `max`: claims in all and of one owner. */
export type ShareLimits = { max: number; ownerMax: number };

/** What of one owner's claims was not taken, and why. */
export type ShareRefusal = {
  source: ClaimSource;
  owner: string;
  count: number;
  /** Its own share is full, or the table as a whole. */
  cause: 'share' | 'table';
};

/** A claim that found no room. */
type Waiting = { id: EntryId; claim: Claim };

type Share = {
  source: ClaimSource;
  owner: string;
  taken: number;
  /** By the key of link, kind and slot. */
  waiting: Map<string, Waiting>;
};

export class Shares {
  readonly #limits: ShareLimits;
  readonly #shares = new Map<string, Share>();
  /** Those of them that have something waiting. */
  readonly #hungry = new Set<Share>();
  #taken = 0;
  #waiting = 0;
  /** Claims that were not even kept waiting. */
  dropped = 0;

  constructor(limits: ShareLimits) {
    this.#limits = limits;
  }

  get taken(): number {
    return this.#taken;
  }
  get waiting(): number {
    return this.#waiting;
  }

  #of(source: ClaimSource, owner: string): Share {
    const name = `${source} ${owner}`;
    let share = this.#shares.get(name);
    if (share === undefined) {
      share = { source, owner, taken: 0, waiting: new Map() };
      this.#shares.set(name, share);
    }
    return share;
  }

  #isFull(share: Share): boolean {
    return this.#taken >= this.#limits.max || share.taken >= this.#limits.ownerMax;
  }

  /** One claim more of this owner; false when there is no room. */
  take(source: ClaimSource, owner: string): boolean {
    const share = this.#of(source, owner);
    if (this.#isFull(share)) return false;
    share.taken++;
    this.#taken++;
    return true;
  }

  /** One claim less. */
  give(source: ClaimSource, owner: string): void {
    const share = this.#of(source, owner);
    share.taken--;
    this.#taken--;
    this.#forgetEmpty(share);
  }

  /** A claim that found no room waits. */
  wait(source: ClaimSource, key: string, waiting: Waiting): void {
    if (this.#waiting >= this.#limits.max) {
      this.dropped++;
      return;
    }
    const share = this.#of(source, waiting.claim.owner);
    share.waiting.set(key, waiting);
    this.#hungry.add(share);
    this.#waiting++;
  }

  /** A claim waits no more, whoever's it was. */
  unwait(source: ClaimSource, key: string): void {
    for (const share of this.#hungry) {
      if (share.source === source) this.#take(share, key);
    }
  }

  /** Nothing of a source waits any more, of one link or of any. */
  unwaitAll(source: ClaimSource, link: string | undefined): void {
    for (const share of this.#hungry) {
      if (share.source !== source) continue;
      for (const [key, { id }] of share.waiting) {
        if (link === undefined || id.link === link) this.#take(share, key);
      }
    }
  }

  /** Takes out one claim that has room now; undefined when there is none. */
  next(): (Waiting & { source: ClaimSource }) | undefined {
    if (this.#taken >= this.#limits.max) return undefined;
    for (const share of this.#hungry) {
      if (this.#isFull(share)) continue;
      for (const [key, waiting] of share.waiting) {
        this.#take(share, key);
        return { ...waiting, source: share.source };
      }
    }
    return undefined;
  }

  /** Whose claims wait, most first. */
  refusals(): ShareRefusal[] {
    const refusals: ShareRefusal[] = [];
    for (const { source, owner, taken, waiting } of this.#hungry) {
      const cause = taken >= this.#limits.ownerMax ? 'share' : 'table';
      refusals.push({ source, owner, count: waiting.size, cause });
    }
    return refusals.sort((a, b) => b.count - a.count || (a.owner < b.owner ? -1 : 1));
  }

  #take(share: Share, key: string): void {
    if (!share.waiting.delete(key)) return;
    this.#waiting--;
    if (share.waiting.size === 0) this.#hungry.delete(share);
    this.#forgetEmpty(share);
  }

  #forgetEmpty(share: Share): void {
    if (share.taken > 0 || share.waiting.size > 0) return;
    this.#shares.delete(`${share.source} ${share.owner}`);
  }
}
