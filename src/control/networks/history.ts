/**
 * Who claimed a MAC when: the last few places of each, of the MACs that changed last.
 * @module
 */
import type { Best, RibChange } from '../../rib/entry.ts';
import { Recent } from '../../rib/recent.ts';

/** MACs whose past is kept, and places of each. */
export const HISTORIES_MAX = 4096;
export const PLACES_MAX = 16;

/** `best` undefined: nobody had it from then on. `atMs`: wall clock. */
export type PastPlace = { atMs: number; best: Best | undefined };

export class MacHistory {
  /** By link and MAC. */
  readonly #past = new Recent<PastPlace[]>(HISTORIES_MAX);

  note(changes: readonly RibChange[], atMs: number): void {
    for (const { id, after } of changes) {
      if (id.kind !== 'mac') continue;
      const key = `${id.mac} ${id.link}`;
      const places = this.#past.get(key) ?? [];
      places.push({ atMs, best: after });
      if (places.length > PLACES_MAX) places.shift();
      this.#past.set(key, places);
    }
  }

  /** Oldest first. */
  of(link: string, mac: number): readonly PastPlace[] {
    return this.#past.get(`${mac} ${link}`) ?? [];
  }
}
