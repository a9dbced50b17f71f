/**
 * What a plan looks at: one consistent enough picture of the host's network, as plain values.
 * @module
 */
import type { NetworkRequest } from '../../config/network.ts';
import type { FanRequest } from '../../config/request.ts';
import type { LegacyTables } from '../../sys/host/iptables-legacy.ts';
import type {
  InterfaceAddress,
  InterfaceAddress6,
  Ipv6Address,
  Link,
  Route6,
  RouteRecord,
} from '../../sys/netlink/netlink.ts';
import type { NftChain, NftRule } from '../../sys/netlink/nf/tables.ts';
import {
  type AnySpec,
  isFan,
  isNetwork,
  type LinkSpec,
  type NetworkSpec,
  type WireSpec,
} from '../store/link-spec.ts';

/** `stopped`: wanted, and nothing of it is on the host. */
type Life = { stopped?: boolean | undefined };

/** A fan that runs here, or whose journal says so. */
export type FanRecord = Life & { request: FanRequest; spec: LinkSpec };

/** A layer-2 network that runs here, or whose journal says so. */
export type NetworkRecord = Life & { request: NetworkRequest; spec: NetworkSpec };

/** A link of either kind, as it was asked for and as it is. */
export type AnyRequest = FanRequest | NetworkRequest;
export type AnyRecord = Life & { request: AnyRequest; spec: AnySpec };

export function isFanRecord(record: AnyRecord): record is FanRecord {
  return isFan(record.spec);
}

export function isNetworkRecord(record: AnyRecord): record is NetworkRecord {
  return isNetwork(record.spec);
}

/** What runs, by kind. */
export function byKind(records: readonly AnyRecord[]): {
  fans: FanRecord[];
  networks: NetworkRecord[];
} {
  return { fans: records.filter(isFanRecord), networks: records.filter(isNetworkRecord) };
}

export type SnapshotLink = Pick<
  Link,
  | 'index'
  | 'name'
  | 'kind'
  | 'up'
  | 'carrier'
  | 'mtu'
  | 'master'
  | 'address'
  | 'alias'
  | 'txQueueLen'
  | 'gsoIpv4MaxSize'
> &
  Partial<Pick<Link, 'answersArp' | 'vxlan' | 'ipip'>>;
export type SnapshotAddress = Pick<
  InterfaceAddress,
  'index' | 'address' | 'length' | 'scope' | 'secondary'
> &
  Partial<Pick<InterfaceAddress, 'peer'>>;
export type SnapshotRoute = Pick<
  RouteRecord,
  'dst' | 'via' | 'oif' | 'src' | 'table' | 'metric' | 'type'
> &
  Partial<Pick<RouteRecord, 'hops'>>;

/** What of a machine its underlay is chosen by. */
export type UnderlayView = Pick<
  Snapshot,
  'links' | 'addresses' | 'ipv6Addresses' | 'ipv6WayOut' | 'routes'
>;

export type Snapshot = {
  links: SnapshotLink[];
  addresses: SnapshotAddress[];
  /** Those of IPv6 that are ready for use. */
  ipv6Addresses: Ipv6Address[];
  /** Index of the device that leads to the rest of the IPv6 world, 0 where none does. */
  ipv6WayOut: number;
  /** The default routes and, where a plan needs them, those inside the overlay or around it. */
  routes: SnapshotRoute[];
  /** False where the routing table could not be walked through to its end. */
  routesWhole: boolean;
  /** Present values by key (`net/ipv4/ip_forward`); null where the key does not exist. */
  sysctls: Record<string, string | null>;
  filter: PacketFilter;
  legacy: LegacyTables;
  fans: FanRecord[];
  /** How each was asked for is no matter to others. */
  networks: (Pick<NetworkRecord, 'spec' | 'stopped'> & Partial<NetworkRecord>)[];
  /** The machine whose underlay it is, where that is another than the one of everything else here. */
  underlay?: UnderlayView;
  /** IPv6 addresses and routes, where a plan needs them. */
  six?: { addresses: InterfaceAddress6[]; routes: Route6[] };
  /** Why the kernel cannot forward for a link here, '' where it can; where a plan needs to know. */
  kernelPath?: string;
  /** The network that is planned has rules. */
  isRuled?: boolean;
  /** UDP ports at which the kernel listens for FOU, where a plan needs them. */
  fouPorts?: number[];
  /** Programs that are there. */
  tools: { nft: boolean; dnsmasq: boolean };
};

