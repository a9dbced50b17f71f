/**
 * BGP in the life of a router: begun, changed and ended by its configuration, fed by the fans and
 * networks that are up and by programs over the admin socket.
 * @module
 */

import { rmSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { NetworkSettings, SpeakerSettings } from '../../../bgp/base/api.ts';
import { type OwnRoute, ownKey } from '../../../bgp/rib/own-routes.ts';
import { Speaker } from '../../../bgp/speaker.ts';
import type { BgpSettings } from '../../../config/bgp.ts';
import { codeOf, messageOf, refusedError } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { hasIpv4 } from '../../../net/fan.ts';
import { holdsHost, type UnderlayPrefix } from '../../../net/underlay-address.ts';
import { growSlowly } from '../../../sys/libc/memory.ts';
import type { EntrySink } from '../../entries/entry-service.ts';
import type { LinkSpec, NetworkSpec } from '../../store/link-spec.ts';
import { ipOf, parseHostAddress } from './addresses.ts';
import { BgpFeed, networksOf } from './feed.ts';
import type { SpeakerFollower } from './followers.ts';
import { GivenRoutes } from './given-routes.ts';
import { networkMarks, speakerSettings } from './settings.ts';
import { realTimers } from './timers.ts';
import { BgpTransport } from './transport.ts';

const RETRY_MS = 5000;
/** What is wrong with a network while nobody tells of others. */
const ALONE = 'nobody tells this host where others are: fanway join begins that';
const UNHEARD =
  'no BGP neighbour is there (fanway bgp neighbors says why), so nobody tells where others are';

export type BgpServiceOptions = {
  /** Remembers given routes, and that there was no clean end. */
  path: string;
  log: Log;
  /** Where what is learned of the links' entries goes. */
  entries: EntrySink;
  /** The fans that are up. */
  specs: () => readonly LinkSpec[];
  /** The layer-2 networks that are up. */
  networks: () => readonly NetworkSpec[];
  /** Who else makes claims and routes; the fans are seen to here. */
  followers: readonly SpeakerFollower[];
  /** Prefixes that this host announces in its fans. */
  announced: () => readonly UnderlayPrefix[];
};

type Running = {
  speaker: Speaker;
  transport: BgpTransport;
  settings: SpeakerSettings;
  isListening: boolean;
};

export class BgpService {
  readonly #options: BgpServiceOptions;
  readonly #given: GivenRoutes;
  /** Given over the admin socket, by their keys. */
  #routes = new Map<string, OwnRoute>();
  #isRestarting = false;
  #settings: BgpSettings | undefined;
  #running: Running | undefined;
  #reason = '';
  #retry: NodeJS.Timeout | undefined;
  readonly #feed: BgpFeed;
  readonly #followers: readonly SpeakerFollower[];
  /** Of ours: those of the fans and the given ones, as they are announced, by their keys. */
  #told = new Map<string, OwnRoute>();
  /** The tail of the queue of operations: each waits for the one before it. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: BgpServiceOptions) {
    this.#options = options;
    this.#given = new GivenRoutes(options.path, options.log);
    this.#feed = new BgpFeed(options.entries, options.specs);
    this.#followers = [this.#feed, ...options.followers];
  }

  #queue<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(operation, operation);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** As the configuration wants it, whether it runs just now or not. */
  get settings(): BgpSettings | undefined {
    return this.#settings;
  }
  get speaker(): Speaker | undefined {
    return this.#running?.speaker;
  }
  /** Why it does not run although it should; '' when it runs. */
  get reason(): string {
    return this.#reason;
  }
  /** Neighbours can connect to us; false where this user may not have the port. */
  get isListening(): boolean {
    return this.#running?.isListening ?? false;
  }
  get strangers(): number {
    return this.#running?.transport.strangers ?? 0;
  }

  /** Entries to which no way leads, counted. */
  get unreachable(): number {
    return this.#followers.reduce((sum, { unreachable = 0 }) => sum + unreachable, 0);
  }
  /** Why BGP tells nothing of other hosts; '' when a neighbour does. */
  get silence(): string {
    const speaker = this.#running?.speaker;
    if (speaker === undefined) return ALONE;
    return speaker.neighbours.some(({ state }) => state === 'Established') ? '' : UNHEARD;
  }

  /** BGP as a configuration wants it: begun, changed (its sessions begin anew) or ended. */
  configure(settings: BgpSettings | undefined): Promise<void> {
    return this.#queue(async () => {
      if (sameSessions(settings, this.#settings)) {
        this.#settings = settings;
        return this.#refresh();
      }
      const isFirst = this.#settings === undefined;
      await this.#close();
      this.#settings = settings;
      this.#reason = '';
      if (settings === undefined) return this.#forget();
      if (isFirst) {
        const before = this.#given.load();
        this.#isRestarting = before !== undefined;
        this.#routes = new Map((before ?? []).map((route) => [ownKey(route), route]));
        this.#given.keep(() => [...this.#routes.values()]);
      }
      await this.#try();
    });
  }

  /** The links are others, or what this host announces is. Never throws. */
  refresh(): Promise<void> {
    return this.#queue(() => this.#refresh()).catch((error: unknown) => {
      this.#options.log.error('bgp', messageOf(error));
    });
  }

  async #refresh(): Promise<void> {
    const settings = this.#settings;
    if (settings === undefined) return;
    const wanted = this.#wanted(settings);
    const running = this.#running;
    if (running === undefined || !isDeepStrictEqual(wanted, running.settings)) {
      // Another underlay address is another tunnel endpoint: neighbours must hear it from the start.
      if (running !== undefined) await this.#close();
      return this.#try();
    }
    this.#announceOwn(running.speaker);
    for (const follower of this.#followers) follower.refresh();
  }

  #wanted(settings: BgpSettings): SpeakerSettings | undefined {
    const { specs, networks } = this.#options;
    const fans = specs();
    const first = fans.find(({ overlay }) => hasIpv4(overlay)) ?? fans[0];
    const local = first?.local ?? networks()[0]?.local;
    return speakerSettings(settings, local, this.#isRestarting);
  }

  /** Starts, or keeps the reason why not and tries again later. */
  async #try(): Promise<void> {
    clearTimeout(this.#retry);
    const settings = this.#settings;
    if (settings === undefined || this.#running !== undefined) return;
    try {
      const wanted = this.#wanted(settings);
      if (wanted === undefined) {
        this.#reason =
          'no fan or network is up, so this host has no tunnel endpoint: set vtep in [bgp]';
        return;
      }
      await this.#start(settings, wanted);
      this.#reason = '';
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== this.#reason) this.#options.log.error('bgp', `stopped: ${reason}`);
      this.#reason = reason;
      this.#retry = setTimeout(() => void this.#queue(() => this.#try()), RETRY_MS);
      this.#retry.unref();
    }
  }

  async #start(settings: BgpSettings, wanted: SpeakerSettings): Promise<void> {
    // Hundreds of thousands of routes may come. Without them speed is worth more: it costs a third of it.
    growSlowly();
    const { log } = this.#options;
    const transport = new BgpTransport({
      bind: settings.bind === null ? null : parseHostAddress(settings.bind),
      ...{ port: settings.port, neighbours: wanted.neighbours, log },
      accept: (address, connection) => speaker.accept(address, connection),
    });
    const speaker = new Speaker({
      ...{ settings: wanted, transport, timers: realTimers, random: Math.random },
      events: {
        log: (level, neighbour, text) =>
          log[level]('bgp', neighbour === '' ? text : `${neighbour}: ${text}`),
      },
      changed: (change) => {
        for (const follower of this.#followers) follower.changed(change);
      },
    });
    let isListening = true;
    try {
      await transport.listen();
    } catch (error) {
      await transport.close();
      const dials = wanted.neighbours.some(({ passive }) => !passive);
      if (codeOf(error) !== 'EACCES' || !dials) throw error;
      // An ordinary user may not have port 179, and does not need it to dial.
      isListening = false;
      const why = 'neighbours cannot connect to us: that takes CAP_NET_BIND_SERVICE';
      log.warn('bgp', `port ${settings.port} is not ours (EACCES), ${why}`);
    }
    this.#running = { speaker, transport, settings: wanted, isListening };
    this.#announceOwn(speaker);
    for (const follower of this.#followers) follower.follow(speaker);
    speaker.start();
    // Only the first sessions after a restart are those of one that came back.
    this.#isRestarting = false;
    this.#running.settings = { ...wanted, isRestarting: false };
    log.info('bgp', `up: AS ${wanted.as}, ${wanted.neighbours.length} neighbours`);
  }

  /** The fans' networks and those of the configuration. A fan is one where its encap has a VNI. */
  #networks(): NetworkSettings[] {
    const settings = this.#settings;
    const vnis = new Set(settings?.vnis ?? []);
    for (const spec of this.#options.specs()) for (const { vni } of networksOf(spec)) vnis.add(vni);
    for (const { vni } of this.#options.networks()) vnis.add(vni);
    return settings === undefined ? [] : [...vnis].map((vni) => networkMarks(vni, settings));
  }

  /** What the fans say of themselves: their slice, and what has moved here. */
  #fanRoutes(): OwnRoute[] {
    const announced = this.#options.announced();
    return this.#options
      .specs()
      .flatMap(networksOf)
      .flatMap(({ vni, slice, overlay }) => {
        const moved = announced.filter(({ address }) => holdsHost(overlay, address));
        return [slice, ...moved].map(({ address, length }): OwnRoute => {
          return { kind: 'prefix', vni, address: ipOf(address), length, routerMac: null };
        });
      });
  }

  #announceOwn(speaker: Speaker): void {
    speaker.setNetworks(this.#networks());
    const wanted = new Map(this.#fanRoutes().map((route) => [ownKey(route), route]));
    for (const [key, route] of this.#routes) wanted.set(key, route);
    for (const [key, route] of this.#told) if (!wanted.has(key)) speaker.withdraw(route);
    this.#told = wanted;
    for (const route of wanted.values()) {
      const problem = speaker.announce(route);
      if (problem !== '') this.#options.log.warn('bgp', `not announced: ${problem}`);
    }
  }

  /** @throws FanwayError when BGP does not run here, or a route has no network; then none is taken. */
  announce(routes: readonly OwnRoute[]): Promise<void> {
    return this.#queue(async () => {
      const { speaker } = this.#require();
      const vnis = new Set(speaker.networks.map(({ vni }) => vni));
      for (const { vni } of routes) {
        if (vnis.has(vni)) continue;
        throw refusedError('no-network', `VNI ${vni} is no network here: add it to vnis in [bgp]`);
      }
      for (const route of routes) {
        const problem = speaker.announce(route);
        if (problem !== '') throw refusedError('not-announced', problem);
        this.#routes.set(ownKey(route), route);
        this.#told.set(ownKey(route), route);
      }
      this.#given.changed();
      this.#feed.ownChanged();
    });
  }

  /** @throws FanwayError when one was not given here; then none is withdrawn. */
  withdraw(routes: readonly OwnRoute[]): Promise<void> {
    return this.#queue(async () => {
      const { speaker } = this.#require();
      for (const route of routes) {
        if (this.#routes.has(ownKey(route))) continue;
        throw refusedError('not-announced', 'a route was not given here: nothing was withdrawn');
      }
      for (const route of routes) {
        this.#routes.delete(ownKey(route));
        this.#told.delete(ownKey(route));
        speaker.withdraw(route);
      }
      this.#given.changed();
      this.#feed.ownChanged();
    });
  }

  #require(): Running {
    if (this.#running !== undefined) return this.#running;
    const why = this.#reason === '' ? 'its configuration has no [bgp] section' : this.#reason;
    throw refusedError('no-bgp', `BGP does not run here: ${why}`);
  }

  async #close(): Promise<void> {
    clearTimeout(this.#retry);
    const running = this.#running;
    this.#running = undefined;
    running?.speaker.stop();
    await running?.transport.close();
    if (running === undefined) return;
    this.#told.clear();
    for (const follower of this.#followers) follower.follow(undefined);
  }

  #forget(): void {
    this.#given.stop();
    this.#routes = new Map();
    rmSync(this.#options.path, { force: true });
  }

  /** Says goodbye because the router ends. */
  stop(): Promise<void> {
    return this.#queue(async () => {
      const wasWanted = this.#settings !== undefined;
      this.#settings = undefined;
      await this.#close();
      if (wasWanted) this.#forget();
    });
  }
}

/** Whether two configurations differ only in what is told of networks: sessions go on. */
function sameSessions(a: BgpSettings | undefined, b: BgpSettings | undefined): boolean {
  const told = { networks: [], redistribute: false };
  return isDeepStrictEqual(a && { ...a, ...told }, b && { ...b, ...told });
}
