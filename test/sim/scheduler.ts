/**
 * Virtual time: what is due runs in order of time, and in order of asking when the time is equal.
 * @module
 */

type Due = { timeMs: number; order: number; run: () => void };

function before(a: Due, b: Due): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.order < b.order);
}

export class Scheduler {
  /** A binary heap, the earliest at 0. */
  readonly #heap: Due[] = [];
  #nowMs = 0;
  #order = 0;
  #ran = 0;

  /** Since the beginning of the run, in virtual milliseconds. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** How many actions have run. */
  get ran(): number {
    return this.#ran;
  }

  /** Runs `action` at `timeMs`, or at once (but not inside this call) if that is past. */
  at(timeMs: number, action: () => void): void {
    const heap = this.#heap;
    const due = { timeMs: Math.max(timeMs, this.#nowMs), order: this.#order, run: action };
    this.#order += 1;
    let slot = heap.length;
    heap.push(due);
    while (slot > 0) {
      const parentSlot = (slot - 1) >> 1;
      const parent = heap[parentSlot] as Due;
      if (!before(due, parent)) break;
      heap[slot] = parent;
      slot = parentSlot;
    }
    heap[slot] = due;
  }

  after(delayMs: number, action: () => void): void {
    this.at(this.#nowMs + delayMs, action);
  }

  /**
   * Lets time pass up to `timeMs`.
   * @param stop is asked after each action; true ends the run there.
   * @returns whether `stop` ended it.
   */
  runUntil(timeMs: number, stop?: () => boolean): boolean {
    for (let due = this.#heap[0]; due !== undefined && due.timeMs <= timeMs; due = this.#heap[0]) {
      this.#removeFirst();
      this.#nowMs = due.timeMs;
      this.#ran += 1;
      due.run();
      if (stop?.()) return true;
    }
    this.#nowMs = Math.max(this.#nowMs, timeMs);
    return false;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let slot = 0;
    for (;;) {
      let childSlot = 2 * slot + 1;
      let child = heap[childSlot];
      if (child === undefined) break;
      const right = heap[childSlot + 1];
      if (right !== undefined && before(right, child)) {
        child = right;
        childSlot += 1;
      }
      if (!before(child, last)) break;
      heap[slot] = child;
      slot = childSlot;
    }
    heap[slot] = last;
  }
}
