/**
 * What was counted of links by devices and data paths that have gone: a link whose device somebody
 * deleted, or that another data path forwards now, goes on counting where it was.
 * @module
 */

export class PastCounters {
  /** By link and counter name. */
  readonly #past = new Map<string, Readonly<Record<string, number>>>();

  /** `counters` of a link are the last that what forwards it now has to say. */
  keep(link: string, counters: Readonly<Record<string, number>>): void {
    this.#past.set(link, this.sum(link, counters));
  }

  /** The link is not wanted any more: another one of its name begins at zero. */
  forget(link: string): void {
    this.#past.delete(link);
  }

  /** `counters` of a link and all that was counted before. */
  sum(link: string, counters: Readonly<Record<string, number>>): Record<string, number> {
    const sum = { ...counters };
    for (const [name, value] of Object.entries(this.#past.get(link) ?? {})) {
      sum[name] = (sum[name] ?? 0) + value;
    }
    return sum;
  }

  /** The same for the counters `names`, whose `values` stand in their order. */
  add(link: string, names: readonly string[], values: Float64Array): Float64Array {
    const past = this.#past.get(link);
    return past === undefined
      ? values
      : values.map((value, i) => value + (past[names[i] ?? ''] ?? 0));
  }
}
