/**
 * Which announcement counts for each key. Several owners may announce one key; of those that are
 * active (alive or suspected) the highest rank wins, then the lower node id. All nodes that hold
 * the same blocks and agree on who is active therefore agree on every entry.
 *
 * Work is in proportion to what changes. A key that one owner announces, which is nearly every
 * key, costs one claim and one slot in a map of numbers.
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type Announcement,
  compareVersions,
  type Item,
  ItemKind,
  type NodeId,
  type PeerItem,
  type SignedBlock,
} from '../../wire/gossip/types.ts';
import {
  type EntryKey,
  isOwnKind,
  kindAndVni,
  sameAnnouncement,
  slotOf,
  tableOf,
} from '../base/keys.ts';

/** What counts for a key. */
export type BestAnnouncement = { readonly owner: NodeId; readonly item: Announcement };

/** Two active owners announce one key. */
export type Contest = {
  /** By the rule above. */
  winner: BestAnnouncement;
  loser: BestAnnouncement;
};

export type EntryEvents = {
  /** `before` is what counted until now. Both are there when the owner or the value changes. */
  changed(before: BestAnnouncement | undefined, after: BestAnnouncement | undefined): void;
  contest(contest: Contest): void;
  /** The peer record of an owner, active or not; undefined when it has none any more. */
  peer(owner: NodeId, record: PeerItem | undefined): void;
};

/** Which entries to list; without a field, all. */
export type EntryFilter = { kind?: Announcement['kind']; vni?: number; owner?: NodeId };

type Owner = {
  readonly id: NodeId;
  /** Its slot among the flood members of a VNI. */
  readonly ordinal: number;
  active: boolean;
  readonly blocks: Set<SignedBlock>;
  /** Its peer record; two while it is being replaced. */
  peers: readonly Claim<PeerItem>[];
};

/** One item of one block. */
type Claim<T extends Item = Announcement> = {
  readonly owner: Owner;
  readonly from: SignedBlock;
  readonly item: T;
};

/**
 * Claims of one owner to one key that are kept. An honest one has two while an item moves from one
 * block to another; more would only make work.
 */
const CLAIMS_PER_OWNER_MAX = 4;

/** All claims to one key: one, or several in no order. */
type Claims = Claim | Claim[];

/** Below 0 when `a` comes before `b`. */
function compareClaims(a: Claim<Item>, b: Claim<Item>): number {
  if (a.owner === b.owner) return compareVersions(b.from.block, a.from.block);
  if (a.owner.active !== b.owner.active) return a.owner.active ? -1 : 1;
  const ranks = rankOf(b.item) - rankOf(a.item);
  return ranks !== 0 ? ranks : a.owner.id < b.owner.id ? -1 : 1;
}

function rankOf(item: Item): number {
  return item.kind === ItemKind.Peer ? 0 : item.rank;
}

function firstOf<C extends Claim<Item>>(claims: readonly C[]): C | undefined {
  let first: C | undefined;
  for (const claim of claims) {
    if (first === undefined || compareClaims(claim, first) < 0) first = claim;
  }
  return first;
}

/** `claims` and one more, without the oldest of its owner's where it has too many. */
function withClaim<C extends Claim<Item>>(claims: readonly C[], claim: C): C[] {
  const all = [...claims, claim];
  const own = all.filter(({ owner }) => owner === claim.owner);
  if (own.length <= CLAIMS_PER_OWNER_MAX) return all;
  const oldest = own.reduce((a, b) => (compareClaims(b, a) > 0 ? b : a));
  return all.filter((each) => each !== oldest);
}

function asList(claims: Claims | undefined): readonly Claim[] {
  if (claims === undefined) return [];
  return Array.isArray(claims) ? claims : [claims];
}

/** The claim that counts: the first one, if its owner is active. */
function winnerOf(claims: Claims | undefined): Claim | undefined {
  const first = Array.isArray(claims) ? firstOf(claims) : claims;
  return first?.owner.active ? first : undefined;
}

function toEntry({ owner, item }: Claim): BestAnnouncement {
  return { owner: owner.id, item };
}

