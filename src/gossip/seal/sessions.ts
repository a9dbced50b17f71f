/**
 * The sessions of others that were proved to live: a sender, one of its starts, the keys that it
 * seals with in it, and which of its datagrams were taken.
 *
 * When the table is full, the session that was silent for longest gives way, but never one that
 * was heard within {@link SESSION_IDLE_MS}; a sender's own third session replaces its first.
 * @module
 */
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import type { Endpoint, NodeId } from '../../wire/gossip/types.ts';
import { MEMBERS_MAX } from '../base/limits.ts';
import type { Subkeys } from './cipher.ts';
import { ReplayWindow } from './replay.ts';

/** Two for each member: one that restarts may have both for a moment. */
export const SESSIONS_MAX = 2 * MEMBERS_MAX;
/** Two nodes that claim one id are both heard, or neither would learn of the other. */
export const SESSIONS_PER_SENDER_MAX = 2;
/** Source addresses of one session. */
export const PLACES_MAX = 4;
/** Longer than a proof of life is good for: whoever sends one again still meets its session. */
export const SESSION_IDLE_MS = 10_000;

/** An endpoint in one value, for tables: a number below 2^48, or text for IPv6. */
export type EndpointKey = number | string;

export function placeOf({ address, port }: Endpoint): EndpointKey {
  return typeof address === 'number' ? address * 65_536 + port : `${address}:${port}`;
}

function addressOf(place: EndpointKey): UnderlayAddress {
  return typeof place === 'number'
    ? Math.floor(place / 65_536)
    : place.slice(0, place.indexOf(':'));
}

export class SealSession {
  /** Sender, epoch and nonce, as the header has them. */
  readonly id: string;
  readonly sender: NodeId;
  readonly window: ReplayWindow;
  /** By key number; made when first needed. */
  readonly subkeys = new Map<number, Subkeys>();
  /** The keys that the sender can open with, as it said. */
  keyIds: readonly number[] = [];
  usedMs: number;
  /** Grows by one with each authentic datagram that is seen or old, shrinks with each new one. */
  repeats = 0;
  /** When the sender was told of it. */
  toldMs = Number.NEGATIVE_INFINITY;
  /** Where it was proved to be, the last one last. */
  readonly places: EndpointKey[] = [];

  constructor(id: string, sender: NodeId, counter: number, nowMs: number) {
    this.id = id;
    this.sender = sender;
    this.window = new ReplayWindow(counter);
    this.usedMs = nowMs;
  }
}

export type OpenedSession = {
  /** Undefined when there was no room. */
  session: SealSession | undefined;
  /** An older session of the same sender that had to go, or another's that was silent. */
  dropped: SealSession | undefined;
};

export class Sessions {
  /** The one that was used longest ago comes first. */
  readonly #byId = new Map<string, SealSession>();
  readonly #bySender = new Map<NodeId, SealSession[]>();
  /** How many places of sessions are at each address. */
  readonly #addresses = new Map<UnderlayAddress, number>();
  readonly #max: number;

  constructor(max = SESSIONS_MAX) {
    this.#max = max;
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): SealSession | undefined {
    return this.#byId.get(id);
  }

  /** The session that this sender proved last. */
  latest(sender: NodeId): SealSession | undefined {
    return this.#bySender.get(sender)?.at(-1);
  }

  /** Whether somebody has proved to be at this address. */
  isKnown(address: UnderlayAddress): boolean {
    return this.#addresses.has(address);
  }

  /** Adds a session that was proved to live by a datagram with `counter`. */
  open(id: string, sender: NodeId, counter: number, nowMs: number): OpenedSession {
    const others = this.#bySender.get(sender) ?? [];
    const dropped = others.length < SESSIONS_PER_SENDER_MAX ? this.#silentIfFull(nowMs) : others[0];
    if (dropped !== undefined) this.#remove(dropped);
    if (this.#byId.size >= this.#max) return { session: undefined, dropped };
    const session = new SealSession(id, sender, counter, nowMs);
    this.#byId.set(id, session);
    this.#bySender.set(sender, [...(this.#bySender.get(sender) ?? []), session]);
    return { session, dropped };
  }

  /** Notes that the session is in use. */
  touch(session: SealSession, nowMs: number): void {
    session.usedMs = nowMs;
    this.#byId.delete(session.id);
    this.#byId.set(session.id, session);
  }

  /** Notes where it was proved to be. */
  addPlace(session: SealSession, from: Endpoint): void {
    const place = placeOf(from);
    if (session.places.includes(place)) return;
    session.places.push(place);
    this.#addresses.set(from.address, (this.#addresses.get(from.address) ?? 0) + 1);
    if (session.places.length > PLACES_MAX) this.#dropPlace(session.places.shift());
  }

  /** Forgets what was derived from keys, as some of them may be gone. */
  forgetSubkeys(): void {
    for (const session of this.#byId.values()) session.subkeys.clear();
  }

  #silentIfFull(nowMs: number): SealSession | undefined {
    if (this.#byId.size < this.#max) return undefined;
    for (const oldest of this.#byId.values()) {
      return nowMs - oldest.usedMs >= SESSION_IDLE_MS ? oldest : undefined;
    }
    return undefined;
  }

  #remove(session: SealSession): void {
    this.#byId.delete(session.id);
    const left = this.#bySender.get(session.sender)?.filter((one) => one !== session) ?? [];
    if (left.length === 0) this.#bySender.delete(session.sender);
    else this.#bySender.set(session.sender, left);
    for (const place of session.places) this.#dropPlace(place);
  }

  #dropPlace(place: EndpointKey | undefined): void {
    if (place === undefined) return;
    const address = addressOf(place);
    const left = (this.#addresses.get(address) ?? 1) - 1;
    if (left === 0) this.#addresses.delete(address);
    else this.#addresses.set(address, left);
  }
}
