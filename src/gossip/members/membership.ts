/**
 * Finding out who is there and telling the others: probes, accusations, their refutation, and
 * knocking at the doors of the dead. members.ts keeps the states; here is what makes them change.
 *
 * 1. A probe that fails makes this node an accuser: the member is suspect, everybody is told.
 * 2. Some of those who hear it probe the suspect themselves at once, so that a real death is
 *    confirmed, and a mistaken accusation is not.
 * 3. The suspect is told as well, by everyone who sends it anything. It answers with a new head.
 * 4. A suspect that nobody else suspects is asked once more before its time is over.
 * 5. Whose time is over is dead. It is knocked at for ever, and told, and can still refute.
 * @module
 */

import {
  type Endpoint,
  type Message,
  MessageType,
  type NodeId,
  type PeerItem,
  type SignedBlock,
  type Version,
} from '../../wire/gossip/types.ts';
import type { GossipConfig, MemberChange } from '../base/api.ts';
import type { Counters, GossipCounter } from '../base/counters.ts';
import { PROBES_MAX, RELAYS_MAX } from '../base/limits.ts';
import { accusationKey, type BroadcastQueue, Lane } from '../post/broadcast.ts';
import { Awareness } from './awareness.ts';
import { isActive, isElsewhere, type Member, Members } from './members.ts';
import { Prober, pickSome } from './prober.ts';
import { Relays } from './relays.ts';
import { suspicionTimes } from './suspicion.ts';

/** So many nodes, on average, probe a suspect as soon as they hear of it. */
const SECOND_OPINIONS = 4;
/** Dead members that are told of with each digest. */
const DIGEST_OBITUARIES = 8;
/** A member is told what is said against it at most this often by one node. */
const TELL_INTERVAL_MS = 500;

export type Accusation = Extract<
  Message,
  { type: typeof MessageType.Suspect | typeof MessageType.Dead }
>;

export type MembershipOptions = {
  self: NodeId;
  ownName: () => string;
  counters: Counters;
  random: () => number;
  config: GossipConfig;
  queue: BroadcastQueue;
  send: (to: Endpoint, messages: readonly Message[]) => void;
  changed: (change: MemberChange, member: Member) => void;
  /** Somebody accuses us; `from` is where it stands. */
  accused: (version: Version, from: Endpoint) => void;
  /** An accusation names a head that is not here; whoever sent it should have it. */
  wanted: (owner: NodeId, version: Version, from: Endpoint) => void;
  /** Sends the newest head of a member to someone who has an older one. */
  correct: (owner: NodeId, to: Endpoint) => void;
};

export class Membership {
  readonly members: Members;
  readonly awareness = new Awareness();
  readonly #options: MembershipOptions;
  readonly #prober: Prober;
  readonly #relays: Relays;
  /** As of the last tick. */
  #nowMs = 0;
  #awakeMs = 0;

