/**
 * Workloads that live on another host than their address says: what that means for each link of
 * this one. The data path gets exceptions to the arithmetic; a routed link needs routes beside
 * them, since there the kernel, not a bridge, decides what goes into the tunnel.
 * @module
 */
import type { Prefix } from '../net/prefix.ts';
import { contains, equals, formatPrefix } from '../net/prefix.ts';
import type { Exception } from './entry-table.ts';
import type { Host, HostRoute } from './host.ts';
import type { LinkSpec } from './link-spec.ts';

/** A prefix that a host announces, with the fans which that host runs. */
export type MovedPrefix = {
  prefix: Prefix;
  /** 0 = whichever fan contains it. */
  vni: number;
  fans: readonly { overlay: Prefix; underlay: Prefix; local: number }[];
};

/**
 * What of `moved` concerns a link: each prefix inside its overlay, at the underlay address that its
 * host has in this very fan. A prefix wider than a slice is nobody's to move, and is left out.
 */
export function exceptionsOf(spec: LinkSpec, moved: readonly MovedPrefix[]): Exception[] {
  return moved.flatMap(({ prefix, vni, fans }) => {
    if (prefix.length < spec.slice.length || !contains(spec.overlay, prefix.address)) return [];
    if (vni !== 0 && vni !== spec.vni) return [];
    const fan = fans.find(
      ({ overlay, underlay }) => equals(overlay, spec.overlay) && equals(underlay, spec.underlay),
    );
    if (fan === undefined || !contains(spec.underlay, fan.local)) return [];
    return [{ address: prefix.address, length: prefix.length, peer: fan.local }];
  });
}

/**
 * The routes that a routed link needs for its exceptions: what has moved here is behind the bridge,
 * what has left our slice is behind the tunnel.
 */
export function movedRoutes(spec: LinkSpec, exceptions: readonly Exception[]): HostRoute[] {
  if (spec.encap === 'vxlan') return [];
  return exceptions.flatMap(({ address, length, peer }) => {
    const destination = { address, length };
    const isHere = peer === spec.local;
    const wasHere = contains(spec.slice, address);
    // At home, by exception or not: the slice's own route leads there.
    if (isHere === wasHere || equals(destination, spec.slice)) return [];
    return [{ destination, device: isHere ? spec.name : spec.device, source: spec.gateway }];
  });
}

/**
 * Makes the routes of a routed link's devices what they should be. The link's own two, to the slice
 * and to the overlay, are not touched; all others on these devices are ours, also those of a
 * router that was killed. They go with the devices when the link goes down.
 */
export async function applyMovedRoutes(
  spec: LinkSpec,
  exceptions: readonly Exception[],
  host: Host,
): Promise<void> {
  if (spec.encap === 'vxlan') return;
  const wanted = movedRoutes(spec, exceptions);
  const present: HostRoute[] = [];
  for (const { index, name } of await host.links()) {
    if (name !== spec.name && name !== spec.device) continue;
    for (const { dst, src } of await host.routesOf(index)) {
      if (equals(dst, spec.slice) || equals(dst, spec.overlay)) continue;
      if (!contains(spec.overlay, dst.address) || src !== spec.gateway) continue;
      present.push({ destination: dst, device: name, source: src });
    }
  }
  const key = ({ destination, device }: HostRoute): string =>
    `${formatPrefix(destination)} ${device}`;
  const wantedKeys = new Set(wanted.map(key));
  const presentKeys = new Set(present.map(key));
  for (const route of present) if (!wantedKeys.has(key(route))) await host.deleteRoute(route);
  for (const route of wanted) if (!presentKeys.has(key(route))) await host.addRoute(route);
  // Containers take their old neighbour for near: the host answers ARP for what went away.
  const answers = wanted.some(({ device }) => device === spec.device) ? '1' : '0';
  const proxyArp = `net/ipv4/conf/${spec.name}/proxy_arp`;
  const now = host.readSysctl(proxyArp);
  if (now !== null && now !== answers) host.writeSysctl(proxyArp, answers);
}
