/**
 * Brings what has moved into the links that run: exceptions to the arithmetic in the data path, and
 * on routed links routes beside them.
 * @module
 */
import { messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Host } from './host.ts';
import type { LinkSpec } from './link-spec.ts';
import { applyMovedRoutes, exceptionsOf, type MovedPrefix } from './moved.ts';
import type { TunnelSet } from './tunnel-set.ts';

export type MovedLinksOptions = {
  host: Host;
  tunnels: Pick<TunnelSet, 'setExceptions'>;
  /** The links that are up. */
  specs: () => readonly LinkSpec[];
  log: Log;
};

export class MovedLinks {
  readonly #options: MovedLinksOptions;
  #moved: readonly MovedPrefix[] = [];
  /** What each link has now, as text; a link without exceptions is not here. */
  readonly #done = new Map<string, string>();
  #running: Promise<void> | undefined;
  #again = false;

  constructor(options: MovedLinksOptions) {
    this.#options = options;
  }

  /** Replaces what has moved. */
  set(moved: readonly MovedPrefix[]): void {
    this.#moved = moved;
    this.refresh();
  }

  /** Links may have come, gone or changed. Calls while one runs count once. */
  refresh(): void {
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    if (this.#moved.length === 0 && this.#done.size === 0) return;
    this.#running = this.#apply().finally(() => {
      this.#running = undefined;
      if (!this.#again) return;
      this.#again = false;
      this.refresh();
    });
  }

  async #apply(): Promise<void> {
    const { specs, tunnels, log } = this.#options;
    const links = specs();
    const attempt = async (name: string, work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        log.error('moved', `${name}: ${messageOf(error)}`);
      }
    };
    for (const spec of links) await attempt(spec.name, () => this.#applyTo(spec));
    for (const name of [...this.#done.keys()]) {
      if (links.some((spec) => spec.name === name)) continue;
      this.#done.delete(name);
      await attempt(name, () => tunnels.setExceptions(name, []));
    }
  }

  async #applyTo(spec: LinkSpec): Promise<void> {
    const { host, tunnels } = this.#options;
    const exceptions = exceptionsOf(spec, this.#moved);
    const before = this.#done.get(spec.name);
    if (exceptions.length === 0 && before === undefined) return;
    const text = JSON.stringify(exceptions);
    if (text !== before) await tunnels.setExceptions(spec.name, exceptions);
    // Also when nothing is new: somebody may have deleted a route.
    await applyMovedRoutes(spec, exceptions, host);
    if (exceptions.length === 0) this.#done.delete(spec.name);
    else this.#done.set(spec.name, text);
  }
}
