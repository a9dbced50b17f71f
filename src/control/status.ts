/**
 * What a router says about itself, as one value that text and JSON are made from.
 * @module
 */

import type { DataProcessStatus, LinkStatus, PathStatus } from '../api/status.ts';
import { formatUnderlays } from '../config/link/underlays.ts';
import { type FanRequest, formatOverlays } from '../config/request.ts';
import { ENCAPS } from '../encap/encap.ts';
import { hasIpv4 } from '../net/fan.ts';
import { formatIpv4 } from '../net/ipv4.ts';
import { formatAddress6, formatPrefix6 } from '../net/prefix6.ts';
import { holdsHost, parseHostAddress } from '../net/underlay-address.ts';
import { namesOf } from './host/bridge/bridge-ports.ts';
import type { FanRecord } from './host/snapshot.ts';
import { notesOfDatapath } from './links/datapath/choose.ts';
import type { ManagedLink } from './links/link.ts';
import { hostOf } from './links/plan.ts';
import { DROP_COUNTERS } from './plane/drops.ts';
import { offloadsInForce } from './plane/paths.ts';
import type { RateMeter } from './plane/rates.ts';
import { RATE_STATUS_COUNTERS } from './rate-status.ts';
import { isKernels, type LinkSpec, overlaysOf, slicesOf, underlaysOf } from './store/link-spec.ts';

/** The counters of a fan that its status is told from: a tenth of all. */
export const STATUS_COUNTERS: readonly string[] = [...DROP_COUNTERS, ...RATE_STATUS_COUNTERS];

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
  if (ENCAPS[spec.encap].udp && ports < spec.sourcePorts) {
    notes.push(
      `outer source ports: ${ports} of ${spec.sourcePorts}, more flows share one; the ephemeral range (net.ipv4.ip_local_port_range less ip_local_reserved_ports) has no more free ones to spare`,
    );
  }
  return notes;
}

/** So much of what TCP sends, sent again, is no usual loss. */
const AGAIN_SHARE = 0.2;
const HOSTS_NAMED_MAX = 4;

/** What it may mean that TCP sends so much again, where trains go to hosts that cannot say what came. */
export function againNote(again: number, paths: readonly PathStatus[]): string[] {
  if (again < AGAIN_SHARE) return [];
  const untested = paths.filter(
    ({ segmentation, trains }) => segmentation === 'works' && trains === 'untested',
  );
  if (untested.length === 0) return [];
  const hosts = untested.slice(0, HOSTS_NAMED_MAX).map(({ peer }) => peer);
  return [
    `TCP inside sends ${Math.round(again * 100)} % of its data again, and nobody can say whether trains of datagrams arrive whole at ${hosts.join(', ')}: a card or hypervisor may damage them (fanway doctor); fanway join on both hosts tests that, --offload off does without trains`,
  ];
}

function sixStatus({ six, encap }: LinkSpec): LinkStatus['six'] {
  if (six === undefined) return null;
  return {
    overlay: formatPrefix6(six.overlay),
    slice: formatPrefix6(six.slice),
    gateway: formatAddress6(six.gateway),
    vni: ENCAPS[encap].hasVni ? six.vni : 0,
  };
}

/** One fan as it stands. */
export function linkStatus(
  link: ManagedLink,
  { spec, request }: FanRecord,
  processes: readonly DataProcessStatus[],
  meter: Pick<RateMeter, 'of' | 'againOf'>,
  nowMs: number,
  paths: readonly PathStatus[],
): LinkStatus {
  const reason = reasonOf(link);
  const own = paths.filter(({ peer }) =>
    underlaysOf(spec).some(({ underlay }) => holdsHost(underlay, parseHostAddress(peer))),
  );
  const offloads = offloadsInForce(
    processes.flatMap((process) => process.offloads[spec.name] ?? []),
    own,
  );
  const { obstacles, notes } = link.obstacles;
  const reasons = [reason, ...obstacles.map(({ message }) => message)].filter(Boolean);
  const status: LinkStatus = {
    name: spec.name,
    state: link.state === 'up' && reasons.length > 0 ? 'degraded' : link.state,
    reason: link.state === 'up' ? reasons.join('; ') : reason,
    stoppedAdverts: link.stopped,
    lostPorts: link.lostPorts.map(({ name }) => name),
    overlay: overlaysOf(spec),
    underlay: hostOf(spec),
    requested: formatUnderlays(request),
    underlays: undefined,
    nat: undefined,
    underlayMode: spec.underlayMode,
    xmitHashPolicy: spec.underlayMode === 'balance-xor' ? spec.xmitHashPolicy : undefined,
    slice: slicesOf(spec),
    gateway: [
      ...(hasIpv4(spec.overlay) ? [formatIpv4(spec.gateway)] : []),
      ...(spec.six === undefined ? [] : [formatAddress6(spec.six.gateway)]),
    ].join(' and '),
    six: sixStatus(spec),
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
    datapath: isKernels(spec) ? 'kernel' : 'userspace',
    bypass: undefined,
    offloads,
    notes: [
      ...notesOfDatapath(spec),
      ...(link.state === 'up' ? notes : []),
      ...notesOf(link, processes),
      ...againNote(meter.againOf(spec.name), own),
    ],
    rates: meter.of(spec.name),
    rate: null,
    drops: [],
    repairs: link.repairs,
    repaired: link.repaired.map(({ what, atMs }) => ({ what, agoMs: Math.round(nowMs - atMs) })),
  };
  return spec.underlayMtu === 0 ? asAsked(status, request) : status;
}

/** A fan that has no place on this host yet: what was asked for, and no device or network that is not there. */
function asAsked(status: LinkStatus, request: FanRequest): LinkStatus {
  const { requested: underlay } = status;
  const nothing = { slice: '', gateway: '', six: null, device: '', vni: 0 };
  return { ...status, ...nothing, overlay: formatOverlays(request), underlay };
}

/** fanctl's flags of a link, in fanctl's order. */
export function flagsOf(
  link: Pick<LinkStatus, 'name' | 'dhcp' | 'hostReserve' | 'auto' | 'bridgeGiven' | 'state'>,
): string {
  return [
    ...(link.dhcp ? ['dhcp'] : []),
    `host-reserve ${link.hostReserve}`,
    ...(link.auto ? ['auto'] : []),
    ...(link.bridgeGiven ? [`bridge ${link.name}`] : []),
    // Not fanctl's words: it never has a fan that is configured and cannot run, or not well.
    ...(link.state === 'up' ? [] : [link.state]),
  ].join(' ');
}
