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
import { KeyMap } from '../net/collections/key-map.ts';
import { maskOf } from '../net/prefix.ts';
import { bestOf } from './best.ts';
import {
  type Best,
  type Claim,
  type ClaimSource,
  type ClaimUpdate,
  type EntryId,
  idOfSlot,
  keyOfEntry,
  type RibChange,
  samePlace,
  slotOfEntry,
} from './entry.ts';
import { Flaps } from './flaps.ts';
import { MOVE_LIMITS, type MoveLimits, Moves } from './moves.ts';
import { type ShareLimits, type ShareRefusal, Shares } from './shares.ts';

/** Several claims to an entry, at most one of each source, or one that is not what was told last. */
type Contest = { claims: Best[]; told: Best | undefined };
/** Nearly all entries have one claim, which counts, and then take no more than their place in the map. */
type Slot = Best | Contest;

function claimsOf(slot: Slot | undefined): readonly Best[] {
  if (slot === undefined) return [];
  return 'claims' in slot ? slot.claims : [slot];
}

/** As it was told last. */
function toldOf(slot: Slot | undefined): Best | undefined {
  return slot !== undefined && 'claims' in slot ? slot.told : slot;
}

/** One link's entries of one kind. */
type Table = { link: string; kind: EntryId['kind']; slots: KeyMap<number | string, Slot> };

export type RibStatus = {
  /** Claims that are kept, and entries that they are about. */
  claims: number;
  entries: number;
  /** Claims that found no room, and those of them that are not even kept waiting. */
  refused: number;
  dropped: number;
  refusals: ShareRefusal[];
  /** Entries that are held because they move too often, and how often that happened. */
  held: EntryId[];
  holds: number;
};

/** Names one link's entries of one kind. */
function tableName({ link, kind }: Pick<EntryId, 'link' | 'kind'>): string {
  return `${kind} ${link}`;
}

