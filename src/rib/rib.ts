/**
 * Who is where, from all who say it: sources tell their claims by changes, the best claim to each
 * entry (best.ts) comes out, by changes too, and only where the data path sees a difference or the
 * one who says it is another. Nothing here waits, reads a clock or writes anywhere.
 *
 * 1. A claim that is new to its source asks for room: in the table, and in its owner's share.
 * 2. The best of an entry's claims is compared with what was told last.
 * 3. An entry that moves too often is held (flaps.ts, of MACs moves.ts); {@link Rib.release} tells what
 *    became of it.
 * 4. Whatever left makes room for what waits.
 * @module
 */
import { bestOf } from './best.ts';
import {
  type Best,
  type Claim,
  type ClaimSource,
  type ClaimUpdate,
  type EntryId,
  keyOfEntry,
  type RibChange,
  samePlace,
  slotOfEntry,
} from './entry.ts';
import { Flaps } from './flaps.ts';
import { MOVE_LIMITS, type MoveLimits, Moves } from './moves.ts';
import { type Refusal, type ShareLimits, Shares } from './shares.ts';

type Slot = {
  readonly id: EntryId;
  /** At most one of each source. */
  claims: Best[];
  /** As it was told last. */
  told: Best | undefined;
};

export type RibStatus = {
  /** Claims that are kept, and entries that they are about. */
  claims: number;
  entries: number;
  /** Claims that found no room, and those of them that are not even kept waiting. */
  refused: number;
  dropped: number;
  refusals: Refusal[];
  /** Entries that are held because they move too often, and how often that happened. */
  held: EntryId[];
  holds: number;
};

/** Names one link's entries of one kind. */
function tableName({ link, kind }: EntryId): string {
  return `${kind} ${link}`;
}

function sameBest(a: Best | undefined, b: Best | undefined): boolean {
  const isSameWord = a?.source === b?.source && a?.owner === b?.owner;
  return samePlace(a, b) && isSameWord && a?.isRelayed === b?.isRelayed;
}

/** Refused owners and held entries that {@link Rib.status} lists. */
const LISTED_MAX = 16;

/**
 * A claim with its source, field by field: what a spread makes has a shape of its own each time, which
 * is twice its size.
 */
function bestOfClaim(claim: Claim, source: ClaimSource): Best {
  const { peer, owner, sequence, mac } = claim;
  const best: Best = { peer, owner, sequence, mac, source };
  if (claim.isSticky !== undefined) best.isSticky = claim.isSticky;
  if (claim.isReplicator !== undefined) best.isReplicator = claim.isReplicator;
  if (claim.isRelayed !== undefined) best.isRelayed = claim.isRelayed;
  if (claim.isRouter !== undefined) best.isRouter = claim.isRouter;
  if (claim.isDhcpServer !== undefined) best.isDhcpServer = claim.isDhcpServer;
  if (claim.label !== undefined) best.label = claim.label;
  return best;
}

export class Rib {
  readonly #tables = new Map<string, Map<number | string, Slot>>();
  readonly #shares: Shares;
  readonly #flaps = new Flaps<EntryId>();
  readonly #moves: Moves<EntryId>;
  #entries = 0;
  #holds = 0;
  #newlyHeld: EntryId[] = [];

  constructor(limits: ShareLimits, moves: MoveLimits = MOVE_LIMITS) {
    this.#shares = new Shares(limits);
    this.#moves = new Moves(moves);
  }

  /**
   * Takes what a source has to say. `nowMs` never goes back.
   * @returns what follows from it, each entry at most once for each update.
   */
  update(source: ClaimSource, updates: Iterable<ClaimUpdate>, nowMs: number): RibChange[] {
    const changes: RibChange[] = [];
    let hasRoom = false;
    for (const { id, claim } of updates) {
      if (claim === undefined) hasRoom = this.#drop(source, id, nowMs, changes) || hasRoom;
      else hasRoom = this.#claim(source, id, claim, nowMs, changes) || hasRoom;
    }
    if (hasRoom) this.#admit(nowMs, changes);
    return changes;
  }

