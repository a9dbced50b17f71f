/**
 * Links with several underlays: asks the peers that packets go to, on each underlay, whether they are
 * heard, and tells the data processes by which of them each is reached (peer-ways.ts decides). A cable
 * that is out here needs no question: the kernel says so at once.
 *
 * Questions go to the tunnel's own port and are answered by the peer's data process
 * (wire/lan/path-probe.ts), so what is found out is what packets meet.
 * @module
 */
import type { LinkUnderlay } from '../../../api/status.ts';
import { messageOf } from '../../../errors.ts';
import type { MemberView } from '../../../gossip/base/api.ts';
import type { Log } from '../../../log.ts';
import {
  formatHostAddress,
  lastWordOf,
  type UnderlayAddress,
} from '../../../net/underlay-address.ts';
import { reachOf } from '../../../table/links/underlays.ts';
import type { SnapshotLink } from '../../host/snapshot.ts';
import type { AnySpec } from '../../store/link-spec.ts';
import type { TunnelSet } from '../tunnel-set.ts';
import { LinkHomes } from './homes.ts';
import { WatchedLink } from './watched-link.ts';

/** Between two looks while packets go to somebody, while none do, and while no link has underlays, ms. */
const BUSY_MS = 20;
const IDLE_MS = 100;
const NO_LINKS_MS = 500;
/** How often is asked whom packets go to, and all is told to the data processes again, ms. */
const PEERS_MS = 200;
const TELL_MS = 1000;
/** How often is asked who of the members is still there, ms. */
const HOMES_MS = 2000;
/** Peers named in one line of the log. */
const NAMED_MAX = 3;

type WatchedDevice = Pick<SnapshotLink, 'name' | 'up' | 'carrier' | 'mtu'>;

/** What the kernel tells of a device. */
type DeviceEvent =
  | { kind: 'link'; action: 'new' | 'deleted'; link: WatchedDevice }
  | { kind: string };

export type UnderlayWatchOptions = {
  tunnels: Pick<TunnelSet, 'paths' | 'setReaches' | 'setHomes'>;
  /** The gossip node while it runs. */
  node: () => { members(): readonly MemberView[]; summaryHash(): string } | undefined;
  /** The links that are up and not the kernel's. */
  specs: () => readonly AnySpec[];
  host: {
    links(): Promise<SnapshotLink[]>;
    watch(listener: (event: DeviceEvent) => void): () => void;
  };
  log: Log;
};

export class UnderlayWatch {
  readonly #options: UnderlayWatchOptions;
  readonly #links = new Map<string, WatchedLink>();
  #timer: NodeJS.Timeout | undefined;
  #endWatch: (() => void) | undefined;
  /** Devices that have no carrier, by name. */
  readonly #dark = new Set<string>();
  readonly #mtus = new Map<string, number>();
  /** What paths carry that carry less than their device, by address. */
  #paths = new Map<UnderlayAddress, number>();
  #peersAtMs = Number.NEGATIVE_INFINITY;
  #homesAtMs = Number.NEGATIVE_INFINITY;
  #membersHash = '';
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: UnderlayWatchOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#timer === undefined) this.#again(0);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#endWatch?.();
    this.#endWatch = undefined;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  /** What is known of a link's underlays, the first one first; undefined where it has one. */
  status(name: string): LinkUnderlay[] | undefined {
    const link = this.#links.get(name);
    const devices = { dark: this.#dark, mtus: this.#mtus, paths: this.#paths };
    return link?.status(performance.now(), devices, this.#options.node() !== undefined);
  }

  #again(ms: number): void {
    this.#timer = setTimeout(() => this.#look(), ms);
    this.#timer.unref();
  }

  #look(): void {
    let next = NO_LINKS_MS;
    try {
      const nowMs = performance.now();
      this.#lookAtLinks();
      if (this.#links.size > 0) {
        next = IDLE_MS;
        this.#lookAtHomes(nowMs);
        this.#lookAtPeers(nowMs);
        const isTellDue = nowMs - this.#toldAtMs >= TELL_MS;
        if (isTellDue) this.#toldAtMs = nowMs;
        for (const link of this.#links.values()) {
          link.hear(nowMs);
          if (link.ask(nowMs)) next = BUSY_MS;
          this.#tell(link, nowMs, isTellDue);
        }
      }
    } catch (error) {
      this.#options.log.error('underlays', messageOf(error));
    }
    this.#again(next);
  }

