/**
 * Which addresses each MAC of a network has, as the rib tells it.
 * @module
 */
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import type { RibChange } from '../../rib/entry.ts';

type Addresses = Map<number | string, UnderlayAddress>;

export class AddressIndex {
  /** By link, then by MAC. */
  readonly #links = new Map<string, Map<number, Addresses>>();

  note(changes: readonly RibChange[]): void {
    for (const { id, before, after } of changes) {
      if (id.kind !== 'mac+ip' || before?.mac === after?.mac) continue;
      const key = id.address;
      const macs = this.#links.get(id.link) ?? new Map<number, Addresses>();
      this.#links.set(id.link, macs);
      if (before !== undefined) {
        const addresses = macs.get(before.mac);
        addresses?.delete(key);
        if (addresses?.size === 0) macs.delete(before.mac);
      }
      if (after !== undefined) {
        const addresses = macs.get(after.mac) ?? new Map<number | string, UnderlayAddress>();
        addresses.set(key, id.address);
        macs.set(after.mac, addresses);
      }
      if (macs.size === 0) this.#links.delete(id.link);
    }
  }

  of(link: string, mac: number): UnderlayAddress[] {
    return [...(this.#links.get(link)?.get(mac)?.values() ?? [])];
  }
}
