/**
 * Nodes that claim what only one can have: a MAC, an address or a prefix with equal rank, an
 * endpoint, an underlay address, a slice, a node's own id. All nodes see the same winner, the
 * lower node id. The loser stops announcing: a key until it is told again, a part of its own
 * record as long as the winner is there.
 *
 * A conflict stays on record after the loser has given way, so that people see both names; it is
 * over when one of the two is gone or makes another claim, or after {@link SHOWN_MS}.
 * @module
 */

import { formatIpv4 } from '../../net/ipv4.ts';
import { formatMac } from '../../net/mac.ts';
import { formatHostAddress, formatHostPrefix } from '../../net/underlay-address.ts';
import {
  type Announcement,
  ItemKind,
  type NodeId,
  type PeerItem,
} from '../../wire/gossip/types.ts';
import type { ConflictEvent, ConflictView, PeerRecord } from '../base/api.ts';
import type { GossipCounter } from '../base/counters.ts';
import { type EntryKey, isOwnKind, keyText, type Unranked } from '../base/keys.ts';
import { CONFLICTS_MAX, RANK_MAX } from '../base/limits.ts';
import type { Author } from './author.ts';
import type { Contest, Entries } from './entries.ts';
import { claimsOf, PeerClaims, withoutClaims } from './peer-claims.ts';

/**
 * Of its own record a loser gives nothing up before this. The others have time to see both claims;
 * and a node that comes back without its state directory meets its former id, which is found dead
 * within ten seconds and is nobody to give way to.
 */
export const TELL_MS = 12_000;
/**
 * A key that was lost at equal rank is withdrawn after this. It counts for nobody meanwhile, but the
 * others, and the winner above all, see that both claim it.
 */
export const YIELD_MS = 5000;
/** Two processes with one key answer each other about once a second until one gives way. */
const ANSWERED_MS = 3000;
/** How long a conflict is shown after the loser has given way. */
export const SHOWN_MS = 15 * 60 * 1000;

const RENEW =
  'fanway leave, then fanway join SEED --new-identity (as a service: stop it, remove the file identity in its state directory, start it)';
/** What is said of two processes with one key, where this one gave way and where it did not. */
const GIVEN_WAY = `this machine was cloned and is silent now: it needs an identity of its own: ${RENEW}`;
const KEPT = `one machine is a clone of the other, which falls silent; there: ${RENEW}`;

export type ConflictsOptions = {
  self: NodeId;
  entries: Entries;
  author: Author;
  counters: { count(name: GossipCounter): void };
  isActive: (owner: NodeId) => boolean;
  nameOf: (owner: NodeId) => string;
  nowMs: () => number;
  changed: (event: ConflictEvent) => void;
};

type Names = { winner: NodeId; loser: NodeId };
type Conflict = Names & {
  what: ConflictView['what'];
  subject: string;
  /** How it stands now. */
  judge: () => 'open' | 'yielded' | 'over';
  /** Since when the loser makes the claim no longer. */
  yieldedMs: number | undefined;
};

export class Conflicts {
  readonly #options: ConflictsOptions;
  readonly #claims = new PeerClaims();
  readonly #conflicts = new Map<string, Conflict>();
  /** What this node would say of itself if nobody else claimed it. */
  #record: PeerRecord | undefined;
  #lost: ReadonlySet<string> = new Set();
  /** Claims of the record that another node makes, too, and since when that is known. */
  readonly #foundMs = new Map<string, number>();
  /** Whether this node had given way when it was told that another has its key. */
  #duplicateTold: boolean | undefined;
  /** How often the other process with our key had been met, and when that was seen. */
  #met = { count: 0, atMs: 0 };
  /** Own keys that are lost and not yet withdrawn: the rank that won, and since when. */
  readonly #yielding = new Map<string, { item: Announcement; rank: number; sinceMs: number }>();

  constructor(options: ConflictsOptions) {
    this.#options = options;
  }