/** Entries of a table as they were told. */
function* toldIn(table: Table): Generator<{ id: EntryId; best: Best }> {
  for (const [key, slot] of table.slots) {
    const best = toldOf(slot);
    if (best !== undefined) yield { id: idOfSlot(table, key), best };
  }
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
function bestOfClaim(claim: Claim | Best, source: ClaimSource): Best {
  // Some hand over one object for all that is alike.
  if ('source' in claim && claim.source === source) return claim;
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
  readonly #tables = new Map<string, Table>();
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
    for (const table of this.#tables.values()) {
      if (link !== undefined && table.link !== link) continue;
      for (const [key, slot] of table.slots) {
        const isOne = claimsOf(slot).some((claim) => claim.source === source);
        if (isOne) updates.push({ id: idOfSlot(table, key), claim: undefined });
      }
    }
    this.#shares.unwaitAll(source, link);
    return this.update(source, updates, nowMs);
  }

  /** Forgets all that is of layer-2 networks, and tells nobody: the router ends, and they end with it. */
  forgetNetworks(): void {
    for (const [name, { kind, slots }] of this.#tables) {
      if (kind === 'prefix') continue;
      this.#tables.delete(name);
      this.#entries -= slots.size;
    }
  }

  /** What became of entries that were held for long enough. Call it at {@link nextMs}. */
  release(nowMs: number): RibChange[] {
    const changes: RibChange[] = [];
    const released = [...this.#flaps.takeReleased(nowMs), ...this.#moves.takeReleased(nowMs)];
    for (const id of released) {
      const slot = this.#slot(id);
      if (slot !== undefined) this.#tell(id, [...claimsOf(slot)], undefined, changes);
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

  /** Whether several claim an entry, the one that counts among them. */
  isContested(id: EntryId): boolean {
    const slot = this.#slot(id);
    return slot !== undefined && 'claims' in slot && slot.claims.length > 1;
  }

  /** Whether a MAC was at another place a short while ago. */
  hasMoved(id: EntryId, nowMs: number): boolean {
    return id.kind === 'mac' && this.#moves.hasMoved(keyOfEntry(id), nowMs);
  }

  /** What counts for an entry, as it was told. */
  get(id: EntryId): Best | undefined {
    return toldOf(this.#slot(id));
  }

  /** The entry of the longest prefix around an address, as it was told. */
  match(link: string, address: number): { id: EntryId; best: Best } | undefined {
    for (let length = 32; length > 0; length--) {
      const id: EntryId = {
        link,
        kind: 'prefix',
        address: (address & maskOf(length)) >>> 0,
        length,
      };
      const best = this.get(id);
      if (best !== undefined) return { id, best };
    }
    return undefined;
  }

  /** Entries of a link as they were told, in no order. */
  *entries(link: string, kind: EntryId['kind']): Generator<{ id: EntryId; best: Best }> {
    const table = this.#tables.get(tableName({ link, kind }));
    if (table !== undefined) yield* toldIn(table);
  }

  /** Every entry as it was told, in no order. */
  *all(): Generator<{ id: EntryId; best: Best }> {
    for (const table of this.#tables.values()) yield* toldIn(table);
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
    return this.#tables.get(tableName(id))?.slots.get(slotOfEntry(id));
  }

  /** An entry has these claims from now on, and this was told of it. */
  #put(id: EntryId, claims: Best[], told: Best | undefined): void {
    const name = tableName(id);
    const key = slotOfEntry(id);
    const table = this.#tables.get(name) ?? { link: id.link, kind: id.kind, slots: new KeyMap() };
    const { slots } = table;
    this.#entries -= slots.size;
    const [first] = claims;
    if (first === undefined && told === undefined) slots.delete(key);
    else if (first !== undefined && claims.length === 1 && first === told) slots.set(key, first);
    else slots.set(key, { claims, told });
    this.#entries += slots.size;
    if (slots.size === 0) this.#tables.delete(name);
    else if (slots.size === 1) this.#tables.set(name, table);
  }

  /** @returns whether somebody's share has more room now. */
  #claim(
    source: ClaimSource,
    id: EntryId,
    claim: Claim,
    nowMs: number,
    changes: RibChange[],
  ): boolean {
    const claims = [...claimsOf(this.#slot(id))];
    const index = claims.findIndex((each) => each.source === source);
    const before = claims[index];
    const isOther = before?.owner !== claim.owner;
    if (before !== undefined && isOther) this.#shares.give(source, before.owner);
    if (isOther && !this.#take(source, id, claim)) {
      // What it said before is no longer so, and the new word finds no room: nobody has it.
      if (before === undefined) return false;
      claims.splice(index, 1);
      this.#tell(id, claims, nowMs, changes);
      return true;
    }
    const best = bestOfClaim(claim, source);
    if (before === undefined) claims.push(best);
    else claims[index] = best;
    this.#tell(id, claims, nowMs, changes);
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
    const claims = [...claimsOf(this.#slot(id))];
    const index = claims.findIndex((each) => each.source === source);
    const claim = claims[index];
    if (claim === undefined) return false;
    this.#shares.give(source, claim.owner);
    claims.splice(index, 1);
    this.#tell(id, claims, nowMs, changes);
    return true;
  }

  /** These are an entry's claims now. `nowMs` undefined: whatever follows, it is told. */
  #tell(id: EntryId, claims: Best[], nowMs: number | undefined, changes: RibChange[]): void {
    const before = toldOf(this.#slot(id));
    let after = bestOf(id.kind, claims);
    if (this.isHeld(id)) after = before;
    else if (!sameBest(before, after)) {
      const isTooMany = nowMs !== undefined && this.#isTooMany(id, before, after, nowMs);
      if (isTooMany && before !== undefined) after = before;
      else changes.push({ id, before, after });
    }
    this.#put(id, claims, after);
  }

  /** Whether this is one move too many. Another voice for the same place is none. */
  #isTooMany(id: EntryId, told: Best | undefined, after: Best | undefined, nowMs: number): boolean {
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

  #admit(nowMs: number, changes: RibChange[]): void {
    for (let next = this.#shares.next(); next !== undefined; next = this.#shares.next()) {
      this.#claim(next.source, next.id, next.claim, nowMs, changes);
    }
  }
}
