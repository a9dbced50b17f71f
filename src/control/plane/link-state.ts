/**
 * A link that runs, and what of it the data processes read in the tables.
 * @module
 */

import type { DataProcessStatus, SuperBytes } from '../../api/status.ts';
import { ENCAPS } from '../../encap/encap.ts';
import { FanwayError } from '../../errors.ts';
import { LINKS_MAX } from '../../limits.ts';
import { rulePrefixOf } from '../../net/fan.ts';
import { flowKeyBits } from '../../net/flow-keys.ts';
import {
  familyOf,
  hostBytes,
  lastWordOf,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import {
  UNDERLAY_MODE_DEFAULT,
  UNDERLAY_MODES,
  XMIT_HASH_POLICIES,
  XMIT_HASH_POLICY_DEFAULT,
} from '../../net/underlay-modes.ts';
import { type EndpointRow, type LinkRow, Offload } from '../../table/links/links.ts';
import { SUPER_BYTES_PLAIN } from '../host/super-bytes.ts';
import type { AnySpec } from '../store/link-spec.ts';
import type { OpenDevice } from './devices.ts';
import { type EndpointState, receiversOf, sourcePortsOf } from './endpoint-set.ts';
import type { EntryTable } from './entry-table.ts';
import type { Holding } from './process/link-passing.ts';
import { KernelDrops, type Watched } from './tables/kernel-drops.ts';
import { kindWords } from './tables/overlay-words.ts';

export type LinkState = {
  id: number;
  /** Which of the links that ever had this number. */
  incarnation: number;
  spec: AnySpec;
  endpoint: EndpointState;
  /** Those on further underlays. */
  further: EndpointState[];
  /** One device queue for each data process. */
  devices: OpenDevice[];
  superBytes: SuperBytes;
  /** What `rate auto` has found, bytes a second; 0 = nothing yet. */
  autoRate: number;
  /** Hosts that do not tell it in which direction packets wait. */
  roundTrips: readonly UnderlayAddress[];
  kernelDrops: KernelDrops;
};

/** A link that begins, and knows nothing yet. */
export function newLink(
  begun: Omit<LinkState, 'superBytes' | 'autoRate' | 'roundTrips' | 'kernelDrops'>,
): LinkState {
  const kernelDrops = new KernelDrops();
  // What was dropped before is another's.
  kernelDrops.look(watchedOf(begun));
  return { ...begun, superBytes: SUPER_BYTES_PLAIN, autoRate: 0, roundTrips: [], kernelDrops };
}

/** Where the kernel may drop what is a link's. */
export function watchedOf({
  spec,
  endpoint,
  further,
  devices,
}: Pick<LinkState, 'spec' | 'endpoint' | 'further' | 'devices'>): Watched {
  const sockets = [endpoint, ...further].flatMap(receiversOf);
  return { sockets, device: spec.device, pid: devices[0]?.pid };
}

/** The link is on other sockets from now on; what the ones before have dropped counts still. */
export function moveTo(link: LinkState, endpoint: EndpointState): void {
  link.kernelDrops.look(watchedOf(link));
  link.endpoint = endpoint;
  link.kernelDrops.look(watchedOf(link));
}

/** A number that no link has. @throws FanwayError `too-many-links` */
export function freeLinkId(links: Iterable<LinkState>): number {
  const taken = new Set([...links].map((link) => link.id));
  let id = 0;
  while (taken.has(id)) id++;
  if (id < LINKS_MAX) return id;
  throw new FanwayError('too-many-links', `at most ${LINKS_MAX} links`);
}

/** Endpoints of links and no others: one that only a link on its way out has must not be inherited. */
function endpointsOf(links: Iterable<LinkState>): EndpointState[] {
  return [...new Set([...links].flatMap(({ endpoint, further }) => [endpoint, ...further]))];
}

/** How a link's rate is now. */
export type RateNow = {
  /** What it may send in a second; 0 = no limit. */
  bytes: number;
  /** Hosts of which `auto` knows nothing but the round trip. */
  roundTrips: readonly UnderlayAddress[];
};

export const NO_RATE: RateNow = { bytes: 0, roundTrips: [] };

/** The row of an endpoint; its sockets are alike in all queues. */
function endpointRow({ kind, local, port, queues }: EndpointState): EndpointRow {
  const all = queues.flat();
  const gro = queues.every(([listener]) => listener?.gro === true);
  const segment = all.every((socket) => socket.segment);
  const offloads = (segment ? Offload.Segment : 0) | (gro ? Offload.Gro : 0);
  return { kind, ...localWords(local), localPort: port, offloads };
}

/** Our own address as the row has it. */
function localWords(local: UnderlayAddress): Partial<EndpointRow> & { localAddress: number } {
  const localAddress = lastWordOf(local);
  if (familyOf(local) === 4) return { localAddress };
  const view = new DataView(hostBytes(local).buffer);
  return {
    ...{ localAddress, isIpv6: 1, localWord0: view.getUint32(0) },
    ...{ localWord1: view.getUint32(4), localWord2: view.getUint32(8) },
  };
}

/** What a link may send in a second, bytes; 0 = no limit. */
function rateBytesOf({ spec: { rate }, autoRate }: Pick<LinkState, 'spec' | 'autoRate'>): number {
  if (rate === undefined) return 0;
  return rate === 'auto' ? autoRate : Math.round(rate / 8);
}

export function rateNowOf(link: LinkState | undefined): RateNow {
  if (link === undefined) return NO_RATE;
  return { bytes: rateBytesOf(link), roundTrips: link.spec.rate === 'auto' ? link.roundTrips : [] };
}

/** What the row of a link says of the link itself. */
export function specWords(spec: AnySpec) {
  return {
    encap: ENCAPS[spec.encap].id,
    ...kindWords(spec),
    localAddress: lastWordOf(spec.local),
    vni: spec.vni,
    peerPort: spec.port,
  };
}

/** The row of a link; its devices are alike in all queues. */
export function linkRow(link: LinkState): LinkRow {
  const { spec, endpoint, devices, superBytes, autoRate } = link;
  const has = (offload: 'vnetHeader' | 'tso' | 'uso'): boolean =>
    devices.every((device) => device[offload]);
  return {
    ...specWords(spec),
    offloads:
      (has('vnetHeader') ? Offload.VnetHeader : 0) |
      (has('tso') ? Offload.Tso : 0) |
      (has('uso') ? Offload.Uso : 0),
    endpoint: endpoint.index,
    innerMtu: spec.innerMtu,
    underlayMtu: spec.underlayMtu,
    superBytesToHost: superBytes.toHost,
    superBytesToPorts: superBytes.toPorts,
    dscpUniform: spec.dscp === 'uniform' ? 1 : 0,
    rateBytes: rateBytesOf({ spec, autoRate }),
    flowKeys: flowKeyBits(spec.flowKeys ?? []),
    peerRates: spec.peerRates?.length ?? 0,
    nat: spec.nat === undefined ? 0 : 1,
    derivesMacs: 'derivedMacs' in spec && spec.derivedMacs === true ? 1 : 0,
    ...underlayWords(link),
  };
}

/** What a link's row says of several underlays; nothing where there is one. */
function underlayWords({
  spec,
  further,
}: LinkState): Pick<
  LinkRow,
  'underlayMode' | 'xmitHashPolicy' | `endpoint${1 | 2 | 3}` | `network${1 | 2 | 3}`
> {
  const { further: specs = [], underlayMode, xmitHashPolicy } = spec;
  if (specs.length === 0) return {};
  const endpoint = (i: number): number => (further[i]?.index ?? -1) + 1;
  const network = (i: number): number => {
    const one = specs[i];
    return one === undefined ? 0 : rulePrefixOf(one.underlay).address;
  };
  return {
    underlayMode: UNDERLAY_MODES.indexOf(underlayMode ?? UNDERLAY_MODE_DEFAULT),
    xmitHashPolicy: XMIT_HASH_POLICIES.indexOf(xmitHashPolicy ?? XMIT_HASH_POLICY_DEFAULT),
    ...{ endpoint1: endpoint(0), endpoint2: endpoint(1), endpoint3: endpoint(2) },
    ...{ network1: network(0), network2: network(1), network3: network(2) },
  };
}

/** What the data process of a queue is to have of links and the endpoints that they use. */
export function holdingOf(states: readonly LinkState[], queue: number): Holding {
  const endpoints = endpointsOf(states).map(({ index, incarnation, queues, probes }) => ({
    ...{ index, incarnation, probe: probes[queue] ?? -1 },
    sockets: (queues[queue] ?? []).map(({ fd }) => fd),
  }));
  const links = states.map(({ id, incarnation, devices, spec }) => {
    const device = devices[queue];
    if (device === undefined) throw new Error(`link ${spec.name} has no queue ${queue}`);
    return { id, incarnation, device: device.fd };
  });
  return { endpoints, links };
}

/** The offloads that a link's device and sockets have, by name. */
export function offloadsOf(link: LinkState): string[] {
  const [device] = link.devices;
  const [socket] = link.endpoint.queues[0] ?? [];
  const names: string[] = [];
  if (device?.vnetHeader === true) names.push('vnet-header');
  if (device?.tso === true) names.push('tso');
  if (device?.uso === true) names.push('uso');
  if (socket?.segment === true) names.push('udp-segment');
  if (socket?.gro === true) names.push('udp-gro');
  return names;
}

/** Writes what the data processes read of links and their endpoints, where it differs from what is there. */
export function writeLinks(
  tables: Pick<EntryTable, 'links' | 'rates'>,
  links: readonly LinkState[],
): void {
  for (const endpoint of endpointsOf(links)) {
    tables.links.setEndpoint(endpoint.index, endpoint.incarnation, endpointRow(endpoint));
  }
  for (const link of links) writeLink(tables, link);
}

function writeLink({ links, rates }: Pick<EntryTable, 'links' | 'rates'>, link: LinkState): void {
  const { peerRates = [] } = link.spec;
  rates.replace(link.id, new Map(peerRates.map(({ peer, rate }) => [peer, Math.round(rate / 8)])));
  links.setLink(link.id, link.incarnation, linkRow(link));
}

/** Nobody has the link any more. */
export function clearLink(
  {
    links,
    rates,
    reaches,
    homes,
    seats,
  }: Pick<EntryTable, 'links' | 'rates' | 'reaches' | 'homes' | 'seats'>,
  id: number,
): void {
  seats.clear(id);
  homes.clear(id);
  rates.clear(id);
  reaches.clear(id);
  links.clearLink(id);
}

/** By link, for status: the offloads of its device and sockets, and the source ports of what it sends. */
export function offeredBy(
  links: readonly LinkState[],
): Pick<DataProcessStatus, 'offloads' | 'sourcePorts'> {
  const byName = <T>(of: (link: LinkState) => T): Record<string, T> =>
    Object.fromEntries(links.map((link) => [link.spec.name, of(link)]));
  return {
    offloads: byName(offloadsOf),
    sourcePorts: byName((link) => sourcePortsOf(link.endpoint)),
  };
}
