/**
 * What this host tells others of itself, from the links that are up and the addresses it has.
 * @module
 */
import { hostname } from 'node:os';
import { ADVERTISE_MAX, type GossipSettings, NAME_CHARS_MAX } from '../../../config/gossip.ts';
import type { PeerRecord } from '../../../gossip/base/api.ts';
import type { Log } from '../../../log.ts';
import { hasIpv4 } from '../../../net/fan.ts';
import { familyOf, noHost, type UnderlayAddress } from '../../../net/underlay-address.ts';
import type { Ipv6Address } from '../../../sys/netlink/netlink.ts';
import { namespaceName } from '../../../sys/process/namespace-processes.ts';
import { NetworkNamespace } from '../../../sys/process/netns.ts';
import { VERSION } from '../../../version.ts';
import {
  ENCAPS_MAX,
  RECORD_FANS_MAX,
  RECORD_UNDERLAYS_MAX,
  VERSION_CHARS_MAX,
} from '../../../wire/gossip/bounds.ts';
import type { UnderlayItem } from '../../../wire/gossip/types.ts';
import type { SnapshotAddress, SnapshotLink, SnapshotRoute } from '../../host/snapshot.ts';
import {
  type AnySpec,
  isFan,
  isNetwork,
  type LinkSpec,
  type NetworkSpec,
} from '../../store/link-spec.ts';

const SCOPE_GLOBAL = 0;
/** VNIs of networks that people see of a host; who takes part in a network says so by an entry. */
const NETWORKS_SHOWN_MAX = 16;

export type HostView = {
  links: readonly SnapshotLink[];
  addresses: readonly SnapshotAddress[];
  ipv6Addresses: readonly Ipv6Address[];
  routes: readonly SnapshotRoute[];
};

/**
 * Addresses that others may reach this host at when no fan says which: global ones on devices that
 * are up and not fanway's own, those of the default route's device first.
 */
export function hostAddresses(view: HostView): UnderlayAddress[] {
  const { links, addresses, ipv6Addresses, routes } = view;
  const usable = links.filter(
    ({ name, up, alias }) => up && name !== 'lo' && !alias.startsWith('fanway:'),
  );
  const way = routes.find(({ dst }) => dst.length === 0)?.oif;
  const order = (index: number): number => (index === way ? 0 : 1);
  // Those that stay, IPv4 first: a stable sort keeps the order.
  const own = [...addresses, ...ipv6Addresses.filter(({ secondary }) => !secondary)];
  return own
    .filter(
      ({ scope, index }) => scope === SCOPE_GLOBAL && usable.some((link) => link.index === index),
    )
    .sort((a, b) => order(a.index) - order(b.index))
    .map(({ address }) => address)
    .slice(0, ADVERTISE_MAX);
}

let machine: string | undefined;

/**
 * The machine's name, with that of the network namespace where `ip netns` has one: several routers
 * on one machine are several hosts.
 */
function machineName(): string {
  machine ??= [hostname(), namespaceName(NetworkNamespace.current().inode)]
    .filter(Boolean)
    .join('-');
  return machine;
}

/** What this host is called: as configured, else the machine's name as far as it is printable. */
export function nodeName(settings: GossipSettings): string {
  const name = settings.name ?? machineName().replace(/[^\x21-\x7e]/g, '-');
  return name.slice(0, NAME_CHARS_MAX) || 'unnamed';
}

function unique<T>(values: readonly T[]): T[] {
  const seen = new Map(values.map((value) => [JSON.stringify(value), value]));
  return [...seen.values()];
}

/** Where others reach this host for a link. */
function reachedAt(spec: AnySpec): UnderlayAddress {
  return (isNetwork(spec) ? spec.outer : undefined) ?? spec.local;
}

/**
 * Where this host is beside the first underlay of its links; nowhere where the address is not here just now.
 * @param has whether this host has an address
 */
function underlaysShown(
  specs: readonly AnySpec[],
  has: (address: UnderlayAddress) => boolean,
): UnderlayItem[] {
  const shown = specs.flatMap(({ local: first, further = [] }) =>
    further.map(({ underlay: { address, length }, local }) => ({
      ...{ first, underlay: { address, length } },
      local: has(local) ? local : noHost(familyOf(local)),
    })),
  );
  return unique(shown).slice(0, RECORD_UNDERLAYS_MAX);
}

/**
 * The record. `specs` are the links that are up. A fan more than {@link RECORD_FANS_MAX} is left out.
 * @param fallback the addresses when nothing else says where this host is.
 * @param has whether this host has an address.
 */
export function peerRecordOf(
  settings: GossipSettings,
  specs: readonly AnySpec[],
  fallback: readonly UnderlayAddress[],
  has: (address: UnderlayAddress) => boolean = () => true,
): PeerRecord {
  const locals = unique(specs.map(reachedAt));
  const bound = settings.bind === null ? [] : [settings.bind];
  const addresses =
    [settings.advertise, bound, locals, fallback].find((list) => list.length > 0) ?? [];
  // A fan of IPv6 alone is told by its addresses' host, not by its overlay.
  const shown = specs
    .filter(isFan)
    .filter(({ overlay }) => hasIpv4(overlay))
    .slice(0, RECORD_FANS_MAX);
  const networks = specs.filter(isNetwork).slice(0, NETWORKS_SHOWN_MAX);
  const links = [...shown, ...networks];
  const underlays = underlaysShown(specs, has);
  return {
    name: nodeName(settings),
    endpoints: addresses
      .slice(0, ADVERTISE_MAX)
      .map((address) => ({ address, port: settings.port })),
    encaps: unique(links.map(({ encap, port }) => ({ encap, port }))).slice(0, ENCAPS_MAX),
    mtu: links.length === 0 ? 0 : Math.min(...links.map(({ underlayMtu }) => underlayMtu)),
    vnis: unique(links.map(({ vni }) => vni)),
    fans: shown.map(({ overlay, underlay, local }) => ({ overlay, underlay, local })),
    version: VERSION.slice(0, VERSION_CHARS_MAX),
    capabilities: [],
    ...(underlays.length > 0 && { underlays }),
  };
}

/** {@link peerRecordOf} of this host as it is now; it is looked at only when it must be. */
export async function currentRecord(
  settings: GossipSettings,
  {
    specs,
    networks,
    look,
  }: {
    specs: () => readonly LinkSpec[];
    networks?: () => readonly NetworkSpec[];
    look: () => Promise<HostView>;
  },
): Promise<PeerRecord> {
  const up = [...specs(), ...(networks?.() ?? [])];
  const known = settings.advertise.length > 0 || settings.bind !== null || up.length > 0;
  const hasFurther = up.some(({ further }) => further !== undefined);
  if (known && !hasFurther) return peerRecordOf(settings, up, []);
  const view = await look();
  const here = new Set([...view.addresses, ...view.ipv6Addresses].map(({ address }) => address));
  const fallback = known ? [] : hostAddresses(view);
  return peerRecordOf(settings, up, fallback, (address) => here.has(address));
}

/** Says how many fans the record has no room for. */
export function warnOfLeftOut(specs: readonly LinkSpec[], record: PeerRecord, log: Log): void {
  const leftOut = specs.filter(({ overlay }) => hasIpv4(overlay)).length - record.fans.length;
  if (leftOut > 0) log.warn('gossip', `${leftOut} fans are too many to be told of`);
}
