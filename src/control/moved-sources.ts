/**
 * What has moved, by who says so. Where two say it of one prefix the first of {@link SOURCES} is
 * believed: gossip hears of a move in a moment and from the host itself.
 * @module
 */
import { formatPrefix } from '../net/prefix.ts';
import type { MovedPrefix } from './moved.ts';

const SOURCES = ['gossip', 'bgp'] as const;
export type MovedSource = (typeof SOURCES)[number];

export class MovedSources {
  readonly #said = new Map<MovedSource, readonly MovedPrefix[]>();
  readonly #listener: (moved: readonly MovedPrefix[]) => void;

  constructor(listener: (moved: readonly MovedPrefix[]) => void) {
    this.#listener = listener;
  }

  /** Replaces what one source says. */
  set(source: MovedSource, moved: readonly MovedPrefix[]): void {
    this.#said.set(source, moved);
    const all = new Map<string, MovedPrefix>();
    for (const each of SOURCES) {
      for (const one of this.#said.get(each) ?? []) {
        const key = `${one.vni} ${formatPrefix(one.prefix)}`;
        // Gossip may say 0: whichever fan contains the prefix.
        const anyFan = `0 ${formatPrefix(one.prefix)}`;
        if (!all.has(key) && !all.has(anyFan)) all.set(key, one);
      }
    }
    this.#listener([...all.values()]);
  }
}
