/**
 * Layer-2 networks put together: what is here, what others tell, how it is shown.
 * @module
 */
import { auditCall } from '../api/network/audit.ts';
import { ipamCall } from '../api/network/ipam.ts';
import type { NetworkJson } from '../api/networks.ts';
import type { LinkUnderlay } from '../api/status.ts';
import type { Log } from '../log.ts';
import type { UnderlayAddress } from '../net/underlay-address.ts';
import type { TrainProof } from '../table/links/path-limits.ts';
import type { Route } from './admin/admin.ts';
import { answerTo } from './admin/answer-to.ts';
import type { EntryService } from './entries/entry-service.ts';
import type { NetworkHost } from './host/host.ts';
import type { PacketFilter } from './host/snapshot.ts';
import type { Router } from './links/router.ts';
import { findNetwork, NetworkStatus, networkRoutes } from './network-status.ts';
import { Audits } from './networks/audits.ts';
import { type IpamOptions, ipamConflicts, ipamViews } from './networks/ipam.ts';
import { Kept } from './networks/kept.ts';
import { Bindings } from './networks/local/bindings.ts';
import { NetworkService } from './networks/network-service.ts';
import { policyRoutes } from './networks/policy/policy-routes.ts';
import { PolicyService } from './networks/policy/policy-service.ts';
import { NetworkViews } from './networks/views.ts';
import type { DropMeter } from './plane/drops.ts';
import { pathStatuses } from './plane/paths.ts';
import type { RateMeter } from './plane/rates.ts';
import type { PolicyTable } from './plane/tables/policy-table.ts';
import type { TunnelSet } from './plane/tunnel-set.ts';
import type { SpeakerFollower } from './speakers/bgp/followers.ts';
import { NetworkBgp } from './speakers/bgp/network-bgp.ts';
import type { NodeFollower } from './speakers/gossip/followers.ts';
import { NetworkGossip } from './speakers/gossip/networks/network-gossip.ts';
import { Redistribution } from './speakers/redistribution.ts';
import { isNetwork, type NetworkSpec } from './store/link-spec.ts';
import type { RunDirectory } from './store/run-directory.ts';

export type NetworkPartOptions = {
  host: NetworkHost;
  tunnels: TunnelSet;
  entries: EntryService;
  router: Router;
  run: RunDirectory;
  log: Log;
  drops: DropMeter;
  rates: RateMeter;
  /** The name of a member, '' where nobody knows it. */
  nameOf: (owner: string) => string;
  /** Why nobody tells this host of others; '' when somebody does. */
  alone: () => string;
  /** The ruleset of nftables. */
  filter: () => Promise<PacketFilter>;
  loadRules: (text: string) => Promise<void>;
  /** Whether this host is a gateway between gossip and BGP. */
  redistributes: () => boolean;
  /** How a link's underlays are; undefined where it has one. */
  underlays: (link: string) => LinkUnderlay[] | undefined;
  /** What tests have shown of trains to a host. */
  trainsOf: (peer: UnderlayAddress) => TrainProof | undefined;
};

export class NetworkPart {
  readonly service: NetworkService;
  readonly gossip: NetworkGossip;
  readonly bgp: NetworkBgp;
  readonly policy: PolicyService;
  readonly #options: NetworkPartOptions;
  readonly #kept: Kept;
  readonly #redistribution: Redistribution;
  readonly #ipam: IpamOptions;
  readonly #bindings: Bindings;
  readonly audits: Audits;
  readonly #views: NetworkViews;
  readonly #status: NetworkStatus;

