/**
 * The BGP speaker on the admin socket; docs/bgp-api.json describes the same for programs.
 * @module
 */
import { get, post } from './call.ts';
import {
  count,
  fields,
  flag,
  list,
  nullable,
  number,
  type ReadBy,
  type Reader,
  text,
  word,
} from './reader.ts';

export const bgpStatus = fields({
  state: word('up', 'stopped'),
  /** Why it is stopped, '' when it is up. */
  reason: text,
  as: number,
  routerId: text,
  vtep: text,
  /** Neighbours can connect to us. */
  listening: flag,
  /** All neighbours have sent what they have, or are not waited for any longer. */
  settled: flag,
  neighbors: fields({ established: number, all: number }),
  networks: list(number),
  /** In the table, ours among them. */
  routes: number,
  /** That hold in our networks. */
  entries: number,
  /** Next hops that no prefix of `vteps` admits, and what else was not used. */
  unused: fields({
    notAdmitted: number,
    encapsulation: number,
    noNetwork: number,
    unusable: number,
    /** Tunnel endpoints of the other address family, or another VNI than the network's. */
    unreachable: number,
  }),
  /** Connections from strangers. */
  strangers: number,
});
export type BgpStatus = ReadBy<typeof bgpStatus>;

const neighbourJson = fields({
  address: text,
  description: text,
  as: number,
  state: text,
  /** Since it is up, or down, ms. */
  sinceMs: number,
  /** `Hold Timer Expired` and the like; '' when it never ended. */
  lastEnd: text,
  lastFault: text,
  identifier: text,
  holdTime: number,
  received: number,
  stale: number,
  sent: number,
  pending: number,
  messagesReceived: number,
  messagesSent: number,
  queuedBytes: number,
  counters: fields({
    ...{ established: number, dropped: number, updatesReceived: number, discarded: number },
    ...{ withdrawnByFault: number, resets: number, looped: number, refused: number },
    ...{ passedBy: number, connectionsRefused: number },
  }),
});
export type NeighbourJson = ReadBy<typeof neighbourJson>;

const routeJson = fields({
  best: flag,
  /** Kept for a neighbour that restarts. */
  stale: flag,
  /** EVPN route type; 1 and 4 are shown and not acted on. */
  type: number,
  rd: text,
  network: text,
  labels: list(number),
  nextHop: text,
  /** '' = inside our AS. */
  asPath: text,
  /** The neighbour that told it, '' for our own. */
  from: text,
  ageMs: number,
  localPref: nullable(number),
  med: nullable(number),
  originator: nullable(text),
  communities: list(text),
});
export type RouteJson = ReadBy<typeof routeJson>;

const bgpEntryJson = fields({
  vni: number,
  kind: word('mac', 'address', 'flood', 'prefix'),
  /** MAC, address, tunnel endpoint or prefix. */
  entry: text,
  vtep: text,
  /** VNI on the wire. */
  label: number,
  mac: nullable(text),
  sequence: number,
  sticky: flag,
  gateway: flag,
});
export type BgpEntryJson = ReadBy<typeof bgpEntryJson>;

/** A route as programs give it. */
export type OwnRouteJson =
  | {
      kind: 'mac';
      vni: number;
      mac: string;
      ip: string | null;
      sequence: number;
      sticky: boolean;
      gateway: boolean;
    }
  | { kind: 'flood'; vni: number }
  | { kind: 'prefix'; vni: number; prefix: string; routerMac: string | null };

const ownKind = fields({ kind: word('mac', 'flood', 'prefix') });
const ownRoutes = {
  mac: fields<Extract<OwnRouteJson, { kind: 'mac' }>>({
    ...{ kind: word<'mac'>('mac'), vni: number, mac: text, ip: nullable(text), sequence: number },
    ...{ sticky: flag, gateway: flag },
  }),
  flood: fields<Extract<OwnRouteJson, { kind: 'flood' }>>({
    kind: word<'flood'>('flood'),
    vni: number,
  }),
  prefix: fields<Extract<OwnRouteJson, { kind: 'prefix' }>>({
    ...{ kind: word<'prefix'>('prefix'), vni: number, prefix: text, routerMac: nullable(text) },
  }),
};
const ownRouteJson: Reader<OwnRouteJson> = (value, at) =>
  ownRoutes[ownKind(value, at).kind](value, at);

/** Part of a list, and where the next begins; null = it was the last. */
export type Page<T> = { entries: T[]; next: number | null };

function page<T>(entry: Reader<T>): Reader<Page<T>> {
  return fields<Page<T>>({ entries: list(entry), next: nullable(count) });
}

/** What may be left out is null, or nothing at all. */
function absent<T>(reader: Reader<T>): Reader<T | null> {
  return (value, at) => nullable(reader)(value ?? null, at);
}

/** `from` = the first of the page, 0 unless given. */
const from: Reader<number> = (value, at) => count(value ?? 0, at);

export type RoutesRequest = { type: number | null; neighbor: string | null; from: number };
export type RibRequest = { vni: number | null; from: number };
const done = fields({ done: flag });
/** Looked at route by route where they are taken: each problem has its own sentence. */
const given = fields<{ routes: unknown }>({ routes: (value) => value });
const neighbor = fields({ neighbor: text });

/** null when nobody asked for BGP. */
export const bgpCall = get('/v1/bgp', nullable(bgpStatus));
export const bgpNeighborsCall = get('/v1/bgp/neighbors', list(neighbourJson));
export const bgpRoutesCall = post<RoutesRequest, Page<RouteJson>>(
  '/v1/bgp/routes',
  fields({ type: absent(count), neighbor: absent(text), from }),
  page(routeJson),
);
export const bgpRibCall = post<RibRequest, Page<BgpEntryJson>>(
  '/v1/bgp/rib',
  fields({ vni: absent(count), from }),
  page(bgpEntryJson),
);
export const bgpOwnCall = get('/v1/bgp/own', list(ownRouteJson));
export const bgpAnnounceCall = post('/v1/bgp/announce', given, done);
export const bgpWithdrawCall = post('/v1/bgp/withdraw', given, done);
export const bgpResetCall = post('/v1/bgp/reset', neighbor, done);
export const bgpRefreshCall = post('/v1/bgp/refresh', neighbor, done);