export class Entries {
  readonly #isActive: (owner: NodeId) => boolean;
  readonly #events: EntryEvents;
  readonly #owners = new Map<NodeId, Owner>();
  /** By table (kind and VNI), then by slot. */
  readonly #tables = new Map<number, Map<number | string, Claims>>();
  #nextOrdinal = 0;
  #size = 0;

  /**
   * `isActive` is asked when an owner appears; later changes come by {@link setActive}. The events
   * must not call back into this object.
   */
  constructor(isActive: (owner: NodeId) => boolean, events: EntryEvents) {
    this.#isActive = isActive;
    this.#events = events;
  }

  /** Keys for which something counts; each flood member is one. */
  get size(): number {
    return this.#size;
  }

  /**
   * Takes what the store took and let go. What moves from one block to another is in both for a
   * moment and never missing.
   */
  apply(added: SignedBlock | undefined, removed: readonly SignedBlock[]): void {
    if (added !== undefined) this.#addBlock(this.#ownerOf(added.owner), added);
    for (const block of removed) this.#removeBlock(block);
  }

  /** Follows the membership: entries of owners that are dead or have left do not count. */
  setActive(id: NodeId, active: boolean): void {
    const owner = this.#owners.get(id);
    if (owner === undefined || owner.active === active) return;
    const before: { item: Announcement; winner: Claim | undefined }[] = [];
    for (const item of this.#announcementsOf(owner)) {
      before.push({ item, winner: winnerOf(this.#claims(owner, item)) });
    }
    owner.active = active;
    for (const { item, winner } of before) {
      const claims = this.#claims(owner, item);
      this.#tell(winner, winnerOf(claims), owner, claims);
    }
  }

  /** What counts for a key. Flood members have no single one: {@link list} has them all. */
  lookup(key: EntryKey): BestAnnouncement | undefined {
    if (isOwnKind(key.kind)) return undefined;
    const winner = winnerOf(this.#tables.get(tableOf(key))?.get(slotOf(key)));
    return winner && toEntry(winner);
  }

  /** The peer record that an owner's blocks hold, active or not. */
  peer(owner: NodeId): PeerItem | undefined {
    return firstOf(this.#owners.get(owner)?.peers ?? [])?.item;
  }

  /** The highest rank that any other owner gave to a key, active or not. */
  highestRank(key: EntryKey, self: NodeId): number | undefined {
    if (isOwnKind(key.kind)) return undefined;
    let highest: number | undefined;
    for (const { owner, item } of asList(this.#tables.get(tableOf(key))?.get(slotOf(key)))) {
      if (owner.id !== self) highest = Math.max(highest ?? 0, item.rank);
    }
    return highest;
  }

  /** The rank that an owner gives to a key; undefined when it does not announce it. */
  rankOf(key: EntryKey, owner: NodeId): number | undefined {
    const claims = asList(this.#tables.get(tableOf(key))?.get(slotOf(key)));
    return firstOf(claims.filter((claim) => claim.owner.id === owner))?.item.rank;
  }

  /** All that counts, in no order. */
  *list(filter: EntryFilter = {}): Generator<BestAnnouncement> {
    for (const [table, slots] of this.#tables) {
      const { kind, vni } = kindAndVni(table);
      if (filter.kind !== undefined && filter.kind !== kind) continue;
      if (filter.vni !== undefined && filter.vni !== vni) continue;
      for (const claims of slots.values()) {
        const winner = winnerOf(claims);
        if (winner === undefined) continue;
        if (filter.owner === undefined || filter.owner === winner.owner.id) yield toEntry(winner);
      }
    }
  }

  /** What an owner announces, whether it counts or not; nothing may change meanwhile. */
  *announcedBy(id: NodeId): Generator<Announcement> {
    const owner = this.#owners.get(id);
    if (owner !== undefined) yield* this.#announcementsOf(owner);
  }

  #ownerOf(id: NodeId): Owner {
    const known = this.#owners.get(id);
    if (known !== undefined) return known;
    const owner: Owner = {
      id,
      ordinal: this.#nextOrdinal++,
      active: this.#isActive(id),
      blocks: new Set(),
      peers: [],
    };
    this.#owners.set(id, owner);
    return owner;
  }

  /** What an owner announces, each key once even while it is in two blocks. */
  *#announcementsOf(owner: Owner): Generator<Announcement> {
    for (const { block } of owner.blocks) {
      for (const item of block.items) {
        if (item.kind === ItemKind.Peer) continue;
        const own = asList(this.#claims(owner, item)).filter((claim) => claim.owner === owner);
        if (firstOf(own)?.item === item) yield item;
      }
    }
  }

  #addBlock(owner: Owner, from: SignedBlock): void {
    owner.blocks.add(from);
    for (const item of from.block.items) {
      if (item.kind === ItemKind.Peer) {
        this.#changePeer(owner, withClaim(owner.peers, { owner, from, item }));
        continue;
      }
      const claim: Claim = { owner, from, item };
      this.#change(owner, item, (claims) =>
        claims === undefined ? claim : withClaim(asList(claims), claim),
      );
    }
  }

  #removeBlock(from: SignedBlock): void {
    const owner = this.#owners.get(from.owner);
    if (owner === undefined || !owner.blocks.delete(from)) return;
    for (const item of from.block.items) {
      if (item.kind === ItemKind.Peer) {
        this.#changePeer(
          owner,
          owner.peers.filter((claim) => claim.from !== from),
        );
        continue;
      }
      this.#change(owner, item, (claims) => {
        // Not by the item: the author of a block puts the very same one into the next.
        const left = asList(claims).filter((claim) => claim.from !== from);
        return left.length > 1 ? left : left[0];
      });
    }
    if (owner.blocks.size === 0) this.#owners.delete(owner.id);
  }

