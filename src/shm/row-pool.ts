/**
 * Numbers of rows for a table whose rows never change while something leads to them: each is used once
 * before any is used again, and then the one that was left first.
 * @module
 */

export class RowPool {
  readonly #rows: number;
  /** Rows that nothing leads to, the one that was left last at the end. */
  #free: number[] = [];
  #freeFrom = 0;
  #next = 1;

  /** @param rows so many; row 0 is none */
  constructor(rows: number) {
    this.#rows = rows;
  }

  /** A row to write, 0 when all are in use. */
  take(): number {
    if (this.#next < this.#rows) return this.#next++;
    if (this.#freeFrom === this.#free.length) return 0;
    const row = this.#free[this.#freeFrom++] as number;
    if (this.#freeFrom > 1024 && this.#freeFrom * 2 > this.#free.length) {
      this.#free = this.#free.slice(this.#freeFrom);
      this.#freeFrom = 0;
    }
    return row;
  }

  /** Nothing leads to a row any more. */
  give(row: number): void {
    this.#free.push(row);
  }
}
