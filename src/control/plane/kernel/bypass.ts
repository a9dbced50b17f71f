/**
 * The way past the bridge of one link: which ports have it, looked at every other second and whenever the
 * kernel tells of a change. All of it hangs on this process: the programs at the ports go when it ends, and what
 * the program of the device may do ends some seconds later. Then frames go through the bridge.
 * @module
 */
import { readFileSync } from 'node:fs';
import type { FanPath } from '../../../bpf/fan-path.ts';
import { fanPort } from '../../../bpf/port/straight.ts';
import { codeOf, messageOf } from '../../../errors.ts';
import { linkToDevice, loadClassifier, programId } from '../../../sys/bpf/bpf.ts';
import { tcxPrograms } from '../../../sys/bpf/tcx.ts';
import { readSysctl } from '../../../sys/host/sysctl.ts';
import { libc } from '../../../sys/libc/libc.ts';
import type {
  BridgeNews,
  BridgeSettings,
  NeighbourRecord,
  Netlink,
  PortSettings,
} from '../../../sys/netlink/netlink.ts';
import type { NftChain } from '../../../sys/netlink/nf/tables.ts';
import { ephemeralRange } from '../../../sys/sockets/ephemeral-ports.ts';
import { type BypassFacts, whyNoBypass, whyNotPort, whyNotStraight } from './bypass-rules.ts';
import type { FanLinkMaps } from './fan-maps.ts';

/** For how long it goes on without another look, ms. */
const LEASE_MS = 8000;
/** A station is believed for this part of the bridge's own memory, and refreshed there so often in it. */
const VALID_PART = 0.75;
const REFRESHES = 16;
/** Between two looks at all stations, ms. */
const SWEEP_MS = 30_000;
/** States and flags of forwarding entries that nobody learned (linux/neighbour.h). */
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;
const NTF_EXT_LEARNED = 0x10;
const NTF_STICKY = 0x20;
const MIN_PMTU = 'net/ipv4/route/min_pmtu';
const NOT_YET = 'not looked at yet';
/** Modules of the tables of ebtables; the kernel does not tell of namespaces that have none. */
const EBTABLES = ['ebtable_filter', 'ebtable_nat', 'ebtable_broute'];

/**
 * How it stands: ports that have it, those that have not with the reason, why none has it, and why small packets
 * do not leave straight from there ('' = they do).
 */
export type BypassStatus = {
  ports: string[];
  others: { port: string; why: string }[];
  why: string;
  notStraight: string;
};

/** Whose rules are about what this host forwards and sends. */
export type Judges = {
  chains: readonly NftChain[];
  /** Policies of IPsec about what leaves; undefined where nobody says. */
  policies: number | undefined;
};

type Port = { link: number; name: string };

function isFixed({ state, flags }: { state: number; flags: number }): boolean {
  const isSet = (state & (NUD_NOARP | NUD_PERMANENT)) !== 0;
  return isSet || (flags & (NTF_EXT_LEARNED | NTF_STICKY)) !== 0;
}

/** The lines of a file of /proc, none where it is not there. */
function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Rules of the old kind that may see what bridges forward, in this network namespace. */
function oldRules(): Pick<BypassFacts, 'meetsIpRules' | 'oldTables'> {
  const modules = linesOf('/proc/modules').map((line) => line.split(' ')[0] ?? '');
  return {
    meetsIpRules: readSysctl('net/bridge/bridge-nf-call-iptables') === '1',
    oldTables: {
      ip: linesOf('/proc/net/ip_tables_names'),
      bridge: EBTABLES.filter((table) => modules.includes(table)),
    },
  };
}

export class Bypass {
  readonly #netlink: Netlink;
  readonly #maps: FanLinkMaps;
  readonly #bridge: string;
  readonly #tunnel: number;
  readonly #ports = new Map<number, Port>();
  #path: FanPath;
  #program: { fd: number; id: number } | undefined;
  /** MACs that the bridge never learns elsewhere. */
  #fixed = new Set<number>();
  #isRead = false;
  #bridgeIndex = 0;
  #sweptMs = 0;
  #others: BypassStatus['others'] = [];
  #why = NOT_YET;
  #notStraight = NOT_YET;
  #isClosed = false;

  /** @param bridge its name @param tunnel ifindex of the link's device */
  constructor(netlink: Netlink, maps: FanLinkMaps, path: FanPath, bridge: string, tunnel: number) {
    this.#netlink = netlink;
    this.#maps = maps;
    this.#path = path;
    this.#bridge = bridge;
    this.#tunnel = tunnel;
    maps.allowBypass(0, 0, 0);
  }

