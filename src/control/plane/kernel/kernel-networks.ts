/**
 * Who is where in layer-2 networks that the kernel forwards, as their programs read it; each change is one write
 * to a map of its network. As in network-table.ts, what is told belongs to a link's name, also while the
 * link does not run, and what has no room waits.
 * @module
 */
import { KeyMap } from '../../../net/collections/key-map.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';
import type { Service } from '../../../table/flood.ts';
import type {
  Binding,
  MacPlace,
  NetworkRows,
  NetworkTablePort,
  NetworkTableStatus,
  TableTarget,
} from '../tables/network-table.ts';
import type { KernelNetwork } from './kernel-network.ts';
import type { MapTarget } from './network-maps.ts';

/** What a predecessor left in maps and nobody has told again goes after this, ms: gossip has told all by then. */
const UNCONFIRMED_MS = 30_000;
const VACANT: MapTarget = { host: 0, vni: 0 };

type Rows = {
  link: KernelNetwork | undefined;
  macs: KeyMap<number, MacPlace>;
  neighbours: Map<UnderlayAddress, Binding>;
  vteps: Map<UnderlayAddress, number>;
  floods: readonly TableTarget[];
  /** The same with their places in the map, where each stays while it is there. */
  places: MapTarget[];
  services: Map<Service, TableTarget | 'here'>;
  waitingMacs: Set<number>;
  waitingNeighbours: Set<UnderlayAddress>;
  timer: NodeJS.Timeout | undefined;
};

function emptyRows(): Rows {
  return {
    ...{ link: undefined, macs: new KeyMap(), neighbours: new Map(), vteps: new Map() },
    ...{ floods: [], places: [], services: new Map(), timer: undefined },
    ...{ waitingMacs: new Set(), waitingNeighbours: new Set() },
  };
}

/** A host as the maps have it; undefined for one that no packet over IPv4 gets to. */
function wordOf(host: UnderlayAddress): number | undefined {
  return typeof host === 'number' && host !== 0 ? host : undefined;
}

export class KernelNetworks implements NetworkTablePort {
  readonly #links = new Map<string, Rows>();

