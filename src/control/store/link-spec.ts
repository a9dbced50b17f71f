/**
 * One link as the data plane runs it: everything decided, nothing left to look up.
 * @module
 */

import type { DEVICE_ROWS } from '../../config/link/device.ts';
import { FAN_ROWS } from '../../config/link/fan-rows.ts';
import type { FanEncap } from '../../config/link/modes.ts';
import type { Nat } from '../../config/link/nat.ts';
import type { RateRequest } from '../../config/link/rate.ts';
import { NETWORK_ROWS } from '../../config/network/rows.ts';
import { type CarriedOf, hasCarried } from '../../config/row/row.ts';
import { carriesFrames, ENCAPS, overheadOf } from '../../encap/encap.ts';
import { gatewayOf, hasIpv4, peerOf, rulePrefixOf, sliceOf } from '../../net/fan.ts';
import { gatewayOf6, hostPartOf, peerOf6, sliceOf6 } from '../../net/fan6.ts';
import type { Ipam } from '../../net/ipam.ts';
import { formatPrefix, type Prefix } from '../../net/prefix.ts';
import {
  bytesOfIpv6,
  formatPrefix6,
  type Ipv6,
  type Prefix6,
  wordsOfIpv6,
} from '../../net/prefix6.ts';
import {
  familyOf,
  hostBytes,
  hostNetworkOf,
  hostOfBytes,
  isUnderlayAddress,
  lastWordOf,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../net/underlay-address.ts';
import type { UnderlayMode, XmitHashPolicy } from '../../net/underlay-modes.ts';

/** The IPv6 side of a link. */
export type SixSpec = {
  overlay: Prefix6;
  slice: Prefix6;
  /** The slice's ::1. */
  gateway: Ipv6;
  /** The VXLAN network of what is IPv6; means nothing where there are no networks. */
  vni: number;
};

/** All underlays of a link, the first one first: our address on each, and its network. */
export function underlaysOf({
  underlay,
  local,
  further = [],
}: Pick<WireSpec, 'underlay' | 'local' | 'further'>): {
  underlay: UnderlayPrefix;
  local: UnderlayAddress;
}[] {
  return [{ underlay, local }, ...further];
}

/** A fan in one of its families. */
export type FanSide = { overlay: UnderlayPrefix; slice: UnderlayPrefix; gateway: UnderlayAddress };

const hostOfWords = (address: Ipv6): UnderlayAddress => hostOfBytes(bytesOfIpv6(address));

/** The side of a fan that is of the family of an address; undefined where it has none. */
export function sideOf(spec: LinkSpec, address: UnderlayAddress): FanSide | undefined {
  const { overlay, slice, gateway, six } = spec;
  if (familyOf(address) === 4) return hasIpv4(overlay) ? { overlay, slice, gateway } : undefined;
  if (six === undefined) return undefined;
  const prefix = (one: Prefix6): UnderlayPrefix => {
    return { address: hostOfWords(one.address), length: one.length };
  };
  return {
    ...{ overlay: prefix(six.overlay), slice: prefix(six.slice) },
    gateway: hostOfWords(six.gateway),
  };
}

/** The VNI that a packet to an address of a fan goes by: what is IPv6 has its own. */
export function vniTo({ vni, six }: LinkSpec, address: UnderlayAddress): number {
  return familyOf(address) === 4 ? vni : (six?.vni ?? vni);
}

/** The overlay address of a host of a fan itself; of IPv6 where the fan has nothing else. */
export function ownAddressIn(spec: LinkSpec, host: UnderlayAddress): UnderlayAddress {
  const { six, underlay } = spec;
  if (six === undefined || hasIpv4(spec.overlay)) return gatewayOf(sliceOf(spec, host));
  const part = hostPartOf(rulePrefixOf(underlay), lastWordOf(host));
  return hostOfWords(gatewayOf6(sliceOf6(six.overlay, part)));
}

/** What the hosts of a fan call it among themselves: its overlay, that of IPv4 where there are two. */
export function titleOf({ overlay, six }: LinkSpec): string {
  return six === undefined || hasIpv4(overlay) ? formatPrefix(overlay) : formatPrefix6(six.overlay);
}

/** Which host has an address of a fan by arithmetic, and the slice that it is in. */
export function placeOf(
  spec: LinkSpec,
  address: UnderlayAddress,
): { peer: UnderlayAddress; slice: UnderlayPrefix } | undefined {
  const { six, underlay } = spec;
  if (typeof address === 'number') {
    if (!hasIpv4(spec.overlay)) return undefined;
    const peer = peerOf(spec, address);
    return { peer, slice: sliceOf(spec, peer) };
  }
  if (six === undefined) return undefined;
  const words = wordsOfIpv6(hostBytes(address));
  const slice = {
    address: hostNetworkOf({ address, length: six.slice.length }),
    length: six.slice.length,
  };
  return { peer: peerOf6(six.overlay, underlay, words), slice };
}

/** An underlay beside the first, of its family, where hosts have the same host bits. */
export type FurtherUnderlay = {
  underlay: UnderlayPrefix;
  /** Our address there, and the device that has it. */
  local: UnderlayAddress;
  device: string;
};

/** What every link has. Overlay addresses are u32 in host order, MTUs bytes. */
export type WireSpec = RateRequest &
  CarriedOf<typeof DEVICE_ROWS> & {
    /** Unique id, equal to the bridge's name. */
    name: string;
    encap: FanEncap;
    /** TUN/TAP name, at most 15 characters. */
    device: string;
    underlay: UnderlayPrefix;
    /** Our underlay address. */
    local: UnderlayAddress;
    vni: number;
    /** UDP destination port, 0 for ipip. */
    port: number;
    underlayMtu: number;
    innerMtu: number;
    dscp: 'pipe' | 'uniform';
    /** Outer source ports in use; 1 = fixed. */
    sourcePorts: number;
    /** Absent = all hosts are at their own addresses. */
    nat?: Nat;
    /** The device is root's work for this user: opened, and otherwise left as it is. */
    owned?: true;
    /** Present where there are several underlays, with how packets are spread over them. */
    further?: readonly FurtherUnderlay[];
    /** The device of the first one, as of when it came up. */
    underlayDevice?: string;
    underlayMode?: UnderlayMode;
    xmitHashPolicy?: XmitHashPolicy;
    /** Present where the kernel forwards; otherwise data processes of ours do. */
    datapath?: 'kernel';
    /** Why it is not the kernel, where that was left to this host. */
    notKernel?: string;
  };

/** The overlays of a link as text: `250.0.0.0/8`, `fd00:fa::/32`, or both. */
export function overlaysOf({ overlay, six }: Pick<LinkSpec, 'overlay' | 'six'>): string {
  return [
    ...(hasIpv4(overlay) ? [formatPrefix(overlay)] : []),
    ...(six === undefined ? [] : [formatPrefix6(six.overlay)]),
  ].join(' and ');
}

/** The slices of this host as text, in the same way. */
export function slicesOf({ overlay, slice, six }: LinkSpec): string {
  return [
    ...(hasIpv4(overlay) ? [formatPrefix(slice)] : []),
    ...(six === undefined ? [] : [formatPrefix6(six.slice)]),
  ].join(' and ');
}

/** A fan: the overlay address says the host. */
export type LinkSpec = WireSpec &
  CarriedOf<typeof FAN_ROWS> & {
    /** `NO_OVERLAY` where there is no IPv4 inside; slice and gateway are of it then. */
    overlay: Prefix;
    slice: Prefix;
    /** The slice's .1. */
    gateway: number;
    /** Absent where there is no IPv6 inside. */
    six?: SixSpec;
  };

/** A layer-2 network: who is where is told. */
export type NetworkSpec = WireSpec &
  CarriedOf<typeof NETWORK_ROWS> & {
    /** What people call it. */
    network: string;
    /** Of its bridge, u48. */
    mac: number;
    /** The kernel's bridge answers ARP. */
    kernelArp?: true;
    /** This host's own addresses on its bridge; absent = none. */
    addresses?: readonly UnderlayPrefix[];
    /** MACs that may answer DHCP clients, and that may speak as routers, while they are here; absent = none. */
    dhcpServers?: readonly number[];
    routers?: readonly number[];
    /** Which addresses this host hands out; absent = none. */
    ipam?: Ipam;
    /** Where others reach this host, when that is not `local`. */
    outer?: UnderlayAddress;
    /** The fan whose place on the underlay it took; absent = it was told its own, or went by the default route. */
    placeFan?: string;
  };

/** A link of either kind. */
export type AnySpec = LinkSpec | NetworkSpec;

export function isNetwork(spec: AnySpec): spec is NetworkSpec {
  return 'network' in spec;
}

export function isFan(spec: AnySpec): spec is LinkSpec {
  return !isNetwork(spec);
}

/** A link by the name that people gave it: `fan-250-0-28`, `network blue (br-blue)`. */
export function linkTitle(spec: AnySpec): string {
  return isNetwork(spec) ? `network ${spec.network} (${spec.name})` : spec.name;
}

/** Whether the kernel forwards for a link. */
export function isKernels({ datapath }: Pick<WireSpec, 'datapath'>): boolean {
  return datapath === 'kernel';
}

/** Whether containers of all hosts are in one network, that of the overlay. */
export function isBridged({ encap }: Pick<WireSpec, 'encap'>): boolean {
  return carriesFrames(encap);
}

/** What the link's encapsulation takes of the underlay's MTU, bytes. */
export function overheadOfLink({ encap, local }: Pick<LinkSpec, 'encap' | 'local'>): number {
  return overheadOf(ENCAPS[encap], familyOf(local));
}

/** Outer source ports of a link unless one fixed port was asked for. */
export const SOURCE_PORTS_DEFAULT = 16;

/** A TAP's largest MTU: 65,535 less its Ethernet header. */
const TAP_MTU_BYTES = 65_521;

/**
 * The MTU of the tunnel device, bytes. A bridge drops without a word what is too large for its
 * port; so a TAP takes every frame, and the data process answers what does not fit (RFC 1191 §4).
 */
export function deviceMtuOf(spec: WireSpec): number {
  return isBridged(spec) ? TAP_MTU_BYTES : spec.innerMtu;
}

/**
 * Packets that wait in the device while its reader is busy elsewhere, before the kernel drops; TUN's own
 * default is 500, which a scheduler's turn outlasts.
 */
const DEVICE_QUEUE_PACKETS = 4096;

/** How many packets may wait in a link's device. */
export function deviceQueueOf({ deviceQueuePackets }: WireSpec): number {
  return deviceQueuePackets ?? DEVICE_QUEUE_PACKETS;
}

const WIRE_FIELDS = {
  name: 'string',
  encap: 'string',
  device: 'string',
  underlay: 'object',
  vni: 'number',
  port: 'number',
  underlayMtu: 'number',
  innerMtu: 'number',
  dscp: 'string',
  sourcePorts: 'number',
} satisfies Partial<Record<keyof WireSpec, string>>;

const FAN_FIELDS = {
  overlay: 'object',
  slice: 'object',
  gateway: 'number',
} satisfies Partial<Record<keyof LinkSpec, string>>;

const NETWORK_FIELDS = { network: 'string', mac: 'number' } satisfies Partial<
  Record<keyof NetworkSpec, string>
>;

/** Whether a value read from a file has what a link of its kind needs, each of its type. */
export function isAnySpec(value: unknown): value is AnySpec {
  if (typeof value !== 'object' || value === null) return false;
  const isFan = fieldOf(value, 'network') === undefined;
  return (
    hasFields(value, { ...WIRE_FIELDS, ...(isFan ? FAN_FIELDS : NETWORK_FIELDS) }) &&
    hasCarried(isFan ? FAN_ROWS : NETWORK_ROWS, value) &&
    isUnderlayAddress(fieldOf(value, 'local')) &&
    Object.hasOwn(ENCAPS, String(fieldOf(value, 'encap')))
  );
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

/** Whether a value is an object with these fields, each of the type that `typeof` tells; not null. */
export function hasFields(value: unknown, fields: Readonly<Record<string, string>>): boolean {
  return Object.entries(fields).every(([key, type]) => {
    const field = fieldOf(value, key);
    return field !== null && typeof field === type;
  });
}
