/**
 * Memory that was taken for a burst of work is given back: links that come by the dozen leave garbage that
 * would stay for as long as the router has little to do. Later on, what looking at many links leaves is
 * given back too, once it is a tenth of all: V8 waits until it has several times what it kept.
 * @module
 */
import { collectGarbage, growSlowly } from '../sys/libc/memory.ts';

/** Fewer links that came or went leave less than a collection costs. */
const LINKS_MIN = 8;
/** With so many the heap grows slowly from then on: that they come takes a fifth longer, that they stay far less. */
const LINKS_MANY = 100;
/** Looks from one collection to the next, at least, and what has to be gained, bytes and of all that is used. */
const LOOKS_APART = 6;
const GROWN_BYTES_MIN = 4 << 20;
const GROWN_SHARE_MIN = 0.1;

export class MemoryTidy {
  readonly #linkCount: () => number;
  readonly #collect: () => void;
  readonly #usedBytes: () => number;
  readonly #slowDown: () => void;
  #tidied = 0;
  #last = 0;
  /** Used after the last collection, bytes; 0 before the first. */
  #keptBytes = 0;
  #looks = 0;
  /** It is time for a look, once what is under way is done: all links are looked at, and that leaves garbage. */
  isDue = false;

  /** @param usedBytes what the process takes of the machine's memory */
  constructor(
    linkCount: () => number,
    collect: () => void = collectGarbage,
    usedBytes: () => number = () => process.memoryUsage.rss(),
    slowDown: () => void = growSlowly,
  ) {
    this.#linkCount = linkCount;
    this.#collect = collect;
    this.#usedBytes = usedBytes;
    this.#slowDown = slowDown;
  }

  /** Something is done. */
  settled(): void {
    if (this.isDue) this.look();
    this.isDue = false;
  }

  /** Called every few seconds, when links have been looked at: collects once what has changed is at rest. */
  look(): void {
    const count = this.#linkCount();
    const isAtRest = count === this.#last;
    this.#last = count;
    this.#looks++;
    if (!isAtRest || (Math.abs(count - this.#tidied) < LINKS_MIN && !this.#hasGrown())) return;
    this.#tidied = count;
    if (count >= LINKS_MANY) this.#slowDown();
    this.#collect();
    this.#keptBytes = this.#usedBytes();
    this.#looks = 0;
  }

  #hasGrown(): boolean {
    if (this.#keptBytes === 0 || this.#looks < LOOKS_APART) return false;
    const grownBytes = this.#usedBytes() - this.#keptBytes;
    return grownBytes >= GROWN_BYTES_MIN && grownBytes >= this.#keptBytes * GROWN_SHARE_MIN;
  }
}
