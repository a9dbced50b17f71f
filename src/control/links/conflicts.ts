/**
 * What on this host an overlay would hide, and whose packets it could be taken for.
 * @module
 */
import type { FanRequest } from '../../config/request.ts';
import { ENCAPS } from '../../encap/encap.ts';
import { hasIpv4 } from '../../net/fan.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { contains, formatPrefix, type Prefix } from '../../net/prefix.ts';
import type { Adoption } from '../host/bridge/adoption.ts';
import { ROUTE_TABLE_LOCAL, type Snapshot } from '../host/snapshot.ts';
import { type AnySpec, linkTitle, type SixSpec, type WireSpec } from '../store/link-spec.ts';
import { checkKernelPort } from './datapath/choose.ts';
import type { Refusal } from './underlay/resolve.ts';

const SHOWN_MAX = 4;

type Conflicts = {
  /** Addresses and routes inside the overlay: reason to refuse. */
  inside: string[];
  /** Wider routes around it, which lose part of their range: worth a sentence. */
  around: string[];
};

/**
 * Routes and addresses of this host that meet the overlay, ours left out. `taken`: a bridge that is
 * to be taken over, which counts as ours.
 */
function findConflicts(overlay: Prefix, snapshot: Snapshot, taken?: string): Conflicts {
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

/** What of this host an IPv4 overlay meets: refused, or a warning where it is forced or around it. */
export function judgeOverlay(
  request: FanRequest,
  snapshot: Snapshot,
  adoption: Adoption | undefined,
): { inUse: Refusal[]; warnings: string[] } {
  const overlay = formatPrefix(request.overlay);
  const { inside, around } = hasIpv4(request.overlay)
    ? findConflicts(request.overlay, snapshot, adoption?.name)
    : { inside: [], around: [] };
  const isRefused = inside.length > 0 && !request.force;
  const warnings = isRefused
    ? []
    : inside.map((what) => `overlay ${overlay} contains ${what} (--force)`);
  warnings.push(...around);
  if (!snapshot.routesWhole) {
    warnings.push(
      `the routing table is too large to look through at once: whether more of it lies inside ${overlay} is not known`,
    );
  }
  if (!isRefused) return { inUse: [], warnings };
  const message = `overlay ${overlay} contains ${inside.join(' and ')} of this host, which containers and this host could then no longer reach: take another overlay, or go on with --force`;
  return { inUse: [{ code: 'overlay-in-use', message }], warnings };
}

function shorten(texts: string[]): string[] {
  const unique = [...new Set(texts)];
  if (unique.length <= SHOWN_MAX) return unique;
  return [...unique.slice(0, SHOWN_MAX), `${unique.length - SHOWN_MAX} more`];
}

/** The networks that a link's packets are in on the wire. */
function vnisOf({ vni, six }: { vni: number; six?: SixSpec }): number[] {
  return six === undefined ? [vni] : [vni, six.vni];
}

/** A VNI that another link has. */
export function vniTaken(vni: number, other: AnySpec): Refusal {
  return {
    code: 'vni-taken',
    message: `VNI ${vni} is that of ${linkTitle(other)} already: choose another with --vni, the same on every host`,
  };
}

/** Another link whose packets could not be told from this one's. */
export function checkWire(spec: WireSpec, { fans, networks }: Snapshot): Refusal[] {
  const kernels = checkKernelPort(spec, { fans, networks });
  if (kernels.length > 0) return kernels;
  for (const { spec: other, stopped } of [...fans, ...networks]) {
    if (spec.port === 0 || other.port !== spec.port || other.local !== spec.local) continue;
    if (other.encap !== spec.encap) {
      if (stopped === true) continue;
      return [
        {
          code: 'port-taken',
          message: `UDP port ${spec.port} carries ${other.encap} for ${linkTitle(other)} already: choose another --port for ${spec.encap}`,
        },
      ];
    }
    const taken = vnisOf(other).find((vni) => vnisOf(spec).includes(vni));
    // One that is stopped comes back with it.
    if (ENCAPS[spec.encap].hasVni && taken !== undefined) return [vniTaken(taken, other)];
  }
  return [];
}