  #lookAtLinks(): void {
    const specs = this.#options.specs().filter(({ further }) => further !== undefined);
    for (const [name, link] of this.#links) {
      if (specs.some((spec) => link.isOf(spec))) continue;
      link.close();
      this.#links.delete(name);
    }
    for (const spec of specs) {
      if (this.#links.has(spec.name)) continue;
      this.#links.set(spec.name, new WatchedLink(spec, this.#options.log));
      this.#homesAtMs = Number.NEGATIVE_INFINITY;
      this.#watchDevices();
    }
  }

  /** Hears of cables from now on, and looks which are out already. */
  #watchDevices(): void {
    const { host, log } = this.#options;
    this.#endWatch ??= host.watch((event) => {
      if (!('link' in event)) return;
      this.#deviceIs(event.link, event.action === 'new');
    });
    host
      .links()
      .then((links) => {
        for (const link of links) this.#deviceIs(link, true);
      })
      .catch((error: unknown) => log.warn('underlays', messageOf(error)));
  }

  #deviceIs(device: WatchedDevice, isThere: boolean): void {
    const { name, mtu } = device;
    if (isThere && [...this.#links.values()].some((link) => link.has(name))) {
      this.#mtus.set(name, mtu);
    } else this.#mtus.delete(name);
    this.#carrierIs(name, isThere && isLit(device));
  }

  #carrierIs(device: string, isThere: boolean): void {
    const links = [...this.#links.values()].filter((link) => link.has(device));
    if (links.length === 0 || this.#dark.has(device) === !isThere) return;
    if (isThere) this.#dark.delete(device);
    else this.#dark.add(device);
    const nowMs = performance.now();
    const { log } = this.#options;
    for (const link of links) {
      const { name } = link.spec;
      if (isThere) log.info(name, `${device} has a carrier again`);
      else log.warn(name, `${device} has no carrier: nothing goes by it`);
      link.carrierIs(device, isThere, nowMs);
      this.#tell(link, nowMs, true);
    }
  }

  /** Where members say that they are: at once when a record is another, now and then by who is there. */
  #lookAtHomes(nowMs: number): void {
    const node = this.#options.node();
    const hash = node?.summaryHash() ?? '';
    if (hash === this.#membersHash && nowMs - this.#homesAtMs < HOMES_MS) return;
    this.#membersHash = hash;
    this.#homesAtMs = nowMs;
    const members = node?.members() ?? [];
    for (const link of this.#links.values()) {
      const homes = new LinkHomes(link.spec, members);
      link.moved(homes, nowMs);
      const { name } = link.spec;
      const left = this.#options.tunnels.setHomes(name, homes.rows());
      if (left > 0) this.#options.log.warn(name, `no room for ${left} addresses that hosts tell`);
    }
  }

  #lookAtPeers(nowMs: number): void {
    if (nowMs - this.#peersAtMs < PEERS_MS) return;
    this.#peersAtMs = nowMs;
    const epochMs = Date.now();
    const paths = this.#options.tunnels.paths();
    this.#paths = new Map(paths.flatMap(({ peer, mtu }) => (mtu === 0 ? [] : [[peer, mtu]])));
    for (const { peer, usedAtMs } of paths) {
      if (usedAtMs === 0) continue;
      const agoMs = Math.max(0, epochMs - usedAtMs);
      for (const link of this.#links.values()) link.used(peer, nowMs - agoMs, nowMs, this.#dark);
    }
  }

  #tell(link: WatchedLink, nowMs: number, always: boolean): void {
    const { tunnels, log } = this.#options;
    const { isNews, reaches, changes } = link.look(nowMs);
    if (!isNews && !always) return;
    const { name } = link.spec;
    const words = new Map([...reaches].map(([peer, way]) => [lastWordOf(peer), reachOf(...way)]));
    const left = tunnels.setReaches(name, words);
    if (left > 0) log.warn(name, `no room for ${left} hosts: they are reached by ${link.first}`);
    for (const [what, peers] of changes) {
      const named = peers.slice(0, NAMED_MAX).map(formatHostAddress).join(', ');
      const more = peers.length > NAMED_MAX ? ` and ${peers.length - NAMED_MAX} more` : '';
      log.info(name, `${named}${more}: ${what}`);
    }
  }
}

function isLit({ up, carrier }: Pick<SnapshotLink, 'up' | 'carrier'>): boolean {
  return up && carrier;
}
