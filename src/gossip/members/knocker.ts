/**
 * Knocks at the doors of dead members, and of seeds where nobody alive is known. Whoever opens is
 * told what is said against him and how our table stands; the rest follows from his answer.
 * @module
 */

import type { Endpoint, Message } from '../../wire/gossip/types.ts';
import type { Counters } from '../base/counters.ts';
import { FORMER_ENDPOINTS_MAX, MEMBERS_MAX, SEED_ENDPOINTS_MAX } from '../base/limits.ts';
import { endpointOf, type Member, type Members } from './members.ts';
import type { Membership } from './membership.ts';
import { Reconnect } from './reconnect.ts';

/** How often it is looked who is due. */
const LOOK_MS = 100;

export type KnockerOptions = {
  membership: Membership;
  counters: Counters;
  random: () => number;
  /** Where this node itself hears gossip. */
  ownEndpoints: () => readonly Endpoint[];
  /** How our table stands; with `introduce` also who we are, for one who does not know us. */
  greeting: (introduce: boolean) => Message[];
  send: (to: Endpoint, messages: readonly Message[]) => void;
};

export class Knocker {
  readonly #options: KnockerOptions;
  readonly #reconnect: Reconnect;
  /** By the name under which they are tried. */
  #seeds = new Map<string, Endpoint>();
  /** Where members were that are forgotten by now; a partition may last longer than memory. */
  readonly #former = new Map<string, Endpoint>();
  #lookedMs = -Infinity;

  constructor(options: KnockerOptions) {
    this.#options = options;
    this.#reconnect = new Reconnect(options.random);
  }

  sizes(): Record<string, { size: number; max: number }> {
    return {
      doors: {
        size: this.#reconnect.size,
        max: MEMBERS_MAX + SEED_ENDPOINTS_MAX + FORMER_ENDPOINTS_MAX,
      },
    };
  }

  setSeeds(endpoints: readonly Endpoint[], nowMs: number): void {
    const seeds = new Map(
      endpoints.slice(0, SEED_ENDPOINTS_MAX).map((seed) => [doorOf(seed), seed]),
    );
    for (const door of this.#seeds.keys()) if (!seeds.has(door)) this.#reconnect.remove(door);
    this.#seeds = seeds;
    for (const door of seeds.keys()) this.#reconnect.add(door, nowMs, true);
  }

  /** A member is dead, or no longer. */
  changed(member: Member, nowMs: number): void {
    if (member.state === 'dead') this.#reconnect.add(member.id, nowMs);
    else if (this.#reconnect.has(member.id)) {
      this.#reconnect.remove(member.id);
      if (member.state === 'alive') this.#reconnect.heal(nowMs);
    }
  }

  /** A dead member is dropped from the table; its door stays known. */
  forgotten(member: Member, nowMs: number): void {
    if (!this.#reconnect.has(member.id)) return;
    this.#reconnect.remove(member.id);
    const endpoint = endpointOf(member);
    if (endpoint === undefined) return;
    const door = doorOf(endpoint);
    if (this.#former.size >= FORMER_ENDPOINTS_MAX) this.#dropOldestFormer();
    this.#former.set(door, endpoint);
    this.#reconnect.add(door, nowMs);
  }

  tick(nowMs: number): void {
    if (nowMs - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = nowMs;
    for (const target of this.#reconnect.due(nowMs)) {
      const member = this.#options.membership.members.get(target);
      if (member !== undefined) this.#knockAt(member, nowMs);
      else this.#tryDoor(target);
    }
  }

  #knockAt(member: Member, nowMs: number): void {
    const { membership, greeting, send, counters } = this.#options;
    // Each time at the next of its endpoints.
    member.endpointIndex++;
    const to = endpointOf(member);
    if (to === undefined) return;
    const charge = membership.chargeAgainst(member, nowMs);
    counters.count('reconnects.sent');
    send(to, charge === undefined ? greeting(false) : [charge, ...greeting(false)]);
  }

  #tryDoor(door: string): void {
    const { membership, ownEndpoints, greeting, send, counters } = this.#options;
    const to = this.#seeds.get(door) ?? this.#former.get(door);
    if (to === undefined || ownEndpoints().some((own) => doorOf(own) === door)) return;
    if (isKnown(membership.members, door)) {
      this.#former.delete(door);
      if (!this.#seeds.has(door)) this.#reconnect.remove(door);
      return;
    }
    counters.count('reconnects.sent');
    send(to, greeting(true));
  }

  #dropOldestFormer(): void {
    const oldest = this.#former.keys().next().value;
    if (oldest === undefined) return;
    this.#former.delete(oldest);
    if (!this.#seeds.has(oldest)) this.#reconnect.remove(oldest);
  }
}

/** The name of an endpoint among targets; node ids have no colon. */
function doorOf({ address, port }: Endpoint): string {
  return `${address}:${port}`;
}

/** Whether somebody who counts as being there hears at this door. */
function isKnown(members: Members, door: string): boolean {
  return members
    .active()
    .some((member) => member.record?.endpoints.some((endpoint) => doorOf(endpoint) === door));
}
