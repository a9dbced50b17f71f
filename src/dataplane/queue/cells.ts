/**
 * Where packets wait: cells of the arena, of three sizes, and what is known of the packet in each as
 * columns. All there is is taken at the start, and touched only as it is used, so a router without a
 * rate pays nothing for it, and one that is flooded takes no more.
 * @module
 */
import type { Arena } from '../ground/arena.ts';

/** Usual frames, jumbo frames, and the longest that there are; how many of each, some 17 MB in all. */
const CLASSES = [
  { bytes: 2048, count: 4096 },
  { bytes: 10_240, count: 512 },
  { bytes: 66_048, count: 64 },
] as const;

/** What all cells take of the arena, bytes. */
export const CELLS_BYTES = CLASSES.reduce((sum, { bytes, count }) => sum + bytes * count, 0);
/** Packets that can wait at one time, of all links together. */
export const CELLS_MAX = CLASSES.reduce((sum, { count }) => sum + count, 0);

/** No cell. */
export const NONE = -1;

export class Cells {
  /** Arena offset of each cell's first byte. */
  readonly start = new Int32Array(CELLS_MAX);
  /** Length of the datagram in it, shim included, bytes. */
  readonly length = new Int32Array(CELLS_MAX);
  /** From its first byte to the IP header; 0 = there is none to look at. */
  readonly l3 = new Uint8Array(CELLS_MAX);
  /** When it came, µs on the loop's clock, 32 bits of it. */
  readonly enteredUs = new Int32Array(CELLS_MAX);
  readonly peer = new Uint32Array(CELLS_MAX);
  readonly socket = new Int32Array(CELLS_MAX);
  /** Those of its outer header (send/train-columns.ts). */
  readonly marks = new Uint32Array(CELLS_MAX);
  /** The next cell of its flow, or the next free one of its size. */
  readonly next = new Int32Array(CELLS_MAX).fill(NONE);
  readonly #free: Int32Array;

  constructor(arena: Arena) {
    let cell = 0;
    this.#free = Int32Array.from(CLASSES, ({ bytes, count }) => {
      const at = arena.allocate(bytes * count);
      const first = cell;
      for (let i = 0; i < count; i++, cell++) {
        this.start[cell] = at + i * bytes;
        if (i > 0) this.next[cell - 1] = cell;
      }
      return first;
    });
  }

  /** A cell for `bytes`, or {@link NONE} where all are in use. */
  take(bytes: number): number {
    for (let size = 0; size < CLASSES.length; size++) {
      if (bytes > CLASSES[size as 0].bytes) continue;
      const cell = this.#free[size] as number;
      if (cell === NONE) continue;
      this.#free[size] = this.next[cell] as number;
      this.next[cell] = NONE;
      return cell;
    }
    return NONE;
  }

  give(cell: number): void {
    let size = 0;
    let end: number = CLASSES[0].count;
    while (cell >= end) end += CLASSES[++size as 0].count;
    this.next[cell] = this.#free[size] as number;
    this.#free[size] = cell;
  }
}
