/**
 * Something that goes round again and again: when it is asked for while it is under way, once more.
 * @module
 */

export class Rounds {
  readonly #round: () => Promise<void>;
  #isUnderWay = false;
  #isDue = false;
  #isClosed = false;

  /** @param round one of them; it does not throw */
  constructor(round: () => Promise<void>) {
    this.#round = round;
  }

  /** One begins soon; calls before that count once. */
  schedule(): void {
    this.#isDue = true;
    if (!this.#isUnderWay) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isUnderWay = true;
    while (this.#isDue && !this.#isClosed) {
      this.#isDue = false;
      await this.#round();
    }
    this.#isUnderWay = false;
  }

  /** No other begins. */
  close(): void {
    this.#isClosed = true;
  }
}
