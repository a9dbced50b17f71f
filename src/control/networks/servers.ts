/**
 * Where the servers of networks are that clients look for by broadcast: of the MACs that their hosts
 * declare to be such, one here, else the one at the lowest host, so that all hosts choose alike.
 * @module
 */
import { compareHosts, type UnderlayAddress } from '../../net/underlay-address.ts';
import type { Best, RibChange } from '../../rib/entry.ts';
import { Service } from '../../table/flood.ts';
import type { TableTarget } from '../plane/tables/network-table.ts';

/** MACs that may serve, by link. */
type Servers = Map<string, Map<number, Best>>;

function serves(service: Service, best: Best | undefined): boolean {
  return (service === Service.Dhcp ? best?.isDhcpServer : best?.isRouter) === true;
}

export class ServerIndex {
  readonly #servers: Readonly<Record<Service, Servers>> = {
    [Service.Dhcp]: new Map(),
    [Service.Router]: new Map(),
  };

  /** Returns the links whose servers may be others now. */
  note(changes: readonly RibChange[]): Set<string> {
    const links = new Set<string>();
    for (const { id, before, after } of changes) {
      if (id.kind !== 'mac') continue;
      for (const service of Object.values(Service)) {
        if (!serves(service, before) && !serves(service, after)) continue;
        const macs = this.#servers[service].get(id.link) ?? new Map<number, Best>();
        this.#servers[service].set(id.link, macs);
        if (after !== undefined && serves(service, after)) macs.set(id.mac, after);
        else macs.delete(id.mac);
        if (macs.size === 0) this.#servers[service].delete(id.link);
        links.add(id.link);
      }
    }
    return links;
  }

  /** Where clients of a link are led to; undefined = nowhere. */
  whereIs(link: string, service: Service): TableTarget | 'here' | undefined {
    let first: Best | undefined;
    for (const best of this.#servers[service].get(link)?.values() ?? []) {
      if (best.source === 'local') return 'here';
      if (first === undefined || compareHosts(best.peer, first.peer) < 0) first = best;
    }
    return first && { host: first.peer, label: first.label ?? 0 };
  }

  /** The host of that; undefined = there is none. */
  hostOf(link: string, service: Service): UnderlayAddress | 'here' | undefined {
    const where = this.whereIs(link, service);
    return where === 'here' ? where : where?.host;
  }
}
