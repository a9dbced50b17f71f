/**
 * Values of counters of many links as they stood at one time. Samples are kept for a minute, so what they have
 * in common is there once: a link's values are a row of one block, and which row is its own all samples share
 * for as long as no link comes or goes.
 * @module
 */

/** Values of counters, in an order that both sides know, by link. */
export type CounterValues = Pick<ReadonlyMap<string, Float64Array>, 'get' | 'has'>;

/** Which row each link has. */
export type CounterRows = ReadonlyMap<string, number>;

/**
 * The rows of `links`: `known` where they are the same. A link that goes from one data path to the other is there
 * twice for a moment, and has one row.
 */
export function counterRows(links: readonly string[], known: CounterRows): CounterRows {
  const own = [...new Set(links)];
  if (own.length === known.size && own.every((link) => known.has(link))) return known;
  return new Map(own.map((link, row) => [link, row]));
}

export class CounterBlock implements CounterValues {
  readonly #rows: CounterRows;
  readonly #width: number;
  readonly #block: Float64Array;

  /** @param width counters of each link; all are 0 until {@link set} */
  constructor(rows: CounterRows, width: number) {
    this.#rows = rows;
    this.#width = width;
    this.#block = new Float64Array(rows.size * width);
  }

  get links(): Iterable<string> {
    return this.#rows.keys();
  }

  has(link: string): boolean {
    return this.#rows.has(link);
  }

  get(link: string): Float64Array | undefined {
    const row = this.#rows.get(link);
    if (row === undefined) return undefined;
    return this.#block.subarray(row * this.#width, (row + 1) * this.#width);
  }

  /** @throws RangeError for a link that has no row */
  set(link: string, values: Float64Array): void {
    const row = this.#rows.get(link);
    if (row === undefined) throw new RangeError(`no row for ${link}`);
    this.#block.set(values, row * this.#width);
  }
}
