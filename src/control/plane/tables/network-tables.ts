/**
 * The tables of layer-2 networks on both data paths: what is told of a link goes to those of the one that
 * forwards for it, and goes over with it.
 * @module
 */
import { FanwayError } from '../../../errors.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';
import type { Service } from '../../../table/flood.ts';
import type {
  Binding,
  MacPlace,
  NetworkRows,
  NetworkTablePort,
  NetworkTableStatus,
  TableTarget,
} from './network-table.ts';

/** Fills a link's tables with what is told of it. */
function fill(table: NetworkTablePort, name: string, rows: NetworkRows): void {
  for (const [host, flags] of rows.vteps) table.setVtep(name, host, flags);
  for (const [mac, place] of rows.macs) table.setMac(name, mac, place);
  for (const [address, binding] of rows.neighbours) table.setNeighbour(name, address, binding);
  table.setFloods(name, rows.floods);
  for (const [service, where] of rows.services) table.setService(name, service, where);
}

/** Where the tables of both data paths are; undefined while that one has none. */
export type TablesOf = {
  processes: () => NetworkTablePort | undefined;
  kernel: () => NetworkTablePort | undefined;
};

export class EitherTables implements NetworkTablePort {
  readonly #of: TablesOf;
  /** Links whose rows are in the kernel's tables. */
  readonly #atKernel = new Set<string>();
  /** Links that go over, each with the table that is to have its rows. */
  readonly #moving = new Map<string, NetworkTablePort>();

  constructor(of: TablesOf) {
    this.#of = of;
  }

  /** The table that has a link's rows. @throws FanwayError where there is none */
  #home(name: string): NetworkTablePort {
    const { processes, kernel } = this.#of;
    const home = this.#atKernel.has(name) ? kernel() : (processes() ?? kernel());
    if (home === undefined) throw new FanwayError('no-data-plane', `${name}: there are no tables`);
    return home;
  }

  /** Every table that is told of a link. */
  *#told(name: string): Generator<NetworkTablePort> {
    yield this.#home(name);
    const next = this.#moving.get(name);
    if (next !== undefined) yield next;
  }

  /** A link is forwarded by that data path from now on: what is known of it goes there. */
  settle(name: string, at: keyof TablesOf): void {
    const { processes, kernel } = this.#of;
    const [home, before] = at === 'kernel' ? [kernel(), processes()] : [processes(), kernel()];
    if (at === 'kernel') this.#atKernel.add(name);
    else this.#atKernel.delete(name);
    if (home === undefined || before === undefined) return;
    if (this.#moving.get(name) !== home) fill(home, name, before.rows(name));
    this.#moving.delete(name);
    before.forget(name);
  }

  /** A link is about to go over: the other tables have all that is told of it, too. */
  prepare(name: string, at: keyof TablesOf): void {
    const next = this.#of[at]();
    if (next === undefined) return;
    fill(next, name, this.#home(name).rows(name));
    this.#moving.set(name, next);
  }

  /** It stays where it is. */
  stay(name: string): void {
    this.#moving.get(name)?.forget(name);
    this.#moving.delete(name);
  }

  setMac(name: string, mac: number, place: MacPlace): void {
    for (const table of this.#told(name)) table.setMac(name, mac, place);
  }

  deleteMac(name: string, mac: number): void {
    for (const table of this.#told(name)) table.deleteMac(name, mac);
  }

  setNeighbour(name: string, address: UnderlayAddress, binding: Binding): void {
    for (const table of this.#told(name)) table.setNeighbour(name, address, binding);
  }

  deleteNeighbour(name: string, address: UnderlayAddress): void {
    for (const table of this.#told(name)) table.deleteNeighbour(name, address);
  }

  setVtep(name: string, host: UnderlayAddress, flags: number): void {
    for (const table of this.#told(name)) table.setVtep(name, host, flags);
  }

  deleteVtep(name: string, host: UnderlayAddress): void {
    for (const table of this.#told(name)) table.deleteVtep(name, host);
  }

  setFloods(name: string, targets: readonly TableTarget[]): void {
    for (const table of this.#told(name)) table.setFloods(name, targets);
  }

  setService(name: string, service: Service, where: TableTarget | 'here' | undefined): void {
    for (const table of this.#told(name)) table.setService(name, service, where);
  }

  place(name: string, mac: number): MacPlace | undefined {
    return this.#home(name).place(name, mac);
  }

  binding(name: string, address: UnderlayAddress): Binding | undefined {
    return this.#home(name).binding(name, address);
  }

  status(name: string): NetworkTableStatus {
    return this.#home(name).status(name);
  }

  rows(name: string): NetworkRows {
    return this.#home(name).rows(name);
  }

  forget(name: string): void {
    for (const table of this.#told(name)) table.forget(name);
  }
}
