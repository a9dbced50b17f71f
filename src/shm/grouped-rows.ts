/**
 * A short list of rows in shared memory that changes seldom and is read as a whole: one process writes, any
 * number of others read their group of it after a version has told them that it is another.
 *
 * ```
 * 0   version  odd while it is written
 * 4   count    rows in use
 * 64  rows     16 bytes each: group, and three words
 * ```
 * @module
 */

const VERSION = 0;
const COUNT = 1;
const FIRST_ROW = 16;
const ROW_WORDS = 4;
/** How often a reader looks for a moment in which nobody writes. */
const READ_ATTEMPTS = 64;

/** Three words, u32. */
export type GroupedRow = readonly [number, number, number];

/** Room for so many rows, bytes. */
export function groupedRowsBytes(rows: number): number {
  return 4 * (FIRST_ROW + rows * ROW_WORDS);
}

export class GroupedRowsReader {
  protected readonly words: Int32Array;
  protected readonly max: number;

  /** @param max rows that there is room for */
  constructor(buffer: ArrayBufferLike, offset: number, max: number) {
    this.words = new Int32Array(buffer, offset, groupedRowsBytes(max) / 4);
    this.max = max;
  }

  /** Changes whenever anything does; a plain load, so a change may be seen a moment late. */
  get version(): number {
    return this.words[VERSION] as number;
  }

  /** Those of a group; undefined when the writer did not finish. */
  read(group: number): { rows: GroupedRow[]; version: number } | undefined {
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const version = Atomics.load(this.words, VERSION);
      if ((version & 1) !== 0) continue;
      const rows: GroupedRow[] = [];
      const count = Math.min(this.words[COUNT] as number, this.max);
      for (let row = 0; row < count; row++) {
        const at = FIRST_ROW + row * ROW_WORDS;
        if (this.words[at] !== group) continue;
        const word = (i: number): number => (this.words[at + i] as number) >>> 0;
        rows.push([word(1), word(2), word(3)]);
      }
      if (Atomics.load(this.words, VERSION) === version) return { rows, version };
    }
    return undefined;
  }
}

function isSame(a: readonly GroupedRow[], b: readonly GroupedRow[]): boolean {
  return a.length === b.length && a.every((row, i) => row.every((word, j) => word === b[i]?.[j]));
}

/** The one writer. */
export class GroupedRowsWriter extends GroupedRowsReader {
  readonly #byGroup = new Map<number, readonly GroupedRow[]>();

  /** Makes the rows of a group these; how many found no room. */
  replace(group: number, rows: readonly GroupedRow[]): number {
    const others = [...this.#byGroup].filter(([id]) => id !== group);
    const used = others.reduce((sum, [, list]) => sum + list.length, 0);
    const kept = rows.slice(0, this.max - used);
    if (isSame(kept, this.#byGroup.get(group) ?? [])) return rows.length - kept.length;
    if (kept.length > 0) this.#byGroup.set(group, kept);
    else this.#byGroup.delete(group);
    this.#write();
    return rows.length - kept.length;
  }

  #write(): void {
    // Atomics order the odd version before, and the even one after, the plain stores between.
    Atomics.add(this.words, VERSION, 1);
    let at = FIRST_ROW;
    for (const [group, rows] of this.#byGroup) {
      for (const row of rows) {
        this.words.set([group, ...row], at);
        at += ROW_WORDS;
      }
    }
    this.words[COUNT] = (at - FIRST_ROW) / ROW_WORDS;
    Atomics.add(this.words, VERSION, 1);
  }
}
