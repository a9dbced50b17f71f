/**
 * What the control process needs of the machine it runs on. The real one is in `real-host.ts`;
 * tests put a table in its place and stop it at any step.
 * @module
 */

import type { SuperBytes } from '../../api/status.ts';
import type { FanEncap } from '../../config/link/modes.ts';
import type { RateRequest } from '../../config/link/rate.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { Ipv6, Prefix6 } from '../../net/prefix6.ts';
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import type { LegacyTables } from '../../sys/host/iptables-legacy.ts';
import type {
  InterfaceAddress6,
  Ipv6Address,
  LinkSettings,
  Route6,
} from '../../sys/netlink/netlink.ts';
import type { AnySpec, SixSpec } from '../store/link-spec.ts';
import type { AnswersHost } from './arp/answers.ts';
import type {
  PacketFilter,
  SnapshotAddress,
  SnapshotLink,
  SnapshotRoute,
  UnderlayView,
} from './snapshot.ts';

/** What dnsmasq hands out. Addresses are u32 in host order. */
export type DhcpSpec = {
  bridge: string;
  gateway: number;
  first: number;
  last: number;
  /** Length of the mask that containers get, bits. */
  length: number;
  /** Option 26, bytes. */
  mtu: number;
};

/** The machine whose underlay a host's fans lie on, most often its own. */
export async function underlayOf(host: Host): Promise<UnderlayView> {
  if (host.underlay !== undefined) return host.underlay();
  const [links, addresses, ipv6Addresses, ipv6WayOut, routes] = await Promise.all([
    host.links(),
    host.addresses(),
    host.ipv6Addresses(),
    host.ipv6WayOut(),
    host.defaultRoutes(),
  ]);
  return { links, addresses, ipv6Addresses, ipv6WayOut, routes };
}

/** What a fan announces to its containers as their router. */
export type AdvertSpec = {
  bridge: string;
  /** The bridge's MAC, a 48-bit number: its link-local address follows from it. */
  mac: number;
  /** The network that containers make addresses in, and the overlay around it. */
  lan: Prefix6;
  overlay: Prefix6;
  /** This host is the way to the overlay; otherwise it is on-link. */
  routed: boolean;
  /** Bytes. */
  mtu: number;
};

/** One IPv6 route of ours, without a gateway; `device` is a name. */
export type HostRoute6 = { destination: Prefix6; device: string };

/** What of the machine has to do with IPv6. */
export type Host6 = {
  addresses6(): Promise<InterfaceAddress6[]>;
  routes6(): Promise<Route6[]>;
  addAddress6(device: string, address: Ipv6, length: number): Promise<void>;
  deleteAddress6(device: string, address: Ipv6, length: number): Promise<void>;
  addRoute6(route: HostRoute6): Promise<void>;
  deleteRoute6(route: HostRoute6): Promise<void>;
  /** Whether there is exactly this route. */
  hasRoute6(route: HostRoute6): Promise<boolean>;
  /** Sends router advertisements on a bridge from now on. @throws SystemError */
  announce(spec: AdvertSpec): void;
  isAnnouncing(spec: AdvertSpec): boolean;
  /** Takes back what was announced on a bridge. */
  withdraw(bridge: string): void;
};

/** One route of ours; `device` is a name. */
export type HostRoute = { destination: Prefix; device: string; source: number };

/** A route as the kernel itself makes one for an address of the device. */
export type KernelRoute = HostRoute & { type: 'unicast' | 'local' | 'broadcast' };

/** `whole`: the table was walked through to its end. */
export type MetRoutes = { routes: SnapshotRoute[]; whole: boolean };

/** A process by id and start time, so that a reused id is never mistaken for it. */
export type ProcessMark = { pid: number; startTime: string };

