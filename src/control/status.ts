/**
 * What a router says about itself, as one value that text and JSON are made from.
 * @module
 */

import { type Encap, formatUnderlay } from '../config/request.ts';
import { ENCAPS } from '../encap/encap.ts';
import { formatIpv4, parseIpv4 } from '../net/ipv4.ts';
import { contains, formatPrefix } from '../net/prefix.ts';
import type { Priority } from '../sys/process/priority.ts';
import type { TableStatus } from './entries/views.ts';
import { namesOf } from './host/bridge/bridge-ports.ts';
import type { SuperBytes } from './host/super-bytes.ts';
import type { ManagedLink } from './links/link.ts';
import { hostOf } from './links/plan.ts';
import type { DropStatus } from './plane/drops.ts';
import { offloadsInForce, type PathStatus } from './plane/paths.ts';
import type { Rates } from './plane/rates.ts';
import type { DataProcessStatus } from './plane/tunnel-set.ts';
import type { BgpStatus } from './speakers/bgp/routes.ts';
import type { GossipStatus } from './speakers/gossip/views.ts';

export type LinkStatus = {
  name: string;
  /**
   * `degraded`: up, but something of it cannot be made whole just now, or more is dropped than gets
   * through.
   */
  state: 'up' | 'degraded' | 'stopped';
  /** Why it is stopped, or what is wrong; '' when all is well. */
  reason: string;
  /** Router advertisements between containers that were stopped; null where nothing counts them. */
  stoppedAdverts: number | null;
  /** `250.0.0.0/8`. */
  overlay: string;
  /** Our address with the underlay's width, `172.30.0.28/16`. */
  underlay: string;
  /** The underlay as it was asked for. */
  requested: string;
  /** Ports that have lost the bridge, and with it everything. */
  lostPorts: string[];
  slice: string;
  gateway: string;
  encap: Encap;
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
  /** What is less here than it could be, each in a sentence. */
  notes: string[];
  rates: Rates;
  /** What was dropped in the last minute and is worth a word, most first. */
  drops: DropStatus[];
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
  /** How they were asked to be scheduled; each process tells what is in force. */
  priority: Priority;
  uptimeMs: number;
  links: LinkStatus[];
  processes: DataProcessStatus[];
  /** Peers whose path carries less than the underlay's device, or answers with errors. */
  paths: PathStatus[];
  /** The table of prefixes that are elsewhere than arithmetic says. */
  table: TableStatus;
  /** null = nobody asked for gossip. */
  gossip: GossipStatus | null;
  /** null = nobody asked for BGP. */
  bgp: BgpStatus | null;
};

/** What is wrong with a link, in one sentence. */
function reasonOf({ reason, lostPorts, spec }: ManagedLink): string {
  if (lostPorts.length === 0) return reason;
  const lost = `no more on ${spec.name}, and cut off: ${namesOf(lostPorts)}`;
  return reason === '' ? lost : `${reason}; ${lost}`;
}

/** What of a link this host does not allow. */
function notesOf(
  { journal, spec }: ManagedLink,
  processes: readonly DataProcessStatus[],
): string[] {
  const notes = (journal?.entries ?? []).flatMap(({ memo }) => memo.note ?? []).filter(Boolean);
  const ports = Math.min(...processes.map((one) => one.sourcePorts[spec.name] ?? spec.sourcePorts));
  if (ports < spec.sourcePorts) {
    notes.push(
      `outer source ports: ${ports} of ${spec.sourcePorts}, more flows share one; the ephemeral range (net.ipv4.ip_local_port_range less ip_local_reserved_ports) has no more free ones to spare`,
    );
  }
  return notes;
}

/** One link as it stands. */
export function linkStatus(
  link: ManagedLink,
  processes: readonly DataProcessStatus[],
  rates: Rates,
  nowMs: number,
  paths: readonly PathStatus[],
): LinkStatus {
  const { spec, request } = link;
  const reason = reasonOf(link);
  const offloads = offloadsInForce(
    processes.flatMap((process) => process.offloads[spec.name] ?? []),
    paths.filter(({ peer }) => contains(spec.underlay, parseIpv4(peer))),
  );
  const { obstacles, notes } = link.obstacles;
  const reasons = [reason, ...obstacles.map(({ message }) => message)].filter(Boolean);
  return {
    name: spec.name,
    state: link.state === 'up' && reasons.length > 0 ? 'degraded' : link.state,
    reason: link.state === 'up' ? reasons.join('; ') : reason,
    stoppedAdverts: link.stoppedAdverts,
    lostPorts: link.lostPorts.map(({ name }) => name),
    overlay: formatPrefix(spec.overlay),
    underlay: hostOf(spec),
    requested: formatUnderlay(request.underlay),
    slice: formatPrefix(spec.slice),
    gateway: formatIpv4(spec.gateway),
    encap: spec.encap,
    device: spec.device,
    port: spec.port,
    vni: ENCAPS[spec.encap].hasVni ? spec.vni : 0,
    underlayMtu: spec.underlayMtu,
    innerMtu: spec.innerMtu,
    superBytes: link.superBytes,
    dhcp: request.dhcp,
    hostReserve: request.hostReserve,
    auto: request.auto,
    bridgeGiven: request.bridge !== null,
    offloads,
    notes: [...(link.state === 'up' ? notes : []), ...notesOf(link, processes)],
    rates,
    drops: [],
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
