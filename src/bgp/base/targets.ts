/**
 * Route distinguishers and route targets: derived, given, written and compared.
 * @module
 */
import { formatIpv4 } from '../../net/ipv4.ts';
import {
  type Administered,
  decodeCommunity,
  encodeCommunity,
  type RawCommunity,
} from '../../wire/bgp/communities.ts';
import type { RouteDistinguisher } from '../../wire/bgp/evpn.ts';

/** A route target; `administrator` null = any, for import only. */
export type RouteTarget = Omit<Administered, 'administrator'> & { administrator: number | null };

const AS2_MAX = 0xffff;
const NUMBER_MAX = 0xffff;
export const VNI_MAX = 0xff_ffff;

/** Our AS and the VNI; of an AS of four octets the lower two, as FRR has it. */
export function derivedExport(as: number, vni: number): RouteTarget {
  return { form: 0, administrator: as & AS2_MAX, assigned: vni };
}

/** The VNI of whatever AS. */
export function derivedImport(vni: number): RouteTarget {
  return { form: 0, administrator: null, assigned: vni };
}

/** The community of a target to send. @throws RangeError for a wildcard */
export function targetCommunity(target: RouteTarget): RawCommunity {
  const { administrator } = target;
  if (administrator === null) throw new RangeError('a route target for any AS cannot be sent');
  return encodeCommunity({ kind: 'route-target', ...target, administrator });
}

/** A string under which a community of that target is found; a wildcard has the one of any AS. */
export function targetKey({ form, administrator, assigned }: RouteTarget): string {
  return administrator === null ? `*:${assigned}` : `${form}:${administrator}:${assigned}`;
}

/**
 * The keys under which an import may know this community: the exact one, and that of any AS. Empty
 * for what is no route target.
 */
export function importKeys(raw: RawCommunity): readonly string[] {
  const community = decodeCommunity(raw);
  if (community.kind !== 'route-target') return [];
  // RFC 8365 §5.1.2.1: the auto-derived form marks the upper byte of the number; the VNI is below.
  const vni = community.form === 0 ? community.assigned & VNI_MAX : community.assigned;
  return [targetKey(community), `*:${vni}`];
}

export function formatTarget({ form, administrator, assigned }: RouteTarget): string {
  if (administrator === null) return `*:${assigned}`;
  return `${form === 1 ? formatIpv4(administrator) : administrator}:${assigned}`;
}

/** The router id and a number of the network (RFC 7432 §7.9). */
export function derivedRd(routerId: number, number: number): RouteDistinguisher {
  return { type: 1, administrator: routerId, assigned: number };
}

/**
 * The distinguishers of networks. One that has none given gets the router id and its VNI where that fits,
 * else the highest number that is free. The same networks get the same, whatever their order.
 */
export function rdsOf(
  networks: readonly { vni: number; rd: RouteDistinguisher | undefined }[],
  routerId: number,
): Map<number, RouteDistinguisher> {
  const rds = new Map<number, RouteDistinguisher>();
  const taken = new Set<number>();
  const give = (vni: number, rd: RouteDistinguisher): void => {
    rds.set(vni, rd);
    if (rd.type === 1 && rd.administrator === routerId) taken.add(rd.assigned);
  };
  const sorted = [...networks].sort((a, b) => a.vni - b.vni);
  for (const { vni, rd } of sorted) if (rd !== undefined) give(vni, rd);
  let free = NUMBER_MAX;
  for (const { vni } of sorted) {
    if (rds.has(vni)) continue;
    while (taken.has(free)) free--;
    give(vni, derivedRd(routerId, vni <= NUMBER_MAX && !taken.has(vni) ? vni : free));
  }
  return rds;
}

/** As FRR and GoBGP print it: `10.0.0.1:2`, `65000:100`. */
export function formatRd({ type, administrator, assigned }: RouteDistinguisher): string {
  return `${type === 1 ? formatIpv4(administrator) : administrator}:${assigned}`;
}