export type Host = Host6 & {
  /** Where the underlay is, when that is another machine than everything else here is about. */
  underlay?(): Promise<UnderlayView>;
  links(): Promise<SnapshotLink[]>;
  /** One of them, by name or ifindex; undefined when there is none. */
  link(ref: string | number): Promise<SnapshotLink | undefined>;
  addresses(): Promise<SnapshotAddress[]>;
  /** Those of IPv6 that are ready for use. */
  ipv6Addresses(): Promise<Ipv6Address[]>;
  /** Index of the device that leads to the rest of the IPv6 world, 0 where none does. */
  ipv6WayOut(): Promise<number>;
  /** The default routes of table main. */
  defaultRoutes(): Promise<SnapshotRoute[]>;
  /**
   * Routes of any table inside `overlay` or around it. Walks through the whole table; where that is
   * large, an earlier answer may do unless it must be `fresh`.
   */
  routesMeeting(overlay: Prefix, how: { fresh: boolean }): Promise<MetRoutes>;
  /** Routes of table main out of a device, by ifindex. */
  routesOf(index: number): Promise<SnapshotRoute[]>;
  /** Whether there is exactly this route; `source` counts where it is not 0. */
  hasRoute(route: KernelRoute): Promise<boolean>;
  createBridge(name: string, mac: number): Promise<void>;
  setLink(ref: string | number, change: LinkSettings): Promise<void>;
  deleteLink(index: number): Promise<void>;
  addAddress(device: string, address: number, length: number): Promise<void>;
  deleteAddress(device: string, address: number, length: number): Promise<void>;
  addRoute(route: HostRoute): Promise<void>;
  deleteRoute(route: HostRoute): Promise<void>;
  addKernelRoute(route: KernelRoute): Promise<void>;
  /** Whether a bridge knows a MAC, a 48-bit number, as its own; true where the kernel cannot say. */
  hasOwnMac(bridge: number, mac: number): Promise<boolean>;
  addOwnMac(bridge: number, mac: number): Promise<void>;
  /** Takes back all that a bridge, by its name, answers for us; absent where it never answers. */
  forgetAnswers?(bridge: string): Promise<void>;
  /** Why the kernel cannot forward for fans of an encapsulation here, '' where it can; absent where it never can. */
  kernelPath?(encap: FanEncap): Promise<string>;
  /** UDP ports at which the kernel listens for FOU; absent where it never does for fans. */
  fouPorts?(): Promise<number[]>;
  /** Takes a fan's listener away, which may be gone; absent as above. */
  deleteFouPort?(port: number): Promise<void>;
  /** null where the key does not exist. */
  readSysctl(key: string): string | null;
  writeSysctl(key: string, value: string): void;
  hasNft(): boolean;
  /** Tables of the packet filter that are not ours (`ip nat`), of nftables and of old iptables. */
  otherTables(): Promise<string[]>;
  packetFilter(): Promise<PacketFilter>;
  /** What of iptables-legacy is in use. */
  legacyTables(): LegacyTables;
  /** Loads nftables rules in one transaction. @throws NftError. */
  loadRules(text: string): Promise<void>;
  hasDnsmasq(): boolean;
  /** `note`: what of it cannot be done here, '' when nothing. */
  startDhcp(spec: DhcpSpec): Promise<ProcessMark & { note: string; ranges: string }>;
  /** What it would hand out now, as text: less than the spec says where engines have a part. */
  dhcpRanges(spec: DhcpSpec): string;
  isRunning(mark: ProcessMark): boolean;
  /** Ends the dnsmasq of a bridge: the marked one, or the one whose lease file is the bridge's. */
  stopDhcp(bridge: string, mark: ProcessMark | undefined): Promise<void>;
};

/** What of a running link may change: its MTUs, its underlay address, its IPv6 side (undefined = none), its rate. */
export type LinkUpdate = {
  underlayMtu?: number;
  innerMtu?: number;
  local?: UnderlayAddress;
  six?: SixSpec | undefined;
  /** What is absent in it is absent from then on. */
  rated?: RateRequest;
};

/** The part of the data plane that changes are made through. */
/** Deletion of a link that is not there is no error. */
export type Tunnels = {
  addLink(spec: AnySpec): Promise<{ ifindex: number; offloads: string[] }>;
  /** What the link has counted stays, for when it is added again. */
  removeLink(name: string): Promise<void>;
  /** A link that was removed is not wanted any more: what it has counted goes. */
  forgetLink(name: string): void;
  updateLink(name: string, change: LinkUpdate): Promise<void>;
  /** How long a TCP packet may be that a link's device is given in one piece. */
  setSuperBytes(name: string, limits: SuperBytes): Promise<void>;
  /** What hangs on a link's device and was taken away by somebody, a line for each piece. */
  missing(name: string): Promise<string[]>;
  /**
   * Has a link that runs forwarded by the other data path, with a device of the same name; returns its
   * ifindex. What cannot be leaves the link as it is. @throws what the kernel refused
   */
  moveLink(from: AnySpec, to: AnySpec): Promise<number>;
};

/** An entry of a bridge's forwarding table; `bridge` and `port` are ifindexes, `mac` u48. */
export type ForwardingEntry = {
  bridge: number;
  port: number;
  mac: number;
  /** A port's own address, or the bridge's. */
  isOwn: boolean;
  /** Somebody wrote it down: it does not move. */
  isStatic: boolean;
};

/** What happened to bridges and their ports. */
export type BridgeEvent =
  | { kind: 'forwarding'; action: 'new' | 'deleted'; entry: ForwardingEntry }
  /** Somebody, perhaps we, wrote a neighbour of a bridge that bears our mark: it may be what we wrote or not. */
  | { kind: 'answer'; bridge: number; address: number }
  | { kind: 'link'; action: 'new' | 'deleted'; link: SnapshotLink }
  /** Notifications were dropped: what is true must be read. */
  | { kind: 'lost' };

/** What layer-2 networks need of the machine. */
export type NetworkHost = {
  links(): Promise<SnapshotLink[]>;
  link(index: number): Promise<SnapshotLink | undefined>;
  /** The port behind which a bridge knows a MAC; its own ifindex for its own addresses. */
  bridgePortOf(bridge: number, mac: number): Promise<number | undefined>;
  /** The same, and how long ago the MAC last said something, ms. */
  bridgeHeard(bridge: number, mac: number): Promise<{ port: number; quietMs: number } | undefined>;
  bridgeEntries(bridge: number): Promise<ForwardingEntry[]>;
  /** Addresses of a device, of both families. */
  addressesOf(index: number): Promise<UnderlayAddress[]>;
  /** IPv4 neighbours of a device that somebody wrote down for good. */
  writtenNeighbours(index: number): Promise<{ address: number; mac: number }[]>;
  forgetNeighbour(index: number, address: number): Promise<void>;
  /** Absent where a bridge cannot be had to answer by itself. */
  answers?: AnswersHost;
  /** Says that a MAC is behind a port of a bridge, until it speaks from elsewhere. */
  pointBridge(mac: number, port: number): Promise<void>;
  watchBridges(listener: (event: BridgeEvent) => void): () => void;
  /** Sends a frame out of a device; false when it could not be sent. */
  sendFrame(ifindex: number, frame: Uint8Array): boolean;
};
