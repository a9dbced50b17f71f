/**
 * The BGP part of the admin socket, described by docs/bgp-api.json: routes are given and taken
 * here by programs that manage networks themselves.
 * @module
 */
import {
  type BgpStatus,
  bgpAnnounceCall,
  bgpCall,
  bgpNeighborsCall,
  bgpOwnCall,
  bgpRefreshCall,
  bgpResetCall,
  bgpRibCall,
  bgpRoutesCall,
  bgpWithdrawCall,
  type Page,
  type RoutesRequest,
} from '../../../api/bgp.ts';
import type { Neighbour } from '../../../bgp/neighbour.ts';
import type { Speaker } from '../../../bgp/speaker.ts';
import { refusedError } from '../../../errors.ts';
import { formatIpv4 } from '../../../net/ipv4.ts';
import type { Route } from '../../admin/admin.ts';
import { answerTo } from '../../admin/answer-to.ts';
import { formatIp, plainAddress } from './addresses.ts';
import { ownRouteJson, readRoutes } from './given-routes.ts';
import type { BgpService } from './service.ts';
import { entryJson, neighbourJson, routeJson } from './views.ts';

/** Routes or entries in one answer. */
export const BGP_PAGE_MAX = 5000;

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
      unreachable: service.unreachable,
    },
    strangers: service.strangers,
  };
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

function* pathsOf(speaker: Speaker | undefined, { type, neighbor }: RoutesRequest) {
  for (const each of speaker?.table.paths() ?? []) {
    if (type !== null && each.path.route.type !== type) continue;
    if (neighbor !== null && each.path.source.address !== neighbor) continue;
    yield each;
  }
}

function neighbourOf(service: BgpService, neighbor: string): Neighbour {
  const found = service.speaker?.neighbour(plainAddress(neighbor));
  if (found !== undefined) return found;
  throw refusedError('no-neighbor', `${JSON.stringify(neighbor)} is no neighbour here`);
}

export function bgpRoutes(service: BgpService): Route[] {
  return [
    answerTo(bgpCall, () => bgpStatus(service) ?? null),
    answerTo(bgpNeighborsCall, () =>
      (service.speaker?.neighbours ?? []).map((each) => neighbourJson(each, performance.now())),
    ),
    answerTo(bgpRoutesCall, (request) => {
      const nowMs = performance.now();
      const paths = pathsOf(service.speaker, request);
      return pageOf(paths, request.from, ({ path, isBest }) => routeJson(path, isBest, nowMs));
    }),
    answerTo(bgpRibCall, ({ vni, from }) => {
      const entries = service.speaker?.imports.entries(vni ?? undefined) ?? [];
      return pageOf(entries, from, ({ entry, place }) => entryJson(entry, place));
    }),
    answerTo(bgpOwnCall, () => (service.speaker?.own ?? []).map(ownRouteJson)),
    answerTo(bgpAnnounceCall, async ({ routes }) => {
      await service.announce(readRoutes(routes));
      return { done: true };
    }),
    answerTo(bgpWithdrawCall, async ({ routes }) => {
      await service.withdraw(readRoutes(routes));
      return { done: true };
    }),
    answerTo(bgpResetCall, ({ neighbor }) => {
      neighbourOf(service, neighbor).reset();
      return { done: true };
    }),
    answerTo(bgpRefreshCall, ({ neighbor }) => ({
      done: neighbourOf(service, neighbor).refresh(),
    })),
  ];
}
