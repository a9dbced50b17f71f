/**
 * The control process put together: host, data plane, router, admin socket, watch. One composition
 * for `fanway up` in the background, `up --foreground` and `fanway daemon`.
 * @module
 */

import { countersCall } from '../api/counters.ts';
import {
  type DataProcessStatus,
  type LinkStatus,
  type PathStatus,
  type RouterStatus,
  statusCall,
} from '../api/status.ts';
import { webCall } from '../api/web.ts';
import type { Log } from '../log.ts';
import { formatHostPrefix } from '../net/underlay-address.ts';
import { releaseProgramPages } from '../sys/libc/memory.ts';
import { Beat } from '../sys/process/beat.ts';
import { NetworkNamespace } from '../sys/process/netns.ts';
import type { Priority } from '../sys/process/priority.ts';
import { VERSION } from '../version.ts';
import { type AdminServer, PlainAnswer, type Route, serveAdmin } from './admin/admin.ts';
import { answerTo } from './admin/answer-to.ts';
import { EntryService } from './entries/entry-service.ts';
import { RoutedEntries } from './entries/routed-entries.ts';
import { entryRoutes } from './entries/routes.ts';
import { tableStatus } from './entries/views.ts';
import { workloadsOf } from './entries/workloads.ts';
import { EventHub } from './event-hub.ts';
import { underlayOf } from './host/host.ts';
import { openHost, type RealHost } from './host/real-host.ts';
import { type AnyRecord, type FanRecord, isFanRecord } from './host/snapshot.ts';
import { HostWatch } from './host-watch.ts';
import { linkRoutes } from './link-routes.ts';
import type { ManagedLink } from './links/link.ts';
import { Router } from './links/router.ts';
import { MemoryTidy } from './memory-tidy.ts';
import { METRICS_TYPE, metricsText } from './metrics.ts';
import { NetworkPart } from './network-part.ts';
import type { DeviceOpener } from './plane/devices.ts';
import { DROP_COUNTERS, DropMeter } from './plane/drops.ts';
import { openDataPlane } from './plane/open-data-plane.ts';
import { PathWatch } from './plane/paths/path-watch.ts';
import { isPathNews, pathStatuses } from './plane/paths.ts';
import { RATE_COUNTERS, RateMeter, SAMPLE_INTERVAL_MS } from './plane/rates.ts';
import { TunnelSet } from './plane/tunnel-set.ts';
import { UnderlayWatch } from './plane/underlays/underlay-watch.ts';
import { BridgeWatch } from './plane/watch/bridge-watch.ts';
import { Probes } from './probe/probes.ts';
import { rateStatus } from './rate-status.ts';
import { obeySignals } from './signals.ts';
import { bgpRoutes, bgpStatus } from './speakers/bgp/routes.ts';
import { BgpService } from './speakers/bgp/service.ts';
import { gossipRoutes, gossipStatus } from './speakers/gossip/routes.ts';
import { GossipService } from './speakers/gossip/service.ts';
import { memberJson } from './speakers/gossip/views.ts';
import { linkStatus, STATUS_COUNTERS } from './status.ts';
import { stateDirectoryOf } from './store/address-book.ts';
import { type AnySpec, isFan, type LinkSpec } from './store/link-spec.ts';
import { admitOwn, claimForNamespace } from './store/namespace.ts';
import type { RunDirectory } from './store/run-directory.ts';
import { PageServer } from './web/page-server.ts';

/** A router in the background that nobody gave a link ends after this. */
const IDLE_MS = 60_000;
/** Changes that the kernel does not tell (dnsmasq, most sysctls, forwarding entries) are looked for this often. */
const RECONCILE_INTERVAL_MS = 5000;
/** When what only the start needs of the program is let go of, ms. */
const START_MS = 5000;

export type ServiceMode = 'background' | 'foreground' | 'daemon';

/** How the data processes of a router work; decided when it starts. */
export type DataOptions = {
  /** Data processes, each with its own device queue and sockets; 1 unless given. */
  queues?: number;
  /** Microseconds a data process spins before it sleeps; 0 unless given. */
  busyPollUs?: number;
  /** How they are scheduled; `auto` unless given. */
  priority?: Priority;
};

