/**
 * Who goes first where more has come than there is time for: a flow of which nothing waits, as a new flow
 * does in RFC 8290 §4.2, but only with a few packets a round. Packets of one flow never overtake each
 * other: once one waits, those behind it do.
 * @module
 */
import { FLOW_BUCKETS } from './loose-flow.ts';

/** What a flow of which nothing waits may send in one round before it has to wait, packets. */
const QUANTUM_PACKETS = 4;

export class FirstCome {
  /** Packets of each flow that wait; and how many have gone in the round of that number. */
  readonly #waiting = new Uint32Array(FLOW_BUCKETS);
  readonly #gone = new Uint8Array(FLOW_BUCKETS);
  readonly #goneIn = new Uint32Array(FLOW_BUCKETS);
  #round = 0;

  /** Each flow may have a few packets go at once again. */
  nextRound(): void {
    this.#round = (this.#round + 1) >>> 0;
  }

  /** Whether a packet of a flow goes at once; one that does not is counted as waiting. */
  mayGo(bucket: number): boolean {
    if (this.#goneIn[bucket] !== this.#round) {
      this.#goneIn[bucket] = this.#round;
      this.#gone[bucket] = 0;
    }
    const gone = this.#gone[bucket] as number;
    const waiting = this.#waiting[bucket] as number;
    if (waiting === 0 && gone < QUANTUM_PACKETS) {
      this.#gone[bucket] = gone + 1;
      return true;
    }
    this.#waiting[bucket] = waiting + 1;
    return false;
  }

  /** One that waited has gone, or was given up. */
  left(bucket: number): void {
    this.#waiting[bucket] = (this.#waiting[bucket] as number) - 1;
  }
}
