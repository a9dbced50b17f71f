/**
 * Reads the picture of the host that a plan looks at.
 * @module
 */
import type { FanEncap } from '../../config/link/modes.ts';
import type { NetworkRequest } from '../../config/network.ts';
import type { FanRequest } from '../../config/request.ts';
import { isPacketsInUdp, VXLAN } from '../../encap/encap.ts';
import { hasIpv4, NO_OVERLAY } from '../../net/fan.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { Prefix6 } from '../../net/prefix6.ts';
import type { Host } from './host.ts';
import { type FanRecord, FOREIGN_SYSCTLS, HOST_SYSCTLS, type Snapshot } from './snapshot.ts';

/** For which overlay routes are looked for that it would hide, and whether an older answer will do. */
export type SnapshotDepth = {
  overlay: Prefix;
  overlay6?: Prefix6;
  fresh: boolean;
  /** The encapsulation for which it matters what the kernel can do. */
  kernelPath?: FanEncap;
  /** As in the snapshot. */
  isRuled?: boolean;
};

/** What a plan for a request looks for. */
export function depthOf(request: FanRequest, fresh = true): SnapshotDepth {
  const { overlay, overlay6, datapath, encap } = request;
  const isKernel = datapath === 'kernel' || datapath === 'auto';
  return {
    ...{ overlay, fresh },
    ...(overlay6 !== undefined && { overlay6 }),
    ...(isKernel && { kernelPath: encap }),
  };
}

/** The same for a network; undefined where it looks for nothing. @param isRuled it has rules */
export function depthOfNetwork(
  { datapath }: NetworkRequest,
  isRuled = false,
): SnapshotDepth | undefined {
  if (datapath !== 'kernel' && datapath !== 'auto') return undefined;
  return { overlay: NO_OVERLAY, fresh: true, kernelPath: VXLAN.name, isRuled };
}

/** Why the kernel cannot forward for a link of this host, '' where it can. */
async function kernelPathOf(host: Host, encap: FanEncap): Promise<string> {
  if (host.kernelPath !== undefined) return host.kernelPath(encap);
  return 'its underlay is outside of this network namespace, as without root';
}

/**
 * Everything a plan needs, `fans` and `networks` being what already runs. Of the routes only the default ones,
 * unless `depth` says what else is of interest: there may be a million.
 */
export async function readSnapshot(
  host: Host,
  fans: FanRecord[],
  depth?: SnapshotDepth,
  networks: Snapshot['networks'] = [],
): Promise<Snapshot> {
  const [links, addresses, ipv6Addresses, ipv6WayOut, routes, filter] = await Promise.all([
    host.links(),
    host.addresses(),
    host.ipv6Addresses(),
    host.ipv6WayOut(),
    host.defaultRoutes(),
    host.packetFilter(),
  ]);
  const met =
    depth === undefined || !hasIpv4(depth.overlay)
      ? { routes: [], whole: true }
      : await host.routesMeeting(depth.overlay, { fresh: depth.fresh });
  const six =
    depth?.overlay6 === undefined
      ? undefined
      : { addresses: await host.addresses6(), routes: await host.routes6() };
  const kernelPath = depth?.kernelPath && (await kernelPathOf(host, depth.kernelPath));
  const fouPorts =
    depth?.kernelPath !== undefined && isPacketsInUdp(depth.kernelPath)
      ? await host.fouPorts?.()
      : undefined;
  return {
    ...(six !== undefined && { six }),
    ...(fouPorts !== undefined && { fouPorts }),
    ...(kernelPath !== undefined && { kernelPath }),
    ...(depth?.isRuled === true && { isRuled: true }),
    links,
    addresses,
    ipv6Addresses,
    ipv6WayOut,
    routes: [...routes, ...met.routes],
    routesWhole: met.whole,
    sysctls: Object.fromEntries(
      [...HOST_SYSCTLS, ...FOREIGN_SYSCTLS].map((key) => [key, host.readSysctl(key)]),
    ),
    filter,
    legacy: host.legacyTables(),
    fans,
    ...(host.underlay !== undefined && { underlay: await host.underlay() }),
    networks,
    tools: { nft: host.hasNft(), dnsmasq: host.hasDnsmasq() },
  };
}