export type ServiceOptions = DataOptions & {
  run: RunDirectory;
  log: Log;
  mode: ServiceMode;
  /** Which links of a killed predecessor are taken over; all of them unless given. */
  wants?: (link: AnyRecord) => boolean;
  /** Where the fans are made; this process's own network namespace unless given. */
  host?: RealHost;
  /** Opens their devices there. */
  openDevice?: DeviceOpener;
  /** Called by the admin socket's reload. */
  reload?: () => Promise<string>;
};

/** A running control process. */
export class ControlService {
  readonly router: Router;
  readonly tunnels: TunnelSet;
  readonly gossip: GossipService;
  readonly bgp: BgpService;
  readonly entries: EntryService;
  readonly networks: NetworkPart;
  readonly #hub = new EventHub();
  readonly #host: RealHost;
  readonly #bridges: BridgeWatch;
  /** Everything that looks around by itself. */
  readonly #pathWatch: PathWatch;
  readonly #watches: readonly { start(): void; stop(): void }[];
  readonly #underlays: UnderlayWatch;
  readonly #options: ServiceOptions;
  readonly #queues: number;
  readonly #busyPollUs: number;
  readonly #priority: Priority;
  readonly #startedAtMs = performance.now();
  readonly #rates = new RateMeter();
  readonly #drops = new DropMeter();
  readonly #page: PageServer;
  readonly #probes: Probes;
  /** Owners that are tunnel endpoints are named by their address alone. */
  readonly #nameOf = (owner: string): string =>
    /[.:]/.test(owner) ? '' : this.gossip.nameOf(owner);
  readonly #beats: Beat[] = [];
  #admin: AdminServer | undefined;
  #hostWatch: HostWatch | undefined;
  #idleSinceMs = performance.now();
  #stopping: Promise<void> | undefined;
  readonly #done: Promise<void>;
  #resolveDone: () => void = () => undefined;

