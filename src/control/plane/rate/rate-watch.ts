/**
 * `rate auto`: while a link of that kind sends, looks a hundred times a second how long the way to the hosts
 * is that it sends most to, and has its rate follow (auto-rate.ts). Without traffic it looks twice a second
 * whether there is any.
 * @module
 */
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { familyOf, type UnderlayAddress } from '../../../net/underlay-address.ts';
import type { PathRecord } from '../../../table/paths.ts';
import type { AnySpec } from '../../store/link-spec.ts';
import { AutoRate } from './auto-rate.ts';
import { Delays } from './delays.ts';
import { TimeTeller } from './time-teller.ts';
import { type RatedLink, type Traffic, trafficOf } from './traffic.ts';

/** Between two looks while there is traffic, and while there is none, ms. */
const BUSY_MS = 10;
const IDLE_MS = 500;
/** What is sent at least for it to count as traffic, bytes a second. */
const TRAFFIC_BYTES = 64_000;
/** Traffic that stopped so long ago still counts, ms. */
const TRAFFIC_MS = 2000;
/** How often to look which hosts large packets go to, ms; and how long ago they may have gone. */
const PEERS_MS = 250;
const LARGE_MS = 5000;
/** Hosts that are asked. */
const PEERS_MAX = 4;
/** Requests take no more of the rate than this; one takes so many bytes on the wire. */
const PROBE_SHARE = 0.01;
const PROBE_WIRE_BYTES = 78;
/** While there is no traffic the idle path is looked at so often, ms. */
const BASE_MS = 1000;

export type RateWatchOptions = {
  /** The links that run, whose rates this writes. */
  links: ReadonlyMap<string, RatedLink>;
  processes: readonly { counters(id: number): Float64Array }[];
  paths: () => readonly PathRecord[];
  /** Has the data processes take a rate over that was written. */
  changed: () => void;
  log: Log;
};

type Watched = {
  auto: AutoRate;
  /** undefined: no socket may be opened here, and nothing can be found out. */
  delays: Delays | undefined;
  local: UnderlayAddress;
  peers: readonly UnderlayAddress[];
  peersAtMs: number;
  askedAtMs: number;
  before: Traffic;
  beforeMs: number;
  trafficAtMs: number;
};

