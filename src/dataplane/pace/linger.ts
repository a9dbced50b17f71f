/**
 * Lingering: after packets that came one at a time, the loop stays awake for a moment, because the
 * next one is often an answer on its way. Falling asleep and being woken on another core costs
 * more than such an answer takes, in a virtual machine some 20 µs for each of the four wake-ups of
 * a round trip.
 *
 * Nor does it ask first whether the next one is there, where it follows the last: it tries to take it, which
 * says the same. A system call less each time counts, since packets that come alone pay for all of theirs alone.
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
/** So many tries in a row go to what is expected; then everybody is asked. */
const GUESSES = 7;
/** As often in a row the next one may be there at once: then it is no conversation, and bursts are taken whole. */
const AT_ONCE_MAX = 3;
/** Packets that are taken so at most before everybody is asked, whoever waits. */
const GUESSED_MAX = 32;
/** A core given away for longer than this, ms, has work to do: a sleeper gets it back sooner. */
const CROWDED_MS = 0.5;

/** Which way a packet went: what follows an outgoing one says little about an incoming one. */
export const Way = { Out: 0, In: 1 } as const;

/** What lingering needs of the loop. */
type Waiting = {
  /** Descriptors that are ready now, as poll counts them; negative on an error. */
  ready(): number;
  /** Takes one packet that way, if there is one; how many. `nowMs`: the time. */
  guess(way: number, nowMs: number): number;
  /** Lets others have the core, if any want it. */
  giveWay(): void;
  /** A clock that nobody sets, ms. */
  nowMs(): number;
};

export class Linger {
  readonly #waiting: Waiting;
  readonly #scores = new Int32Array(2).fill(SCORE_MAX);
  readonly #passedOver = new Int32Array(2);
  /** The way that followed each way the last time. */
  readonly #next = Int32Array.of(Way.In, Way.Out);
  /**
   * For each way: since how many waits the next packet has not been there at once, 0 = it was. Then whoever makes it
   * may want this very core first.
   */
  readonly #late = new Int32Array(2);
  #loneRounds = 0;
  #way = 0;
  /** Waits in a row that caught the next packet at once; and packets taken since everybody was asked. */
  #atOnce = 0;
  #guessed = 0;

  constructor(waiting: Waiting) {
    this.#waiting = waiting;
  }

  /** Takes note of a round that moved `packets` packets, the last of them `way`. */
  note(packets: number, way: number): void {
    this.#loneRounds = packets === 1 ? this.#loneRounds + 1 : 0;
    this.#next[this.#way] = way;
    this.#way = way;
  }

  /** Waits awake if that is likely to pay; returns what is ready, or was taken; 0 when it is time to sleep. */
  wait(): number {
    if (this.#loneRounds < LONE_ROUNDS) return 0;
    const way = this.#way;
    const score = this.#scores[way] as number;
    if (score < SCORE_PAYS) {
      const passedOver = (this.#passedOver[way] as number) + 1;
      this.#passedOver[way] = passedOver % TRY_EVERY;
      if (passedOver < TRY_EVERY) return 0;
    }
    const late = this.#late[way] as number;
    this.#late[way] = (late + 1) % TRY_EVERY;
    let now = this.#waiting.nowMs();
    const until = now + LINGER_MS;
    let before = now;
    for (let tries = late === 0 ? 0 : 1; now < until && now - before < CROWDED_MS; tries++) {
      if (tries > 0) {
        this.#waiting.giveWay();
        before = now;
        now = this.#waiting.nowMs();
      }
      const ready = this.#try(tries, now);
      if (ready === 0) continue;
      if (tries === 0) this.#late[way] = 0;
      this.#atOnce = tries <= 1 ? this.#atOnce + 1 : 0;
      this.#scores[way] = Math.min(SCORE_MAX, score + 1);
      return ready;
    }
    this.#scores[way] = Math.max(0, score - 1);
    return 0;
  }

  /** Tries once: mostly what is expected, and at times everybody. */
  #try(tries: number, nowMs: number): number {
    const isDue = tries % (GUESSES + 1) === GUESSES || this.#atOnce >= AT_ONCE_MAX;
    if (isDue || this.#guessed >= GUESSED_MAX) {
      this.#atOnce = 0;
      this.#guessed = 0;
      return this.#waiting.ready();
    }
    const came = this.#waiting.guess(this.#next[this.#way] as number, nowMs);
    this.#guessed += came;
    return came;
  }
}
