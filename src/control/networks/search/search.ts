/**
 * The search for workloads that never said a word, both sides of it: what containers here ask for in vain
 * is asked of the other hosts of their network (seeker.ts), and what other hosts ask for is looked for
 * on our own bridge (finder.ts).
 * @module
 */
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';
import type { RibChange } from '../../../rib/entry.ts';
import type { NetworkHost } from '../../host/host.ts';
import type { NetworkSpec } from '../../store/link-spec.ts';
import { Finder, type FinderCounts } from './finder.ts';
import { questionFor, SEARCHER_MAC } from './questions.ts';
import { Seeker, type SeekerCounts } from './seeker.ts';

/** The ports of a bridge are read again after this, ms. */
const PORTS_MS = 1000;
/** Addresses of a silent station that it is asked for. */
const QUESTIONS_PER_STATION = 4;
/** The bridge is told again where answers go after this, ms: it forgets in five minutes. */
const POINT_MS = 60_000;

/** One network on this host. */
export type SearchedNetwork = {
  spec: NetworkSpec;
  /** ifindexes of the bridge and of our own device. */
  bridge: number;
  device: number;
  /** A MAC is here, with an address. */
  seen(mac: number, address: UnderlayAddress): void;
};

/** One that is known to be here, and says nothing. */
export type SilentStation = {
  mac: number;
  /** ifindex */
  port: number;
  addresses: ReadonlyMap<number | string, UnderlayAddress>;
};

/** Whoever can ask the other hosts of a network. */
export type SearchSpeaker = {
  /** How many hosts it would ask. */
  members(vni: number): number;
  ask(vni: number, addresses: readonly UnderlayAddress[]): void;
};

/** What was asked of others, and what others asked. */
export type SearchCounts = SeekerCounts & FinderCounts;

export type SearchOptions = {
  host: () => NetworkHost;
  log: Log;
  local: (link: string) => SearchedNetwork | undefined;
  /** Whether somebody is known to have an address in a network. */
  isKnown: (link: string, address: UnderlayAddress) => boolean;
};

export class Search {
  readonly #options: SearchOptions;
  readonly #seeker: Seeker;
  readonly #finder = new Finder();
  readonly #ports = new Map<string, { ports: number[]; own: UnderlayAddress[]; atMs: number }>();
  readonly #pointedMs = new Map<string, number>();
  #speaker: SearchSpeaker | undefined;

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#seeker = new Seeker({
      members: (vni) => this.#speaker?.members(vni) ?? 0,
      ask: (vni, addresses) => this.#speaker?.ask(vni, addresses),
      soon: (work) => void setImmediate(work),
    });
  }

  /** Who asks other hosts from now on. */
  by(speaker: SearchSpeaker): void {
    this.#speaker = speaker;
  }

  counts(link: string): SearchCounts {
    return { ...this.#seeker.counts(link), ...this.#finder.counts(link) };
  }

  /**
   * The MAC `asker` here asks for an address that nobody is known to have. Where questions are flooded
   * whoever has it hears that already.
   */
  missed({ spec }: SearchedNetwork, asker: number, address: UnderlayAddress): void {
    if (spec.bum === 'none') this.#seeker.wanted(spec, asker, address, performance.now());
  }

  /** The host `from` asks for addresses of a network. Never throws. */
  asked(link: string, from: string, addresses: readonly UnderlayAddress[]): void {
    const local = this.#options.local(link);
    // Without a control plane the answer would be flooded.
    if (local === undefined || local.spec.bum === 'learn') return;
    const { isKnown, log } = this.#options;
    const network = {
      name: link,
      isKnown: (address: UnderlayAddress) => isKnown(link, address),
      isOwn: async (address: UnderlayAddress) => {
        const isOwn = (await this.#bridge(local)).own.includes(address);
        if (isOwn) local.seen(local.spec.mac, address);
        return isOwn;
      },
      ports: async () => (await this.#bridge(local)).ports,
      send: (port: number, frame: Uint8Array) => void this.#options.host().sendFrame(port, frame),
    };
    this.#finder.asked(network, from, addresses, performance.now()).catch((error: unknown) => {
      log.warn(link, `look for what ${from} asks for: ${messageOf(error)}`);
    });
  }

  /**
   * What is answered to control's questions goes to our device, where the data path hears it, and to
   * nobody else, for a while.
   */
  async #point({ spec: { name }, device }: SearchedNetwork): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - (this.#pointedMs.get(name) ?? Number.NEGATIVE_INFINITY) < POINT_MS) return;
    this.#pointedMs.set(name, nowMs);
    await this.#options.host().pointBridge(SEARCHER_MAC, device);
  }

  /** Asks silent stations whether they are there, each behind its own port. Never throws. */
  async askSilent(local: SearchedNetwork, stations: readonly SilentStation[]): Promise<void> {
    const { host, log } = this.#options;
    try {
      await this.#point(local);
      for (const { mac, port, addresses } of stations) {
        if (port === local.bridge) continue;
        const asked = [...addresses.values()].slice(-QUESTIONS_PER_STATION);
        for (const address of asked) host().sendFrame(port, questionFor(mac, address));
      }
    } catch (error) {
      log.warn(local.spec.name, `ask silent stations: ${messageOf(error)}`);
    }
  }

  async #bridge(local: SearchedNetwork) {
    const { spec, bridge, device } = local;
    const { name } = spec;
    const known = this.#ports.get(name);
    const atMs = performance.now();
    if (known !== undefined && atMs - known.atMs < PORTS_MS) return known;
    const host = this.#options.host();
    const links = await host.links();
    const ports = links
      .filter(({ master, index, up }) => master === bridge && index !== device && up)
      .map(({ index }) => index);
    await this.#point(local);
    const read = { ports, own: await host.addressesOf(bridge), atMs };
    this.#ports.set(name, read);
    return read;
  }

  /** What counts has changed. */
  note(changes: readonly RibChange[]): void {
    for (const { id, after } of changes) {
      if (id.kind === 'mac+ip' && after !== undefined) this.#seeker.found(id.link, id.address);
    }
  }

  /** Every now and then. */
  round(nowMs: number): void {
    this.#seeker.age(nowMs);
  }

  /** A network has another device. */
  forgetDevice(link: string): void {
    this.#ports.delete(link);
    this.#pointedMs.delete(link);
  }

  /** A network runs no more. */
  forget(link: string): void {
    this.#seeker.forget(link);
    this.#finder.forget(link);
    this.forgetDevice(link);
  }
}
