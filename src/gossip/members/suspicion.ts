/**
 * How long a suspect has to speak up. The first accusation starts a long time-out; each further
 * accuser, who must have found out independently, shortens it down to a minimum (Lifeguard's
 * "dogpile"). A single node with a bad link can thus not bury anybody quickly.
 * @module
 */

import type { NodeId, Version } from '../../wire/gossip/types.ts';

/** Minimum, in probe intervals, times log10 of the members. */
const MULTIPLIER = 3;
/** The first accusation alone waits this many times the minimum. */
const MAX_FACTOR = 6;
/** Further accusers that bring the time-out down to its minimum. */
const CONFIRMATIONS = 2;

/** So long before a suspect nobody else suspects is buried, it is asked for the last time. */
const LAST_CALL_MS = 3000;

export type SuspicionTimes = { minMs: number; maxMs: number; confirmations: number };

/** The times for a cluster of `members` (ourselves and the suspect included). */
export function suspicionTimes(members: number, probeIntervalMs: number): SuspicionTimes {
  const minMs = MULTIPLIER * Math.max(1, Math.log10(members)) * probeIntervalMs;
  // Neither the suspect nor the first accuser can confirm.
  const confirmations = Math.max(0, Math.min(CONFIRMATIONS, members - 2));
  return { minMs, maxMs: confirmations === 0 ? minMs : MAX_FACTOR * minMs, confirmations };
}

export class Suspicion {
  readonly version: Version;
  readonly accusers: Set<NodeId>;
  readonly #startMs: number;
  readonly #times: SuspicionTimes;
  #askedAgain = false;
  #hurried = false;

  /** `nowMs` is time awake. */
  constructor(version: Version, accuser: NodeId, nowMs: number, times: SuspicionTimes) {
    this.version = version;
    this.accusers = new Set([accuser]);
    this.#startMs = nowMs;
    this.#times = times;
  }

  /**
   * Another accuser.
   * @returns whether it was new and counted, so that it is worth passing on.
   */
  confirm(accuser: NodeId): boolean {
    if (this.accusers.has(accuser) || this.accusers.size > this.#times.confirmations) return false;
    this.accusers.add(accuser);
    return true;
  }

  /** Somebody has waited in vain already: the minimum is enough. */
  hurry(): void {
    this.#hurried = true;
  }

  /** When the suspect is dead unless it has been heard of, time awake. */
  get deadlineMs(): number {
    const { minMs, maxMs, confirmations } = this.#times;
    if (confirmations === 0 || this.#hurried) return this.#startMs + minMs;
    const share = Math.log(this.accusers.size) / Math.log(confirmations + 1);
    return this.#startMs + Math.max(minMs, maxMs - share * (maxMs - minMs));
  }

  /**
   * True once, shortly before the deadline of a suspicion that nobody confirmed: the suspect may
   * never have heard of it.
   */
  isToAskAgain(awakeMs: number): boolean {
    const soon = awakeMs >= this.deadlineMs - LAST_CALL_MS;
    if (this.#askedAgain || this.accusers.size > 1 || !soon) return false;
    this.#askedAgain = true;
    return true;
  }
}
