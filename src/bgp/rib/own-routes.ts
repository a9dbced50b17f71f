/**
 * Our own values as EVPN routes: what this host announces in a network (RFC 7432 §7, RFC 8365 §5,
 * RFC 9136 §4).
 * @module
 */
import type { Ip } from '../../wire/bgp/address.ts';
import type { Attributes } from '../../wire/bgp/attributes.ts';
import { type Community, encodeCommunity } from '../../wire/bgp/communities.ts';
import { ESI_ZERO, type EvpnRoute, type RouteDistinguisher } from '../../wire/bgp/evpn.ts';
import { EvpnType, Origin, PmsiType, TunnelType } from '../../wire/bgp/iana.ts';
import { derivedExport, type RouteTarget, targetCommunity } from '../base/targets.ts';

/** What this host has. `vni` names the network; `vtep`: the tunnel endpoint, unless the speaker's own. */
export type OwnRoute = { vtep?: Ip } & (
  | {
      kind: 'mac';
      vni: number;
      /** u48 */
      mac: number;
      /** With one of its addresses; null = alone. */
      ip: Ip | null;
      /** How often it moved: gossip's rank (RFC 7432 §7.7). */
      sequence: number;
      /** It may never move. */
      sticky: boolean;
      /** It is the network's router (RFC 7432 §7.8). */
      gateway: boolean;
    }
  | { kind: 'flood'; vni: number }
  | {
      kind: 'prefix';
      vni: number;
      /** No bit set behind `length`. */
      address: Ip;
      length: number;
      /** Of the router behind the tunnel, u48 (RFC 9135 §9); null where none is needed. */
      routerMac: number | null;
    }
);

/** One of our own routes has this key, whatever else it says. */
export function ownKey(route: OwnRoute): string {
  switch (route.kind) {
    case 'mac':
      return `m ${route.vni} ${route.mac} ${route.ip ?? ''}`;
    case 'flood':
      return `f ${route.vni}`;
    case 'prefix':
      return `p ${route.vni} ${route.address}/${route.length}`;
  }
}

/** What a network gives its routes. */
export type NetworkMarks = {
  vni: number;
  rd: RouteDistinguisher;
  exportTargets: readonly RouteTarget[];
};

/** The speaker's part in them. */
export type SpeakerMarks = { as: number; vtep: Ip };

function communitiesOf(route: OwnRoute): Community[] {
  const communities: Community[] = [{ kind: 'encapsulation', tunnelType: TunnelType.Vxlan }];
  if (route.kind === 'mac') {
    const { sequence, sticky, gateway } = route;
    // Absent means 0 (RFC 7432 §15): a MAC that never moved says nothing.
    if (sequence > 0 || sticky) communities.push({ kind: 'mac-mobility', sticky, sequence });
    if (gateway) communities.push({ kind: 'default-gateway' });
  }
  if (route.kind === 'prefix' && route.routerMac !== null) {
    communities.push({ kind: 'router-mac', mac: route.routerMac });
  }
  return communities;
}

function nlriOf(route: OwnRoute, { rd, vni }: NetworkMarks, vtep: Ip): EvpnRoute {
  const common = { rd, tag: 0 };
  switch (route.kind) {
    case 'mac':
      return {
        ...{ type: EvpnType.MacIp, ...common, esi: ESI_ZERO, mac: route.mac, ip: route.ip },
        ...{ label: vni, label2: null },
      };
    case 'flood':
      return { type: EvpnType.InclusiveMulticast, ...common, originator: vtep };
    case 'prefix': {
      const gateway = typeof route.address === 'number' ? 0 : new Uint8Array(16);
      return {
        ...{ type: EvpnType.IpPrefix, ...common, esi: ESI_ZERO, gateway, label: vni },
        ...{ length: route.length, prefix: route.address },
      };
    }
  }
}

/** The route and its attributes, as our own speaker holds them. */
export function announce(
  route: OwnRoute,
  network: NetworkMarks,
  speaker: SpeakerMarks,
): { route: EvpnRoute; attributes: Attributes; nextHop: Ip } {
  const { as } = speaker;
  const vtep = route.vtep ?? speaker.vtep;
  const derived = [derivedExport(as, network.vni)];
  const targets = network.exportTargets.length > 0 ? network.exportTargets : derived;
  const extended = [...targets.map(targetCommunity), ...communitiesOf(route).map(encodeCommunity)];
  const attributes: Attributes = { origin: Origin.Igp, asPath: [], extended };
  if (route.kind === 'flood') {
    const type = PmsiType.IngressReplication;
    attributes.pmsi = { flags: 0, type, label: network.vni, id: vtep };
  }
  return { route: nlriOf(route, network, vtep), attributes, nextHop: vtep };
}
