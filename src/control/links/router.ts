/**
 * The router: the links of one run directory, one operation at a time, and the watch that keeps
 * them as they should be.
 * @module
 */
import { EventEmitter } from 'node:events';
import type { NetworkRequest } from '../../config/network.ts';
import type { FanRequest } from '../../config/request.ts';
import { messageOf, refusedError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { NetlinkEvent } from '../../sys/netlink/netlink.ts';
import { type Journal, JournalStore } from '../change/journal.ts';
import type { Context, RuleBook } from '../change/kinds/kind.ts';
import { PortRecords, tidyBridges } from '../host/bridge/bridge-ports.ts';
import { cached } from '../host/cached-host.ts';
import type { Host, Tunnels } from '../host/host.ts';
import {
  depthOf,
  depthOfNetwork,
  readSnapshot,
  type SnapshotDepth,
} from '../host/read-snapshot.ts';
import {
  type AnyRecord,
  type AnyRequest,
  byKind,
  type FanRecord,
  foreignPorts,
  type Snapshot,
} from '../host/snapshot.ts';
import { LeftSettings } from '../store/left-settings.ts';
import { type AnySpec, isNetwork, type NetworkSpec } from '../store/link-spec.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import { Attention } from './attention.ts';
import { keptDatapath, keptNetworkDatapath } from './datapath/choose.ts';
import { becomeOther } from './datapath/move.ts';
import { linkKind } from './kinds.ts';
import { type ChangesPlan, type Look, ManagedLink } from './link.ts';
import { type Plan, planFan } from './plan.ts';
import { planNetwork } from './plan-network.ts';
import { soundJournals } from './recover.ts';
import { Rounds } from './rounds.ts';
import { isDual, sixAlone } from './six.ts';
import { stillStopped } from './stopped.ts';
import { keptPlaces } from './underlay/place.ts';

/** Both ways to change the host, with what was read of it. */
type World = ReturnType<typeof cached>;

export type RouterOptions = {
  run: RunDirectory;
  host: Host;
  tunnels: Tunnels;
  log: Log;
  /** Milliseconds on a clock that nobody sets: waits must not end early, or never. */
  now?: () => number;
};

/**
 * Emits `empty` when the last link has been taken down, and `settled` after every operation: a link
 * may have come, gone or changed.
 */
export class Router extends EventEmitter<{ empty: []; settled: [] }> {
  readonly #store: JournalStore;
  readonly #ports: PortRecords;
  readonly #left: LeftSettings;
  readonly #options: RouterOptions;
  readonly #links: ManagedLink[] = [];
  readonly #now: () => number;
  /** The tail of the queue of operations: each waits for the one before it. */
  #last: Promise<unknown> = Promise.resolve();
  readonly #rounds = new Rounds(() => this.#lookAround());
  readonly #attention = new Attention();
  /** Asked for; what was read of the host before one may not be so after it. */
  #operations = 0;
  #closed = false;
  /** The rules of networks; none while nobody knows them. */
  rules: RuleBook = { of: () => undefined, isRuled: () => false };

  constructor(options: RouterOptions) {
    super();
    this.#options = options;
    this.#store = new JournalStore(options.run);
    this.#ports = new PortRecords(options.run);
    this.#left = new LeftSettings(options.run);
    this.#now = options.now ?? (() => performance.now());
  }

  get links(): readonly ManagedLink[] {
    return this.#links;
  }

  /** The fans among them, as they were asked for and are. */
  get fans(): FanRecord[] {
    return this.#running().fans;
  }

  #queue<T>(operation: () => Promise<T>): Promise<T> {
    this.#operations++;
    const result = this.#after(operation);
    this.#last = this.#last.then(() => void this.emit('settled'));
    return result;
  }

  /** Waits for what was asked for before; nobody hears that it is done. */
  #after<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(operation, operation);
    this.#last = result.catch(() => undefined);
    return result;
  }

  #world = (): World => cached(this.#options.host, this.#options.tunnels);

  #context(of?: ManagedLink, { host, tunnels }: World = this.#world()): Context {
    const { log } = this.#options;
    const others = (): Journal[] =>
      this.#links.flatMap(({ journal }) =>
        journal === undefined || journal === of?.journal ? [] : [journal],
      );
    return { host, tunnels, log, others, left: this.#left, rulesOf: (link) => this.rules.of(link) };
  }

  #running(but?: ManagedLink): ReturnType<typeof byKind> {
    return byKind(this.#links.flatMap((link) => (link === but ? [] : [link.record])));
  }

  #snapshot(
    but?: ManagedLink,
    depth?: SnapshotDepth,
    host: Host = this.#options.host,
  ): Promise<Snapshot> {
    const { fans, networks } = this.#running(but);
    return readSnapshot(host, fans, depth, networks);
  }

  /**
   * Takes over the links of a router that was killed, as far as `wants` says so; what it does not
   * want is taken back. Nothing that is damaged stops the start.
   */
  adopt(wants: (link: AnyRecord) => boolean = () => true): Promise<void> {
    const { log } = this.#options;
    return this.#queue(async () => {
      const journals = await soundJournals(this.#store, this.#context());
      const links = journals.map((journal) => {
        const link = this.#newLink(journal);
        link.journal = journal;
        this.#links.push(link);
        return { link, journal };
      });
      for (const { link, journal } of links) {
        const context = this.#context(link);
        try {
          if (!wants(journal)) {
            await link.undo(this.#store, context);
            this.#forget(link);
          } else {
            await link.adopt(journal, this.#store, context);
            log.info('adopt', `${journal.spec.name}: taken over`);
          }
        } catch (error) {
          link.reason = messageOf(error);
          log.error('adopt', `${journal.spec.name}: ${link.reason}`);
        }
      }
      this.scheduleReconcile();
    });
  }

  #newLink = (link: AnyRecord): ManagedLink => new ManagedLink(link, this.#ports, this.#now);

  /** Bridges that were kept for their ports go with the last of these. */
  async #tidy(): Promise<void> {
    const { host, log } = this.#options;
    const claimed = this.#links.map(({ spec }) => spec.name);
    for (const name of await tidyBridges(this.#ports, claimed, host)) {
      log.info('bridge', `${name}: its last port has gone, and so has the bridge`);
    }
  }

  #forget(link: ManagedLink): void {
    const index = this.#links.indexOf(link);
    if (index >= 0) this.#links.splice(index, 1);
    this.#options.tunnels.forgetLink(link.spec.name);
  }

  async #plan(request: FanRequest, { host }: World): Promise<Plan> {
    const plan = planFan(request, await this.#snapshot(undefined, undefined, host));
    if (plan.outcome !== 'changes') return plan;
    const depth = depthOf(keptDatapath(request, this.fans));
    return planFan(request, await this.#snapshot(undefined, depth, host));
  }

  #depthOf(request: NetworkRequest): SnapshotDepth | undefined {
    const kept = keptNetworkDatapath(request, this.#running().networks);
    return depthOfNetwork(kept, this.rules.isRuled(kept));
  }

  /** What `use` makes of the host as a plan for a network sees it, with all that runs. */
  look<T>(request: NetworkRequest, use: (snapshot: Snapshot) => T): Promise<T> {
    return this.#queue(async () => use(await this.#snapshot(undefined, this.#depthOf(request))));
  }

  /** Brings a fan up: the plan's changes, exactly. @throws FanwayError; what was made is taken back. */
  up(request: FanRequest): Promise<Plan> {
    return this.#queue(async () => {
      const world = this.#world();
      const plan = await this.#plan(request, world);
      if (plan.outcome === 'changes') await this.#make(request, plan, world);
      return plan;
    });
  }

  /** Has a link that runs become what a plan says. @throws FanwayError; it goes on without. */
  async #join({ spec, joined }: ChangesPlan, world: World): Promise<void> {
    const named = this.#links.filter((one) => one.spec.name === spec.name);
    const link = named.find(({ state }) => state === 'up') ?? named[0];
    if (link === undefined || joined === undefined) return;
    const look = (): Promise<Snapshot> => this.#snapshot(link, undefined, world.host);
    const context = this.#context(link, world);
    await becomeOther(link, { request: joined, spec }, this.#store, context, look);
  }

  /** Takes one family of a link that has both away; the other one goes on. @throws FanwayError `not-configured` */
  #downPart(name: string, part: 'ipv4' | 'ipv6'): Promise<AnySpec & { notes: string[] }> {
    return this.#queue(async () => {
      const link = this.#links.find((link) => link.spec.name === name);
      const record = link?.record;
      if (link === undefined || record === undefined || !isDual(record)) {
        throw refusedError('not-configured', `${name}: has not both IPv4 and IPv6`);
      }
      const { spec } = record;
      const context = this.#context(link);
      const { overlay6: _, ...ipv4 } = record.request;
      if (part === 'ipv6') {
        const { six: __, ...rest } = spec;
        const to = { request: ipv4, spec: rest };
        await link.reduce(to, this.#store, context, () => this.#snapshot(link));
      } else {
        // Whatever IPv4 is of the link goes with it: what stays is another link on the same bridge.
        await link.undo(this.#store, context);
        this.#forget(link);
        const request = sixAlone(record.request, name);
        const next = this.#newLink({ request, spec: linkKind(request).placeholder() });
        this.#links.push(next);
        await this.#reconcile(next);
      }
      this.#options.log.info(name, `${part} is down`);
      return { ...spec, notes: [] };
    });
  }

  /** Makes a network as {@link up} makes a fan. @throws FanwayError `change-failed` */
  addNetwork(request: NetworkRequest): Promise<Plan<NetworkSpec>> {
    return this.#queue(async () => {
      const world = this.#world();
      const held = await stillStopped(this.#links, request, (one) => this.#reconcile(one, world));
      if (held !== undefined) return held;
      const depth = this.#depthOf(request);
      const plan = planNetwork(request, await this.#snapshot(undefined, depth, world.host));
      if (plan.outcome === 'changes') await this.#make(request, plan, world);
      return plan;
    });
  }

  async #make(request: AnyRequest, plan: ChangesPlan, world: World): Promise<void> {
    if (plan.joined !== undefined) return this.#join(plan, world);
    const link = this.#newLink({ request, spec: plan.spec });
    this.#links.push(link);
    try {
      await link.make(plan, this.#store, this.#context(link, world));
    } catch (error) {
      this.#forget(link);
      throw error;
    }
    this.#options.log.info(plan.spec.name, 'up');
    this.#tellOthers();
  }

  /** Networks keep other links out, whichever these are. */
  #tellOthers(): void {
    if (this.#links.some(({ spec }) => isNetwork(spec))) this.scheduleReconcile();
  }

  /**
   * A link that should run from now on: brought up at once or, where the host does not allow it yet,
   * kept as stopped with the reason and tried again whenever the host changes.
   */
  want(request: AnyRequest): Promise<void> {
    return this.#queue(async () => {
      const link = this.#newLink({ request, spec: linkKind(request).placeholder() });
      this.#links.push(link);
      await this.#reconcile(link);
    });
  }

  /**
   * Takes a link down by its name, or one family of it by `part`. `notes`: what stays, as sentences for whoever asked.
   * @throws FanwayError `not-configured`, `in-use` (containers attached, without force), `undo-failed`.
   */
  down(
    name: string,
    options: { force: boolean; part?: 'ipv4' | 'ipv6' },
  ): Promise<AnySpec & { notes: string[] }> {
    if (options.part !== undefined) return this.#downPart(name, options.part);
    return this.#queue(async () => {
      const link = this.#links.find((link) => link.spec.name === name);
      if (link === undefined) {
        throw refusedError('not-configured', `${name}: not configured; fanway show lists what is`);
      }
      if (!options.force) {
        const attached = await this.attached(link.spec);
        if (attached.length > 0) {
          throw refusedError(
            'in-use',
            `${name}: in use by ${attached.slice(0, 8).join(', ')}: stop the containers first, or go on with --force`,
          );
        }
      }
      const notes: string[] = [];
      const { log, ...context } = this.#context(link);
      const warn = (cause: string, message: string): void => {
        notes.push(message);
        log.warn(cause, message);
      };
      await link.undo(this.#store, { ...context, log: { ...log, warn } });
      this.#forget(link);
      await this.#tidy();
      log.info(name, 'down');
      notes.push(...keptPlaces(name, this.#running().networks));
      this.#tellOthers();
      if (this.#links.length === 0) this.emit('empty');
      return { ...link.spec, notes };
    });
  }

  /** Names of the ports of a link's bridge that are not ours. */
  async attached(spec: AnySpec): Promise<string[]> {
    return foreignPorts(spec, await this.#options.host.links()).map((link) => link.name);
  }

  #reconcile(link: ManagedLink, world: World = this.#world()): Promise<void> {
    const isRuled = this.rules.isRuled(link.request);
    const look: Look = (depth) => this.#snapshot(link, depth && { ...depth, isRuled }, world.host);
    const join = async (plan: ChangesPlan): Promise<void> => {
      await this.#join(plan, world);
      // What was counted under the name that both have is the other one's.
      this.#links.splice(this.#links.indexOf(link), 1);
    };
    return link.reconcile(look, this.#store, this.#context(link, world), this.#now(), join);
  }

  /** Looks soon at every link, or at those that were {@link note noted}; calls before that count once. */
  scheduleReconcile(which: 'all' | 'noted' = 'all'): void {
    if (which === 'all') this.#attention.all();
    this.#rounds.schedule();
  }

  /** Something has changed on the host: the next round looks at the link that it is about, if any. */
  note(event: NetlinkEvent): boolean {
    return this.#attention.note(event, this.#links);
  }

  /**
   * Looks at links. Each look is an operation of its own, so that a command waits for one of them
   * at most; what they read of the host they share.
   */
  async #lookAround(): Promise<void> {
    let world = this.#world();
    let seen = -1;
    for (const link of this.#attention.take(this.#links)) {
      await this.#after(async () => {
        if (this.#closed || !this.#links.includes(link)) return;
        if (seen !== this.#operations) world = this.#world();
        seen = this.#operations;
        await this.#reconcile(link, world);
      });
    }
    try {
      if (!this.#closed) await this.#queue(() => this.#tidy());
    } catch (error) {
      this.#options.log.error('watch', messageOf(error));
    }
  }

  /** Takes everything back, last link first. Failures are logged and keep their journal. */
  stop(): Promise<void> {
    this.#closed = true;
    this.#rounds.close();
    return this.#queue(async () => {
      for (const link of [...this.#links].reverse()) {
        try {
          await link.undo(this.#store, this.#context(link));
          this.#forget(link);
        } catch (error) {
          this.#options.log.error('stop', messageOf(error));
        }
      }
    });
  }
}
