/**
 * Who goes first where more has come than there is time for, and who next. A flow of which nothing waits
 * goes at once, as a new flow does in RFC 8290 §4.2, but only with a few packets a round. The others wait in
 * queues, one for each flow, which take turns by packets: whoever sends most waits longest, and what leaves
 * one behind the other is of one flow, so that it can be joined, or sent in one train. Packets of one flow
 * never overtake each other: once one waits, those behind it do.
 *
 * Whoever keeps the packets numbers them; here are only their order and whose they are.
 * @module
 */
import { FLOW_BUCKETS } from './loose-flow.ts';

/** What a flow of which nothing waits may send in one round before it has to wait, packets. */
const AT_ONCE_PACKETS = 4;
/** A flow that sends no more than so many in a round is not to be waited for: nothing would be joined. */
const SELDOM_PACKETS = 2;
const CAME_MAX = 255;
/** What a flow that waits may send before the next one has its turn, packets. */
const TURN_PACKETS = 16;

/** No entry, no flow. */
export const NOBODY = -1;

export class WaitingFlows {
  /** Of each flow: its oldest entry and its newest, and how much of its turn is left, packets. */
  readonly #head = new Int32Array(FLOW_BUCKETS).fill(NOBODY);
  readonly #tail = new Int32Array(FLOW_BUCKETS);
  readonly #left = new Int32Array(FLOW_BUCKETS);
  /** The flow that has its turn after it, and whether it waits for a turn at all. */
  readonly #after = new Int32Array(FLOW_BUCKETS);
  readonly #isInTurn = new Uint8Array(FLOW_BUCKETS);
  /** Packets that have come in the round of that number, as far as that counts; and in the one before it. */
  readonly #came = new Uint8Array(FLOW_BUCKETS);
  readonly #cameBefore = new Uint8Array(FLOW_BUCKETS);
  readonly #cameIn = new Uint32Array(FLOW_BUCKETS);
  #round = 1;
  /** Whose turn it is, and who has it last. */
  #first = NOBODY;
  #last = NOBODY;
  /** The entry behind each of its flow, and how many packets it is. */
  readonly #next: Int32Array;
  readonly #packets: Uint16Array;

  /** @param entries numbers from 0 to one less are entries */
  constructor(entries: number) {
    this.#next = new Int32Array(entries);
    this.#packets = new Uint16Array(entries);
  }

  /** Each flow may have a few packets go at once again. */
  nextRound(): void {
    this.#round = (this.#round + 1) >>> 0;
  }

  /**
   * Whether a packet of a flow that has come goes at once; one that does not is to be {@link wait given a place}.
   * @param gathers who has sent much in the round before waits with all that it sends: it is for later, and together
   */
  mayGo(bucket: number, gathers: boolean): boolean {
    const came = this.#note(bucket);
    if (this.#head[bucket] !== NOBODY) return false;
    if (gathers && (this.#cameBefore[bucket] as number) > SELDOM_PACKETS) return false;
    return came < AT_ONCE_PACKETS;
  }

  /** One more has come; how many there were before it in this round. */
  #note(bucket: number): number {
    const last = this.#cameIn[bucket];
    if (last !== this.#round) {
      this.#cameBefore[bucket] = last === this.#round - 1 ? (this.#came[bucket] as number) : 0;
      this.#cameIn[bucket] = this.#round;
      this.#came[bucket] = 0;
    }
    const came = this.#came[bucket] as number;
    if (came < CAME_MAX) this.#came[bucket] = came + 1;
    return came;
  }

  /** An entry of some packets waits behind all others of its flow. */
  wait(entry: number, bucket: number, packets: number): void {
    this.#next[entry] = NOBODY;
    this.#packets[entry] = packets;
    if (this.#head[bucket] === NOBODY) this.#head[bucket] = entry;
    else this.#next[this.#tail[bucket] as number] = entry;
    this.#tail[bucket] = entry;
    if (this.#isInTurn[bucket] === 0) this.#enqueue(bucket);
  }

  #enqueue(bucket: number): void {
    this.#isInTurn[bucket] = 1;
    this.#left[bucket] = TURN_PACKETS;
    this.#after[bucket] = NOBODY;
    if (this.#first === NOBODY) this.#first = bucket;
    else this.#after[this.#last] = bucket;
    this.#last = bucket;
  }

  #dequeue(): void {
    const bucket = this.#first;
    this.#isInTurn[bucket] = 0;
    this.#first = this.#after[bucket] as number;
  }

  /** Takes the entry whose turn it is; {@link NOBODY} where none waits. */
  pull(): number {
    for (;;) {
      const bucket = this.#first;
      if (bucket === NOBODY) return NOBODY;
      if (this.#head[bucket] === NOBODY) {
        this.#dequeue();
        continue;
      }
      if ((this.#left[bucket] as number) <= 0) {
        this.#dequeue();
        this.#enqueue(bucket);
        continue;
      }
      const entry = this.giveUp(bucket);
      this.#left[bucket] = (this.#left[bucket] as number) - (this.#packets[entry] as number);
      return entry;
    }
  }

  /** Nothing waits any more. */
  clear(): void {
    this.#head.fill(NOBODY);
    this.#isInTurn.fill(0);
    this.#first = NOBODY;
  }

  /** Takes the oldest entry of a flow that has some. */
  giveUp(bucket: number): number {
    const entry = this.#head[bucket] as number;
    this.#head[bucket] = this.#next[entry] as number;
    return entry;
  }
}