  /** A source has nothing more to say, of one link or of any. */
  withdraw(source: ClaimSource, link: string | undefined, nowMs: number): RibChange[] {
    const updates: ClaimUpdate[] = [];
    for (const slots of this.#tables.values()) {
      for (const { id, claims } of slots.values()) {
        if (link !== undefined && id.link !== link) break;
        if (claims.some((claim) => claim.source === source)) updates.push({ id, claim: undefined });
      }
    }
    this.#shares.unwaitAll(source, link);
    return this.update(source, updates, nowMs);
  }

  /** What became of entries that were held for long enough. Call it at {@link nextMs}. */
  release(nowMs: number): RibChange[] {
    const changes: RibChange[] = [];
    const released = [...this.#flaps.takeReleased(nowMs), ...this.#moves.takeReleased(nowMs)];
    for (const id of released) {
      const slot = this.#slot(id);
      if (slot !== undefined) this.#tell(slot, undefined, changes);
    }
    return changes;
  }

  /** When {@link release} has something to do; undefined = never, as things are. */
  get nextMs(): number | undefined {
    const [a = Number.POSITIVE_INFINITY, b = Number.POSITIVE_INFINITY] = [
      this.#flaps.nextMs,
      this.#moves.nextMs,
    ];
    const nextMs = Math.min(a, b);
    return Number.isFinite(nextMs) ? nextMs : undefined;
  }

  /** Something was not taken because there is no room. */
  get isFull(): boolean {
    return this.#shares.waiting > 0;
  }

  /** Whether an entry is left where it is because it moved too often. */
  isHeld(id: EntryId): boolean {
    const damper = id.kind === 'mac' ? this.#moves : this.#flaps;
    return damper.heldCount > 0 && damper.isHeld(keyOfEntry(id));
  }

  /** Whether a MAC was at another place a short while ago. */
  hasMoved(id: EntryId, nowMs: number): boolean {
    return id.kind === 'mac' && this.#moves.hasMoved(keyOfEntry(id), nowMs);
  }

  /** What counts for an entry, as it was told. */
  get(id: EntryId): Best | undefined {
    return this.#slot(id)?.told;
  }

  /** The entry of the longest prefix around an address, as it was told. */
  match(link: string, address: number): { id: EntryId; best: Best } | undefined {
    for (let length = 32; length > 0; length--) {
      const slot = this.#slot({ link, kind: 'prefix', address, length });
      if (slot?.told !== undefined) return { id: slot.id, best: slot.told };
    }
    return undefined;
  }

  /** Entries of a link as they were told, in no order. */
  *entries(link: string, kind: EntryId['kind']): Generator<{ id: EntryId; best: Best }> {
    for (const { id, told } of this.#tables.get(`${kind} ${link}`)?.values() ?? []) {
      if (told !== undefined) yield { id, best: told };
    }
  }

  /** Every entry as it was told, in no order. */
  *all(): Generator<{ id: EntryId; best: Best }> {
    for (const table of this.#tables.values()) {
      for (const { id, told } of table.values()) if (told !== undefined) yield { id, best: told };
    }
  }

  /** Entries that have come to be held since the last call, the first of them. */
  takeHeld(): EntryId[] {
    const held = this.#newlyHeld;
    if (held.length > 0) this.#newlyHeld = [];
    return held;
  }

  status(): RibStatus {
    const { taken, waiting, dropped } = this.#shares;
    const held: EntryId[] = [];
    for (const damper of [this.#moves, this.#flaps]) {
      for (const id of damper.held()) if (held.length < LISTED_MAX) held.push(id);
    }
    return {
      ...{ claims: taken, entries: this.#entries, dropped, refused: waiting + dropped },
      refusals: this.#shares.refusals().slice(0, LISTED_MAX),
      ...{ held, holds: this.#holds },
    };
  }

  #slot(id: EntryId): Slot | undefined {
    return this.#tables.get(tableName(id))?.get(slotOfEntry(id));
  }

  #make(id: EntryId): Slot {
    const name = tableName(id);
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new Map();
      this.#tables.set(name, table);
    }
    const slot: Slot = { id, claims: [], told: undefined };
    table.set(slotOfEntry(id), slot);
    this.#entries++;
    return slot;
  }

  /** @returns whether somebody's share has more room now. */
  #claim(
    source: ClaimSource,
    id: EntryId,
    claim: Claim,
    nowMs: number,
    changes: RibChange[],
  ): boolean {
    const known = this.#slot(id);
    const before = known?.claims.find((each) => each.source === source);
    const isOther = before?.owner !== claim.owner;
    if (before !== undefined && isOther) this.#shares.give(source, before.owner);
    if (isOther && !this.#take(source, id, claim)) {
      // What it said before is no longer so, and the new word finds no room: nobody has it.
      if (known === undefined || before === undefined) return false;
      this.#forgetClaim(known, before, nowMs, changes);
      return true;
    }
    const slot = known ?? this.#make(id);
    const best = bestOfClaim(claim, source);
    // A list of one that is written so has no room for sixteen more, and nearly all have one.
    if (slot.claims.length === 0) slot.claims = [best];
    else if (before === undefined) slot.claims.push(best);
    else slot.claims[slot.claims.indexOf(before)] = best;
    this.#tell(slot, nowMs, changes);
    return before !== undefined && isOther;
  }

