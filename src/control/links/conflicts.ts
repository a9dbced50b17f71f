/**
 * What on this host an overlay would hide.
 * @module
 */
import { formatIpv4 } from '../../net/ipv4.ts';
import { contains, formatPrefix, type Prefix } from '../../net/prefix.ts';
import { ROUTE_TABLE_LOCAL, type Snapshot } from '../host/snapshot.ts';

const SHOWN_MAX = 4;

export type Conflicts = {
  /** Addresses and routes inside the overlay: reason to refuse. */
  inside: string[];
  /** Wider routes around it, which lose part of their range: worth a sentence. */
  around: string[];
};

/**
 * Routes and addresses of this host that meet the overlay, ours left out. `taken`: a bridge that is
 * to be taken over, which counts as ours.
 */
export function findConflicts(overlay: Prefix, snapshot: Snapshot, taken?: string): Conflicts {
  const links = [...snapshot.fans, ...snapshot.networks];
  const own = new Set(links.flatMap(({ spec }) => [spec.name, spec.device]));
  if (taken !== undefined) own.add(taken);
  const nameOf = (index: number): string =>
    snapshot.links.find((link) => link.index === index)?.name ?? `link ${index}`;

  const inside: string[] = [];
  const around: string[] = [];
  for (const { address, length, index } of snapshot.addresses) {
    if (!contains(overlay, address) || own.has(nameOf(index))) continue;
    inside.push(`the address ${formatIpv4(address)}/${length} on ${nameOf(index)}`);
  }
  for (const route of snapshot.routes) {
    if (route.table === ROUTE_TABLE_LOCAL || route.dst.length === 0) continue;
    const name = route.oif === 0 ? route.type : nameOf(route.oif);
    if (own.has(name)) continue;
    const text = `the route ${formatPrefix(route.dst)} (${name})`;
    if (route.dst.length >= overlay.length && contains(overlay, route.dst.address)) {
      inside.push(text);
    } else if (route.dst.length < overlay.length && contains(route.dst, overlay.address)) {
      around.push(`${text} contains the overlay, which takes its part of it`);
    }
  }
  return { inside: shorten(inside), around: shorten(around) };
}

function shorten(texts: string[]): string[] {
  const unique = [...new Set(texts)];
  if (unique.length <= SHOWN_MAX) return unique;
  return [...unique.slice(0, SHOWN_MAX), `${unique.length - SHOWN_MAX} more`];
}
