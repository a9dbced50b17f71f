/**
 * All paths of all routes, and the best of each: Adj-RIB-In and Loc-RIB of RFC 4271 §3.2 in one, as
 * each path knows who told it.
 * @module
 */
import { comparePaths } from './best-path.ts';
import type { Path, PathSource } from './path.ts';

/** The best path of a route is another one now; undefined = there was, or is, none. */
export type BestChange = { key: string; best: Path | undefined; before: Path | undefined };

/** The best path stands first; the others follow in no order. */
type Paths = Path[];

export class Table {
  readonly #routes = new Map<string, Paths>();
  readonly #listeners = new Set<(change: BestChange) => void>();

  /** Routes that have a path. */
  get size(): number {
    return this.#routes.size;
  }

  /** Calls `listener` at each change from now on. */
  listen(listener: (change: BestChange) => void): void {
    this.#listeners.add(listener);
  }

  best(key: string): Path | undefined {
    return this.#routes.get(key)?.[0];
  }

  /** The path that `source` told, undefined when it told none. */
  pathOf(key: string, source: PathSource): Path | undefined {
    return this.#routes.get(key)?.find((path) => path.source === source);
  }

  /** All paths, those of one route together, the best first. */
  *paths(): Generator<{ key: string; path: Path; isBest: boolean }> {
    for (const [key, paths] of this.#routes) {
      for (const [index, path] of paths.entries()) yield { key, path, isBest: index === 0 };
    }
  }

  *keys(): Generator<string> {
    yield* this.#routes.keys();
  }

  /** Puts in `path`, or takes out that of `source`. @returns whether `source` had one before. */
  set(key: string, source: PathSource, path: Path | undefined): boolean {
    const paths = this.#routes.get(key);
    const before = paths?.[0];
    if (paths === undefined) {
      if (path === undefined) return false;
      this.#routes.set(key, [path]);
      this.#tell({ key, best: path, before });
      return false;
    }
    const index = paths.findIndex((other) => other.source === source);
    if (index >= 0) paths.splice(index, 1);
    if (path !== undefined) paths.push(path);
    if (paths.length === 0) this.#routes.delete(key);
    this.#order(paths);
    const best = paths[0];
    if (best !== before) this.#tell({ key, best, before });
    return index >= 0;
  }

  /** Brings the best to the front: one walk, as few routes have more than two paths. */
  #order(paths: Paths): void {
    let best = 0;
    for (let index = 1; index < paths.length; index++) {
      const [path, other] = [paths[index], paths[best]];
      if (path !== undefined && other !== undefined && comparePaths(path, other) < 0) best = index;
    }
    if (best > 0) paths.unshift(...paths.splice(best, 1));
  }

  /** Ranks anew a route of which a path became stale, or is not any more. */
  reorder(key: string): void {
    const paths = this.#routes.get(key);
    const before = paths?.[0];
    if (paths === undefined || paths.length < 2) return;
    this.#order(paths);
    if (paths[0] !== before) this.#tell({ key, best: paths[0], before });
  }

  #tell(change: BestChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}
