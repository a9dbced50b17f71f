/**
 * Links, addresses, routes and neighbours of one network namespace.
 *
 * Values are ours (u32 addresses in host order, 48-bit MAC numbers, bytes); attributes and framing
 * stay in netlink-codec.ts and netlink-socket.ts. Every call is one request that the kernel
 * acknowledges; a refusal is a {@link NetlinkError} that says what was tried.
 * @module
 */
import type { Prefix } from '../../net/prefix.ts';
import type { Ipv6 } from '../../net/prefix6.ts';
import { NetworkNamespace } from '../process/netns.ts';
import { type BridgeNews, watchBridges } from './bridge-monitor.ts';
import { type BridgeSettings, bridgeSettings } from './bridge-settings.ts';
import type { InterfaceAddress, Link, NeighbourRecord, RouteRecord } from './codec.ts';
import * as fib from './fib.ts';
import * as ipv6 from './ipv6.ts';
import * as links from './link.ts';
import { type NetlinkEvent, watch } from './monitor.ts';
import * as routes from './route.ts';
import * as six from './six.ts';
import { type ListenOptions, NetlinkSocket } from './socket.ts';
import * as tc from './tc.ts';

export type { BridgeNews } from './bridge-monitor.ts';
export type { BridgeSettings, PortSettings } from './bridge-settings.ts';
export type {
  InterfaceAddress,
  Link,
  LinkStatistics,
  NeighbourRecord,
  RouteRecord,
} from './codec.ts';
export type { RouteScan } from './fib.ts';
export type { Ipv6Address } from './ipv6.ts';
export type { BridgeOptions, LinkSettings, VethOptions, VxlanOptions } from './link.ts';
export { type NetlinkEvent, RouteInterest } from './monitor.ts';
export type { AddressOptions, RouteSpec } from './route.ts';
export type { InterfaceAddress6, Route6, RouteSpec6 } from './six.ts';
export { NetlinkError } from './socket.ts';

/** A name or an ifindex. */
export type LinkRef = string | number;

/** A handle on the network configuration of the namespace it was opened in. */
export class Netlink {
  readonly #socket: NetlinkSocket;
  readonly #namespace: NetworkNamespace;

  private constructor(namespace: NetworkNamespace) {
    this.#namespace = namespace;
    this.#socket = namespace.run(() => new NetlinkSocket());
  }

  /**
   * Opens a socket in `namespace` (default: the one the main thread is in). The socket stays there,
   * whatever the thread does later, and holds the event loop only while a request is under way.
   */
  static open(namespace: NetworkNamespace = NetworkNamespace.current()): Netlink {
    return new Netlink(namespace);
  }

  close(): void {
    this.#socket.close();
  }

