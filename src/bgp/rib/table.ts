/**
 * All paths of all routes, and the best of each: Adj-RIB-In and Loc-RIB of RFC 4271 §3.2 in one, as
 * each path knows who told it.
 * @module
 */
import { comparePaths } from './best-path.ts';
import type { Path, PathSource } from './path.ts';

/** The best path of a route is another one now; undefined = there was, or is, none. */
export type BestChange = { key: string; best: Path | undefined; before: Path | undefined };

/**
 * The best path stands first; the others follow in no order. Nearly all routes have one path, and
 * half a million lists of one would be a tenth of a speaker's memory.
 */
type Paths = Path | Path[];

function bestOf(paths: Paths | undefined): Path | undefined {
  return Array.isArray(paths) ? paths[0] : paths;
}

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

  /** Forgets all routes and tells nobody. */
  close(): void {
    this.#listeners.clear();
    this.#routes.clear();
  }

  best(key: string): Path | undefined {
    return bestOf(this.#routes.get(key));
  }

  /** The path that `source` told, undefined when it told none. */
  pathOf(key: string, source: PathSource): Path | undefined {
    const paths = this.#routes.get(key);
    if (Array.isArray(paths)) return paths.find((path) => path.source === source);
    return paths?.source === source ? paths : undefined;
  }

  /** All paths, those of one route together, the best first. */
  *paths(): Generator<{ key: string; path: Path; isBest: boolean }> {
    for (const [key, paths] of this.#routes) {
      if (Array.isArray(paths)) {
        for (const [index, path] of paths.entries()) yield { key, path, isBest: index === 0 };
      } else yield { key, path: paths, isBest: true };
    }
  }

  /** The best path of each route. */
  *bests(): Generator<Path> {
    for (const paths of this.#routes.values()) {
      const best = bestOf(paths);
      if (best !== undefined) yield best;
    }
  }

  /** Puts in `path`, or takes out that of `source`. @returns whether `source` had one before. */
  set(key: string, source: PathSource, path: Path | undefined): boolean {
    const before = this.#routes.get(key);
    if (Array.isArray(before)) return this.#setOne(key, before, source, path);
    const had = before !== undefined && before.source === source;
    if (path === undefined) {
      if (!had) return false;
      this.#routes.delete(key);
      this.#tell({ key, best: undefined, before });
      return true;
    }
    if (before !== undefined && !had) return this.#setOne(key, [before], source, path);
    this.#routes.set(key, path);
    this.#tell({ key, best: path, before });
    return had;
  }

  /** The same for a route of which others told too. */
  #setOne(key: string, paths: Path[], source: PathSource, path: Path | undefined): boolean {
    const [before] = paths;
    const index = paths.findIndex((other) => other.source === source);
    if (index >= 0) paths.splice(index, 1);
    if (path !== undefined) paths.push(path);
    order(paths);
    const [best, ...others] = paths;
    if (best === undefined) this.#routes.delete(key);
    else this.#routes.set(key, others.length === 0 ? best : paths);
    if (best !== before) this.#tell({ key, best, before });
    return index >= 0;
  }

  /** Ranks anew a route of which a path became stale, or is not any more. */
  reorder(key: string): void {
    const paths = this.#routes.get(key);
    if (!Array.isArray(paths)) return;
    const [before] = paths;
    order(paths);
    if (paths[0] !== before) this.#tell({ key, best: paths[0], before });
  }

  #tell(change: BestChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

/** Brings the best to the front: one walk, as few routes have more than two paths. */
function order(paths: Path[]): void {
  let best = 0;
  for (let index = 1; index < paths.length; index++) {
    const [path, other] = [paths[index], paths[best]];
    if (path !== undefined && other !== undefined && comparePaths(path, other) < 0) best = index;
  }
  if (best > 0) paths.unshift(...paths.splice(best, 1));
}
