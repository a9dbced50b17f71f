/**
 * The routes of this machine as the control process asks for them, where the table may have a
 * million: one entry where one is meant, and a walk through everything seldom.
 * @module
 */
import { broadcastOf, equals, formatPrefix, type Prefix } from '../../net/prefix.ts';
import type { Netlink, NetlinkEvent } from '../../sys/netlink/netlink.ts';
import type { Host, KernelRoute, MetRoutes } from './host.ts';
import { ROUTE_TABLE_LOCAL, ROUTE_TABLE_MAIN, type SnapshotRoute } from './snapshot.ts';

/** After a walk that took this long no other for so many times as long, unless something changed. */
const REST_FACTOR = 300;

type Remembered<T> = { answer: T; untilMs: number };

/** Answers of walks, for as long as walking again would cost too much of the processor. */
class Walks<T> {
  readonly #known = new Map<string, Remembered<T>>();

  clear(): void {
    this.#known.clear();
  }

  async answer(key: string, fresh: boolean, walk: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    const known = this.#known.get(key);
    if (known !== undefined && !fresh && startMs < known.untilMs) return known.answer;
    const answer = await walk();
    const endMs = performance.now();
    this.#known.set(key, { answer, untilMs: endMs + (endMs - startMs) * REST_FACTOR });
    return answer;
  }
}

type Asked = Pick<Host, 'defaultRoutes' | 'routesMeeting' | 'routesOf' | 'hasRoute'>;

export class HostRoutes implements Asked {
  readonly #netlink: Netlink;
  readonly #indexOf: (device: string) => number | undefined;
  readonly #met = new Walks<MetRoutes>();
  readonly #out = new Walks<SnapshotRoute[]>();

  /** @param indexOf the ifindex of a device, undefined where there is none */
  constructor(netlink: Netlink, indexOf: (device: string) => number | undefined) {
    this.#netlink = netlink;
    this.#indexOf = indexOf;
  }

  /** Somebody changed a route of our devices, or may have. */
  note(event: NetlinkEvent): void {
    if (event.kind === 'route' || event.kind === 'lost') this.changed();
  }

  /** We changed a route. */
  changed(): void {
    this.#out.clear();
  }

  defaultRoutes(): Promise<SnapshotRoute[]> {
    return this.#netlink.defaultRoutes(ROUTE_TABLE_MAIN);
  }

  routesMeeting(overlay: Prefix, { fresh }: { fresh: boolean }): Promise<MetRoutes> {
    const walk = (): Promise<MetRoutes> => this.#netlink.routesMeeting(overlay);
    return this.#met.answer(formatPrefix(overlay), fresh, walk);
  }

  routesOf(index: number): Promise<SnapshotRoute[]> {
    const walk = (): Promise<SnapshotRoute[]> => this.#netlink.routesOut(ROUTE_TABLE_MAIN, index);
    return this.#out.answer(String(index), false, walk);
  }

  /**
   * Asks which entry decides about an address of the route's destination out of its device. Another
   * one may: a longer prefix, or a rule (ip-rule) that looks elsewhere first. Then a walk tells.
   */
  async hasRoute({ destination, device, source, type }: KernelRoute): Promise<boolean> {
    const index = this.#indexOf(device);
    if (index === undefined) return false;
    const isIt = (route: SnapshotRoute): boolean =>
      route.oif === index &&
      route.type === type &&
      (source === 0 || route.src === source) &&
      equals(route.dst, destination);
    // The last but one address: the last is a broadcast address, the first ones are in use.
    const { length } = destination;
    const probe = length >= 31 ? destination.address : broadcastOf(destination) - 1;
    const found = await this.#netlink.routeMatching(probe, index);
    if (found !== undefined && isIt(found)) return true;
    const table = type === 'unicast' ? ROUTE_TABLE_MAIN : ROUTE_TABLE_LOCAL;
    const walk = (): Promise<SnapshotRoute[]> => this.#netlink.routesOut(table, index);
    return (await this.#out.answer(`${table} ${index}`, false, walk)).some(isIt);
  }
}