  #of(name: string): Rows {
    const rows = this.#links.get(name) ?? emptyRows();
    this.#links.set(name, rows);
    return rows;
  }

  /** The link runs from now on: what is known of it goes into its maps. */
  bind(name: string, link: KernelNetwork): void {
    const rows = this.#of(name);
    rows.link = link;
    rows.places = link.rows.floods().places;
    for (const [host, flags] of rows.vteps) this.setVtep(name, host, flags);
    for (const [mac, place] of rows.macs) this.#putMac(rows, mac, place);
    for (const [address, binding] of rows.neighbours) this.#putNeighbour(rows, address, binding);
    // What a predecessor had stays until somebody says what is so.
    if (rows.floods.length + rows.services.size > 0) this.#putFloods(rows);
    clearTimeout(rows.timer);
    rows.timer = setTimeout(() => this.#sweep(rows), UNCONFIRMED_MS);
    rows.timer.unref();
  }

  /** It runs no more; what is known stays. */
  unbind(name: string): void {
    const rows = this.#links.get(name);
    if (rows === undefined) return;
    clearTimeout(rows.timer);
    rows.link = undefined;
    rows.waitingMacs.clear();
    rows.waitingNeighbours.clear();
    this.#forgetEmpty(name, rows);
  }

  /** What is in the maps and was told by nobody goes. */
  #sweep({ link, macs, neighbours, vteps }: Rows): void {
    if (link === undefined) return;
    const { rows } = link;
    for (const mac of rows.macs()) if (macs.get(mac) === undefined) rows.deleteMac(mac);
    for (const address of rows.addresses()) {
      if (!neighbours.has(address)) rows.deleteNeighbour(address);
    }
    for (const { host } of rows.vteps()) if (!vteps.has(host)) rows.deleteVtep(host);
  }

  setMac(name: string, mac: number, place: MacPlace): void {
    const rows = this.#of(name);
    rows.macs.set(mac, place);
    this.#putMac(rows, mac, place);
  }

  deleteMac(name: string, mac: number): void {
    const rows = this.#links.get(name);
    if (rows === undefined || !rows.macs.delete(mac)) return;
    rows.waitingMacs.delete(mac);
    rows.link?.rows.deleteMac(mac);
    this.#admit(rows);
    this.#forgetEmpty(name, rows);
  }

  #putMac({ link, waitingMacs }: Rows, mac: number, { host, flags, label }: MacPlace): void {
    if (link === undefined) return;
    const at = host === 'here' ? 0 : wordOf(host);
    const vni = label === 0 ? link.spec.vni : label;
    if (at !== undefined && link.rows.setMac(mac, { host: at, vni, flags })) {
      waitingMacs.delete(mac);
      return;
    }
    link.rows.deleteMac(mac);
    waitingMacs.add(mac);
  }

  setNeighbour(name: string, address: UnderlayAddress, binding: Binding): void {
    const rows = this.#of(name);
    rows.neighbours.set(address, binding);
    this.#putNeighbour(rows, address, binding);
  }

  deleteNeighbour(name: string, address: UnderlayAddress): void {
    const rows = this.#links.get(name);
    if (rows === undefined || !rows.neighbours.delete(address)) return;
    rows.waitingNeighbours.delete(address);
    rows.link?.rows.deleteNeighbour(address);
    this.#admit(rows);
    this.#forgetEmpty(name, rows);
  }

  #putNeighbour(rows: Rows, address: UnderlayAddress, binding: Binding): void {
    const { link, waitingNeighbours } = rows;
    if (link === undefined) return;
    if (link.rows.setNeighbour(address, binding)) waitingNeighbours.delete(address);
    else {
      link.rows.deleteNeighbour(address);
      waitingNeighbours.add(address);
    }
  }

  setVtep(name: string, host: UnderlayAddress, flags: number): void {
    const rows = this.#of(name);
    rows.vteps.set(host, flags);
    const word = wordOf(host);
    if (word !== undefined) rows.link?.rows.setVtep(word, flags);
  }

  deleteVtep(name: string, host: UnderlayAddress): void {
    const rows = this.#links.get(name);
    if (rows === undefined || !rows.vteps.delete(host)) return;
    const word = wordOf(host);
    if (word !== undefined) rows.link?.rows.deleteVtep(word);
    this.#forgetEmpty(name, rows);
  }

  setFloods(name: string, targets: readonly TableTarget[]): void {
    const rows = this.#of(name);
    rows.floods = targets;
    this.#putFloods(rows);
    this.#forgetEmpty(name, rows);
  }

  setService(name: string, service: Service, where: TableTarget | 'here' | undefined): void {
    const rows = this.#of(name);
    if (where === undefined) rows.services.delete(service);
    else rows.services.set(service, where);
    this.#putFloods(rows);
    this.#forgetEmpty(name, rows);
  }

  /** All floods and services of a link: a target that stays keeps its place. */
  #putFloods(rows: Rows): void {
    const { link, floods, services } = rows;
    if (link === undefined) return;
    const { spec } = link;
    const targetOf = ({ host, label }: TableTarget): MapTarget => {
      return { host: wordOf(host) ?? 0, vni: label === 0 ? spec.vni : label };
    };
    const wanted = new Map(floods.map((one) => [wordOf(one.host) ?? 0, targetOf(one)]));
    wanted.delete(0);
    const places = rows.places.map(({ host }) => {
      const target = wanted.get(host) ?? VACANT;
      wanted.delete(host);
      return target;
    });
    for (const target of wanted.values()) {
      const vacant = places.findIndex(({ host }) => host === 0);
      if (vacant < 0) places.push(target);
      else places[vacant] = target;
    }
    while (places.at(-1)?.host === 0) places.pop();
    rows.places = places;
    const local = wordOf(spec.local) ?? 0;
    const served = new Map<Service, MapTarget>();
    for (const [service, where] of services) {
      served.set(service, where === 'here' ? { host: local, vni: spec.vni } : targetOf(where));
    }
    link.rows.setFloods(places, served);
  }

  place(name: string, mac: number): MacPlace | undefined {
    const link = this.#links.get(name)?.link;
    const place = link?.rows.place(mac);
    if (link === undefined || place === undefined) return undefined;
    const label = place.host === 0 || place.vni === link.spec.vni ? 0 : place.vni;
    return { host: place.host === 0 ? 'here' : place.host, flags: place.flags, label };
  }

  binding(name: string, address: UnderlayAddress): Binding | undefined {
    return this.#links.get(name)?.link?.rows.binding(address);
  }

  status(name: string): NetworkTableStatus {
    const rows = this.#links.get(name) ?? emptyRows();
    const waiting = rows.waitingMacs.size + rows.waitingNeighbours.size;
    return { macs: rows.macs.size, addresses: rows.neighbours.size, waiting };
  }

  rows(name: string): NetworkRows {
    const { macs, neighbours, vteps, floods, services } = this.#links.get(name) ?? emptyRows();
    return { macs, neighbours, vteps, floods, services };
  }

  forget(name: string): void {
    const rows = this.#links.get(name);
    if (rows !== undefined && rows.link === undefined) this.#links.delete(name);
  }

  /** Something left: what waits may come in. */
  #admit(rows: Rows): void {
    for (const mac of rows.waitingMacs) {
      const place = rows.macs.get(mac);
      if (place !== undefined) this.#putMac(rows, mac, place);
      if (rows.waitingMacs.has(mac)) break;
    }
    for (const address of rows.waitingNeighbours) {
      const binding = rows.neighbours.get(address);
      if (binding !== undefined) this.#putNeighbour(rows, address, binding);
      if (rows.waitingNeighbours.has(address)) break;
    }
  }

  #forgetEmpty(name: string, rows: Rows): void {
    const { link, macs, neighbours, vteps, floods, services } = rows;
    if (link !== undefined) return;
    if (macs.size + neighbours.size + vteps.size + floods.length + services.size > 0) return;
    this.#links.delete(name);
  }
}
