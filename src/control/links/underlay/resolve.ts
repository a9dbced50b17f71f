/**
 * From an underlay as it was asked for to the one address of this host that is meant.
 *
 * A device may have several addresses, and which stands first says nothing: daemons add floating
 * addresses (/32, keepalived, kube-vip) at any time. So they are ranked, of the best rank there must
 * be only one, and a fan that runs keeps the address that it has.
 * @module
 */

import {
  formatUnderlay,
  type UnderlaySelector,
  underlayFamily,
} from '../../../config/link/underlays.ts';
import {
  ADDRESS_BITS,
  type Family,
  familyOf,
  formatHostAddress,
  formatHostPrefix,
  holdsHost,
  hostNetworkOf,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../../net/underlay-address.ts';
import { ROUTE_TABLE_MAIN, type Snapshot, type SnapshotLink } from '../../host/snapshot.ts';

/** A reason not to go on, for programs (`code`) and for people (a sentence with a way out). */
export type Refusal = { code: string; message: string };

export type ResolvedUnderlay = {
  /** Our underlay address. */
  local: UnderlayAddress;
  underlay: UnderlayPrefix;
  /** With the MTU of the way out where the address is on loopback. */
  device: SnapshotLink;
  /** It stands for itself alone (/32, /128), as a floating address does. */
  floating: boolean;
};

/** The address that a fan had: it keeps it, and gives it up for no floating one if it was none. */
export type Keep = Pick<ResolvedUnderlay, 'local' | 'floating'>;

const SCOPE_GLOBAL = 0;
const ADDRESSES_SHOWN_MAX = 6;
const LOOPBACK = 'lo';
/** Where nothing says how large packets may be, bytes: Ethernet's. */
const MTU_BYTES_USUAL = 1500;

function isResolved(value: ResolvedUnderlay | Refusal): value is ResolvedUnderlay {
  return 'local' in value;
}

export { isResolved };

/** An address of this host, of either family. */
type OwnAddress = {
  index: number;
  address: UnderlayAddress;
  length: number;
  scope: number;
  secondary: boolean;
  peer?: number;
};

type Candidate = { address: OwnAddress; link: SnapshotLink };

/** What the candidates are looked at with. */
type View = {
  snapshot: Snapshot;
  family: Family;
  candidates: readonly Candidate[];
  keep: Keep | undefined;
};

/** The addresses of devices that do not bear our mark. */
function unmarked(
  links: readonly SnapshotLink[],
  addresses: readonly OwnAddress[],
): readonly Candidate[] {
  const byIndex = new Map<number, SnapshotLink>();
  for (const link of links) {
    if (!link.alias.startsWith('fanway:')) byIndex.set(link.index, link);
  }
  return addresses.flatMap((address) => {
    const link = byIndex.get(address.index);
    return link === undefined ? [] : [{ address, link }];
  });
}

/** Of each list of devices and of addresses that somebody holds: a round of many links looks at the same ones. */
const known = new WeakMap<object, WeakMap<object, readonly Candidate[]>>();

/** The addresses of devices that are not ours. */
function candidatesOf(snapshot: Snapshot, family: Family): readonly Candidate[] {
  const addresses: readonly OwnAddress[] =
    family === 6 ? snapshot.ipv6Addresses : snapshot.addresses;
  const { links } = snapshot;
  const byAddresses = known.get(links) ?? new WeakMap<object, readonly Candidate[]>();
  known.set(links, byAddresses);
  const found = byAddresses.get(addresses) ?? unmarked(links, addresses);
  byAddresses.set(addresses, found);
  // By name, too: a device that lost its mark is ours still.
  const isOwn = ({ name }: SnapshotLink): boolean => {
    const bears = ({ spec }: { spec: { name: string; device: string } }): boolean =>
      spec.name === name || spec.device === name;
    return snapshot.fans.some(bears) || snapshot.networks.some(bears);
  };
  return found.filter(({ link }) => !isOwn(link));
}

/**
 * The address that the selector means on this host, or why there is none.
 * @param keep the address that the fan has, or had until it went away
 */
export function resolveUnderlay(
  selector: UnderlaySelector,
  picture: Snapshot,
  keep?: Keep,
): ResolvedUnderlay | Refusal {
  const snapshot = { ...picture, ...picture.underlay };
  const family = underlayFamily(selector);
  const candidates = candidatesOf(snapshot, family);
  const view = { snapshot, family, candidates, keep };
  switch (selector.kind) {
    case 'address':
      return byAddress(selector, view);
    case 'device':
      return byDevice(selector.device, selector.length, view);
    case 'default':
      return byDefaultRoute(selector.length, view);
  }
}

/** A /32 or /128 that is no end of a point-to-point link. */
function isFloating({ address, length, peer }: OwnAddress): boolean {
  return length === ADDRESS_BITS[familyOf(address)] && (peer ?? 0) === 0;
}

/** The lower the likelier that this is what the host is known by. */
function rankOf({ address }: Candidate): number {
  if (isFloating(address)) return 2;
  return address.secondary ? 1 : 0;
}

function resolved(candidate: Candidate, length: number, { snapshot }: View): ResolvedUnderlay {
  const { address, link } = candidate;
  const local = address.address;
  return {
    local,
    underlay: { address: hostNetworkOf({ address: local, length }), length },
    device: link.name === LOOPBACK ? { ...link, mtu: wayOutMtu(snapshot) } : link,
    floating: isFloating(address),
  };
}

/** The smallest MTU of the devices that packets from an address on loopback leave by, bytes. */
function wayOutMtu({ links, addresses, routes }: Snapshot): number {
  const ways = routes
    .filter(({ dst }) => dst.length === 0)
    .flatMap(({ oif, hops }) => [oif, ...(hops ?? []).map((hop) => hop.oif)]);
  const isCard = ({ name, alias, up, master }: SnapshotLink): boolean =>
    name !== LOOPBACK && up && master === 0 && !alias.startsWith('fanway:');
  const mtusOf = (indexes: readonly number[]): number[] =>
    links.filter((link) => isCard(link) && indexes.includes(link.index)).map(({ mtu }) => mtu);
  const known = mtusOf(ways);
  const mtus = known.length > 0 ? known : mtusOf(addresses.map(({ index }) => index));
  return mtus.length > 0 ? Math.min(...mtus) : MTU_BYTES_USUAL;
}

function textOf({ address, link }: Candidate): string {
  return `${formatHostPrefix(address)} on ${link.name}`;
}

function isGlobal({ address }: Candidate): boolean {
  return address.scope === SCOPE_GLOBAL;
}

function shown({ candidates, family }: View): string {
  const texts = candidates.filter(isGlobal).slice(0, ADDRESSES_SHOWN_MAX).map(textOf);
  return texts.length === 0
    ? `it has no IPv${family} address at all`
    : `it has ${texts.join(', ')}`;
}

/**
 * The one of `found` that is meant: the fan's own, else the only one of the best rank.
 * @param where what they were looked for by, for messages
 */
function oneOf(
  found: readonly Candidate[],
  where: string,
  length: number,
  view: View,
): ResolvedUnderlay | Refusal | undefined {
  const { keep } = view;
  const kept = found.find(({ address }) => address.address === keep?.local);
  if (kept !== undefined) return resolved(kept, length, view);
  const best = Math.min(...found.map(rankOf));
  const [first, ...others] = found.filter((candidate) => rankOf(candidate) === best);
  if (first === undefined) return undefined;
  const name = formatHostPrefix({ address: first.address.address, length });
  if (others.length > 0) {
    return {
      code: 'underlay-ambiguous',
      message: `this host has several addresses ${where} (${[first, ...others].map(textOf).join(', ')}): name the one that the other hosts know it by, for example ${name}`,
    };
  }
  if (keep?.floating === false && isFloating(first.address)) {
    return {
      code: 'underlay-gone',
      message: `${formatHostAddress(keep.local)} is gone, and ${textOf(first)} alone may be a floating address: waiting for another; if this host is to go by it, take the fan down and name it: ${name}`,
    };
  }
  return resolved(first, length, view);
}

function byAddress(selector: UnderlayPrefix, view: View): ResolvedUnderlay | Refusal {
  const { candidates } = view;
  const exact = candidates.find((candidate) => candidate.address.address === selector.address);
  if (exact !== undefined) return resolved(exact, selector.length, view);
  const text = formatUnderlay({ kind: 'address', ...selector });
  if (hostNetworkOf(selector) !== selector.address) {
    return {
      code: 'underlay-not-here',
      message: `${formatHostAddress(selector.address)} is not an address of this host: ${shown(view)}; use one of them, or a device such as eth0/${selector.length}`,
    };
  }
  // Those on loopback are named one by one.
  const inside = candidates.filter(
    (candidate) =>
      holdsHost(selector, candidate.address.address) &&
      isGlobal(candidate) &&
      candidate.link.name !== LOOPBACK,
  );
  const found = oneOf(inside, `in ${text}`, selector.length, view);
  if (found !== undefined) return found;
  return {
    code: 'underlay-not-here',
    message: `this host has no address in the underlay ${text}: ${shown(view)}; use a network that holds one of them, or name one`,
  };
}

function byDevice(name: string, length: number, view: View): ResolvedUnderlay | Refusal {
  const { snapshot, candidates } = view;
  const link = snapshot.links.find((link) => link.name === name);
  if (link === undefined) {
    const names = snapshot.links
      .filter((link) => link.name !== LOOPBACK && !link.alias.startsWith('fanway:'))
      .map((link) => link.name);
    return {
      code: 'underlay-no-device',
      message: `there is no device ${name} on this host; there are ${names.slice(0, 8).join(', ') || 'none but lo'}`,
    };
  }
  const on = candidates.filter((candidate) => candidate.link.index === link.index);
  const found = oneOf(on.filter(isGlobal), `on ${name}`, length, view);
  if (found !== undefined) return found;
  const elsewhere = candidates.filter((one) => isGlobal(one) && one.link.index !== link.index);
  const wayOut =
    elsewhere[0] === undefined
      ? 'give it one first, or name another device'
      : `give it one first, or name one of this host's: ${shown({ ...view, candidates: elsewhere })}`;
  return {
    code: 'underlay-no-address',
    message: `device ${name} has no global IPv${view.family} address: ${wayOut}`,
  };
}

/** The way out over IPv6, where the kernel itself knows which of several routes counts. */
function byIpv6WayOut(length: number, view: View): ResolvedUnderlay | Refusal {
  const { links, ipv6WayOut } = view.snapshot;
  const link = links.find(({ index }) => index === ipv6WayOut);
  if (link !== undefined) return byDevice(link.name, length, view);
  return {
    code: 'underlay-no-default',
    message: `this host has no IPv6 default route, so \`default/${length}\` means nothing: name an address or a device; ${shown(view)}`,
  };
}

function byDefaultRoute(length: number, view: View): ResolvedUnderlay | Refusal {
  if (view.family === 6) return byIpv6WayOut(length, view);
  const { snapshot, candidates, keep } = view;
  const route = snapshot.routes
    .filter(
      (route) =>
        route.dst.length === 0 && route.table === ROUTE_TABLE_MAIN && route.type === 'unicast',
    )
    .sort((a, b) => a.metric - b.metric)[0];
  const ways = new Set([route?.oif, ...(route?.hops ?? []).map(({ oif }) => oif)]);
  const [first, ...others] = snapshot.links.filter((link) => ways.has(link.index));
  if (route === undefined || first === undefined) {
    return {
      code: 'underlay-no-default',
      message: `this host has no default route, so \`default\` means nothing: name an address or a device; ${shown(view)}`,
    };
  }
  const preferred = candidates.find(
    ({ address }) => route.src !== 0 && address.address === route.src,
  );
  if (preferred !== undefined) return resolved(preferred, length, view);
  if (others.length === 0) return byDevice(first.name, length, view);
  const kept = candidates.find(
    ({ address }) => address.address === keep?.local && ways.has(address.index),
  );
  if (kept !== undefined) return resolved(kept, length, view);
  const names = [first, ...others].map(({ name }) => name);
  return {
    code: 'underlay-ambiguous',
    message: `the default route of this host has ways out of several devices (${names.join(', ')}): name the one that the other hosts are behind, for example ${first.name}/${length}`,
  };
}

/** The addresses that this host might be known by, `it has 172.30.0.28/16 on eth0`. */
export function addressesText(picture: Snapshot, family: Family): string {
  const snapshot = { ...picture, ...picture.underlay };
  const candidates = candidatesOf(snapshot, family);
  return shown({ snapshot, family, candidates, keep: undefined });
}

/** An address with the length of its network, for messages. */
export function formatHost(address: UnderlayAddress, length: number): string {
  return formatHostPrefix({ address, length });
}
