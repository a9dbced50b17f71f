/**
 * Asking members whether they are alive. Two probes in each interval: one goes round a shuffled
 * list of all members, one goes to the next member in the order of ids, so that everybody is
 * watched at least once an interval by somebody. Without an answer in time the member is asked
 * again, and three others are asked to ask it; who of those does not get through says so (a nack),
 * and a helper that is silent too means that the fault may be ours. After an interval it is asked
 * for the last time, by three more others as well: neither a path that comes and goes is a death,
 * nor one that many do not have.
 * @module
 */

import { type Endpoint, type Message, MessageType, type NodeId } from '../../wire/gossip/types.ts';
import type { Counters } from '../base/counters.ts';
import { PROBES_MAX } from '../base/limits.ts';
import type { Awareness } from './awareness.ts';
import { endpointOf, type Member, type Members } from './members.ts';

/** Members that are asked to ask, each time. */
const HELPERS = 3;
/** Probe numbers are u32 on the wire. */
const NUMBERS = 2 ** 32;

type Probe = {
  number: number;
  target: NodeId;
  /** Where it was first sent, for finding another endpoint when it fails. */
  endpoint: Endpoint;
  sentMs: number;
  startMs: number;
  indirectMs: number;
  lastMs: number;
  endMs: number;
  /** Helpers that were asked, and whether each has said no. */
  helpers: Map<NodeId, boolean>;
  /** Pings that were sent to the target itself. */
  pings: number;
};

export type ProberOptions = {
  self: NodeId;
  members: Members;
  awareness: Awareness;
  counters: Counters;
  random: () => number;
  intervalMs: number;
  timeoutMs: number;
  send: (to: Endpoint, message: Message, member: Member) => void;
  failed: (member: Member) => void;
};