  /** The link is another one from now on. */
  become(path: FanPath): void {
    this.#path = path;
    this.stop(NOT_YET);
  }

  get status(): BypassStatus {
    const ports = [...this.#ports.values()].map(({ name }) => name).sort();
    return { ports, others: this.#others, why: this.#why, notStraight: this.#notStraight };
  }

  /** Gives it to ports that may have it and takes it from others. Never throws: then there is none. */
  async look(judges: Judges, nowMs: number): Promise<void> {
    if (this.#isClosed) return;
    try {
      const bridge = await this.#netlink.bridgeSettings(this.#bridge);
      if (tcxPrograms(this.#tunnel, 'ingress') === undefined) {
        return this.stop('it takes Linux 6.6 or later');
      }
      const { chains } = judges;
      const old = oldRules();
      const why = whyNoBypass({ bridge, tunnel: this.#tunnel, chains, ...old });
      if (bridge === undefined || why !== '') return this.stop(why);
      const device = await this.#wayOut(judges, old.oldTables);
      const learned = await this.#readEntries(bridge);
      if (this.#isClosed) return;
      this.#choose(bridge);
      if (learned !== undefined) this.#follow(learned);
      if (nowMs - this.#sweptMs > SWEEP_MS) this.#sweep(bridge, nowMs);
      this.#why = '';
      const validMs = Math.round(bridge.ageingMs * VALID_PART);
      this.#maps.allowBypass(LEASE_MS, Math.round(validMs / REFRESHES), validMs, device);
    } catch (error) {
      this.stop(messageOf(error));
    }
  }

  /** ifindex of the device by which small packets may leave straight from a port, 0 = by none. */
  async #wayOut(
    { chains, policies }: Judges,
    oldTables: BypassFacts['oldTables'],
  ): Promise<number> {
    const { local } = this.#path;
    const own = (await this.#netlink.addresses()).find(({ address }) => address === local);
    const device = own && (await this.#netlink.findLink(own.index));
    const pathMtuMin = Number(readSysctl(MIN_PMTU) ?? 0);
    this.#notStraight =
      policies === undefined
        ? 'the policies of IPsec cannot be read'
        : whyNotStraight({ chains, oldTables, device, policies, pathMtuMin });
    return this.#notStraight === '' ? (device?.index ?? 0) : 0;
  }

  /**
   * MACs that are the bridge's own, or that somebody has set, are its business; returns what it has learned itself,
   * undefined where all is known already.
   */
  async #readEntries(bridge: BridgeSettings): Promise<NeighbourRecord[] | undefined> {
    this.#bridgeIndex = bridge.index;
    if (this.#isRead) return undefined;
    const entries = await this.#netlink.bridgeEntries(bridge.index);
    if (this.#isClosed) return undefined;
    const set = entries.filter(isFixed).map(({ mac }) => mac);
    const fixed = new Set([bridge.address, ...set]);
    for (const { address } of bridge.ports) fixed.add(address);
    for (const mac of this.#fixed) if (!fixed.has(mac)) this.#maps.deleteStation(mac);
    for (const mac of fixed) {
      if (!this.#maps.setStation(mac, 0)) throw new Error('no room for the MACs of the bridge');
    }
    this.#fixed = fixed;
    this.#isRead = true;
    return entries.filter(({ mac }) => !fixed.has(mac));
  }

  /** Stations are where the bridge has learned them: who only receives says nothing that a program could learn by. */
  #follow(learned: readonly NeighbourRecord[]): void {
    const places = new Map(learned.map((entry) => [entry.mac, entry]));
    for (const { mac, port } of this.#maps.stations()) {
      if (port !== 0 && places.get(mac)?.index !== port) this.#maps.deleteStation(mac);
    }
    for (const entry of learned) this.#learn(entry);
  }

  /** The bridge has a station behind a port. */
  #learn({ mac, index, quietMs }: NeighbourRecord): void {
    const known = this.#maps.portOf(mac);
    if (known === index) return;
    const isWay = index === this.#tunnel || this.#ports.has(index);
    // What is not as a program has learned it may be newer there: the next frame tells.
    if (known === undefined && isWay) this.#maps.setStation(mac, index, quietMs);
    else this.#maps.deleteStation(mac);
  }

  #choose(bridge: BridgeSettings): void {
    const others: BypassStatus['others'] = [];
    for (const port of bridge.ports) {
      if (port.index === this.#tunnel) continue;
      try {
        const why = this.#whyNot(port);
        if (why === '') {
          this.#attach(port);
          continue;
        }
        others.push({ port: port.name, why });
      } catch (error) {
        // It has just gone, as containers do.
        if (codeOf(error) !== 'ENODEV') throw error;
      }
      this.#detach(port.index);
    }
    const there = new Set(bridge.ports.map(({ index }) => index));
    for (const index of this.#ports.keys()) if (!there.has(index)) this.#detach(index);
    this.#others = others;
  }

  #whyNot(port: PortSettings): string {
    const own = this.#program?.id;
    const hooks = ['ingress', 'egress'] as const;
    const found = hooks.flatMap((hook) => tcxPrograms(port.index, hook) ?? []);
    // Somebody took ours away: it is attached anew.
    if (this.#ports.has(port.index) && found.length === 0) this.#detach(port.index);
    return whyNotPort(
      port,
      found.some((id) => id !== own),
    );
  }

  #attach({ index, name }: PortSettings): void {
    if (this.#ports.has(index)) return;
    if (this.#program === undefined) {
      const code = fanPort(this.#path, this.#maps.fds, this.#tunnel, ephemeralRange());
      const fd = loadClassifier('fanway_port', code, 'gpl');
      this.#program = { fd, id: programId(fd) };
    }
    this.#ports.set(index, { link: linkToDevice(index, 'ingress', this.#program.fd), name });
  }

  #detach(index: number): void {
    const port = this.#ports.get(index);
    if (port === undefined) return;
    libc.close(port.link);
    this.#ports.delete(index);
    for (const { mac, port: behind } of this.#maps.stations()) {
      if (behind === index) this.#maps.deleteStation(mac);
    }
  }

  /** Takes out stations that are silent, or behind ports that have no such way. */
  #sweep({ ageingMs }: BridgeSettings, nowMs: number): void {
    this.#sweptMs = nowMs;
    const since = process.hrtime.bigint() - BigInt(Math.round(ageingMs)) * 1_000_000n;
    for (const { mac, port, bridgedNs } of this.#maps.stations()) {
      const isThere = port === this.#tunnel || this.#ports.has(port);
      if (port !== 0 && (!isThere || bridgedNs < since)) this.#maps.deleteStation(mac);
    }
  }

  /** What the kernel tells of bridges; true where a look is due. */
  hear(news: BridgeNews): boolean {
    if (news.kind === 'lost') {
      this.#isRead = false;
      return true;
    }
    if (news.kind === 'answer') return false;
    if (news.kind === 'link') {
      const { index, master, up } = news.link;
      if (index === this.#tunnel) {
        const isGone = news.action === 'deleted' || !up || master !== this.#bridgeIndex;
        if (isGone) this.stop('its device is no port of the bridge that is up');
      }
      if (this.#bridgeIndex === 0) return false;
      const isOurs = this.#ports.has(index);
      if (isOurs && (news.action === 'deleted' || master !== this.#bridgeIndex)) {
        this.#detach(index);
      }
      const isPort = isOurs || master === this.#bridgeIndex || index === this.#bridgeIndex;
      if (isPort) this.#isRead = false;
      return isPort;
    }
    const { entry } = news;
    if (entry.master !== this.#bridgeIndex && entry.index !== this.#bridgeIndex) return false;
    if (isFixed(entry) || this.#fixed.has(entry.mac)) {
      this.#isRead = false;
      if (news.action === 'new') this.#maps.setStation(entry.mac, 0);
      return true;
    }
    if (news.action === 'new') this.#learn(entry);
    else this.#maps.deleteStation(entry.mac);
    return false;
  }

  /** Everything goes through the bridge. */
  stop(why: string): void {
    if (this.#isClosed) return;
    this.#why = why;
    this.#notStraight = why;
    this.#others = [];
    this.#isRead = false;
    this.#maps.allowBypass(0, 0, 0);
    for (const { link } of this.#ports.values()) libc.close(link);
    this.#ports.clear();
    if (this.#program !== undefined) libc.close(this.#program.fd);
    this.#program = undefined;
  }

  /** The same for good: the maps are about to be closed, and a look that is under way must not touch them. */
  close(): void {
    this.stop('the link is down');
    this.#isClosed = true;
  }
}
