/**
 * The BGP part of the admin socket, described by docs/bgp-api.json: routes are given and taken
 * here by programs that manage networks themselves.
 * @module
 */
import type { Neighbour } from '../../../bgp/neighbour.ts';
import type { Speaker } from '../../../bgp/speaker.ts';
import { refusedError, usageError } from '../../../errors.ts';
import { formatIpv4 } from '../../../net/ipv4.ts';
import type { Route } from '../../admin/admin.ts';
import { formatIp, plainAddress } from './addresses.ts';
import { type OwnRouteJson, ownRouteJson, readRoutes } from './given-routes.ts';
import type { BgpService } from './service.ts';
import {
  type EntryJson,
  entryJson,
  type NeighbourJson,
  neighbourJson,
  type RouteJson,
  routeJson,
} from './views.ts';

/** Routes or entries in one answer. */
export const BGP_PAGE_MAX = 5000;

export type BgpStatus = {
  state: 'up' | 'stopped';
  /** Why it is stopped, '' when it is up. */
  reason: string;
  as: number;
  routerId: string;
  vtep: string;
  /** Neighbours can connect to us. */
  listening: boolean;
  /** All neighbours have sent what they have, or are not waited for any longer. */
  settled: boolean;
  neighbors: { established: number; all: number };
  networks: number[];
  /** In the table, ours among them. */
  routes: number;
  /** That hold in our networks. */
  entries: number;
  /** Next hops that no prefix of `vteps` admits, and what else was not used. */
  unused: { notAdmitted: number; encapsulation: number; noNetwork: number; unusable: number };
  /** Connections from strangers. */
  strangers: number;
};

export type Page<T> = { entries: T[]; next: number | null };

/** How it stands; undefined when nobody asked for BGP. */
export function bgpStatus(service: BgpService): BgpStatus | undefined {
  const { settings, speaker, reason } = service;
  if (settings === undefined) return undefined;
  const neighbours = speaker?.neighbours ?? [];
  return {
    state: speaker === undefined ? 'stopped' : 'up',
    reason,
    as: settings.as,
    routerId: speaker === undefined ? '' : formatIpv4(speaker.settings.routerId),
    vtep: speaker === undefined ? '' : formatIp(speaker.settings.vtep),
    listening: service.isListening,
    settled: speaker?.isSettled ?? false,
    neighbors: {
      established: neighbours.filter(({ state }) => state === 'Established').length,
      all: settings.neighbours.length,
    },
    networks: (speaker?.networks ?? []).map(({ vni }) => vni),
    routes: speaker?.table.size ?? 0,
    entries: speaker?.imports.size ?? 0,
    unused: {
      ...(speaker?.imports.counters ?? {
        ...{ notAdmitted: 0, encapsulation: 0, noNetwork: 0, unusable: 0 },
      }),
    },
    strangers: service.strangers,
  };
}

type Body = Readonly<Record<string, unknown>>;

function bodyOf(value: unknown): Body {
  if (typeof value === 'object' && value !== null) return { ...value };
  throw usageError('bad-request', 'the body is a JSON object');
}

function numberOr<T>(body: Body, key: string, absent: T): number | T {
  const value = body[key] ?? null;
  if (value === null) return absent;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
  throw usageError('bad-request', `${key} is a number, 0 or more`);
}

/** A page of what `all` yields, from number `from` on. */
function pageOf<T, U>(all: Iterable<T>, from: number, view: (item: T) => U): Page<U> {
  const entries: U[] = [];
  let number = 0;
  for (const item of all) {
    if (number++ < from) continue;
    if (entries.length >= BGP_PAGE_MAX) return { entries, next: from + BGP_PAGE_MAX };
    entries.push(view(item));
  }
  return { entries, next: null };
}

function* pathsOf(speaker: Speaker | undefined, body: Body) {
  const type = numberOr(body, 'type', undefined);
  const { neighbor = null } = body;
  for (const each of speaker?.table.paths() ?? []) {
    if (type !== undefined && each.path.route.type !== type) continue;
    if (neighbor !== null && each.path.source.address !== neighbor) continue;
    yield each;
  }
}

function neighbourOf(service: BgpService, body: unknown): Neighbour {
  const { neighbor } = bodyOf(body);
  const address = typeof neighbor === 'string' ? plainAddress(neighbor) : '';
  const found = service.speaker?.neighbour(address);
  if (found !== undefined) return found;
  throw refusedError('no-neighbor', `${JSON.stringify(neighbor)} is no neighbour here`);
}

export function bgpRoutes(service: BgpService): Route[] {
  const post = (path: string, handle: (body: unknown) => Promise<unknown>): Route => ({
    method: 'POST',
    path: `/v1/bgp/${path}`,
    handle,
  });
  const own = (): OwnRouteJson[] => (service.speaker?.own ?? []).map(ownRouteJson);
  return [
    { method: 'GET', path: '/v1/bgp', handle: async () => bgpStatus(service) ?? null },
    {
      method: 'GET',
      path: '/v1/bgp/neighbors',
      handle: async (): Promise<NeighbourJson[]> =>
        (service.speaker?.neighbours ?? []).map((each) => neighbourJson(each, performance.now())),
    },
    post('routes', async (body): Promise<Page<RouteJson>> => {
      const fields = bodyOf(body);
      const paths = pathsOf(service.speaker, fields);
      const nowMs = performance.now();
      return pageOf(paths, numberOr(fields, 'from', 0), ({ path, isBest }) =>
        routeJson(path, isBest, nowMs),
      );
    }),
    post('rib', async (body): Promise<Page<EntryJson>> => {
      const fields = bodyOf(body);
      const entries = service.speaker?.imports.entries(numberOr(fields, 'vni', undefined)) ?? [];
      return pageOf(entries, numberOr(fields, 'from', 0), ({ entry, place }) =>
        entryJson(entry, place),
      );
    }),
    { method: 'GET', path: '/v1/bgp/own', handle: async () => own() },
    post('announce', async (body) => {
      await service.announce(readRoutes(bodyOf(body)['routes']));
      return { done: true };
    }),
    post('withdraw', async (body) => {
      await service.withdraw(readRoutes(bodyOf(body)['routes']));
      return { done: true };
    }),
    post('reset', async (body) => {
      neighbourOf(service, body).reset();
      return { done: true };
    }),
    post('refresh', async (body) => ({ done: neighbourOf(service, body).refresh() })),
  ];
}
