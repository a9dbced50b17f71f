/**
 * Lingering: after packets that came one at a time, the loop stays awake for a moment, because the
 * next one is often an answer on its way. Falling asleep and being woken on another core costs
 * more than such an answer takes, in a virtual machine some 20 µs for each of the four wake-ups of
 * a round trip.
 *
 * It must never cost much. Traffic that comes in bursts ends it, for then the core is wanted for
 * other work; where waiting awake catches nothing, it is tried only now and then; and between two
 * looks the core is offered to whoever else wants it.
 * @module
 */

/** How long to wait awake at most, ms. */
const LINGER_MS = 0.1;
/** Rounds in a row with a single packet after which packets count as coming one at a time. */
const LONE_ROUNDS = 8;
/** What catching a packet adds to a score, and failing to takes off; at most and where it pays. */
const SCORE_MAX = 8;
const SCORE_PAYS = 4;
/** Where it does not pay, one wait in so many is tried all the same. */
const TRY_EVERY = 16;
/** A core given away for longer than this, ms, has work to do: a sleeper gets it back sooner. */
const CROWDED_MS = 0.5;

/** Which way a packet went: what follows an outgoing one says little about an incoming one. */
export const Way = { Out: 0, In: 1 } as const;

/** What lingering needs of the loop. */
type Waiting = {
  /** Descriptors that are ready now, as poll counts them; negative on an error. */
  ready(): number;
  /** Lets others have the core, if any want it. */
  giveWay(): void;
  /** A clock that nobody sets, ms. */
  nowMs(): number;
};

export class Linger {
  readonly #waiting: Waiting;
  readonly #scores = new Int32Array(2).fill(SCORE_MAX);
  readonly #passedOver = new Int32Array(2);
  #loneRounds = 0;
  #way = 0;

  constructor(waiting: Waiting) {
    this.#waiting = waiting;
  }

  /** Takes note of a round that moved `packets` packets, the last of them `way`. */
  note(packets: number, way: number): void {
    this.#loneRounds = packets === 1 ? this.#loneRounds + 1 : 0;
    this.#way = way;
  }

  /** Waits awake if that is likely to pay; returns what `ready` said, 0 when it is time to sleep. */
  wait(): number {
    if (this.#loneRounds < LONE_ROUNDS) return 0;
    const way = this.#way;
    const score = this.#scores[way] as number;
    if (score < SCORE_PAYS) {
      const passedOver = (this.#passedOver[way] as number) + 1;
      this.#passedOver[way] = passedOver % TRY_EVERY;
      if (passedOver < TRY_EVERY) return 0;
    }
    let now = this.#waiting.nowMs();
    const until = now + LINGER_MS;
    let before: number;
    do {
      const ready = this.#waiting.ready();
      if (ready !== 0) {
        this.#scores[way] = Math.min(SCORE_MAX, score + 1);
        return ready;
      }
      this.#waiting.giveWay();
      before = now;
      now = this.#waiting.nowMs();
    } while (now < until && now - before < CROWDED_MS);
    this.#scores[way] = Math.max(0, score - 1);
    return 0;
  }
}