  links(): Promise<Link[]> {
    return links.listLinks(this.#socket);
  }
  /** One link. @throws NetlinkError ENODEV when there is none of that name or index. */
  link(ref: LinkRef): Promise<Link> {
    return links.getLink(this.#socket, ref);
  }
  /** As {@link link}, undefined when it does not exist. */
  findLink(ref: LinkRef): Promise<Link | undefined> {
    return links.findLink(this.#socket, ref);
  }
  /** @throws NetlinkError EEXIST. */
  createBridge(name: string, options: links.BridgeOptions = {}): Promise<void> {
    return links.createBridge(this.#socket, name, options);
  }
  /** A pair; the second end is born in the namespace `peerNetnsFd` if given. @throws EEXIST. */
  createVeth(name: string, peerName: string, options: links.VethOptions = {}): Promise<void> {
    return links.createVeth(this.#socket, name, peerName, options);
  }
  /** A kernel VXLAN device. @throws EEXIST (name, or VNI and port in use), EOPNOTSUPP without the module. */
  createVxlan(name: string, options: links.VxlanOptions): Promise<void> {
    return links.createVxlan(this.#socket, name, options);
  }
  /** A VXLAN device of all networks of a port. @throws EEXIST where the port has one already. */
  createExternalVxlan(name: string, options: { port: number; mtu: number }): Promise<void> {
    return links.createExternalVxlan(this.#socket, name, options);
  }
  /** A device of IP in IP whose programs say where each packet goes. @throws NetlinkError EEXIST */
  createExternalIpip(name: string, options: { mtu: number }): Promise<void> {
    return links.createExternalIpip(this.#socket, name, options);
  }
  /** Gives a device the hooks of tc (clsact), unless it has them. */
  addHooks(index: number): Promise<void> {
    return tc.addHooks(this.#socket, index);
  }
  /** Attaches a program of ours to a hook, in place of the one that is there. */
  attachProgram(
    index: number,
    hook: tc.Hook,
    program: { fd: number; name: string; priority: tc.FilterPriority },
  ): Promise<void> {
    return tc.attachProgram(this.#socket, index, hook, program);
  }
  /** Number of our program of a priority at a hook, 0 where there is none. */
  attachedProgram(index: number, hook: tc.Hook, priority: tc.FilterPriority): Promise<number> {
    return tc.attachedProgram(this.#socket, index, hook, priority);
  }
  /** Changes what is named in `change`, nothing else; up and down come last and first. */
  setLink(ref: LinkRef, change: links.LinkSettings): Promise<void> {
    return links.setLink(this.#socket, ref, change);
  }
  /** @throws NetlinkError ENODEV. */
  deleteLink(ref: LinkRef): Promise<void> {
    return links.deleteLink(this.#socket, ref);
  }

  /** All IPv4 addresses, or those of one link. */
  addresses(ref?: LinkRef): Promise<InterfaceAddress[]> {
    return routes.listAddresses(this.#socket, ref);
  }
  /** All IPv6 addresses that are ready for use. */
  ipv6Addresses(): Promise<ipv6.Ipv6Address[]> {
    return ipv6.listIpv6Addresses(this.#socket);
  }
  /** Index of the device that the IPv6 default route leads out of, 0 where there is none. */
  ipv6WayOut(): Promise<number> {
    return ipv6.ipv6WayOut(this.#socket);
  }
  /** @throws NetlinkError EEXIST when the same address with the same length is there. */
  addAddress(
    ref: LinkRef,
    address: number,
    length: number,
    options: routes.AddressOptions = {},
  ): Promise<void> {
    return routes.changeAddress(this.#socket, 'add', ref, address, length, options);
  }
  /** @throws NetlinkError EADDRNOTAVAIL. */
  deleteAddress(ref: LinkRef, address: number, length: number): Promise<void> {
    return routes.changeAddress(this.#socket, 'delete', ref, address, length, {});
  }

  /** All IPv4 routes of all tables (255 is local, 254 main), without the cache. */
  routes(): Promise<RouteRecord[]> {
    return routes.listRoutes(this.#socket);
  }
  /** Default routes of a table, with the ways of those that have several; cheap in any table. */
  async defaultRoutes(table: number): Promise<RouteRecord[]> {
    const found = await fib.defaultRoutes(this.#namespace.run(fib.openScan), table);
    for (const route of found) {
      // A kernel that does not spell next-hop objects out (net.ipv4.nexthop_compat_mode = 0).
      if (route.nextHopId === 0 || route.oif !== 0 || route.hops.length > 0) continue;
      route.hops = await fib.nextHops(this.#socket, route.nextHopId);
    }
    return found;
  }
  /** Routes inside `overlay` or around it, of all tables: walks through everything once. */
  routesMeeting(overlay: Prefix): Promise<fib.RouteScan> {
    return fib.routesMeeting(this.#namespace.run(fib.openScan), overlay);
  }
  /** Routes of a table out of one device: the kernel walks through everything. */
  routesOut(table: number, oif: number): Promise<RouteRecord[]> {
    return fib.routesOut(this.#namespace.run(fib.openScan), { table, oif });
  }
  /** The entry that decides about packets to `address` out of a device; cheap in any table. */
  routeMatching(address: number, oif: number): Promise<RouteRecord | undefined> {
    return fib.routeMatching(this.#socket, address, oif);
  }
  /** The route the kernel takes to `address` now. @throws NetlinkError ENETUNREACH, EHOSTUNREACH. */
  routeTo(address: number): Promise<RouteRecord> {
    return routes.routeTo(this.#socket, address);
  }
  /** @throws NetlinkError EEXIST, ENETUNREACH (gateway not on-link), ENETDOWN (link down). */
  addRoute(spec: routes.RouteSpec): Promise<void> {
    return routes.changeRoute(this.#socket, 'add', spec);
  }
  /** Adds, or replaces the route of the same destination, table and metric. */
  replaceRoute(spec: routes.RouteSpec): Promise<void> {
    return routes.changeRoute(this.#socket, 'replace', spec);
  }
  /** Deletes the first route that agrees with every given field. @throws NetlinkError ESRCH. */
  deleteRoute(spec: routes.RouteSpec): Promise<void> {
    return routes.changeRoute(this.#socket, 'delete', spec);
  }

  /** All IPv6 addresses. */
  addresses6(): Promise<six.InterfaceAddress6[]> {
    return six.listAddresses6(this.#socket);
  }
  /** Without duplicate address detection and without a route. @throws NetlinkError EEXIST. */
  addAddress6(ref: LinkRef, address: Ipv6, length: number): Promise<void> {
    return six.changeAddress6(this.#socket, 'add', ref, address, length);
  }
  /** @throws NetlinkError EADDRNOTAVAIL. */
  deleteAddress6(ref: LinkRef, address: Ipv6, length: number): Promise<void> {
    return six.changeAddress6(this.#socket, 'delete', ref, address, length);
  }
  /** A permanent IPv6 neighbour; replaces one that is there. */
  addNeighbour6(ref: LinkRef, address: Ipv6, mac: number): Promise<void> {
    return six.addNeighbour6(this.#socket, ref, address, mac);
  }
  /** All IPv6 routes of all tables. */
  routes6(): Promise<six.Route6[]> {
    return six.listRoutes6(this.#socket);
  }
  /** @throws NetlinkError EEXIST, ENETDOWN. */
  addRoute6(spec: six.RouteSpec6): Promise<void> {
    return six.changeRoute6(this.#socket, 'add', spec);
  }
  /** @throws NetlinkError ESRCH. */
  deleteRoute6(spec: six.RouteSpec6): Promise<void> {
    return six.changeRoute6(this.#socket, 'delete', spec);
  }
  /** The way the kernel takes to an IPv6 address now. @throws NetlinkError ENETUNREACH, EHOSTUNREACH. */
  routeTo6(address: Ipv6): Promise<six.Way6> {
    return six.routeTo6(this.#socket, address);
  }
  /** The entry that decides about packets to an IPv6 address out of a device. */
  routeMatching6(address: Ipv6, oif?: number): Promise<six.Route6 | undefined> {
    return six.routeMatching6(this.#socket, address, oif);
  }

  /** IPv4 neighbours, or with `bridge` the forwarding tables of bridges and VXLAN devices. */
  neighbours(options: { bridge?: boolean } = {}): Promise<NeighbourRecord[]> {
    return routes.listNeighbours(this.#socket, options.bridge === true);
  }
  /**
   * ifindex of the port behind which a bridge knows `mac` (the bridge's own for its own address),
   * undefined where it does not.
   */
  async bridgePortOf(bridge: number, mac: number): Promise<number | undefined> {
    return (await this.bridgeEntryOf(bridge, mac))?.index;
  }
  /** The same with all that it knows. */
  bridgeEntryOf(bridge: number, mac: number): Promise<NeighbourRecord | undefined> {
    return routes.bridgeEntryOf(this.#socket, bridge, mac);
  }
  /** The forwarding entries of one bridge, by ifindex. */
  bridgeEntries(bridge: number): Promise<NeighbourRecord[]> {
    return routes.listBridgeEntries(this.#socket, bridge);
  }
  /** What a bridge and its ports do with frames, undefined where there is no bridge of that name. */
  bridgeSettings(name: string): Promise<BridgeSettings | undefined> {
    return bridgeSettings(this.#socket, name);
  }
  /**
   * Says that a bridge has `mac` behind its port of that ifindex, until it learns it elsewhere; `unknown`:
   * one that it knows already stays where it is.
   */
  pointBridge(port: number, mac: number, only?: 'unknown'): Promise<void> {
    return routes.pointBridge(this.#socket, port, mac, only);
  }
  /** Has a bridge answer ARP for an address; false where somebody else has written one down. */
  addAnswer(bridge: number, address: number, mac: number): Promise<boolean> {
    return routes.addAnswer(this.#socket, bridge, address, mac);
  }
  deleteAnswer(bridge: number, address: number): Promise<void> {
    return routes.deleteAnswer(this.#socket, bridge, address);
  }
  /** What a bridge answers for us. */
  answers(bridge: number): Promise<NeighbourRecord[]> {
    return routes.listAnswers(this.#socket, bridge);
  }
  /** A permanent IPv4 neighbour; replaces one that is there. */
  addNeighbour(ref: LinkRef, address: number, mac: number): Promise<void> {
    return routes.addNeighbour(this.#socket, ref, address, mac);
  }
  deleteNeighbour(ref: LinkRef, address: number): Promise<void> {
    return routes.deleteNeighbour(this.#socket, ref, address);
  }
  /**
   * Static entry of a VXLAN device: frames to `mac` go to the VTEP `dst`. MAC 0 is the entry for
   * all unknown addresses, and each further one is another copy (`bridge fdb append`).
   */
  addFdb(ref: LinkRef, mac: number, dst: number): Promise<void> {
    return routes.addFdb(this.#socket, ref, mac, dst);
  }
  /** Whether a bridge holds `mac` as its own; true where the kernel cannot be asked (before 5.0). */
  hasBridgeMac(ref: LinkRef, mac: number): Promise<boolean> {
    return routes.hasBridgeMac(this.#socket, ref, mac);
  }
  /** Makes `mac` an address of the bridge itself: frames to it go up to the host. */
  addBridgeMac(ref: LinkRef, mac: number): Promise<void> {
    return routes.addBridgeMac(this.#socket, ref, mac);
  }
  deleteBridgeMac(ref: LinkRef, mac: number): Promise<void> {
    return routes.deleteBridgeMac(this.#socket, ref, mac);
  }
  deleteFdb(ref: LinkRef, mac: number, dst: number): Promise<void> {
    return routes.deleteFdb(this.#socket, ref, mac, dst);
  }

  /**
   * Calls `listener` for every change of a link, IPv4 address or IPv4 route in the namespace, until
   * the returned function is called. A `lost` event means that notifications were dropped: read
   * the tables anew. Keeps the event loop alive unless `background`.
   */
  monitor(listener: (event: NetlinkEvent) => void, options: ListenOptions = {}): () => void {
    return this.#namespace.run(() => watch(listener, options));
  }

  /**
   * Calls `listener` for what bridges learn and forget, and for links that come, change and go, in the
   * kernel's order, until the returned function is called.
   */
  watchBridges(listener: (news: BridgeNews) => void, options: ListenOptions = {}): () => void {
    return this.#namespace.run(() => watchBridges(listener, options));
  }
}
