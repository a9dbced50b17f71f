/**
 * Route distinguishers and route targets: derived, given, written and compared.
 * @module
 */
import { formatIpv4, parseIpv4 } from '../../net/ipv4.ts';
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

function numberIn(text: string, max: number): number {
  const value = /^(0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : Number.NaN;
  return value <= max ? value : Number.NaN;
}

/** `65000:100`, `4200000001:100`, `10.0.0.1:100`, `*:100`; undefined for anything else. */
export function parseTarget(text: string): RouteTarget | undefined {
  const [left = '', right = '', ...rest] = text.split(':');
  if (rest.length > 0) return undefined;
  if (left === '*') {
    const assigned = numberIn(right, VNI_MAX);
    return Number.isNaN(assigned) ? undefined : derivedImport(assigned);
  }
  const isAddress = left.includes('.');
  if (isAddress && !/^\d{1,3}(\.\d{1,3}){3}$/.test(left)) return undefined;
  let administrator: number;
  try {
    administrator = isAddress ? parseIpv4(left) : numberIn(left, 0xffff_ffff);
  } catch {
    return undefined;
  }
  const form = isAddress ? 1 : administrator <= AS2_MAX ? 0 : 2;
  const assigned = numberIn(right, form === 0 ? 0xffff_ffff : NUMBER_MAX);
  if (Number.isNaN(administrator) || Number.isNaN(assigned)) return undefined;
  return { form, administrator, assigned };
}

/** The router id and a number of the network (RFC 7432 §7.9). */
export function derivedRd(routerId: number, number: number): RouteDistinguisher {
  return { type: 1, administrator: routerId, assigned: number };
}

/**
 * Numbers for the distinguishers of networks that have none given: the VNI where it fits, else the
 * highest that is free. The same networks get the same numbers, whatever their order.
 */
export function rdNumbers(
  networks: readonly { vni: number; rdNumber: number | undefined }[],
): Map<number, number> {
  const numbers = new Map<number, number>();
  const taken = new Set<number>();
  const give = (vni: number, number: number): void => {
    numbers.set(vni, number);
    taken.add(number);
  };
  const sorted = [...networks].sort((a, b) => a.vni - b.vni);
  for (const { vni, rdNumber } of sorted) if (rdNumber !== undefined) give(vni, rdNumber);
  let free = NUMBER_MAX;
  for (const { vni } of sorted) {
    if (numbers.has(vni)) continue;
    while (taken.has(free)) free--;
    give(vni, vni <= NUMBER_MAX && !taken.has(vni) ? vni : free);
  }
  return numbers;
}

/** As FRR and GoBGP print it: `10.0.0.1:2`, `65000:100`. */
export function formatRd({ type, administrator, assigned }: RouteDistinguisher): string {
  return `${type === 1 ? formatIpv4(administrator) : administrator}:${assigned}`;
}
