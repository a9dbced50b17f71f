/**
 * Who is there. A member's version (the newest head of its own that we hold) plays SWIM's
 * incarnation: an accusation names the version it knows, and only a newer head, which nobody but
 * the member can sign, takes it back. An accusation that names a newer version than we hold is
 * kept until that head comes, not believed.
 * @module
 */

import {
  compareVersions,
  type Endpoint,
  type NodeId,
  type PeerItem,
  type Version,
} from '../../wire/gossip/types.ts';
import type { MemberChange, MemberState } from '../base/api.ts';
import { MEMBERS_MAX } from '../base/limits.ts';
import { PathQuality } from './path-quality.ts';
import { Suspicion, type SuspicionTimes } from './suspicion.ts';

export type Member = {
  readonly id: NodeId;
  state: MemberState;
  version: Version;
  record: PeerItem | undefined;
  /** Which of its endpoints is used; moves on when one does not answer. */
  endpointIndex: number;
  /** Where its last authenticated datagram came from. */
  heardFrom: Endpoint | undefined;
  lastHeardMs: number | undefined;
  sinceMs: number;
  path: PathQuality;
  suspicion: Suspicion | undefined;
  /** Who said it is dead; for telling the member itself. */
  accuser: NodeId | undefined;
  /** When it was last told what is said against it. */
  toldMs: number;
};

/** An accusation that names a head we do not have yet. */
type Early = { version: Version; accuser: NodeId; dead: boolean; sinceMs: number };

/** What an accusation did. */
type Verdict = 'self' | 'stale' | 'ahead' | 'known' | 'confirmed' | 'new';

export type MembersOptions = {
  self: NodeId;
  /** This node's own name. */
  ownName: () => string;
  /** Suspicion times for a cluster of so many. */
  times: (members: number) => SuspicionTimes;
  changed: (change: MemberChange, member: Member) => void;
};

export class Members {
  readonly #self: NodeId;
  readonly #ownName: () => string;
  readonly #times: MembersOptions['times'];
  readonly #changed: MembersOptions['changed'];
  readonly #members = new Map<NodeId, Member>();
  readonly #suspects = new Set<Member>();
  /** By whom they are against; the member may not be known at all. */
  readonly #early = new Map<NodeId, Early>();
  /** Those that are probed and gossiped to; rebuilt after a change. */
  #active: Member[] | undefined;

  constructor(options: MembersOptions) {
    this.#self = options.self;
    this.#ownName = options.ownName;
    this.#times = options.times;
    this.#changed = options.changed;
  }

  get(id: NodeId): Member | undefined {
    return this.#members.get(id);
  }

  all(): IterableIterator<Member> {
    return this.#members.values();
  }

  /** In any state, ourselves not among them. */
  get size(): number {
    return this.#members.size;
  }

  /** Alive and suspect members, ourselves not among them. */
  active(): readonly Member[] {
    this.#active ??= [...this.#members.values()].filter(isActive);
    return this.#active;
  }

  /** Alive and suspect members and ourselves. */
  get count(): number {
    return this.active().length + 1;
  }

