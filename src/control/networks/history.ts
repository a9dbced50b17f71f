/**
 * Who claimed a MAC when: the last few places of each, of the MACs that changed last.
 * @module
 */
import type { Best, RibChange } from '../../rib/entry.ts';
import { Recent } from '../../rib/recent.ts';

/** MACs whose past is kept, and places of each. */
export const HISTORIES_MAX = 4096;
export const PLACES_MAX = 16;

/** `best` undefined: nobody had it from then on. `atMs`: wall clock. `remark`: what else was seen then, or ''. */
export type PastPlace = { atMs: number; best: Best | undefined; remark: string };

export class MacHistory {
  /** By link and MAC. */
  readonly #past = new Recent<PastPlace[]>(HISTORIES_MAX);

  note(changes: readonly RibChange[], atMs: number): void {
    for (const { id, after } of changes) {
      if (id.kind === 'mac') this.#add(id.link, id.mac, { atMs, best: after, remark: '' });
    }
  }

  /** Something worth knowing of a MAC, where it is already. */
  remark(link: string, mac: number, remark: string, atMs: number): void {
    this.#add(link, mac, { atMs, best: this.of(link, mac).at(-1)?.best, remark });
  }

  #add(link: string, mac: number, place: PastPlace): void {
    const key = `${mac} ${link}`;
    const places = this.#past.get(key) ?? [];
    places.push(place);
    if (places.length > PLACES_MAX) places.shift();
    this.#past.set(key, places);
  }

  /** Oldest first. */
  of(link: string, mac: number): readonly PastPlace[] {
    return this.#past.get(`${mac} ${link}`) ?? [];
  }
}
