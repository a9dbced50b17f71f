/**
 * On a routed link the kernel, not a bridge, decides what goes into the tunnel: an entry needs a route
 * beside it there. What has moved here is behind the bridge, what has left our slice is behind the
 * tunnel.
 *
 * Each change is one route; the whole of a link is compared with the kernel's only when the link has
 * changed, or it is time to look whether somebody else touched it.
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { lanOf6 } from '../../net/fan6.ts';
import { contains, equals } from '../../net/prefix.ts';
import { bytesOfIpv6, contains6, equals6, type Ipv6, wordsOfIpv6 } from '../../net/prefix6.ts';
import {
  holdsHost,
  hostBytes,
  hostOfBytes,
  sameHostPrefix,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../net/underlay-address.ts';
import { type Best, type EntryId, slotOfPrefix } from '../../rib/entry.ts';
import type { Host } from '../host/host.ts';
import { ROUTE_TABLE_MAIN } from '../host/snapshot.ts';
import { isBridged, type LinkSpec, sideOf } from '../store/link-spec.ts';

const wordsOf = (address: string): Ipv6 => wordsOfIpv6(hostBytes(address));

/** Entries of a link, by its name. */
export type EntriesOf = (link: string) => Iterable<{ id: EntryId; best: Best }>;

/** The route of an entry, of either family. */
export type EntryRoute = { destination: UnderlayPrefix; device: string };

/** A route that is to be changed: what the kernel has of it, and what it is to have. */
type Change = { from: EntryRoute | undefined; to: EntryRoute | undefined };

type LinkRoutes = {
  spec: LinkSpec;
  /** What follows from the entries, by the number of the prefix. */
  wanted: Map<number | string, EntryRoute>;
  changes: Map<number | string, Change>;
  /** Everything is to be compared. */
  isUnsure: boolean;
};

export type RoutedEntriesOptions = {
  host: Pick<
    Host,
    | 'link'
    | 'routesOf'
    | 'addRoute'
    | 'deleteRoute'
    | 'routes6'
    | 'addRoute6'
    | 'deleteRoute6'
    | 'readSysctl'
    | 'writeSysctl'
  >;
  /** The links that are up. */
  specs: () => readonly LinkSpec[];
  log: Log;
};

/** The route that an entry at `peer` needs on a routed link; undefined = none. */
export function routeOf(
  spec: LinkSpec,
  prefix: UnderlayPrefix,
  peer: UnderlayAddress,
): EntryRoute | undefined {
  const { address, length } = prefix;
  const side = sideOf(spec, address);
  if (side === undefined) return undefined;
  const isHere = peer === spec.local;
  const wasHere = holdsHost(side.slice, address);
  // At home, by an entry or not: the slice's own route leads there.
  if (isHere === wasHere || sameHostPrefix(prefix, side.slice)) return undefined;
  return { destination: { address, length }, device: isHere ? spec.name : spec.device };
}

/** Whether the routes of two specs are the same. */
function sameRoutes(a: LinkSpec, b: LinkSpec): boolean {
  return (
    a.device === b.device &&
    a.local === b.local &&
    a.gateway === b.gateway &&
    equals(a.slice, b.slice) &&
    equals(a.overlay, b.overlay) &&
    isDeepStrictEqual(a.six, b.six)
  );
}

export class RoutedEntries {
  readonly #options: RoutedEntriesOptions;
  readonly #links = new Map<string, LinkRoutes>();
  #running: Promise<void> | undefined;

  constructor(options: RoutedEntriesOptions) {
    this.#options = options;
  }

  /** An entry of a link is at `peer` from now on; undefined = where arithmetic has it. */
  change(link: string, prefix: UnderlayPrefix, peer: UnderlayAddress | undefined): void {
    let routes = this.#links.get(link);
    if (routes === undefined) {
      const spec = this.#routedSpecs().find(({ name }) => name === link);
      if (spec === undefined) return;
      routes = { spec, wanted: new Map(), changes: new Map(), isUnsure: true };
      this.#links.set(link, routes);
    }
    const route = peer === undefined ? undefined : routeOf(routes.spec, prefix, peer);
    this.#want(routes, slotOfPrefix(prefix), route);
    this.#run();
  }

