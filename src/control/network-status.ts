/**
 * How the layer-2 networks of a router are, and the part of the admin socket that tells it and lets them
 * come and go.
 * @module
 */

import {
  addNetworkCall,
  networkSpecsCall,
  planNetworkCall,
  readNetworkRequest,
  removeNetworkCall,
} from '../api/network/requests.ts';
import {
  type ArpAnswers,
  arpCall,
  explainNetworkCall,
  macHistoryCall,
  macsCall,
  type NetworkJson,
  networksCall,
  type ServiceNodeStatus,
} from '../api/networks.ts';
import { ShapeError } from '../api/reader.ts';
import type { LinkUnderlay, PathStatus } from '../api/status.ts';
import { formatUnderlays } from '../config/link/underlays.ts';
import { codeOf, messageOf, refusedError, usageError } from '../errors.ts';
import { formatMac, parseMac } from '../net/mac.ts';
import {
  compareHosts,
  formatHostAddress,
  formatHostPrefix,
  type UnderlayAddress,
} from '../net/underlay-address.ts';
import { Service } from '../table/flood.ts';
import type { Route } from './admin/admin.ts';
import { answerTo } from './admin/answer-to.ts';
import type { Change } from './change/change.ts';
import { namesOf } from './host/bridge/bridge-ports.ts';
import { notesOfDatapath } from './links/datapath/choose.ts';
import type { ManagedLink } from './links/link.ts';
import type { Router } from './links/router.ts';
import { networkPlan } from './network-plan.ts';
import type { NetworkService } from './networks/network-service.ts';
import type { PolicyService } from './networks/policy/policy-service.ts';
import type { NetworkViews } from './networks/views.ts';
import type { DropMeter } from './plane/drops.ts';
import type { RateNow } from './plane/link-state.ts';
import type { RateMeter } from './plane/rates.ts';
import type { NetworkTablePort } from './plane/tables/network-table.ts';
import { rateStatus } from './rate-status.ts';
import { againNote } from './status.ts';
import { isKernels, isNetwork, type NetworkSpec } from './store/link-spec.ts';

/** Counters of frames that went to more than one host, by the word that people use. */
export const FLOOD_COUNTERS: Readonly<Record<string, string>> = {
  unknown: 'event.flooded_unknown',
  broadcast: 'event.flooded_broadcast',
  multicast: 'event.flooded_multicast',
};

/** Served hosts that are listed. */
const SERVED_MAX = 256;

/** Its device and our address; what was asked for while this host has no address for it, and no device. */
function placeOf(
  { request }: ManagedLink,
  spec: NetworkSpec,
): { device: string; underlay: string } {
  const { device, local, underlay } = spec;
  if (spec.underlayMtu > 0) {
    return { device, underlay: formatHostPrefix({ address: local, length: underlay.length }) };
  }
  const asked = request.underlay;
  return {
    device: '',
    underlay: asked === null ? 'default' : formatUnderlays({ ...request, underlay: asked }),
  };
}

export type NetworkStatusOptions = {
  networks: NetworkService;
  policy: PolicyService;
  /** What the last audit found to differ, by link. */
  drift: (link: string) => number;
  /** Who else hands out this host's addresses, a sentence each. */
  conflicts: (spec: NetworkSpec) => string[];
  /** Who has its floods copied by this host. */
  served: (spec: NetworkSpec) => Iterable<{ host: UnderlayAddress; owner: string }>;
  /** The name of a member, '' where nobody knows it. */
  nameOf: (owner: string) => string;
  views: NetworkViews;
  drops: DropMeter;
  rates: RateMeter;
  /** How a link's underlays are; undefined where it has one. */
  underlays: (link: string) => LinkUnderlay[] | undefined;
  /** What a link may send in a second, bytes; 0 = no limit. */
  rateOf: (link: string) => RateNow;
  /** What lets a link's sockets have the buffers that they were refused, '' when none was. */
  buffersRefused: (link: string) => string;
  table: () => NetworkTablePort | undefined;
  counters: () => Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Offloads that a link has. */
  offloads: (link: string) => string[];
  /** Why nobody tells this host of others; '' when somebody does. */
  alone: () => string;
  /** The paths to those that take part in a network. */
  paths: (link: string) => PathStatus[];
};

export class NetworkStatus {
  readonly #options: NetworkStatusOptions;

  constructor(options: NetworkStatusOptions) {
    this.#options = options;
  }

