/**
 * MAC addresses that move too often: two hosts that both have one, or a loop. RFC 7432 §15.1: one that
 * moved {@link MOVES_MAX} times within {@link MOVES_WINDOW_MS} stays where it is, and nothing more is
 * believed of it, until it has had {@link FREEZE_MS}; then whatever is true by then holds.
 *
 * The times of the last few moves of each MAC are kept, of the MACs that moved last; a MAC that is
 * forgotten because others moved since begins anew.
 * @module
 */
import type { UnderlayAddress } from '../net/underlay-address.ts';
import { Recent } from './recent.ts';

/** N of RFC 7432 §15.1. */
export const MOVES_MAX = 5;
/** M of RFC 7432 §15.1, ms. */
export const MOVES_WINDOW_MS = 180_000;
/** How long a MAC stays frozen, ms. */
export const FREEZE_MS = 180_000;
/** MACs whose moves are remembered. */
export const MOVING_MAX = 16_384;

export type MoveLimits = { max: number; windowMs: number; freezeMs: number };

export const MOVE_LIMITS: MoveLimits = {
  max: MOVES_MAX,
  windowMs: MOVES_WINDOW_MS,
  freezeMs: FREEZE_MS,
};

/** Where a MAC was last, and when it moved. */
type Past = { place: UnderlayAddress; timesMs: number[] };

export class Moves<Id> {
  readonly #limits: MoveLimits;
  /** By key, the MACs that moved or vanished last. */
  readonly #past = new Recent<Past>(MOVING_MAX);
  /** Until when each is frozen, in that order. */
  readonly #frozen = new Map<string, { id: Id; untilMs: number }>();

  constructor(limits: MoveLimits = MOVE_LIMITS) {
    this.#limits = limits;
  }

  get heldCount(): number {
    return this.#frozen.size;
  }

  *held(): Generator<Id> {
    for (const { id } of this.#frozen.values()) yield id;
  }

  isHeld(key: string): boolean {
    return this.#frozen.has(key);
  }

  /** When the first frozen one is let go; undefined when none is. */
  get nextMs(): number | undefined {
    return this.#frozen.values().next().value?.untilMs;
  }

  /**
   * Notes that a MAC goes from one place to another; undefined = nowhere. One that comes back to where it
   * was last has not moved.
   * @returns whether it is one move too many: the MAC is frozen from now on.
   */
  note(
    key: string,
    id: Id,
    from: UnderlayAddress | undefined,
    to: UnderlayAddress | undefined,
    nowMs: number,
  ): boolean {
    const { max, windowMs, freezeMs } = this.#limits;
    const past = this.#past.get(key);
    const place = from ?? past?.place;
    if (place === undefined) return false;
    const timesMs = (past?.timesMs ?? []).filter((at) => nowMs - at < windowMs);
    if (to !== undefined && to !== place) timesMs.push(nowMs);
    if (timesMs.length >= max) {
      this.#past.delete(key);
      this.#frozen.set(key, { id, untilMs: nowMs + freezeMs });
      return true;
    }
    this.#past.set(key, { place: to ?? place, timesMs });
    return false;
  }

  /** Whether a MAC was at another place within the window. */
  hasMoved(key: string, nowMs: number): boolean {
    const times = this.#past.get(key)?.timesMs ?? [];
    return times.some((at) => nowMs - at < this.#limits.windowMs);
  }

  /** Takes out those whose time is over. */
  takeReleased(nowMs: number): Id[] {
    const released: Id[] = [];
    for (const [key, { id, untilMs }] of [...this.#frozen]) {
      if (untilMs > nowMs) break;
      this.#frozen.delete(key);
      released.push(id);
    }
    return released;
  }
}
