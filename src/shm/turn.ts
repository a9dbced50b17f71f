/**
 * Words of the header that say which data process may move packets. Each is started with an epoch of its
 * own, and sets itself up while its predecessor forwards; it begins when the word *epoch* holds its own
 * and its predecessor has written that it stopped. So never do two of them write the counters, and
 * nobody waits for a process to end.
 * @module
 */

// Offsets in the header, bytes; each has one writer.
/** Control: whose turn it is, 0 = nobody's. */
const EPOCH = 20;
/** Control: whose word *stopped* the next one waits for, 0 = nobody's. */
const PREDECESSOR = 36;
/** Data: who has set itself up. */
const WARM_EPOCH = 96;
/** Data: who has stopped. */
const STOPPED_EPOCH = 100;

export class Turn {
  readonly #words: Int32Array;

  /** @param words of the header */
  constructor(words: Int32Array) {
    this.#words = words;
  }

  /** Whose turn it is; 0 = nobody's. */
  get epoch(): number {
    return Atomics.load(this.#words, EPOCH / 4);
  }

  /**
   * Control: passes the turn. Ring the eventfd afterwards, the old process may be asleep.
   * @param predecessor who has to say that it stopped; 0 when there is none
   */
  pass(epoch: number, predecessor: number): void {
    Atomics.store(this.#words, PREDECESSOR / 4, predecessor);
    Atomics.store(this.#words, EPOCH / 4, epoch);
  }

  /** Data: whether `epoch` may move packets now. */
  has(epoch: number): boolean {
    if (this.epoch !== epoch) return false;
    const predecessor = Atomics.load(this.#words, PREDECESSOR / 4);
    return predecessor === 0 || Atomics.load(this.#words, STOPPED_EPOCH / 4) === predecessor;
  }

  /** Data: `epoch` has written its last counter. */
  stopped(epoch: number): void {
    Atomics.store(this.#words, STOPPED_EPOCH / 4, epoch);
  }

  /** The newest data process that has set itself up and waits for its turn. */
  get warmEpoch(): number {
    return Atomics.load(this.#words, WARM_EPOCH / 4);
  }

  /** Data: ready to take over. */
  set warmEpoch(value: number) {
    Atomics.store(this.#words, WARM_EPOCH / 4, value);
  }
}