  /** Sets this node's own record. What it has lost of it to another stays unsaid. */
  setRecord(record: PeerRecord): void {
    const { author, self } = this.#options;
    author.setPeer(withoutClaims(record, this.#lost));
    this.#claims.set(self, record);
    this.#record = record;
  }

  /**
   * Announces a key, taking it over from whoever else announces it.
   * @param atLeast what its rank must not be below: it moved so often by what others say
   * @returns the rank
   */
  announce(item: Unranked, atLeast = 0): number {
    const { author, entries, self } = this.#options;
    const others = entries.highestRank(item, self) ?? -1;
    const own = author.announced(item)?.rank ?? 0;
    const rank = isOwnKind(item.kind) ? 0 : Math.min(Math.max(own, others + 1, atLeast), RANK_MAX);
    author.announce({ ...item, rank });
    return rank;
  }

  /** Another owner's peer record changed. */
  peerChanged(owner: NodeId, record: PeerItem | undefined): void {
    if (owner !== this.#options.self) this.#claims.set(owner, record);
  }

  /** Two active owners announce one key: a move, unless they rank equal. */
  contested({ winner, loser }: Contest): void {
    const { self, entries, counters } = this.#options;
    if (winner.item.rank === loser.item.rank) {
      const names = { winner: winner.owner, loser: loser.owner };
      const { what, subject } = subjectOf(winner.item);
      const judge = () => this.#judgeKey(entries, winner.item, names);
      this.#open({ ...names, what, subject, judge, yieldedMs: undefined });
      if (loser.owner === self) counters.count('conflicts.lost');
    }
    if (loser.owner !== self) return;
    const { rank } = winner.item;
    const text = keyText(loser.item);
    if (loser.item.rank < rank) this.#giveWay(loser.item, rank);
    else if (!this.#yielding.has(text)) {
      this.#yielding.set(text, { item: loser.item, rank, sinceMs: this.#options.nowMs() });
    }
  }

  /** Withdraws a key; what was announced since, and outranks the winner, stays. */
  #giveWay(key: EntryKey, rank: number): void {
    const { author } = this.#options;
    const own = author.announced(key);
    if (own !== undefined && own.rank <= rank) author.withdraw(own);
  }

  #reviewYielding(): void {
    const nowMs = this.#options.nowMs();
    for (const [text, { item, rank, sinceMs }] of this.#yielding) {
      if (nowMs - sinceMs < YIELD_MS) continue;
      this.#yielding.delete(text);
      this.#giveWay(item, rank);
    }
  }

  /** Looks again at all conflicts, and at what may be one. To be called each second or so. */
  review(): void {
    this.#reviewRecords();
    this.#reviewYielding();
    const now = this.#options.nowMs();
    for (const [id, conflict] of this.#conflicts) {
      const state = conflict.judge();
      conflict.yieldedMs = state === 'yielded' ? (conflict.yieldedMs ?? now) : undefined;
      const shownMs = now - (conflict.yieldedMs ?? now);
      if (state !== 'over' && shownMs < SHOWN_MS) continue;
      this.#conflicts.delete(id);
      this.#options.changed({ ...this.#view(conflict), over: true });
    }
    const duplicate = this.#duplicate();
    const { silent } = this.#options.author;
    if (duplicate === undefined || this.#duplicateTold === silent) return;
    // Who gives way shows when the two have done answering each other.
    if (!silent && this.#options.nowMs() - this.#met.atMs < ANSWERED_MS) return;
    if (this.#duplicateTold === undefined) this.#options.counters.count('conflicts.seen');
    this.#duplicateTold = silent;
    this.#options.changed({ ...duplicate, over: false });
  }

  list(): ConflictView[] {
    const views = [...this.#conflicts.values()].map((conflict) => this.#view(conflict));
    const duplicate = this.#duplicate();
    return duplicate === undefined ? views : [duplicate, ...views];
  }

  #reviewRecords(): void {
    const { isActive, author, counters } = this.#options;
    for (const [text, { claim, owners }] of this.#claims.shared()) {
      const [winner, ...losers] = [...owners].filter(isActive).sort();
      if (winner === undefined) continue;
      for (const loser of losers) {
        const names = { winner, loser };
        const judge = () => this.#judgeClaim(text, names);
        this.#open({ ...claim, ...names, judge, yieldedMs: undefined });
      }
    }
    if (this.#record === undefined) return;
    const lost = this.#lostOf(this.#record);
    if (lost.size === this.#lost.size && [...lost].every((text) => this.#lost.has(text))) return;
    for (const text of lost) if (!this.#lost.has(text)) counters.count('conflicts.lost');
    this.#lost = lost;
    author.setPeer(withoutClaims(this.#record, lost));
  }

  /**
   * Claims of our record that an active node with a lower id makes, too. Each is said for {@link TELL_MS} more
   * once that is known, also after a partition: or the winner would never hear of it.
   */
  #lostOf(record: PeerRecord): Set<string> {
    const { self, isActive, nowMs } = this.#options;
    const now = nowMs();
    const shared = [...claimsOf(record).keys()].filter((text) =>
      [...this.#claims.ownersOf(text)].some((owner) => owner < self && isActive(owner)),
    );
    for (const text of this.#foundMs.keys()) if (!shared.includes(text)) this.#foundMs.delete(text);
    for (const text of shared) if (!this.#foundMs.has(text)) this.#foundMs.set(text, now);
    return new Set(shared.filter((text) => now - (this.#foundMs.get(text) ?? now) >= TELL_MS));
  }

  #open(conflict: Conflict): void {
    const { counters, changed } = this.#options;
    const { what, subject, winner, loser } = conflict;
    const id = `${what} ${subject} ${winner} ${loser}`;
    if (this.#conflicts.has(id)) return;
    if (this.#conflicts.size >= CONFLICTS_MAX) {
      counters.count('overflow.conflicts');
      return;
    }
    this.#conflicts.set(id, conflict);
    counters.count('conflicts.seen');
    changed({ ...this.#view(conflict), over: false });
  }

  #judgeKey(
    entries: Entries,
    key: EntryKey,
    { winner, loser }: Names,
  ): 'open' | 'yielded' | 'over' {
    if (!this.#areActive(winner, loser)) return 'over';
    const winning = entries.rankOf(key, winner);
    const losing = entries.rankOf(key, loser);
    if (winning === undefined) return 'over';
    if (losing === undefined) return 'yielded';
    return winning === losing ? 'open' : 'over';
  }

  #judgeClaim(text: string, { winner, loser }: Names): 'open' | 'yielded' | 'over' {
    if (!this.#areActive(winner, loser) || !this.#claims.has(winner, text)) return 'over';
    if (this.#claims.has(loser, text)) return 'open';
    return loser === this.#options.self ? 'over' : 'yielded';
  }

  #areActive(...nodes: NodeId[]): boolean {
    return nodes.every((node) => this.#options.isActive(node));
  }

  #view({ what, subject, winner, loser }: Conflict): ConflictView {
    const { nameOf } = this.#options;
    return {
      what,
      subject,
      winner,
      winnerName: nameOf(winner),
      loser,
      loserName: nameOf(loser),
    };
  }

  /** Another process with our key; its instance and ours are all that tells the two apart. */
  #duplicate(): ConflictView | undefined {
    const { author, self, nameOf, nowMs } = this.#options;
    const { rival, silent, meetings } = author;
    if (rival === undefined) return undefined;
    if (meetings !== this.#met.count) this.#met = { count: meetings, atMs: nowMs() };
    // Who gave way stays so; who has the name may forget a clone that is not heard of any more.
    if (!silent && nowMs() - this.#met.atMs > SHOWN_MS) return undefined;
    // A clone has its model's name, too: only where it is tells the two apart.
    const own = placed(nameOf(self), this.#record?.endpoints ?? []);
    const other = placed(rival.name, rival.endpoints);
    const [winnerName, loserName] = silent ? [other, own] : [own, other];
    const sides = { winner: self, winnerName, loser: self, loserName };
    return { what: 'node-id', subject: self, ...sides, advice: silent ? GIVEN_WAY : KEPT };
  }
}

/** A name with the first address of its node. */
function placed(name: string, endpoints: PeerItem['endpoints']): string {
  const [first] = endpoints;
  return first === undefined ? name : `${name} at ${formatHostAddress(first.address)}`;
}

function subjectOf(item: Announcement): { what: ConflictView['what']; subject: string } {
  const vni = item.vni === 0 ? '' : ` in VNI ${item.vni}`;
  switch (item.kind) {
    case ItemKind.Mac:
    case ItemKind.StickyMac:
      return { what: 'mac', subject: `${formatMac(item.mac)}${vni}` };
    case ItemKind.MacAddress:
      return { what: 'address', subject: `${formatIpv4(item.address)}${vni}` };
    case ItemKind.Prefix:
    case ItemKind.Prefix6:
      return { what: 'prefix', subject: `${formatHostPrefix(item)}${vni}` };
    case ItemKind.MacAddress6:
      return { what: 'address', subject: `${formatHostAddress(item.address)}${vni}` };
    case ItemKind.Labels:
      return { what: 'mac', subject: `labels of ${formatMac(item.mac)}${vni}` };
    case ItemKind.FloodMember:
    case ItemKind.Vtep:
    case ItemKind.Rule:
    case ItemKind.Slice:
      throw new Error('these do not compete');
  }
}