  /** Every network of the router. */
  all(router: Router): NetworkJson[] {
    if (!router.links.some(({ spec }) => isNetwork(spec))) return [];
    const counters = this.#options.counters();
    return router.links.flatMap((link) => {
      const { spec } = link;
      return isNetwork(spec) ? [this.#of(link, spec, counters[spec.name] ?? {})] : [];
    });
  }

  #of(
    link: ManagedLink,
    spec: NetworkSpec,
    counters: Readonly<Record<string, number>>,
  ): NetworkJson {
    const { networks, views, drops: meter, rates, table, offloads } = this.#options;
    const nowMs = performance.now();
    const { name, network, vni, bum, guard, port, innerMtu, underlayMtu } = spec;
    const { device, underlay } = placeOf(link, spec);
    const { members, memberCount } = views.firstMembers(name);
    const inTable = table()?.status(name);
    const { drops, failure } = meter.judge(
      {
        ...{ name, encap: spec.encap, port, vni, underlay: formatHostPrefix(spec.underlay) },
        ...{ isNetwork: true, buffers: this.#options.buffersRefused(name) },
      },
      counters,
      nowMs,
    );
    const isUp = link.state === 'up';
    const troubles = [
      link.reason,
      ...(isUp ? this.#troubles(link, name, failure, inTable?.waiting ?? 0) : []),
    ].filter(Boolean);
    const { egressPackets, egressBits, ingressPackets, ingressBits } = rates.of(name);
    return {
      ...{ network, bridge: name, vni, bum, guard, device, underlay, port, innerMtu, underlayMtu },
      state: isUp && troubles.length > 0 ? 'degraded' : link.state,
      reason: troubles.join('; '),
      datapath: isKernels(spec) ? 'kernel' : 'userspace',
      ...{ offloads: isUp ? offloads(name) : [], members, memberCount },
      macs: views.macCounts(name),
      ...{ addresses: inTable?.addresses ?? 0, waiting: inTable?.waiting ?? 0 },
      servers: {
        dhcp: this.#server(name, Service.Dhcp),
        router: this.#server(name, Service.Router),
      },
      serviceNode: this.#serviceNode(spec, counters, nowMs),
      search: networks.search.counts(name),
      arp: this.#arp(spec),
      rules: this.#options.policy.network(name)?.compiled.rules.length ?? 0,
      drift: this.#options.drift(name),
      floods: Object.fromEntries(
        Object.entries(FLOOD_COUNTERS).map(([cause, counter]) => [cause, counters[counter] ?? 0]),
      ),
      ...{ drops, rates: { egressPackets, egressBits, ingressPackets, ingressBits } },
      rate: rateStatus(spec, this.#options, rates, counters),
      underlays: this.#options.underlays(name),
      underlayMode: spec.underlayMode,
      xmitHashPolicy: spec.underlayMode === 'balance-xor' ? spec.xmitHashPolicy : undefined,
      lostPorts: link.lostPorts.map(({ name: lost }) => lost),
      notes: [
        ...notesOfDatapath(spec),
        ...(isUp ? [...link.obstacles.notes, ...this.#notes(spec, link)] : []),
      ],
      repairs: link.repairs,
      repaired: link.repaired.map(({ what, atMs }) => ({ what, agoMs: Math.round(nowMs - atMs) })),
    };
  }

  #serviceNode(
    spec: NetworkSpec,
    counters: Readonly<Record<string, number>>,
    nowMs: number,
  ): ServiceNodeStatus | null {
    const { networks, served, nameOf } = this.#options;
    const { replicator: replicates, bum, serviceNodes } = spec;
    if (!replicates && bum !== 'service-node') return null;
    const all = replicates ? [...served(spec)].sort((a, b) => compareHosts(a.host, b.host)) : [];
    const { host, changes, changedMs } = networks.floods.through(spec.name);
    return {
      replicates,
      serves: all
        .slice(0, SERVED_MAX)
        .map((one) => ({ host: formatHostAddress(one.host), name: nameOf(one.owner) })),
      servesCount: all.length,
      copies: counters['event.replicated'] ?? 0,
      limited: counters['ingress.drop.flood_limited'] ?? 0,
      nodes: serviceNodes.map(formatHostAddress),
      through: host === undefined ? '' : formatHostAddress(host),
      failOvers: changes,
      failedOverMs: changes === 0 ? null : Math.round(nowMs - changedMs),
    };
  }

  #arp({ name, arp }: NetworkSpec): ArpAnswers {
    const asked = arp ?? 'auto';
    const view = this.#options.networks.answers.view(name);
    if (view === undefined) {
      return { asked, by: 'userspace', addresses: 0, answered: 0, reason: '' };
    }
    return { asked, by: view.reason === '' ? 'kernel' : 'userspace', ...view };
  }

  #server(name: string, service: Service): string | null {
    const host = this.#options.networks.serverOf(name, service);
    if (host === undefined) return null;
    return host === 'here' ? '' : formatHostAddress(host);
  }

  /** What is wrong although everything of it stands on this host. */
  #troubles(link: ManagedLink, name: string, failure: string, waiting: number): string[] {
    const { networks, alone } = this.#options;
    const lost = link.lostPorts;
    return [
      lost.length > 0 ? `no more on ${name}, and cut off: ${namesOf(lost)}` : '',
      ...link.obstacles.obstacles.map(({ message }) => message),
      alone(),
      networks.floods.problem(name),
      waiting > 0 ? `${waiting} MACs and addresses found no room in the tables` : '',
      failure,
      ...(isNetwork(link.spec) ? this.#options.conflicts(link.spec) : []),
    ];
  }

  #notes({ name, guard, dhcpServers, routers }: NetworkSpec, link: ManagedLink): string[] {
    const { networks } = this.#options;
    const local = networks.local(name);
    const refused = local?.stations.refused ?? 0;
    const drift = this.#options.drift(name);
    const notes = [...(this.#options.policy.network(name)?.compiled.problems ?? [])];
    const rules = this.#options.policy.network(name)?.compiled.rules.length ?? 0;
    const isTried = (kind: Change['kind']): boolean =>
      link.journal?.entries.some(({ change }) => change.kind === kind) === true;
    if (guard === 'strict' && !isTried('bound')) {
      notes.push("a container can take another one's MAC on this host: there is no nft here");
    }
    if ((link.stopped ?? 0) > 0) {
      notes.push(`${link.stopped} frames with the MAC of another port were stopped on the bridge`);
    }
    if (rules > 0 && !isTried('inside')) {
      notes.push('rules do not hold between containers of this host: there is no nft here');
    }
    notes.push(...againNote(this.#options.rates.againOf(name), this.#options.paths(name)));
    if (drift > 0) notes.push(`${drift} things differ from what was decided: fanway audit`);
    if (refused > 0) notes.push(`${refused} MACs were more than a port or the network may have`);
    if (local !== undefined && local.duplicates > 0) {
      notes.push(`${local.duplicates} addresses were claimed twice, last: ${local.lastDuplicate}`);
    }
    const conflicts = networks.moves.conflicts(name);
    const last = conflicts.at(-1);
    if (last !== undefined) {
      const where = `${formatMac(last.mac)} here and at ${formatHostAddress(last.host)}`;
      notes.push(
        `MACs that two hosts have, and both answer: ${conflicts.length}, last ${where}; each stays where it was first: fanway mac history`,
      );
    }
    for (const [what, macs, service] of [
      ['DHCP server', dhcpServers, Service.Dhcp],
      ['router', routers, Service.Router],
    ] as const) {
      if (macs === undefined || macs.length === 0) continue;
      if (networks.serverOf(name, service) !== undefined) continue;
      notes.push(`the ${what} ${macs.map(formatMac).join(', ')} is on no host: clients find none`);
    }
    return notes;
  }
}

/** The link of a network, by its name or that of its bridge. @throws FanwayError */
export function findNetwork(router: Router, network: string): string {
  for (const { spec } of router.links) {
    if (isNetwork(spec) && (spec.network === network || spec.name === network)) return spec.name;
  }
  throw refusedError('no-network', `there is no network ${network}; fanway net show lists them`);
}

export function networkRoutes(of: {
  router: Router;
  status: NetworkStatus;
  views: NetworkViews;
  /** Ends a router that has nothing left to do; true when it ends. */
  endIfIdle: () => boolean;
}): Route[] {
  const { router, status, views, endIfIdle } = of;
  return [
    answerTo(networksCall, () => status.all(router)),
    answerTo(addNetworkCall, async ({ request }) => {
      const wanted = readRequest(request);
      const plan = await router.addNetwork(wanted);
      const { network, bridge } = wanted;
      switch (plan.outcome) {
        case 'changes':
          return { outcome: 'up', network, bridge, messages: plan.warnings };
        case 'same':
          return { outcome: 'same', network, bridge, messages: [plan.message] };
        case 'refused': {
          const messages = plan.refusals.map(({ message }) => message);
          return { outcome: 'refused', network, bridge, messages };
        }
      }
    }),
    answerTo(networkSpecsCall, () =>
      router.links.flatMap(({ record: { spec, stopped } }) =>
        isNetwork(spec) ? [{ spec, stopped }] : [],
      ),
    ),
    answerTo(planNetworkCall, ({ request }) => {
      const wanted = readRequest(request);
      return router.look(wanted, (snapshot) =>
        networkPlan(wanted, snapshot, (link) => made(router, link)),
      );
    }),
    answerTo(removeNetworkCall, async ({ network, force }) => {
      const bridge = findNetwork(router, network);
      const { notes } = await router.down(bridge, { force });
      return { bridge, notes, ending: endIfIdle() };
    }),
    answerTo(macsCall, ({ network, from }) => views.macs(network, from)),
    answerTo(arpCall, ({ network, from }) => views.bindings(network, from)),
    answerTo(macHistoryCall, ({ mac }) => views.history(asked(() => parseMac(mac)))),
    answerTo(explainNetworkCall, ({ what }) => asked(() => views.explain(what))),
  ];
}

/** What a link has changed on the host, in the order of making. */
function made(router: Router, name: string): Change[] {
  const entries = router.links.find(({ spec }) => spec.name === name)?.journal?.entries ?? [];
  return entries.filter(({ state }) => state === 'done').map(({ change }) => change);
}

function readRequest(value: unknown): ReturnType<typeof readNetworkRequest> {
  try {
    return readNetworkRequest(value, 'request');
  } catch (error) {
    if (error instanceof ShapeError) throw usageError('bad-request', error.message);
    throw error;
  }
}

/** What reads a text of the client's. @throws FanwayError (exit code 2) */
function asked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (codeOf(error).startsWith('ERR_')) throw usageError('bad-request', messageOf(error));
    throw error;
  }
}