  #take(source: ClaimSource, id: EntryId, claim: Claim): boolean {
    if (this.#shares.waiting > 0) this.#shares.unwait(source, keyOfEntry(id));
    if (this.#shares.take(source, claim.owner)) return true;
    this.#shares.wait(source, keyOfEntry(id), { id, claim });
    return false;
  }

  #drop(source: ClaimSource, id: EntryId, nowMs: number, changes: RibChange[]): boolean {
    if (this.#shares.waiting > 0) this.#shares.unwait(source, keyOfEntry(id));
    const slot = this.#slot(id);
    const claim = slot?.claims.find((each) => each.source === source);
    if (slot === undefined || claim === undefined) return false;
    this.#shares.give(source, claim.owner);
    this.#forgetClaim(slot, claim, nowMs, changes);
    return true;
  }

  #forgetClaim(slot: Slot, claim: Best, nowMs: number, changes: RibChange[]): void {
    slot.claims.splice(slot.claims.indexOf(claim), 1);
    this.#tell(slot, nowMs, changes);
  }

  /** `nowMs` undefined: whatever it is, it is told. */
  #tell(slot: Slot, nowMs: number | undefined, changes: RibChange[]): void {
    const { id, told: before } = slot;
    if (this.isHeld(id)) return;
    const after = bestOf(id.kind, slot.claims);
    if (sameBest(before, after)) slot.told = after;
    else if (nowMs !== undefined && this.#isTooMany(slot, after, nowMs) && before !== undefined) {
      return;
    } else {
      slot.told = after;
      changes.push({ id, before, after });
    }
    if (after === undefined) this.#forget(slot);
  }

  /** Whether this is one move too many. Another voice for the same place is none. */
  #isTooMany({ id, told }: Slot, after: Best | undefined, nowMs: number): boolean {
    if (samePlace(told, after)) return false;
    const key = keyOfEntry(id);
    const isTooMany =
      id.kind === 'mac'
        ? this.#moves.note(key, id, told?.peer, after?.peer, nowMs)
        : told !== undefined && this.#flaps.note(key, id, nowMs);
    if (!isTooMany) return false;
    this.#holds++;
    if (this.#newlyHeld.length < LISTED_MAX) this.#newlyHeld.push(id);
    return true;
  }

  #forget({ id }: Slot): void {
    const name = tableName(id);
    const table = this.#tables.get(name);
    if (table?.delete(slotOfEntry(id))) this.#entries--;
    if (table?.size === 0) this.#tables.delete(name);
  }

  #admit(nowMs: number, changes: RibChange[]): void {
    for (let next = this.#shares.next(); next !== undefined; next = this.#shares.next()) {
      this.#claim(next.source, next.id, next.claim, nowMs, changes);
    }
  }
}