  private constructor(options: ServiceOptions) {
    const { run, log } = options;
    this.#options = options;
    this.#queues = options.queues ?? 1;
    this.#busyPollUs = options.busyPollUs ?? 0;
    this.#priority = options.priority ?? 'auto';
    this.#host = options.host ?? openHost(run);
    this.tunnels = new TunnelSet(async () => {
      const plane = await openDataPlane({
        queues: this.#queues,
        busyPollUs: this.#busyPollUs,
        priority: this.#priority,
        ...{ log, run, openDevice: options.openDevice },
      });
      plane.on('restarted', (reason) => log.warn('data', `data process restarted: ${reason}`));
      plane.on('failed', (reason) => log.error('data', `data process failed: ${reason}`));
      return plane;
    }, log);
    this.tunnels.whenTold((events) => {
      this.networks.service.events(events);
      this.#pathWatch.events(events);
      this.#drops.witnesses.note(events, performance.now());
    });
    this.router = new Router({ run, log, host: this.#host, tunnels: this.tunnels });
    this.entries = new EntryService({
      ...{ writer: this.tunnels, log },
      routes: new RoutedEntries({ host: this.#host, specs: () => this.#upSpecs(), log }),
    });
    this.networks = new NetworkPart({
      ...{ host: this.#host.networks, tunnels: this.tunnels, entries: this.entries },
      filter: () => this.#host.packetFilter(),
      loadRules: (text) => this.#host.loadRules(text),
      router: this.router,
      ...{ run, log, drops: this.#drops, rates: this.#rates, nameOf: this.#nameOf },
      alone: () => (this.gossip.host === undefined ? this.bgp.silence : ''),
      redistributes: () => this.bgp.settings?.redistribute === true,
      underlays: (link) => this.#underlays.status(link),
      trainsOf: (peer) => this.#pathWatch.trains.of(peer),
    });
    this.#probes = new Probes({
      ...{ tunnels: this.tunnels, entries: this.entries, networks: this.networks, log },
      ...{ gossip: () => this.gossip, specs: () => this.#upSpecs(), nameOf: this.#nameOf },
    });
    this.gossip = new GossipService({
      ...{ run, log, entries: this.entries },
      answer: (asked) => this.#pathWatch.answer(asked) ?? this.#probes.answer(asked),
      ...{ specs: () => this.#upSpecs(), followers: this.networks.followers },
      networks: () => this.networks.specs(),
      look: () => underlayOf(this.#host),
      stateDirectory: stateDirectoryOf(process.env),
      byFile: options.mode === 'daemon',
    });
    const about = { tunnels: this.tunnels, log, specs: () => this.#upSpecs() };
    const node = () => this.gossip.host?.node;
    this.#bridges = new BridgeWatch({ ...about, host: this.#host });
    const all = (): AnySpec[] => [...this.#upSpecs(), ...this.networks.specs()];
    this.#pathWatch = new PathWatch({
      ...{ ...about, node, specs: all },
      vtep: (link, member) => this.entries.get({ link, kind: 'vtep', member }),
      ask: async (member, question, about) => this.gossip.mustRun().ask(member, question, about),
    });
    this.#underlays = new UnderlayWatch({ ...about, node, host: this.#host, specs: all });
    this.#watches = [this.#bridges, this.#pathWatch, this.#underlays];
    this.entries.listen((changes) => this.#hub.entriesChanged(changes));
    this.gossip.events.listen((member) => this.#hub.publish({ kind: 'member', member }));
    this.gossip.events.listenConflicts((change) => this.#hub.conflict(change));
    this.bgp = new BgpService({
      ...{ path: run.bgp, log, entries: this.entries, specs: () => this.#upSpecs() },
      followers: this.networks.bgpFollowers,
      ...{ networks: () => this.networks.specs(), announced: () => this.gossip.announced },
    });
    this.#page = new PageServer({ routes: () => this.#routes(), log });
    this.router.on('settled', () => {
      void this.gossip.refresh();
      void this.bgp.refresh();
      this.entries.refresh();
      void this.networks.refresh();
      this.#hub.linksAre(this.#linkStates());
    });
    this.#done = new Promise((resolve) => {
      this.#resolveDone = resolve;
    });
  }

  /**
   * Takes over what a killed predecessor left, then answers on the admin socket. The caller holds
   * the router lock.
   */
  static async start(options: ServiceOptions): Promise<ControlService> {
    const service = new ControlService(options);
    // The signals are ours before there is anything to undo.
    obeySignals({
      ...{ log: options.log, stop: () => service.stop(), reload: options.reload },
      isForeground: options.mode === 'foreground',
    });
    claimForNamespace(options.run);
    await service.router.adopt(options.wants);
    // What is here is known before the first word to others: nothing of it is missing for a moment.
    await service.networks.refresh();
    await service.gossip.resume();
    service.#watch();
    service.#admin = await serveAdmin(options.run.socket, service.#routes(), options.log, {
      admit: admitOwn(options.run),
    });
    return service;
  }

  #watch(): void {
    this.#hostWatch = new HostWatch(this.#host, this.router);
    for (const one of this.#watches) one.start();
    // What a predecessor counted is no news.
    this.#drops.sample(this.tunnels.values(DROP_COUNTERS), performance.now());
    setTimeout(releaseProgramPages, START_MS).unref();
    const sampling = new Beat(SAMPLE_INTERVAL_MS, () => {
      const nowMs = performance.now();
      this.#rates.sample(this.tunnels.values(RATE_COUNTERS), nowMs);
      if (this.#drops.isDue(nowMs)) this.#drops.sample(this.tunnels.values(DROP_COUNTERS), nowMs);
    });
    const tidy = new MemoryTidy(() => this.router.links.length);
    this.router.on('settled', () => tidy.settled());
    const rounds = new Beat(RECONCILE_INTERVAL_MS, () => {
      this.router.scheduleReconcile();
      tidy.isDue = true;
      if (!this.#isIdle) this.#idleSinceMs = performance.now();
      else if (performance.now() - this.#idleSinceMs > IDLE_MS) this.#endIfIdle();
    });
    this.#beats.push(sampling, rounds);
  }

  #upSpecs(): LinkSpec[] {
    return this.router.links.flatMap(({ state, spec }) =>
      state === 'up' && isFan(spec) ? [spec] : [],
    );
  }

  #linkStates(): { name: string; state: string; reason: string }[] {
    return this.router.links.map(({ spec, state, reason }) => ({ name: spec.name, state, reason }));
  }

  get #isIdle(): boolean {
    return this.router.links.length === 0 && this.gossip.settings === undefined;
  }

  /**
   * Without links and gossip there is nothing to stay for; only a daemon waits for its next
   * configuration.
   */
  #endIfIdle(): boolean {
    const idle = this.#isIdle && this.#options.mode !== 'daemon';
    // The answer that is on its way goes out first.
    if (idle) setImmediate(() => void this.stop());
    return idle;
  }

  /** Resolves when everything has been taken back and closed. */
  get done(): Promise<void> {
    return this.#done;
  }

  /** Takes every link down and closes; a second call waits for the first. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    for (const beat of this.#beats.splice(0)) beat.close();
    for (const one of this.#watches) one.stop();
    this.#hostWatch?.stop();
    this.entries.end();
    await this.bgp.stop();
    await this.gossip.stop();
    this.networks.close(this.#options.mode === 'daemon');
    this.entries.close();
    await this.router.stop();
    await this.tunnels.close();
    await this.#page.set({ on: false, port: null });
    await this.#admin?.close();
    this.#host.close();
    this.#resolveDone();
  }

  status(): RouterStatus {
    const processes = this.tunnels.status();
    const paths = pathStatuses(this.tunnels.paths(), this.#pathWatch.trains);
    const counters = this.tunnels.named(STATUS_COUNTERS);
    return {
      version: VERSION,
      pid: process.pid,
      runDirectory: this.#options.run.path,
      networkNamespace: NetworkNamespace.current().inode,
      mode: this.#options.mode,
      queues: this.#queues,
      busyPollUs: this.#busyPollUs,
      priority: this.#priority,
      uptimeMs: Math.round(performance.now() - this.#startedAtMs),
      links: this.router.links.flatMap((link) => {
        const { record } = link;
        if (!isFanRecord(record)) return [];
        return [this.#linkStatus(link, record, processes, paths, counters)];
      }),
      networks: this.networks.status(),
      processes,
      paths: paths.filter(isPathNews),
      table: tableStatus(this.tunnels.entryStatus(), this.entries.status(), this.#nameOf),
      gossip: gossipStatus(this.gossip) ?? null,
      bgp: bgpStatus(this.bgp) ?? null,
    };
  }

  #linkStatus(
    link: ManagedLink,
    fan: FanRecord,
    processes: readonly DataProcessStatus[],
    paths: readonly PathStatus[],
    counters: Readonly<Record<string, Record<string, number>>>,
  ): LinkStatus {
    const [{ spec }, nowMs] = [fan, performance.now()];
    const counted = counters[spec.name] ?? {};
    const rate = rateStatus(spec, this.tunnels, this.#rates, counted);
    const underlays = this.#underlays.status(spec.name);
    const nat = this.#pathWatch.nat.status(spec);
    const shown = linkStatus(link, fan, processes, this.#rates, nowMs, paths);
    const status = { ...shown, rate, underlays, nat, bypass: this.tunnels.bypass(spec.name) };
    const underlay = formatHostPrefix(spec.underlay);
    const buffers = this.tunnels.buffersRefused(spec.name);
    const { drops, failure } = this.#drops.judge(
      { ...status, underlay, buffers, foreign: this.#bridges.foreignOn(spec) },
      counted,
      nowMs,
    );
    if (status.state !== 'up' || failure === '') return { ...status, drops };
    return { ...status, drops, state: 'degraded', reason: failure };
  }

  #routes(): Route[] {
    const get = (path: string, handle: () => unknown): Route => ({
      method: 'GET',
      path,
      handle: async () => handle(),
    });
    return [
      ...gossipRoutes(this.gossip, () => this.#endIfIdle()),
      ...bgpRoutes(this.bgp),
      this.#hub.route(),
      ...entryRoutes({
        ...{ entries: this.entries, nameOf: this.#nameOf, specs: () => this.#upSpecs() },
        answer: (link, address) => this.tunnels.answer(link, address),
        members: () => (this.gossip.host?.node.members() ?? []).map(memberJson),
        workloads: () => workloadsOf(this.router.fans, this.#options.run),
      }),
      ...this.#probes.routes(),
      answerTo(webCall, (request) => this.#page.set(request)),
      get('/metrics', () => {
        const text = metricsText(this.status(), this.tunnels.counters(), this.gossip);
        return new PlainAnswer(METRICS_TYPE, text);
      }),
      get('/v1/ping', () => ({
        pid: process.pid,
        networkNamespace: NetworkNamespace.current().inode,
      })),
      answerTo(statusCall, () => this.status()),
      answerTo(countersCall, () => this.tunnels.counters()),
      ...linkRoutes(this.router, () => this.#endIfIdle(), this.#options.reload),
      ...this.networks.routes(() => this.#endIfIdle()),
    ];
  }
}
