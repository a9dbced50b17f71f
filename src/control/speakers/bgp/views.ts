/**
 * What the speaker knows as JSON, in the words and order of those who know FRR and GoBGP.
 * @module
 */

import type { BgpEntryJson, NeighbourJson, RouteJson } from '../../../api/bgp.ts';
import { formatRd, formatTarget } from '../../../bgp/base/targets.ts';
import type { Neighbour } from '../../../bgp/neighbour.ts';
import type { ImportedEntry, ImportedPlace } from '../../../bgp/rib/imports.ts';
import type { Path } from '../../../bgp/rib/path.ts';
import { formatIpv4 } from '../../../net/ipv4.ts';
import { formatMac } from '../../../net/mac.ts';
import { decodeCommunity, type RawCommunity } from '../../../wire/bgp/communities.ts';
import type { EvpnRoute } from '../../../wire/bgp/evpn.ts';
import { EvpnType, SegmentType, TunnelType } from '../../../wire/bgp/iana.ts';
import { formatIp } from './addresses.ts';

export function neighbourJson(neighbour: Neighbour, nowMs: number): NeighbourJson {
  const { settings, session, ribIn, ribOut } = neighbour;
  return {
    address: settings.address,
    description: settings.description,
    as: settings.as,
    // FRR's word for one that is held down.
    state: neighbour.isHeld ? 'Idle (PfxCt)' : neighbour.state,
    sinceMs: Math.round(nowMs - neighbour.sinceMs),
    lastEnd: neighbour.lastEnd,
    lastFault: ribIn.lastFault,
    identifier: formatIpv4(neighbour.source.identifier),
    holdTime: session?.holdSeconds ?? settings.holdSeconds,
    received: ribIn.size,
    stale: ribIn.stale,
    sent: ribOut.size,
    pending: ribOut.pending,
    messagesReceived: session?.messages.received ?? 0,
    messagesSent: session?.messages.sent ?? 0,
    queuedBytes: session?.queuedBytes ?? 0,
    counters: neighbour.counters,
  };
}

/** A route as FRR prints it: `[2]:[0]:[48]:[02:42:…]:[32]:[10.0.0.1]`. */
function networkText(route: EvpnRoute): string {
  const parts = ((): (string | number)[] => {
    switch (route.type) {
      case EvpnType.AutoDiscovery:
        return [route.tag, esiText(route.esi)];
      case EvpnType.MacIp: {
        const own = [route.tag, 48, formatMac(route.mac)];
        if (route.ip === null) return own;
        return [...own, typeof route.ip === 'number' ? 32 : 128, formatIp(route.ip)];
      }
      case EvpnType.InclusiveMulticast: {
        const { tag, originator } = route;
        return [tag, typeof originator === 'number' ? 32 : 128, formatIp(originator)];
      }
      case EvpnType.EthernetSegment: {
        const bits = typeof route.originator === 'number' ? 32 : 128;
        return [esiText(route.esi), bits, formatIp(route.originator)];
      }
      case EvpnType.IpPrefix:
        return [route.tag, route.length, formatIp(route.prefix)];
    }
  })();
  return [route.type, ...parts].map((part) => `[${part}]`).join(':');
}

function esiText(esi: Uint8Array): string {
  return Array.from(esi, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

const TUNNEL_NAMES = new Map<number, string>(
  Object.entries(TunnelType).map(([name, number]) => [number, name]),
);

/** An extended community as routers print it: `RT:65000:100`, `ET:8`, `MM:3`. */
function communityText(raw: RawCommunity): string {
  const community = decodeCommunity(raw);
  switch (community.kind) {
    case 'route-target':
      return `RT:${formatTarget(community)}`;
    case 'route-origin':
      return `SoO:${formatTarget(community)}`;
    case 'encapsulation':
      return `ET:${community.tunnelType}${TUNNEL_NAMES.get(community.tunnelType) === 'Vxlan' ? ' (VXLAN)' : ''}`;
    case 'default-gateway':
      return 'Default Gateway';
    case 'color':
      return `Color:${community.color}`;
    case 'mac-mobility':
      return community.sticky ? 'MM:sticky' : `MM:${community.sequence}`;
    case 'esi-label':
      return `ESI-label:${community.label}${community.singleActive ? ' single-active' : ''}`;
    case 'es-import':
      return `ES-Import:${formatMac(community.mac)}`;
    case 'router-mac':
      return `Rmac:${formatMac(community.mac)}`;
    case 'arp-nd':
      return `ND:${community.flags}`;
    case 'unknown':
      return `UNK:${hex(raw.high)}${hex(raw.low)}`;
  }
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}

const ORIGINS = ['i', 'e', '?'];

export function routeJson(path: Path, isBest: boolean, nowMs: number): RouteJson {
  const { route, attributes, source } = path;
  const labels = 'label' in route ? [route.label] : [attributes.pmsi?.label ?? 0];
  if (route.type === EvpnType.MacIp && route.label2 !== null) labels.push(route.label2);
  const steps = (attributes.asPath ?? []).map(({ type, numbers }) =>
    type === SegmentType.Set ? `{${numbers.join(',')}}` : numbers.join(' '),
  );
  const { originatorId } = attributes;
  return {
    ...{ best: isBest, stale: path.isStale, type: route.type, rd: formatRd(route.rd) },
    network: networkText(route),
    labels,
    nextHop: formatIp(path.nextHop),
    asPath: [...steps, ORIGINS[attributes.origin ?? 2] ?? '?'].join(' '),
    from: source.address,
    ageMs: Math.round(nowMs - path.sinceMs),
    localPref: attributes.localPref ?? null,
    med: attributes.multiExitDisc ?? null,
    originator: originatorId === undefined ? null : formatIpv4(originatorId),
    communities: (attributes.extended ?? []).map(communityText),
  };
}

function entryText(entry: ImportedEntry): string {
  switch (entry.kind) {
    case 'mac':
      return formatMac(entry.mac);
    case 'address':
      return formatIp(entry.ip);
    case 'flood':
      return formatIp(entry.member);
    case 'prefix':
      return `${formatIp(entry.address)}/${entry.length}`;
  }
}

export function entryJson(entry: ImportedEntry, place: ImportedPlace): BgpEntryJson {
  const { vtep, label, mac, sequence, sticky, gateway } = place;
  return {
    ...{ vni: entry.vni, kind: entry.kind, entry: entryText(entry), vtep: formatIp(vtep), label },
    ...{ mac: mac === null ? null : formatMac(mac), sequence, sticky, gateway },
  };
}