  constructor(options: MembershipOptions) {
    this.#options = options;
    const { self, counters, random, config } = options;
    const { probeIntervalMs: intervalMs, probeTimeoutMs: timeoutMs } = config;
    this.members = new Members({
      self,
      ownName: options.ownName,
      times: (members) => suspicionTimes(members, intervalMs),
      changed: (change, member) => this.#changed(change, member),
    });
    this.#prober = new Prober({
      self,
      members: this.members,
      awareness: this.awareness,
      counters,
      random,
      intervalMs,
      timeoutMs,
      send: (to, message, member) => this.#sendProbe(to, message, member),
      failed: (member) => this.#accuse(member),
    });
    this.#relays = new Relays({
      counters,
      random,
      timeoutMs,
      send: (to, message) => options.send(to, [message]),
    });
  }

  /** What is due; `lateMs` above 0 when the node was not there for a while. */
  tick(nowMs: number, awakeMs: number, lateMs: number): void {
    this.#nowMs = nowMs;
    this.#awakeMs = awakeMs;
    const { counters, self } = this.#options;
    if (lateMs > 0) {
      counters.count('ticks.late');
      this.awareness.apply(1);
      this.#prober.void();
    }
    for (const member of this.members.expired(awakeMs)) {
      this.members.dead(member.id, member.version, self, nowMs, 0);
      this.#spreadDeath(member);
    }
    for (const member of this.members.lastCalls(awakeMs)) {
      this.#prober.probe(member, awakeMs, nowMs);
    }
    this.#prober.tick(awakeMs, nowMs);
    this.#relays.tick(nowMs);
  }

  /** A newer head of another node. */
  head({ owner, block }: SignedBlock, record: PeerItem | undefined, nowMs: number): Member {
    const { epoch, sequence, left } = block;
    const accusers = this.members.get(owner)?.suspicion?.accusers ?? [];
    for (const accuser of accusers) this.#options.queue.drop(accusationKey(owner, accuser));
    this.#options.queue.drop(deathKey(owner));
    const version = { epoch, sequence };
    return this.members.head(owner, version, left, nowMs, this.#awakeMs, record);
  }

  ping(message: { number: number; target: NodeId }, from: Endpoint): void {
    const { self, counters, send } = this.#options;
    if (message.target === self) send(from, [{ type: MessageType.Ack, number: message.number }]);
    else counters.count('probes.other_target');
  }

  pingRequest(
    message: { number: number; target: NodeId; endpoint: Endpoint },
    from: Endpoint,
    nowMs: number,
  ): void {
    this.#relays.ask(message.target, message.endpoint, from, message.number, nowMs);
  }

  ack(number: number, sender: NodeId, nowMs: number): void {
    if (!this.#relays.ack(number, sender)) this.#prober.ack(number, sender, nowMs);
  }

  nack(number: number, sender: NodeId): void {
    this.#prober.nack(number, sender);
  }

  /** `accusation` came from the node at `from`, who believes it. */
  accusation(accusation: Accusation, from: Endpoint, nowMs: number): void {
    const { counters, accused, wanted, correct, send } = this.#options;
    const { node, version, accuser } = accusation;
    counters.count('accusations.received');
    const claimsDeath = accusation.type === MessageType.Dead;
    const known = this.members.get(node);
    // Nobody who is there for us is buried on somebody's word, which may come from behind a
    // partition that has just ended: the member gets the time to answer us, too.
    const isAlive = known !== undefined && isActive(known);
    const verdict =
      claimsDeath && !isAlive
        ? this.members.dead(node, version, accuser, nowMs, accusation.ageSeconds * 1000)
        : this.members.suspect(node, version, accuser, nowMs, this.#awakeMs, claimsDeath);
    const member = this.members.get(node);
    switch (verdict) {
      case 'self':
        return accused(version, from);
      case 'stale':
        counters.count('accusations.stale');
        if (member !== undefined && this.#mayTell(member, nowMs)) correct(node, from);
        return;
      case 'ahead':
        counters.count('accusations.ahead');
        return wanted(node, version, from);
      case 'known': {
        // Who still only suspects it need not wait for the time-out.
        const charge = member?.state === 'dead' && this.chargeAgainst(member, nowMs);
        if (charge && !claimsDeath && this.#mayTell(member, nowMs)) send(from, [charge]);
        return;
      }
      case 'new':
      case 'confirmed':
        if (member === undefined) return;
        this.#spreadSuspicion(member, accuser);
        if (verdict === 'new') this.#secondOpinion(member, nowMs);
    }
  }

  /** Probes and pings for others that run. */
  sizes(): Record<string, { size: number; max: number }> {
    return {
      probes: { size: this.#prober.size, max: PROBES_MAX },
      relays: { size: this.#relays.size, max: RELAYS_MAX },
    };
  }

  /** What is said against a member, as a message to itself or to others. */
  chargeAgainst(member: Member, nowMs: number): Accusation | undefined {
    if (member.state === 'dead') return this.#obituary(member, nowMs);
    const { id: node, suspicion } = member;
    const accuser = suspicion?.accusers.values().next().value;
    if (suspicion === undefined || accuser === undefined) return undefined;
    return { type: MessageType.Suspect, node, version: suspicion.version, accuser };
  }

  #obituary({ id: node, version, accuser, sinceMs }: Member, nowMs: number): Accusation {
    const ageSeconds = Math.max(0, Math.floor((nowMs - sinceMs) / 1000));
    return {
      type: MessageType.Dead,
      node,
      version,
      accuser: accuser ?? this.#options.self,
      ageSeconds,
    };
  }

  /**
   * Which of the owners that `messages` tell of are gone, and since when: a newcomer has not heard
   * it, and should forget them when we do. Some of the dead go with each digest, for one that was
   * cut off when they died; who has left says so in its own head.
   */
  chargesBeside(messages: readonly Message[], nowMs: number): Message[] {
    const charges: Message[] = [];
    for (const message of messages) {
      if (message.type === MessageType.Digest) {
        const dead = [...this.members.all()].filter(({ state }) => state === 'dead');
        const some = pickSome(dead, DIGEST_OBITUARIES, this.#options.random);
        charges.push(...some.map((member) => this.#obituary(member, nowMs)));
      }
      if (message.type !== MessageType.Owners) continue;
      for (const { owner } of message.owners) {
        const member = this.members.get(owner);
        if (member !== undefined && !isActive(member)) charges.push(this.#obituary(member, nowMs));
      }
    }
    return charges;
  }

  /**
   * A datagram of the member came from `from`: it hears at once what is said against it. One that
   * comes from elsewhere than its record says is shown the record, in case somebody else wrote it.
   */
  heard(member: Member, from: Endpoint, nowMs: number): void {
    const { counters, send, correct } = this.#options;
    member.lastHeardMs = nowMs;
    member.heardFrom = from;
    const charge = this.chargeAgainst(member, nowMs);
    if ((charge === undefined && !isElsewhere(member)) || !this.#mayTell(member, nowMs)) return;
    if (charge === undefined) return correct(member.id, from);
    counters.count('accusations.told');
    send(from, [charge]);
  }

  #mayTell(member: Member, nowMs: number): boolean {
    if (nowMs - member.toldMs < TELL_INTERVAL_MS) return false;
    member.toldMs = nowMs;
    return true;
  }

  #sendProbe(to: Endpoint, message: Message, member: Member): void {
    const charge =
      message.type === MessageType.Ping ? this.chargeAgainst(member, this.#nowMs) : undefined;
    this.#options.send(to, charge === undefined ? [message] : [message, charge]);
  }

  /** A probe failed. */
  #accuse(member: Member): void {
    const { self, counters } = this.#options;
    const { id, version } = member;
    const verdict = this.members.suspect(id, version, self, this.#nowMs, this.#awakeMs);
    if (verdict !== 'new' && verdict !== 'confirmed') return;
    counters.count('accusations.sent');
    this.#spreadSuspicion(member, self);
  }

  #secondOpinion(member: Member, nowMs: number): void {
    const others = this.members.count - 2;
    if (this.#options.random() * others >= SECOND_OPINIONS) return;
    this.#prober.probe(member, this.#awakeMs, nowMs);
  }

  #spreadSuspicion({ id: node, suspicion }: Member, accuser: NodeId): void {
    if (suspicion === undefined) return;
    const { version } = suspicion;
    const message: Message = { type: MessageType.Suspect, node, version, accuser };
    this.#options.queue.add(accusationKey(node, accuser), message, Lane.Urgent);
  }

  #spreadDeath(member: Member): void {
    const charge = this.chargeAgainst(member, this.#nowMs);
    if (charge !== undefined) this.#options.queue.add(deathKey(member.id), charge, Lane.Urgent);
  }

  #changed(change: MemberChange, member: Member): void {
    const counter = counterOf(change);
    if (counter !== undefined) this.#options.counters.count(counter);
    this.#options.changed(change, member);
  }
}

const deathKey = (node: NodeId): string => `d:${node}`;

function counterOf({ from, to }: MemberChange): GossipCounter | undefined {
  if (from === 'unknown') return 'members.joined';
  if (to === 'suspect') return 'members.suspected';
  if (to === 'dead') return 'members.died';
  if (to === 'left') return 'members.left';
  if (to === 'unknown') return 'members.forgotten';
  return from === 'suspect' ? 'members.refuted' : 'members.returned';
}
