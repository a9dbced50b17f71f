/**
 * CoDel for many queues (RFC 8289 §5): a queue whose packets all waited longer than a target for a whole
 * interval is too long, and one packet of it is given up (or marked), then another, ever sooner, until
 * the wait is short. Columns by queue; times are µs in 32 bits, compared by their difference.
 * @module
 */

/** A wait that is no trouble, and how long a longer one is borne, µs (RFC 8289 §4.3, §4.4). */
export const TARGET_US = 5000;
export const INTERVAL_US = 100_000;
/** A queue that was too long lately goes on where it was (RFC 8289 §5.5). */
const LATELY_US = 16 * INTERVAL_US;

/** When to give up the next one after `count` have gone. */
function gap(count: number): number {
  return Math.trunc(INTERVAL_US / Math.sqrt(count));
}

export class Codel {
  /** A wait that is no trouble, µs: longer than {@link TARGET_US} where one packet takes that long. */
  targetUs = TARGET_US;
  readonly #isAbove: Uint8Array;
  readonly #isDropping: Uint8Array;
  /** When it will have been too long for a whole interval. */
  readonly #aboveUntilUs: Int32Array;
  readonly #nextUs: Int32Array;
  readonly #count: Int32Array;
  readonly #lastCount: Int32Array;

  constructor(queues: number) {
    this.#isAbove = new Uint8Array(queues);
    this.#isDropping = new Uint8Array(queues);
    this.#aboveUntilUs = new Int32Array(queues);
    this.#nextUs = new Int32Array(queues);
    this.#count = new Int32Array(queues);
    this.#lastCount = new Int32Array(queues);
  }

  /** The queue ran empty. */
  emptied(queue: number): void {
    this.#isAbove[queue] = 0;
    this.#isDropping[queue] = 0;
  }

  /**
   * Whether the packet at the head, which waited for `waitedUs`, has to be given up or marked. After one
   * that was given up the next is asked about in the same way.
   * @param isShort not a whole packet waits with it: then the queue is never too long
   */
  judge(queue: number, waitedUs: number, isShort: boolean, nowUs: number): boolean {
    const isTooLong = this.#isTooLong(queue, waitedUs, isShort, nowUs);
    if (this.#isDropping[queue] === 1) {
      if (!isTooLong) {
        this.#isDropping[queue] = 0;
        return false;
      }
      const nextUs = this.#nextUs[queue] as number;
      if (((nowUs - nextUs) | 0) < 0) return false;
      const count = (this.#count[queue] as number) + 1;
      this.#count[queue] = count;
      this.#nextUs[queue] = (nextUs + gap(count)) | 0;
      return true;
    }
    if (!isTooLong) return false;
    this.#isDropping[queue] = 1;
    const added = (this.#count[queue] as number) - (this.#lastCount[queue] as number);
    const isLately = ((nowUs - (this.#nextUs[queue] as number)) | 0) < LATELY_US;
    const count = added > 1 && isLately ? added : 1;
    this.#count[queue] = count;
    this.#lastCount[queue] = count;
    this.#nextUs[queue] = (nowUs + gap(count)) | 0;
    return true;
  }

  #isTooLong(queue: number, waitedUs: number, isShort: boolean, nowUs: number): boolean {
    if (waitedUs < this.targetUs || isShort) {
      this.#isAbove[queue] = 0;
      return false;
    }
    if (this.#isAbove[queue] === 0) {
      this.#isAbove[queue] = 1;
      this.#aboveUntilUs[queue] = (nowUs + INTERVAL_US) | 0;
      return false;
    }
    return ((nowUs - (this.#aboveUntilUs[queue] as number)) | 0) >= 0;
  }
}
