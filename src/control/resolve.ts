/**
 * From an underlay as it was asked for to the one address of this host that is meant.
 * @module
 */
import { formatUnderlay, type UnderlaySelector } from '../config/request.ts';
import { formatIpv4 } from '../net/ipv4.ts';
import { contains, formatPrefix, networkOf, type Prefix } from '../net/prefix.ts';
import {
  ROUTE_TABLE_MAIN,
  type Snapshot,
  type SnapshotAddress,
  type SnapshotLink,
} from './snapshot.ts';

/** A reason not to go on, for programs (`code`) and for people (a sentence with a way out). */
export type Refusal = { code: string; message: string };

export type ResolvedUnderlay = {
  /** Our underlay address, u32. */
  local: number;
  underlay: Prefix;
  device: SnapshotLink;
};

const SCOPE_GLOBAL = 0;
const ADDRESSES_SHOWN_MAX = 6;

function isResolved(value: ResolvedUnderlay | Refusal): value is ResolvedUnderlay {
  return 'local' in value;
}

export { isResolved };

/** The address that the selector means on this host, or why there is none. */
export function resolveUnderlay(
  selector: UnderlaySelector,
  snapshot: Snapshot,
): ResolvedUnderlay | Refusal {
  const own = new Set(snapshot.fans.flatMap((fan) => [fan.spec.name, fan.spec.device]));
  const candidates = snapshot.addresses.flatMap((address) => {
    const link = snapshot.links.find((link) => link.index === address.index);
    return link === undefined || own.has(link.name) || link.name === 'lo'
      ? []
      : [{ address, link }];
  });
  switch (selector.kind) {
    case 'address':
      return byAddress(selector, candidates);
    case 'device':
      return byDevice(selector.device, selector.length, snapshot, candidates);
    case 'default':
      return byDefaultRoute(selector.length, snapshot, candidates);
  }
}

type Candidate = { address: SnapshotAddress; link: SnapshotLink };

function resolved(candidate: Candidate, length: number): ResolvedUnderlay {
  const local = candidate.address.address;
  return {
    local,
    underlay: { address: networkOf({ address: local, length }), length },
    device: candidate.link,
  };
}

function shown(candidates: readonly Candidate[]): string {
  const texts = candidates
    .filter((candidate) => candidate.address.scope === SCOPE_GLOBAL)
    .slice(0, ADDRESSES_SHOWN_MAX)
    .map(
      (candidate) =>
        `${formatIpv4(candidate.address.address)}/${candidate.address.length} on ${candidate.link.name}`,
    );
  return texts.length === 0 ? 'it has no IPv4 address at all' : `it has ${texts.join(', ')}`;
}

function byAddress(
  selector: { address: number; length: number },
  candidates: readonly Candidate[],
): ResolvedUnderlay | Refusal {
  const exact = candidates.find((candidate) => candidate.address.address === selector.address);
  if (exact !== undefined) return resolved(exact, selector.length);
  const text = formatUnderlay({ kind: 'address', ...selector });
  if (networkOf(selector) !== selector.address) {
    return {
      code: 'underlay-not-here',
      message: `${formatIpv4(selector.address)} is not an address of this host: ${shown(candidates)}; use one of them, or a device such as eth0/${selector.length}`,
    };
  }
  const inside = candidates.filter(
    (candidate) =>
      contains(selector, candidate.address.address) && candidate.address.scope === SCOPE_GLOBAL,
  );
  const [first, second] = inside;
  if (first === undefined) {
    return {
      code: 'underlay-not-here',
      message: `this host has no address in the underlay ${text}: ${shown(candidates)}; use a network that holds one of them`,
    };
  }
  if (second !== undefined) {
    return {
      code: 'underlay-ambiguous',
      message: `this host has several addresses in ${text} (${inside
        .map((candidate) => formatIpv4(candidate.address.address))
        .join(', ')}): name the one that the other hosts know it by`,
    };
  }
  return resolved(first, selector.length);
}

function byDevice(
  name: string,
  length: number,
  snapshot: Snapshot,
  candidates: readonly Candidate[],
): ResolvedUnderlay | Refusal {
  const link = snapshot.links.find((link) => link.name === name);
  if (link === undefined) {
    const names = snapshot.links
      .filter((link) => link.name !== 'lo' && !link.alias.startsWith('fanway:'))
      .map((link) => link.name);
    return {
      code: 'underlay-no-device',
      message: `there is no device ${name} on this host; there are ${names.slice(0, 8).join(', ') || 'none but lo'}`,
    };
  }
  const found = candidates
    .filter((candidate) => candidate.link.index === link.index)
    .sort((a, b) => Number(a.address.secondary) - Number(b.address.secondary))
    .find((candidate) => candidate.address.scope === SCOPE_GLOBAL);
  if (found === undefined) {
    return {
      code: 'underlay-no-address',
      message: `device ${name} has no global IPv4 address: give it one first, or name another device`,
    };
  }
  return resolved(found, length);
}

function byDefaultRoute(
  length: number,
  snapshot: Snapshot,
  candidates: readonly Candidate[],
): ResolvedUnderlay | Refusal {
  const route = snapshot.routes
    .filter(
      (route) =>
        route.dst.length === 0 && route.table === ROUTE_TABLE_MAIN && route.type === 'unicast',
    )
    .sort((a, b) => a.metric - b.metric)[0];
  const link = snapshot.links.find((link) => link.index === route?.oif);
  if (route === undefined || link === undefined) {
    return {
      code: 'underlay-no-default',
      message: `this host has no default route, so \`default\` means nothing: name an address or a device; ${shown(candidates)}`,
    };
  }
  if (route.src !== 0) {
    const preferred = candidates.find((candidate) => candidate.address.address === route.src);
    if (preferred !== undefined) return resolved(preferred, length);
  }
  return byDevice(link.name, length, snapshot, candidates);
}

/** An address with the length of its network, for messages. */
export function formatHost(address: number, length: number): string {
  return formatPrefix({ address, length });
}