export class Prober {
  readonly #options: ProberOptions;
  readonly #probes = new Map<number, Probe>();
  #number: number;
  #list: NodeId[] = [];
  #nextMs = 0;
  #turn = 0;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#number = Math.floor(options.random() * NUMBERS);
  }

  get size(): number {
    return this.#probes.size;
  }

  /** Starts and ends what is due. Times of probes are time awake; `nowMs` measures round trips. */
  tick(awakeMs: number, nowMs: number): void {
    for (const probe of this.#probes.values()) {
      if (probe.endMs <= awakeMs) this.#fail(probe);
      else if (awakeMs >= (probe.pings < 2 ? probe.indirectMs : probe.lastMs)) {
        if (probe.pings < 3) this.#askOthers(probe);
      }
    }
    if (awakeMs < this.#nextMs) return;
    const { awareness, intervalMs } = this.#options;
    this.#nextMs = Math.max(this.#nextMs, awakeMs - intervalMs) + awareness.scale(intervalMs) / 2;
    const target = this.#turn++ % 2 === 0 ? this.#nextInList() : this.#neighbour();
    if (target !== undefined) this.probe(target, awakeMs, nowMs);
  }

  /** Asks one member out of turn, unless it is being asked. */
  probe(member: Member, awakeMs: number, nowMs: number): void {
    const endpoint = endpointOf(member);
    if (endpoint === undefined || this.#probes.size >= PROBES_MAX || this.#asks(member.id)) return;
    const { awareness, intervalMs, timeoutMs } = this.#options;
    this.#number = (this.#number + 1) % NUMBERS;
    const probe: Probe = {
      number: this.#number,
      target: member.id,
      endpoint,
      sentMs: nowMs,
      startMs: awakeMs,
      indirectMs: awakeMs + awareness.scale(timeoutMs),
      lastMs: awakeMs + awareness.scale(intervalMs),
      endMs: awakeMs + awareness.scale(intervalMs + timeoutMs),
      helpers: new Map(),
      pings: 0,
    };
    this.#probes.set(probe.number, probe);
    this.#options.counters.count('probes.sent');
    this.#ping(probe, member, endpoint);
  }

  /** An answer, direct or through a helper. One that nobody waits for is nothing. */
  ack(number: number, from: NodeId, nowMs: number): void {
    const probe = this.#probes.get(number);
    if (probe === undefined) return;
    const direct = from === probe.target;
    if (!direct && !probe.helpers.has(from)) return;
    this.#probes.delete(number);
    const { members, awareness, counters } = this.#options;
    awareness.apply(-1);
    counters.count('probes.acked');
    const path = members.get(probe.target)?.path;
    if (direct) path?.answered(Math.max(0, nowMs - probe.sentMs));
    else path?.unanswered();
  }

  /** A helper got no answer either, but it lives and so does our path to it. */
  nack(number: number, from: NodeId): void {
    const probe = this.#probes.get(number);
    if (probe?.helpers.has(from)) probe.helpers.set(from, true);
  }

  /** Gives up all probes without judging: this node was not there to hear the answers. */
  void(): void {
    this.#options.counters.count('probes.void', this.#probes.size);
    this.#probes.clear();
  }

  #asks(id: NodeId): boolean {
    for (const probe of this.#probes.values()) if (probe.target === id) return true;
    return false;
  }

  #ping(probe: Probe, member: Member, to: Endpoint): void {
    probe.pings++;
    const { number, target } = probe;
    this.#options.send(to, { type: MessageType.Ping, number, target }, member);
  }

  /** At another of its endpoints, if it has one. @returns where. */
  #askAgain(probe: Probe): Endpoint {
    const member = this.#options.members.get(probe.target);
    if (member === undefined) {
      probe.pings++;
      return probe.endpoint;
    }
    member.endpointIndex++;
    const endpoint = endpointOf(member) ?? probe.endpoint;
    this.#ping(probe, member, endpoint);
    return endpoint;
  }

  /** Asks it again, and others that were not asked to. */
  #askOthers(probe: Probe): void {
    const { members, random, counters, send } = this.#options;
    const endpoint = this.#askAgain(probe);
    const { helpers } = probe;
    const others = members
      .active()
      .filter(({ id, state }) => state === 'alive' && id !== probe.target && !helpers.has(id));
    for (const helper of pickSome(others, HELPERS, random)) {
      const to = endpointOf(helper);
      if (to === undefined) continue;
      helpers.set(helper.id, false);
      counters.count('probes.indirect');
      const { number, target } = probe;
      send(to, { type: MessageType.PingRequest, number, target, endpoint }, helper);
    }
  }

  #fail(probe: Probe): void {
    this.#probes.delete(probe.number);
    const { members, awareness, counters, failed } = this.#options;
    const silent = [...probe.helpers.values()].filter((said) => !said).length;
    counters.count('probes.failed');
    counters.count('nacks.missing', silent);
    // Without helpers nothing tells whose fault it is.
    awareness.apply(probe.helpers.size === 0 ? 1 : Math.min(HELPERS, silent));
    const member = members.get(probe.target);
    if (member === undefined) return;
    member.path.unanswered();
    failed(member);
  }

  /** The next of the list that is still there and not being asked; a new list when it ends. */
  #nextInList(): Member | undefined {
    const { members, random } = this.#options;
    const active = new Map(members.active().map((member) => [member.id, member]));
    for (let refills = 0; refills < 2; ) {
      const id = this.#list.pop();
      if (id === undefined) {
        this.#list = pickSome([...active.keys()], active.size, random);
        refills++;
        continue;
      }
      const member = active.get(id);
      if (member !== undefined && !this.#asks(id)) return member;
    }
    return undefined;
  }

  /** The member whose id follows ours; after the last comes the first. */
  #neighbour(): Member | undefined {
    let next: Member | undefined;
    let first: Member | undefined;
    for (const member of this.#options.members.active()) {
      if (member.state !== 'alive') continue;
      if (first === undefined || member.id < first.id) first = member;
      const follows = member.id > this.#options.self;
      if (follows && (next === undefined || member.id < next.id)) next = member;
    }
    return next ?? first;
  }
}

/** `count` different values in random order (Fisher and Yates); all, if there are fewer. */
export function pickSome<T>(values: readonly T[], count: number, random: () => number): T[] {
  const rest = [...values];
  const picked: T[] = [];
  while (picked.length < count && rest.length > 0) {
    const index = Math.floor(random() * rest.length);
    const value = rest[index];
    const last = rest.pop();
    if (index < rest.length && last !== undefined) rest[index] = last;
    if (value !== undefined) picked.push(value);
  }
  return picked;
}