/** The nftables of the host: all chains, and the rules of those that fanway has to do with. */
export type PacketFilter = {
  /** False where we may not or cannot look, with the reason; both lists are empty then. */
  readable: boolean;
  why: string;
  chains: NftChain[];
  rules: NftRule[];
};

export const ROUTE_TABLE_MAIN = 254;
export const ROUTE_TABLE_LOCAL = 255;

/** The sysctls that are not bound to an interface of ours. */
export const HOST_SYSCTLS = ['net/ipv4/ip_forward', 'net/ipv4/conf/all/send_redirects'] as const;

const MARK = 'fanway:';
/** Present wherever the kernel knows IPv6. */
export const IPV6_DISABLED = 'net/ipv6/conf/all/disable_ipv6';
/** Whether IPv6 packets cross this host from any device to any. */
export const IPV6_FORWARDING = 'net/ipv6/conf/all/forwarding';
/** Forwarding of one device whatever the host does otherwise; absent before Linux 6.17. */
export const IPV6_FORCE = 'net/ipv6/conf/default/force_forwarding';
export const BRIDGE_NF_CALL_IPTABLES = 'net/bridge/bridge-nf-call-iptables';
/** Settings of the host that fanway looks at and leaves alone. */
export const FOREIGN_SYSCTLS = [
  BRIDGE_NF_CALL_IPTABLES,
  'net/ipv4/conf/all/arp_ignore',
  IPV6_DISABLED,
  IPV6_FORWARDING,
  IPV6_FORCE,
] as const;

/** The alias that marks a device as ours. */
export function aliasOf(linkName: string): string {
  return `${MARK}${linkName}`;
}

/** The alias of a bridge that somebody else made and a fan uses: never deleted by it. */
export function borrowedAliasOf(linkName: string): string {
  return `${aliasOf(linkName)} (borrowed)`;
}

/** Whether a device carries the mark of any link of fanway's. */
export function isMarked(link: Pick<SnapshotLink, 'alias'>): boolean {
  return link.alias.startsWith(MARK);
}

/** The ports of a bridge of ours that carry no mark: those of containers. */
export function portsBeside<L extends Pick<SnapshotLink, 'index' | 'master' | 'alias'>>(
  bridge: { index: number },
  links: readonly L[],
): L[] {
  return links.filter((link) => link.master === bridge.index && !isMarked(link));
}

/** The ports of a fan's bridge, which bears the fan's name, other than its own device. */
export function foreignPorts<L extends Pick<SnapshotLink, 'index' | 'name' | 'master'>>(
  spec: Pick<WireSpec, 'name' | 'device'>,
  links: readonly L[],
): L[] {
  const bridge = links.find((link) => link.name === spec.name);
  if (bridge === undefined) return [];
  return links.filter((link) => link.master === bridge.index && link.name !== spec.device);
}

/** An empty host; tests build on it. */
export function emptySnapshot(): Snapshot {
  return {
    links: [],
    addresses: [],
    ipv6Addresses: [],
    ipv6WayOut: 0,
    routes: [],
    routesWhole: true,
    sysctls: {},
    filter: { readable: true, why: '', chains: [], rules: [] },
    legacy: { forward: undefined, nat: false },
    fans: [],
    networks: [],
    tools: { nft: false, dnsmasq: false },
  };
}