  #changePeer(owner: Owner, peers: readonly Claim<PeerItem>[]): void {
    const before = firstOf(owner.peers)?.item;
    owner.peers = peers;
    const after = firstOf(peers)?.item;
    if (!isDeepStrictEqual(before, after)) this.#events.peer(owner.id, after);
  }

  /** Changes the claims to one key and tells what follows from it. */
  #change(
    owner: Owner,
    item: Announcement,
    change: (claims: Claims | undefined) => Claims | undefined,
  ): void {
    const table = tableOf(item);
    const slot = slotIn(owner, item);
    const slots = this.#tables.get(table) ?? new Map<number | string, Claims>();
    const claims = slots.get(slot);
    const before = winnerOf(claims);
    const changed = change(claims);
    if (changed === undefined) slots.delete(slot);
    else slots.set(slot, changed);
    if (slots.size === 0) this.#tables.delete(table);
    else this.#tables.set(table, slots);
    this.#tell(before, winnerOf(changed), owner, changed);
  }

  #claims(owner: Owner, item: Announcement): Claims | undefined {
    return this.#tables.get(tableOf(item))?.get(slotIn(owner, item));
  }

  /** Tells what became of a key when `owner` changed its claim to it. */
  #tell(
    before: Claim | undefined,
    after: Claim | undefined,
    owner: Owner,
    claims: Claims | undefined,
  ): void {
    this.#size += (after ? 1 : 0) - (before ? 1 : 0);
    if (before !== after && !sameEntry(before, after)) {
      this.#events.changed(before && toEntry(before), after && toEntry(after));
    }
    if (after === undefined || !Array.isArray(claims)) return;
    // Whoever lost to the one before has been told so then.
    const own = firstOf(claims.filter((claim) => claim.owner === owner));
    const loser = after.owner === owner ? before : own;
    if (loser === undefined || loser.owner === after.owner || !loser.owner.active) return;
    this.#events.contest({ winner: toEntry(after), loser: toEntry(loser) });
  }
}

function sameEntry(a: Claim | undefined, b: Claim | undefined): boolean {
  return a?.owner === b?.owner && a && b ? sameAnnouncement(a.item, b.item) : false;
}

/** Slot of one owner's item: of kinds that do not compete each owner has its own. */
function slotIn(owner: Owner, item: Announcement): number | string {
  const slot = slotOf(item);
  if (!isOwnKind(item.kind)) return slot;
  return slot === 0 ? owner.ordinal : `${owner.ordinal} ${slot}`;
}