  constructor(options: NetworkPartOptions) {
    const { host, tunnels, entries, run, log } = options;
    this.#options = options;
    const specs = (): NetworkSpec[] => this.specs();
    const table = () => tunnels.networks();
    const plane = { networks: table, hostOf: (peer: number) => tunnels.hostOf(peer) };
    this.#bindings = new Bindings({
      ...{ log, loadRules: options.loadRules },
      isBound: (name) =>
        options.router.links.some((one) => one.spec.name === name && one.isMade('bound')),
    });
    const released = this.#bindings.release.bind(this.#bindings);
    this.service = new NetworkService({ host, plane, entries, run, log, specs, released });
    const { own, search } = this.service;
    this.gossip = new NetworkGossip({
      ...{ sink: entries, own, networks: specs },
      through: (link) => this.service.floods.through(link).host,
      sought: (link, from, addresses) => search.asked(link, from, addresses),
      witness: (link, word) => this.service.moves.heard(link, word),
    });
    search.by(this.gossip);
    this.service.onThrough = () => this.gossip.refresh();
    this.service.moves.by(this.gossip);
    this.bgp = new NetworkBgp({ sink: entries, own, networks: specs, log });
    this.#redistribution = new Redistribution({
      ...{ entries, gossip: this.gossip, bgp: this.bgp, networks: specs },
      isOn: () => options.redistributes(),
    });
    this.#kept = new Kept({ sink: entries, table, isSettled: () => this.bgp.isSettled });
    tunnels.whenMoved((link, device) => this.service.deviceIs(link, device));
    tunnels.whenOpened((kept) => {
      // Before the first packet of a network that has rules.
      this.policy.write();
      const known = options.router.links.flatMap(({ spec }) => (isNetwork(spec) ? [spec] : []));
      this.#kept.take(kept, known, performance.now());
    });
    const policy = (): PolicyTable | undefined => tunnels.policy();
    const changed = (): void => options.router.scheduleReconcile();
    this.policy = new PolicyService({ entries, table: policy, run, log, specs, changed });
    options.router.rules = {
      of: (link) => this.policy.network(link)?.compiled,
      isRuled: (request) => 'network' in request && this.policy.isRuled(request),
    };
    const { nameOf, drops, rates, alone } = options;
    this.#ipam = { entries, specs, nameOf, rivals: (spec) => this.gossip.sliceRivals(spec) };
    this.audits = new Audits({ host, networks: this.service, entries, table, specs, log });
    this.#views = new NetworkViews({ networks: this.service, entries, table, specs, nameOf });
    this.#status = new NetworkStatus({
      ...{ networks: this.service, views: this.#views, table, drops, rates, alone },
      policy: this.policy,
      served: (spec) => this.gossip.served(spec),
      nameOf,
      drift: (link) => this.audits.drift.get(link) ?? 0,
      conflicts: (spec) => ipamConflicts(this.#ipam, spec),
      counters: () => tunnels.counters(),
      rateOf: (link) => tunnels.rateOf(link),
      buffersRefused: (link) => tunnels.buffersRefused(link),
      underlays: (link) => options.underlays(link),
      offloads: (link) => tunnels.status()[0]?.offloads[link] ?? [],
      paths: (link) => {
        const isIn = (member: UnderlayAddress): boolean =>
          entries.get({ link, kind: 'vtep', member }) !== undefined;
        const own = tunnels.paths().filter(({ peer }) => isIn(peer));
        return pathStatuses(own, { of: options.trainsOf });
      },
    });
  }

  /** Whoever follows the gossip node. */
  get followers(): NodeFollower[] {
    return [this.gossip, this.policy];
  }

  /** Networks may have come, gone or changed. Never throws. */
  refresh(): Promise<void> {
    this.policy.refresh();
    return this.service.refresh();
  }

  /** @param keeps as in {@link NetworkService.close} */
  close(keeps: boolean): void {
    this.service.close(keeps);
    this.policy.close();
    this.audits.close();
    this.#bindings.close();
  }

  /** Who follows a BGP speaker. */
  get bgpFollowers(): SpeakerFollower[] {
    return [this.bgp, this.#redistribution];
  }

  /** The networks that are up. */
  specs(): NetworkSpec[] {
    return this.#options.router.links.flatMap(({ state, spec }) =>
      state === 'up' && isNetwork(spec) ? [spec] : [],
    );
  }

  status(): NetworkJson[] {
    return this.#status.all(this.#options.router);
  }

  routes(endIfIdle: () => boolean): Route[] {
    const { router, nameOf, entries, tunnels } = this.#options;
    const find = (network: string): string => findNetwork(router, network);
    return [
      ...networkRoutes({ router, endIfIdle, status: this.#status, views: this.#views }),
      answerTo(auditCall, ({ repair }) => this.audits.all(repair)),
      answerTo(ipamCall, ({ network }) => ipamViews(this.#ipam, network)),
      ...policyRoutes({
        ...{ policy: this.policy, find, nameOf, entries },
        table: () => tunnels.policy(),
        specs: () => this.specs(),
        filter: () => this.#options.filter(),
      }),
    ];
  }
}
