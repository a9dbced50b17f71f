/**
 * Tunnel endpoints that do not gossip, and how many entries gateways tell of at each: they take part in a
 * network as long as there is one.
 * @module
 */
import type { UnderlayAddress } from '../../../../net/underlay-address.ts';

export class Beyond {
  /** By the key of the entry. */
  readonly #places = new Map<string, { vni: number; host: UnderlayAddress }>();
  /** By VNI and host. */
  readonly #uses = new Map<string, number>();

  has(vni: number, host: UnderlayAddress): boolean {
    return this.#uses.has(`${vni} ${host}`);
  }

  /**
   * An entry is at `host` from now on; undefined = at no such endpoint.
   * @returns the endpoints that take part now and did not before, or no more.
   */
  place(key: string, vni: number, host: UnderlayAddress | undefined): UnderlayAddress[] {
    const before = this.#places.get(key);
    if (before?.host === host) return [];
    if (host === undefined) this.#places.delete(key);
    else this.#places.set(key, { vni, host });
    const changed: UnderlayAddress[] = [];
    if (host !== undefined && this.#count(vni, host, 1)) changed.push(host);
    if (before !== undefined && this.#count(before.vni, before.host, -1)) changed.push(before.host);
    return changed;
  }

  /** @returns whether it is the first, or was the last */
  #count(vni: number, host: UnderlayAddress, by: 1 | -1): boolean {
    const key = `${vni} ${host}`;
    const uses = (this.#uses.get(key) ?? 0) + by;
    if (uses > 0) this.#uses.set(key, uses);
    else this.#uses.delete(key);
    return uses === 0 || (uses === 1 && by === 1);
  }

  /** Forgets all of a network, or everything. */
  clear(vni?: number): void {
    for (const [key, place] of this.#places) {
      if (vni !== undefined && place.vni !== vni) continue;
      this.#places.delete(key);
      this.#uses.delete(`${place.vni} ${place.host}`);
    }
  }
}
