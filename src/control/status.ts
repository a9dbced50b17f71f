/**
 * What a router says about itself, as one value that text and JSON are made from.
 * @module
 */
import { formatUnderlay } from '../config/request.ts';
import { formatIpv4, parseIpv4 } from '../net/ipv4.ts';
import { contains, formatPrefix } from '../net/prefix.ts';
import type { GossipStatus } from './gossip/views.ts';
import type { ManagedLink } from './link.ts';
import { offloadsInForce, type PathStatus } from './paths.ts';
import { hostOf } from './plan.ts';
import type { Rates } from './rates.ts';
import type { SuperBytes } from './super-bytes.ts';
import type { DataProcessStatus } from './tunnel-set.ts';

export type LinkStatus = {
  name: string;
  /** `degraded`: up, but something of it cannot be made whole just now. */
  state: 'up' | 'degraded' | 'stopped';
  /** Why it is stopped, or what is wrong; '' when all is well. */
  reason: string;
  /** What is worth knowing about the host though it stops nothing. */
  notes: string[];
  /** Router advertisements between containers that were stopped; null where nothing counts them. */
  stoppedAdverts: number | null;
  /** `250.0.0.0/8`. */
  overlay: string;
  /** Our address with the underlay's width, `172.30.0.28/16`. */
  underlay: string;
  /** The underlay as it was asked for. */
  requested: string;
  slice: string;
  gateway: string;
  encap: string;
  device: string;
  port: number;
  vni: number;
  /** Bytes. */
  underlayMtu: number;
  innerMtu: number;
  /** Longest TCP packets that the device is given in one piece. */
  superBytes: SuperBytes;
  dhcp: boolean;
  hostReserve: number;
  auto: boolean;
  bridgeGiven: boolean;
  offloads: string[];
  rates: Rates;
  /** Pieces of it that others took away and that were made again, ever. */
  repairs: number;
  /** The latest of them by name, oldest first. */
  repaired: { what: string; agoMs: number }[];
};

export type RouterStatus = {
  version: string;
  pid: number;
  runDirectory: string;
  /** Inode (in nsfs) of the network namespace that it serves. */
  networkNamespace: number;
  mode: string;
  /** Data processes, and how long each spins before it sleeps, µs. */
  queues: number;
  busyPollUs: number;
  uptimeMs: number;
  links: LinkStatus[];
  processes: DataProcessStatus[];
  /** Peers whose path carries less than the underlay's device, or answers with errors. */
  paths: PathStatus[];
  /** null = nobody asked for gossip. */
  gossip: GossipStatus | null;
};

/** One link as it stands. */
export function linkStatus(
  link: ManagedLink,
  processes: readonly DataProcessStatus[],
  rates: Rates,
  nowMs: number,
  paths: readonly PathStatus[],
): LinkStatus {
  const { spec, request } = link;
  const offloads = offloadsInForce(
    processes.flatMap((process) => process.offloads[spec.name] ?? []),
    paths.filter(({ peer }) => contains(spec.underlay, parseIpv4(peer))),
  );
  const { obstacles, notes } = link.obstacles;
  const reasons = [link.reason, ...obstacles.map(({ message }) => message)].filter(Boolean);
  return {
    name: spec.name,
    state: link.state === 'up' && reasons.length > 0 ? 'degraded' : link.state,
    reason: link.state === 'up' ? reasons.join('; ') : link.reason,
    notes: link.state === 'up' ? notes : [],
    stoppedAdverts: link.stoppedAdverts,
    overlay: formatPrefix(spec.overlay),
    underlay: hostOf(spec),
    requested: formatUnderlay(request.underlay),
    slice: formatPrefix(spec.slice),
    gateway: formatIpv4(spec.gateway),
    encap: spec.encap,
    device: spec.device,
    port: spec.port,
    vni: spec.encap === 'vxlan' ? spec.vni : 0,
    underlayMtu: spec.underlayMtu,
    innerMtu: spec.innerMtu,
    superBytes: link.superBytes,
    dhcp: request.dhcp,
    hostReserve: request.hostReserve,
    auto: request.auto,
    bridgeGiven: request.bridge !== null,
    offloads,
    rates,
    repairs: link.repairs,
    repaired: link.repaired.map(({ what, atMs }) => ({ what, agoMs: Math.round(nowMs - atMs) })),
  };
}

/** fanctl's flags of a link, in fanctl's order. */
export function flagsOf(link: LinkStatus): string {
  return [
    ...(link.dhcp ? ['dhcp'] : []),
    `host-reserve ${link.hostReserve}`,
    ...(link.auto ? ['auto'] : []),
    ...(link.bridgeGiven ? [`bridge ${link.name}`] : []),
    // Not fanctl's word: it never has a fan that is configured and cannot run.
    ...(link.state === 'stopped' ? ['stopped'] : []),
  ].join(' ');
}
