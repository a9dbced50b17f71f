/**
 * Memory that was taken for a burst of work is given back: links that come by the dozen leave garbage that
 * would stay for as long as the router has little to do.
 * @module
 */
import { collectGarbage } from '../sys/libc/memory.ts';

/** Fewer links that came or went leave less than a collection costs. */
const LINKS_MIN = 8;

export class MemoryTidy {
  readonly #linkCount: () => number;
  readonly #collect: () => void;
  #tidied = 0;
  #last = 0;

  constructor(linkCount: () => number, collect: () => void = collectGarbage) {
    this.#linkCount = linkCount;
    this.#collect = collect;
  }

  /** Called every few seconds: collects once what has changed is at rest. */
  look(): void {
    const count = this.#linkCount();
    const isAtRest = count === this.#last;
    this.#last = count;
    if (!isAtRest || Math.abs(count - this.#tidied) < LINKS_MIN) return;
    this.#tidied = count;
    this.#collect();
  }
}