  /** The name a member gives itself, or the beginning of its id. */
  nameOf(id: NodeId): string {
    if (id === this.#self) return this.#ownName();
    return nameIn(this.#members.get(id)?.record, id);
  }

  /**
   * A newer head of another node came, its signature right. It is alive, or has left.
   * `awakeMs` counts for suspicions, `nowMs` for ages; `record` is what a new member begins with.
   */
  head(
    id: NodeId,
    version: Version,
    left: boolean,
    nowMs: number,
    awakeMs: number,
    record?: PeerItem,
  ): Member {
    let member = this.#members.get(id);
    const isNew = member === undefined;
    if (member === undefined) {
      member = newMember(id, version, record, nowMs);
      this.#members.set(id, member);
      member.state = left ? 'left' : 'alive';
      this.#report(member, 'unknown', left ? 'had left before we knew it' : 'joined');
    } else {
      const restarted = version.epoch > member.version.epoch;
      member.version = version;
      if (left && member.state !== 'left') this.#enter(member, 'left', nowMs, 'it said goodbye');
      if (!left && member.state !== 'alive') {
        this.#enter(member, 'alive', nowMs, whyAlive(member, restarted));
      }
    }
    this.#judgeEarly(member, isNew, nowMs, awakeMs);
    return member;
  }

  /** What the member says of itself has changed. Who says nothing any more keeps its last name. */
  record(id: NodeId, record: PeerItem | undefined): void {
    const member = this.#members.get(id);
    if (member === undefined || record === undefined) return;
    member.record = record;
    member.endpointIndex = 0;
  }

  /** `accuser` got no answer from `id`; `waited` when it has given it all the time that it gives. */
  suspect(
    id: NodeId,
    version: Version,
    accuser: NodeId,
    nowMs: number,
    awakeMs: number,
    waited = false,
  ): Verdict {
    const member = this.#members.get(id);
    const doubt = this.#doubt(id, member, version, accuser, false, nowMs);
    if (doubt !== undefined || member === undefined) return doubt ?? 'stale';
    if (member.suspicion !== undefined) {
      if (waited) member.suspicion.hurry();
      return member.suspicion.confirm(accuser) ? 'confirmed' : 'known';
    }
    if (member.state !== 'alive') return 'known';
    member.suspicion = new Suspicion(version, accuser, awakeMs, this.#times(this.count));
    if (waited) member.suspicion.hurry();
    this.#enter(member, 'suspect', nowMs, `${this.nameOf(accuser)} got no answer from it`);
    return 'new';
  }

  /**
   * `accuser` says that `id` has been gone for `ageMs`, though not longer than we have heard it. Of
   * one that is known to be dead or to have left, the age is all that is news.
   */
  dead(id: NodeId, version: Version, accuser: NodeId, nowMs: number, ageMs: number): Verdict {
    const member = this.#members.get(id);
    const sinceMs = Math.max(nowMs - ageMs, member?.lastHeardMs ?? -Infinity);
    const doubt = this.#doubt(id, member, version, accuser, true, sinceMs);
    if (doubt !== undefined || member === undefined) return doubt ?? 'stale';
    if (!isActive(member)) {
      member.sinceMs = Math.min(member.sinceMs, sinceMs);
      return 'known';
    }
    member.accuser = accuser;
    const why =
      accuser === this.#self
        ? this.#whyDead(member)
        : `${this.nameOf(accuser)} waited in vain for it to answer the accusation`;
    this.#enter(member, 'dead', sinceMs, why);
    return 'new';
  }

  /** Suspects whose time is over by `awakeMs`. */
  expired(awakeMs: number): Member[] {
    const expired: Member[] = [];
    for (const member of this.#suspects) {
      if (member.suspicion !== undefined && member.suspicion.deadlineMs <= awakeMs) {
        expired.push(member);
      }
    }
    return expired;
  }

  /** Suspects that are to be asked once more before their time is over. */
  lastCalls(awakeMs: number): Member[] {
    return [...this.#suspects].filter(({ suspicion }) => suspicion?.isToAskAgain(awakeMs));
  }

  /** Drops a member that was dead or left for long. */
  forget(member: Member): void {
    this.#members.delete(member.id);
    this.#report(member, member.state, 'it was gone for long', 'unknown');
  }

  /** Why an accusation is not to be acted on, if so. */
  #doubt(
    id: NodeId,
    member: Member | undefined,
    version: Version,
    accuser: NodeId,
    dead: boolean,
    sinceMs: number,
  ): Verdict | undefined {
    if (id === this.#self) return 'self';
    const order = member === undefined ? 1 : compareVersions(version, member.version);
    if (order < 0) return 'stale';
    if (order === 0) return undefined;
    this.#early.delete(id);
    if (this.#early.size >= MEMBERS_MAX) {
      const oldest = this.#early.keys().next().value;
      if (oldest !== undefined) this.#early.delete(oldest);
    }
    this.#early.set(id, { version, accuser, dead, sinceMs });
    return 'ahead';
  }

  /**
   * The head that an early accusation names has come. Whom we hear of for the first time is dead if
   * others say so.
   */
  #judgeEarly(member: Member, isNew: boolean, nowMs: number, awakeMs: number): void {
    const { id } = member;
    const early = this.#early.get(id);
    if (early === undefined || compareVersions(early.version, member.version) > 0) return;
    this.#early.delete(id);
    const { version, accuser, dead, sinceMs } = early;
    if (dead && (isNew || member.state === 'left')) {
      this.dead(id, version, accuser, nowMs, nowMs - sinceMs);
    } else this.suspect(id, version, accuser, nowMs, awakeMs, dead);
  }

  #whyDead(member: Member): string {
    const accusers = [...(member.suspicion?.accusers ?? [])].map((id) => this.nameOf(id));
    return `it did not answer the accusation of ${accusers.join(', ')} in time`;
  }

  #enter(member: Member, state: MemberState, sinceMs: number, why: string): void {
    const from = member.state;
    member.state = state;
    member.sinceMs = sinceMs;
    if (state === 'suspect') this.#suspects.add(member);
    else {
      this.#suspects.delete(member);
      member.suspicion = undefined;
    }
    this.#report(member, from, why);
  }

  #report(
    member: Member,
    from: MemberState | 'unknown',
    why: string,
    to: MemberState | 'unknown' = member.state,
  ): void {
    this.#active = undefined;
    const name = nameIn(member.record, member.id);
    this.#changed({ node: member.id, name, from, to, why }, member);
  }
}

function nameIn(record: PeerItem | undefined, id: NodeId): string {
  return record?.name ?? id.slice(0, 8);
}

/** Whether it counts as being there: its entries hold, it is probed and gossiped to. */
export function isActive({ state }: { readonly state: MemberState }): boolean {
  return state === 'alive' || state === 'suspect';
}

/** Whether its datagrams come from where its record does not say that it is: through a NAT, say. */
export function isElsewhere({ record, heardFrom }: Member): boolean {
  const { address, port } = heardFrom ?? {};
  return record?.endpoints.every((one) => one.address !== address || one.port !== port) ?? false;
}

/**
 * Where to send to it: the endpoints of its record in turn, and then where it was heard, as what its
 * record says means nothing on this side of a NAT. Undefined when nobody has heard of it.
 */
export function endpointOf(member: Member): Endpoint | undefined {
  const { record, heardFrom, endpointIndex } = member;
  const endpoints = record?.endpoints ?? [];
  const isHeard = heardFrom !== undefined && isElsewhere(member);
  const at = endpointIndex % Math.max(1, endpoints.length + (isHeard ? 1 : 0));
  return endpoints[at] ?? heardFrom;
}

function whyAlive(member: Member, restarted: boolean): string {
  if (restarted) return `it started again (epoch ${member.version.epoch})`;
  const version = `${member.version.epoch}.${member.version.sequence}`;
  return member.state === 'left' ? 'it came back' : `it refuted the accusation with ${version}`;
}

function newMember(
  id: NodeId,
  version: Version,
  record: PeerItem | undefined,
  nowMs: number,
): Member {
  return {
    id,
    state: 'alive',
    version,
    record,
    endpointIndex: 0,
    heardFrom: undefined,
    lastHeardMs: undefined,
    sinceMs: nowMs,
    path: new PathQuality(),
    suspicion: undefined,
    accuser: undefined,
    toldMs: -Infinity,
  };
}
