/**
 * Which counters of one session were accepted: a sliding window over a bitmap (RFC 6479).
 * @module
 */

/** Counters behind the highest one that are still told apart; older ones are refused. */
export const REPLAY_WINDOW = 8128;
/** Sixty-four more than the window, so that the words which are being cleared are never in it. */
const BITS = 8192;
const WORDS = BITS / 32;

export const Verdict = { Fresh: 0, Seen: 1, Old: 2 } as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Counters are integers from 0 to 2^53 - 1. */
export class ReplayWindow {
  readonly #words = new Uint32Array(WORDS);
  #highest: number;

  /** All up to and including `highest` count as seen: they may have been, in an earlier life. */
  constructor(highest: number) {
    this.#highest = highest;
    this.#words.fill(0xffff_ffff);
    this.#words[indexOf(highest)] = 2 ** ((highest % 32) + 1) - 1;
  }

  get highest(): number {
    return this.#highest;
  }

  /** Whether the counter was seen, without marking it. */
  check(counter: number): Verdict {
    if (counter > this.#highest) return Verdict.Fresh;
    if (this.#highest - counter >= REPLAY_WINDOW) return Verdict.Old;
    return (this.#wordOf(counter) & maskOf(counter)) === 0 ? Verdict.Fresh : Verdict.Seen;
  }

  /** Marks the counter as seen, unless it was. Only for what is authenticated. */
  accept(counter: number): Verdict {
    const verdict = this.check(counter);
    if (verdict !== Verdict.Fresh) return verdict;
    if (counter > this.#highest) this.#advance(counter);
    this.#words[indexOf(counter)] = this.#wordOf(counter) | maskOf(counter);
    return Verdict.Fresh;
  }

  #wordOf(counter: number): number {
    return this.#words[indexOf(counter)] as number;
  }

  /** Clears the words between the old and the new highest counter. */
  #advance(counter: number): void {
    const from = Math.floor(this.#highest / 32);
    const steps = Math.min(Math.floor(counter / 32) - from, WORDS);
    if (steps === WORDS) this.#words.fill(0);
    else for (let step = 1; step <= steps; step++) this.#words[(from + step) % WORDS] = 0;
    this.#highest = counter;
  }
}

function indexOf(counter: number): number {
  return Math.floor(counter / 32) % WORDS;
}

function maskOf(counter: number): number {
  return 1 << (counter % 32);
}
