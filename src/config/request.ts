/**
 * One fan as somebody asked for it, before it meets a host: what `fanway up`, a line of
 * /etc/network/fan and a `[fan]` section of a configuration file all become.
 * @module
 */
import { hasIpv4 } from '../net/fan.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Prefix6 } from '../net/prefix6.ts';
import { formatHostAddress } from '../net/underlay-address.ts';
import type { Nat } from './link/nat.ts';
import type { RateRequest } from './link/rate.ts';
import type { UnderlaySelector, UnderlaysRequest } from './link/underlays.ts';

export const ENCAPS = ['vxlan', 'ipip', 'fou'] as const;
export type FanEncap = (typeof ENCAPS)[number];

/** Who forwards: data processes of ours, the kernel, or the kernel where it can. */
export const DATAPATHS = ['userspace', 'kernel', 'auto'] as const;
export type Datapath = (typeof DATAPATHS)[number];

export type FanRequest = RateRequest &
  UnderlaysRequest & {
    /** `NO_OVERLAY` where the fan has IPv6 alone. */
    overlay: Prefix;
    /** Its IPv6 overlay, alone or beside the other one. */
    overlay6?: Prefix6;
    underlay: UnderlaySelector;
    encap: FanEncap;
    /** UDP destination port; null = the encapsulation's own. */
    port: number | null;
    /** VXLAN network identifier; null = overlay address >> 8. */
    vni: number | null;
    compat: 'none' | 'lxd';
    /** Bytes of an inner packet; null = from the underlay's MTU. */
    mtu: number | null;
    dhcp: boolean;
    /** Addresses .1 to .N of the slice are the host's own. */
    hostReserve: number;
    /** Bridge name; null = from the slice. */
    bridge: string | null;
    /**
     * A TUN or TAP that is there already and belongs to this user; absent = fanway makes one, and all that
     * is around it.
     */
    device?: string;
    offload: 'auto' | 'off';
    dscp: 'pipe' | 'uniform';
    sourcePort: 'pool' | 'fixed';
    /** Absent = all hosts are at their own addresses. */
    nat?: Nat;
    /** Absent = userspace. */
    datapath?: Exclude<Datapath, 'userspace'>;
    /** Masquerade overlay traffic that leaves the overlay, where nft is there. */
    masquerade: boolean;
    /** Brought up from /etc/network/fan or marked `auto`: `down -a` takes it down again. */
    auto: boolean;
    /** Marked `off`: known, not to be started. */
    off: boolean;
    /** Go on although the overlay contains a route or an address of this host. */
    force: boolean;
  };

export const UNDERLAY_LENGTH_DEFAULT = 16;
/** The same where an IPv6 address is written: as many hosts. */
export const UNDERLAY_LENGTH_IPV6_DEFAULT = 112;

export const HOST_RESERVE_DEFAULT = 1;
export const HOST_RESERVE_MAX = 64;
/** RFC 791 §3.1: every host must take 576 bytes; below it nothing useful runs. */
export const MTU_BYTES_MIN = 576;
export const MTU_BYTES_MAX = 65535;

/** A request with every default filled in. */
export function fanRequest(
  required: Pick<FanRequest, 'overlay' | 'underlay'> & Partial<FanRequest>,
): FanRequest {
  return {
    encap: 'vxlan',
    port: null,
    vni: null,
    compat: 'none',
    mtu: null,
    dhcp: false,
    hostReserve: HOST_RESERVE_DEFAULT,
    bridge: null,
    offload: 'auto',
    dscp: 'pipe',
    sourcePort: 'pool',
    masquerade: true,
    auto: false,
    off: false,
    force: false,
    ...required,
  };
}

/** An underlay selector as it is written on the command line (`eth0/16`). */
export function formatUnderlay(selector: UnderlaySelector): string {
  switch (selector.kind) {
    case 'address':
      return `${formatHostAddress(selector.address)}/${selector.length}`;
    case 'device':
      return `${selector.device}/${selector.length}`;
    case 'default':
      return `default/${selector.length}`;
  }
}

/** All underlays of a fan in the same way (`eth0/16,eth1/16`). */
export function formatUnderlays({
  underlay,
  further = [],
}: Pick<FanRequest, 'underlay' | 'further'>): string {
  return [underlay, ...further].map(formatUnderlay).join(',');
}

/** A request for IPv6 alone comes after all others: the bridge that it names may be one of theirs. */
export function ipv4First<T extends { request: FanRequest }>(fans: readonly T[]): T[] {
  const isSix = ({ request }: T): boolean => !hasIpv4(request.overlay);
  return [...fans.filter((fan) => !isSix(fan)), ...fans.filter(isSix)];
}

/** Makes one fan of two that have one bridge, one underlay and one encapsulation: IPv4 and IPv6. */
export function joinFans(requests: readonly FanRequest[]): FanRequest[] {
  const joined = requests.filter(({ overlay }) => hasIpv4(overlay));
  for (const six of requests.filter(({ overlay }) => !hasIpv4(overlay))) {
    const { overlay6, bridge, encap } = six;
    const at = joined.findIndex(
      (fan) =>
        bridge !== null &&
        hasIpv4(fan.overlay) &&
        fan.overlay6 === undefined &&
        fan.bridge === bridge &&
        fan.encap === encap &&
        formatUnderlays(fan) === formatUnderlays(six),
    );
    const fan = joined[at];
    if (fan === undefined || overlay6 === undefined) joined.push(six);
    else joined[at] = { ...fan, overlay6 };
  }
  return joined;
}