export class RateWatch {
  readonly #options: RateWatchOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #teller: TimeTeller;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RateWatchOptions) {
    this.#options = options;
    this.#teller = new TimeTeller(
      options.log,
      () => new Set([...options.links.values()].map(({ spec }) => spec.local)),
    );
  }

  /** Tells others their times from now on, and looks itself if there is a link that asks for it. */
  start(): void {
    this.#teller.start();
    if (this.#timer !== undefined || this.#autoLinks().length === 0) return;
    this.#again(0);
  }

  #autoLinks(): RatedLink[] {
    return [...this.#options.links.values()].filter(({ spec }) => spec.rate === 'auto');
  }

  #again(ms: number): void {
    this.#timer = setTimeout(() => this.#look(), ms);
    this.#timer.unref();
  }

  stop(): void {
    this.#teller.stop();
    this.#rest();
  }

  /** No link asks for it any more. */
  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { delays } of this.#watched.values()) delays?.close();
    this.#watched.clear();
  }

  #look(): void {
    const links = this.#autoLinks();
    if (links.length === 0) return this.#rest();
    let isBusy = false;
    try {
      this.#forgetOthers(links.map(({ spec }) => spec));
      for (const link of links) if (this.#lookAt(link, performance.now())) isBusy = true;
    } catch (error) {
      this.#options.log.error('rate', messageOf(error));
    }
    this.#again(isBusy ? BUSY_MS : IDLE_MS);
  }

  #forgetOthers(specs: readonly AnySpec[]): void {
    for (const [name, watched] of this.#watched) {
      if (specs.some((spec) => spec.name === name && spec.local === watched.local)) continue;
      watched.delays?.close();
      this.#watched.delete(name);
    }
  }

  #begin({ spec, autoRate }: RatedLink, nowMs: number): Watched {
    let delays: Delays | undefined;
    try {
      delays = new Delays(spec.local);
    } catch (error) {
      const why = messageOf(error);
      this.#options.log.warn(
        'rate',
        `${spec.name}: rate auto has no limit: no echo requests (${why})`,
      );
    }
    const auto = new AutoRate();
    if (autoRate > 0) auto.resume(autoRate);
    const watched: Watched = {
      ...{ auto, delays, local: spec.local, peers: [], peersAtMs: 0, askedAtMs: 0 },
      ...{ before: { bytes: 0, waited: 0, waiting: 0 }, beforeMs: nowMs, trafficAtMs: 0 },
    };
    this.#watched.set(spec.name, watched);
    return watched;
  }

  /** Returns whether the link sends. */
  #lookAt(link: RatedLink, nowMs: number): boolean {
    const { processes, log } = this.#options;
    const { spec } = link;
    const watched = this.#watched.get(spec.name) ?? this.#begin(link, nowMs);
    const { auto, delays, before } = watched;
    if (delays === undefined) return false;
    const now = trafficOf(link, processes);
    const seconds = (nowMs - watched.beforeMs) / 1000;
    if (now.bytes - before.bytes > TRAFFIC_BYTES * seconds) watched.trafficAtMs = nowMs;
    watched.before = now;
    watched.beforeMs = nowMs;
    const isBusy = nowMs - watched.trafficAtMs < TRAFFIC_MS && watched.trafficAtMs !== 0;
    this.#choosePeers(spec, watched, nowMs);
    const { ms: delayMs, ageMs, roundTrips } = delays.take();
    const gapMs = isBusy ? probeGapMs(auto.rate, watched.peers.length) : BASE_MS;
    if (nowMs - watched.askedAtMs >= gapMs) {
      watched.askedAtMs = nowMs;
      for (const peer of watched.peers) delays.ask(peer);
    }
    link.roundTrips = roundTrips;
    if (!isBusy) {
      auto.rest();
      this.#write(link, auto.rate);
      return false;
    }
    const isBlind = roundTrips.length > 0;
    const wasOpen = auto.rate === 0;
    // Some that came since, and some that have not gone yet: a burst that fits is no more than that.
    const isLimited = now.waiting > 0 && now.waited > before.waited;
    auto.look({ nowMs, delayMs, ageMs, sentBytes: now.bytes, isLimited, isBlind });
    this.#write(link, auto.rate);
    if (auto.isNewPath) delays.forgetLeast();
    if (wasOpen && auto.rate !== 0) {
      log.info('rate', `${spec.name}: a bottleneck of about ${mbits(auto.rate)} Mb/s on the way`);
    }
    return true;
  }

  #write(link: RatedLink, rate: number): void {
    if (rate === link.autoRate) return;
    link.autoRate = rate;
    this.#options.changed();
  }

  /** The hosts that large packets went to last. */
  #choosePeers(spec: AnySpec, watched: Watched, nowMs: number): void {
    if (nowMs - watched.peersAtMs < PEERS_MS) return;
    watched.peersAtMs = nowMs;
    const epochMs = Date.now();
    const peers = this.#options
      .paths()
      .filter(({ peer, largeAtMs }) => {
        return familyOf(peer) === familyOf(spec.local) && Math.abs(epochMs - largeAtMs) < LARGE_MS;
      })
      .sort((a, b) => b.largeAtMs - a.largeAtMs)
      .slice(0, PEERS_MAX)
      .map(({ peer }) => peer);
    // Nobody now: the idle path to those of before is still worth knowing.
    if (peers.length === 0) return;
    watched.peers = peers;
    watched.delays?.keep(peers);
  }
}

/** Between two requests to each host, ms. */
function probeGapMs(rate: number, peers: number): number {
  return rate === 0 ? 0 : (peers * PROBE_WIRE_BYTES * 1000) / (rate * PROBE_SHARE);
}

function mbits(bytes: number): string {
  return ((bytes * 8) / 1e6).toFixed(1);
}