  /** Compares the routes of links that have entries, or had some, with what should be. */
  refresh(entriesOf: EntriesOf): void {
    const specs = new Map(this.#routedSpecs().map((spec) => [spec.name, spec]));
    for (const [name, routes] of this.#links) {
      const spec = specs.get(name);
      if (spec === undefined) {
        this.#links.delete(name);
        continue;
      }
      if (!sameRoutes(spec, routes.spec)) {
        routes.wanted.clear();
        routes.spec = spec;
        for (const { id, best } of entriesOf(name)) {
          if (id.kind !== 'prefix') continue;
          const route = routeOf(spec, id, best.peer);
          if (route !== undefined) this.#want(routes, slotOfPrefix(id), route);
        }
      }
      routes.isUnsure = true;
    }
    this.#run();
  }

  /** Resolves when all that was told is done. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #routedSpecs(): LinkSpec[] {
    return this.#options.specs().filter((spec) => !isBridged(spec));
  }

  #want(routes: LinkRoutes, slot: number | string, route: EntryRoute | undefined): void {
    const { wanted, changes } = routes;
    const before = wanted.get(slot);
    if (before?.device === route?.device) return;
    if (route === undefined) wanted.delete(slot);
    else wanted.set(slot, route);
    const change = changes.get(slot);
    changes.set(slot, { from: change === undefined ? before : change.from, to: route });
  }

  #run(): void {
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined;
      if (this.#next() !== undefined) this.#run();
    });
  }

  #next(): LinkRoutes | undefined {
    for (const routes of this.#links.values()) {
      if (routes.isUnsure || routes.changes.size > 0) return routes;
    }
    return undefined;
  }

  async #work(): Promise<void> {
    // What comes in at the same time is done at once.
    await Promise.resolve();
    for (let routes = this.#next(); routes !== undefined; routes = this.#next()) {
      const { name } = routes.spec;
      try {
        if (routes.isUnsure) await this.#compare(routes);
        else await this.#carryOut(routes);
        this.#answerForOthers(routes);
      } catch (error) {
        // The next look makes good what is left of it.
        this.#options.log.error('entries', `${name}: ${messageOf(error)}`);
      }
      if (routes.wanted.size === 0 && routes.changes.size === 0 && !routes.isUnsure) {
        if (this.#links.get(name) === routes) this.#links.delete(name);
      }
    }
  }

  async #carryOut(routes: LinkRoutes): Promise<void> {
    const { changes } = routes;
    routes.changes = new Map();
    for (const { from, to } of changes.values()) {
      if (from?.device === to?.device) continue;
      if (from !== undefined) await this.#delete(from, routes.spec);
      if (to !== undefined) await this.#add(to, routes.spec);
    }
  }

  async #add({ destination: { address, length }, device }: EntryRoute, spec: LinkSpec) {
    const { host } = this.#options;
    if (typeof address === 'string') {
      await host.addRoute6({ destination: { address: wordsOf(address), length }, device });
    } else await host.addRoute({ destination: { address, length }, device, source: spec.gateway });
  }

  async #delete({ destination: { address, length }, device }: EntryRoute, spec: LinkSpec) {
    const { host } = this.#options;
    if (typeof address === 'string') {
      await host.deleteRoute6({ destination: { address: wordsOf(address), length }, device });
    } else {
      await host.deleteRoute({ destination: { address, length }, device, source: spec.gateway });
    }
  }

  /** The link's own routes are not touched; all others of its devices in the overlay are ours. */
  async #compare(routes: LinkRoutes): Promise<void> {
    const { spec, wanted } = routes;
    routes.isUnsure = false;
    routes.changes.clear();
    const present = new Set<number | string>();
    const over: EntryRoute[] = [];
    for (const route of await this.#present(spec)) {
      const slot = slotOfPrefix(route.destination);
      if (wanted.get(slot)?.device === route.device) present.add(slot);
      else over.push(route);
    }
    const missing = [...wanted].filter(([slot]) => !present.has(slot));
    for (const route of over) await this.#delete(route, spec);
    for (const [slot, route] of missing) {
      // It may be over by now; its change is among those that wait then.
      if (!routes.changes.has(slot)) await this.#add(route, spec);
    }
    for (const [slot, change] of routes.changes)
      change.from = present.has(slot) ? change.from : undefined;
  }

  /** The routes of a link's devices inside its overlays, but for those that the link itself has. */
  async #present(spec: LinkSpec): Promise<EntryRoute[]> {
    const { host } = this.#options;
    const { six } = spec;
    const found: EntryRoute[] = [];
    const routes6 = six === undefined ? [] : await host.routes6();
    for (const device of [spec.name, spec.device]) {
      const index = (await host.link(device))?.index;
      if (index === undefined) continue;
      for (const { dst, src } of await host.routesOf(index)) {
        if (equals(dst, spec.slice) || equals(dst, spec.overlay)) continue;
        if (!contains(spec.overlay, dst.address) || src !== spec.gateway) continue;
        found.push({ destination: dst, device });
      }
      for (const { dst, oif, table, isUnicast } of routes6) {
        if (six === undefined || oif !== index || table !== ROUTE_TABLE_MAIN || !isUnicast)
          continue;
        const isOwn = [six.slice, six.overlay, lanOf6(six.slice)].some((own) => equals6(dst, own));
        if (isOwn || !contains6(six.overlay, dst.address)) continue;
        const address = hostOfBytes(bytesOfIpv6(dst.address));
        found.push({ destination: { address, length: dst.length }, device });
      }
    }
    return found;
  }

  /**
   * Containers take for near what has moved away, and what came takes its old neighbours for it: the host
   * answers ARP for whatever its routes lead elsewhere. (For IPv6 host/neighbour-proxy.ts does.)
   */
  #answerForOthers({ spec, wanted: routes }: LinkRoutes): void {
    const { host } = this.#options;
    const key = `net/ipv4/conf/${spec.name}/proxy_arp`;
    const wanted = routes.size > 0 ? '1' : '0';
    const now = host.readSysctl(key);
    if (now !== null && now !== wanted) host.writeSysctl(key, wanted);
  }
}
