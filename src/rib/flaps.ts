/**
 * Entries that move or vanish too often. One that did so {@link FLAPS_MAX} times within
 * {@link FLAP_WINDOW_MS} is held where it is until it has had {@link HOLD_MS} to make up its mind;
 * then whatever is true goes on.
 *
 * Two generations of counts: a count is over after one to two windows. An entry that appears for the
 * first time has not moved, so a table that fills costs nothing here.
 * @module
 */

/** Moves of one entry within the window that are passed on. */
export const FLAPS_MAX = 10;
/** ms */
export const FLAP_WINDOW_MS = 10_000;
export const HOLD_MS = 10_000;
/** Entries whose moves are counted at a time, in each generation; further ones are not damped. */
export const FLAP_ENTRIES_MAX = 16_384;

export class Flaps<Id> {
  #counts = new Map<string, number>();
  #older = new Map<string, number>();
  #sinceMs = Number.NEGATIVE_INFINITY;
  /** When each held entry is let go, in that order. */
  readonly #held = new Map<string, { id: Id; untilMs: number }>();
  /** Moves that were not counted because too many entries moved. */
  uncounted = 0;

  get heldCount(): number {
    return this.#held.size;
  }

  *held(): Generator<Id> {
    for (const { id } of this.#held.values()) yield id;
  }

  isHeld(key: string): boolean {
    return this.#held.has(key);
  }

  /** When the first held entry is let go; undefined when none is held. */
  get nextMs(): number | undefined {
    return this.#held.values().next().value?.untilMs;
  }

  /** Notes one more move of `id`, by its key; true when it is held from now on, before that move. */
  note(key: string, id: Id, nowMs: number): boolean {
    if (nowMs - this.#sinceMs >= FLAP_WINDOW_MS) {
      const isRecent = nowMs - this.#sinceMs < 2 * FLAP_WINDOW_MS;
      this.#older = isRecent ? this.#counts : new Map();
      this.#counts = new Map();
      this.#sinceMs = nowMs;
    }
    const count = this.#counts.get(key) ?? 0;
    if (count === 0 && this.#counts.size >= FLAP_ENTRIES_MAX) {
      this.uncounted++;
      return false;
    }
    if (count + (this.#older.get(key) ?? 0) >= FLAPS_MAX) {
      this.#held.set(key, { id, untilMs: nowMs + HOLD_MS });
      this.#counts.delete(key);
      this.#older.delete(key);
      return true;
    }
    this.#counts.set(key, count + 1);
    return false;
  }

  /** Takes out the entries whose time is over. */
  takeReleased(nowMs: number): Id[] {
    const released: Id[] = [];
    for (const [key, { id, untilMs }] of [...this.#held]) {
      if (untilMs > nowMs) break;
      this.#held.delete(key);
      released.push(id);
    }
    return released;
  }
}
