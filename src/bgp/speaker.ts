/**
 * The speaker: its neighbours, the table they fill, the networks that read it, and what this host
 * announces. Routes go in, changes come out; sockets, files and the clock are given.
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import { equalIp } from '../wire/bgp/address.ts';
import type { RouteDistinguisher } from '../wire/bgp/evpn.ts';
import { CeaseError } from '../wire/bgp/iana.ts';
import type {
  Connection,
  ConnectionListener,
  NetworkSettings,
  SpeakerEvents,
  SpeakerSettings,
  Timers,
  Transport,
} from './base/api.ts';
import { derivedRd, rdsOf } from './base/targets.ts';
import { Timer } from './base/timer.ts';
import { Neighbour } from './neighbour.ts';
import { type EntryChange, Imports } from './rib/imports.ts';
import { meaningOf } from './rib/meaning.ts';
import { announce, type OwnRoute, ownKey } from './rib/own-routes.ts';
import { AttributePool, keyOf, type PathSource } from './rib/path.ts';
import { Table } from './rib/table.ts';

/** Most routes that this host announces. */
export const OWN_ROUTES_MAX = 100_000;

export type SpeakerOptions = {
  settings: SpeakerSettings;
  timers: Timers;
  random: () => number;
  transport: Transport;
  events: SpeakerEvents;
  /** What is where, each time that it changes. */
  changed: (change: EntryChange) => void;
};

export class Speaker {
  readonly settings: SpeakerSettings;
  readonly table = new Table();
  readonly imports: Imports;
  readonly #options: SpeakerOptions;
  readonly #neighbours = new Map<string, Neighbour>();
  readonly #local: PathSource = { kind: 'local', address: '', identifier: 0 };
  /** Our own attributes apart from those of others: what goes out is derived differently. */
  readonly #pool = new AttributePool();
  readonly #networks = new Map<number, NetworkSettings>();
  readonly #own = new Map<string, { route: OwnRoute; key: string }>();
  readonly #settling: Timer;
  #rds: ReadonlyMap<number, RouteDistinguisher> = new Map();
  #isSettled = false;
  #strangers = 0;

  constructor(options: SpeakerOptions) {
    const { settings, timers } = options;
    this.settings = settings;
    this.#options = options;
    this.imports = new Imports(settings.vteps, options.changed);
    this.table.listen((change) => {
      this.imports.change(change);
      for (const { ribOut } of this.#neighbours.values()) ribOut.mark(change.key, change.best);
    });
    this.#settling = new Timer(timers, () => this.#settle());
    const pool = new AttributePool();
    for (const neighbour of settings.neighbours) {
      const made = new Neighbour({
        ...{ settings: neighbour, speaker: settings, table: this.table, pool },
        ...{ timers, random: options.random, transport: options.transport },
        events: options.events,
        settled: () => this.#lookSettled(),
      });
      this.#neighbours.set(neighbour.address, made);
    }
  }

  get neighbours(): Neighbour[] {
    return [...this.#neighbours.values()];
  }
  get networks(): NetworkSettings[] {
    return [...this.#networks.values()];
  }
  /** Connections from addresses that are no neighbour's. */
  get strangers(): number {
    return this.#strangers;
  }
  /**
   * All neighbours have sent what they have, or are not waited for any longer: what BGP does not
   * know from now on is not there (RFC 4724 §4.1).
   */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  neighbour(address: string): Neighbour | undefined {
    return this.#neighbours.get(address);
  }

  start(): void {
    this.#settling.start(Math.max(this.settings.restartSeconds, 1) * 1000);
    for (const neighbour of this.#neighbours.values()) neighbour.start();
  }

  /**
   * Says goodbye: all neighbours drop our routes at once. What they told goes with the speaker, and is not
   * told to be gone, route by route: whoever followed it forgets it as a whole.
   */
  stop(): void {
    this.#settling.stop();
    this.table.close();
    for (const neighbour of this.#neighbours.values()) {
      neighbour.stop(CeaseError.AdministrativeShutdown);
    }
  }

  /** A connection came in from `address`; undefined refuses it. */
  accept(address: string, connection: Connection): ConnectionListener | undefined {
    const neighbour = this.#neighbours.get(address);
    if (neighbour !== undefined) return neighbour.accept(connection);
    this.#strangers++;
    return undefined;
  }

  #lookSettled(): void {
    if (this.neighbours.every(({ hasEnded }) => hasEnded)) this.#settle();
  }

  #settle(): void {
    this.#settling.stop();
    this.#isSettled = true;
  }

  /** The networks of this host, all of them; routes and entries follow, and only where they must. */
  setNetworks(networks: readonly NetworkSettings[]): void {
    const wanted = new Map(networks.map((network) => [network.vni, network]));
    if (isDeepStrictEqual(wanted, this.#networks)) return;
    for (const [vni, network] of this.#networks) {
      if (isDeepStrictEqual(wanted.get(vni), network)) continue;
      this.imports.removeNetwork(vni);
      this.#networks.delete(vni);
    }
    const added = new Set<number>();
    for (const [vni, network] of wanted) {
      if (this.#networks.has(vni)) continue;
      this.#networks.set(vni, network);
      this.imports.addNetwork(network);
      added.add(vni);
    }
    this.#rds = rdsOf(networks, this.settings.routerId);
    if (added.size > 0) for (const path of this.table.bests()) this.imports.admit(path, added);
    for (const { route } of [...this.#own.values()]) {
      if (this.#networks.has(route.vni)) this.announce(route);
      else this.withdraw(route);
    }
  }

  /**
   * Announces, or announces anew with other particulars.
   * @returns why it cannot be, '' when it is.
   */
  announce(route: OwnRoute): string {
    const network = this.#networks.get(route.vni);
    if (network === undefined) return `there is no network with VNI ${route.vni}`;
    const known = this.#own.get(ownKey(route));
    if (known === undefined && this.#own.size >= OWN_ROUTES_MAX) {
      return `more than ${OWN_ROUTES_MAX} routes of our own`;
    }
    const { as, routerId, vtep } = this.settings;
    const rd = this.#rds.get(route.vni) ?? derivedRd(routerId, 0);
    const { vni, exportTargets } = network;
    const made = announce(route, { vni, rd, exportTargets }, { as, vtep });
    const key = keyOf(made.route);
    const attributes = this.#pool.intern(made.attributes);
    this.#own.set(ownKey(route), { route, key });
    if (known !== undefined && known.key !== key) this.table.set(known.key, this.#local, undefined);
    const before = this.table.pathOf(key, this.#local);
    const isSameHop = before !== undefined && equalIp(before.nextHop, made.nextHop);
    if (isSameHop && before.attributes === attributes) return '';
    this.table.set(key, this.#local, {
      ...{ key, route: made.route, attributes, meaning: meaningOf(attributes) },
      ...{ nextHop: made.nextHop, source: this.#local },
      ...{ sinceMs: Math.trunc(this.#options.timers.nowMs()), isStale: false },
    });
    return '';
  }

  /** @returns false when it was not announced. */
  withdraw(route: OwnRoute): boolean {
    const own = this.#own.get(ownKey(route));
    if (own === undefined) return false;
    this.#own.delete(ownKey(route));
    this.table.set(own.key, this.#local, undefined);
    return true;
  }

  get own(): OwnRoute[] {
    return [...this.#own.values()].map(({ route }) => route);
  }
}
