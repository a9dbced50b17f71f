/**
 * Layer-2 networks in the life of a router: the stations of this host in each, what is announced of
 * them, and what follows from what others announce.
 *
 * 1. The bridges' notifications and the data path's events say who is here (local-network.ts).
 * 2. That is claimed and announced (own-entries.ts); the rib says who is where.
 * 3. A station that another host has now is given up here, and the bridge is told the way to it.
 * 4. Silent stations are asked; floods go where the network's mode sends them.
 * @module
 */

import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { formatMac } from '../../net/mac.ts';
import { hostOfBytes, type UnderlayAddress } from '../../net/underlay-address.ts';
import type { RibChange } from '../../rib/entry.ts';
import { Beat } from '../../sys/process/beat.ts';
import { EventKind, type LinkEvent, MovedTo, Snooped } from '../../table/events.ts';
import { Service } from '../../table/flood.ts';
import type { EntryService } from '../entries/entry-service.ts';
import type { BridgeEvent, NetworkHost } from '../host/host.ts';
import type { NetworkTablePort } from '../plane/tables/network-table.ts';
import type { NetworkSpec } from '../store/link-spec.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import { AddressIndex } from './address-index.ts';
import { FloodChoices, floodTargets, floodViewOf, peerClaims } from './floods.ts';
import { MacHistory } from './history.ts';
import { KernelAnswers } from './kernel-answers.ts';
import { Learned } from './learned.ts';
import { LocalNetwork, type PortState } from './local/local-network.ts';
import { OwnEntries } from './local/own-entries.ts';
import { StationFile } from './local/station-file.ts';
import { MoveClaims } from './moves/moves.ts';
import { Search } from './search/search.ts';
import { ServerIndex } from './servers.ts';
import { Told } from './told.ts';
import { holderOf } from './whose.ts';

/** How often silent stations and what was frozen are looked at, ms. */
const ROUND_MS = 500;

/** The data path as networks see it. */
export type NetworkPlane = {
  networks(): NetworkTablePort | undefined;
  /** Underlay address of a peer by its number; undefined = nobody's. */
  hostOf(peer: number): UnderlayAddress | undefined;
};

export type NetworkServiceOptions = {
  host: NetworkHost;
  plane: NetworkPlane;
  entries: EntryService;
  run: RunDirectory;
  log: Log;
  /** The networks that are up. */
  specs: () => readonly NetworkSpec[];
  /** A MAC is behind a port no more. */
  released: (link: string, mac: number, port: number) => void;
};

type Running = { local: LocalNetwork; file: StationFile };

export class NetworkService {
  readonly own: OwnEntries;
  readonly history = new MacHistory();
  readonly addresses = new AddressIndex();
  readonly search: Search;
  readonly moves: MoveClaims;
  readonly #servers = new ServerIndex();
  readonly #options: NetworkServiceOptions;
  readonly #networks = new Map<string, Running>();
  readonly #learned: Learned;
  /** Names of ports, by ifindex, as last seen. */
  #portNames = new Map<number, string>();
  readonly #told = new Told((port, frame) => void this.#host.sendFrame(port, frame));
  readonly answers: KernelAnswers;
  readonly #flooding = new Set<string>();
  readonly floods = new FloodChoices();
  /** Called when a network's service node is another. */
  onThrough: () => void = () => undefined;
  #unwatch: (() => void) | undefined;
  #timer: Beat | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: NetworkServiceOptions) {
    const { entries } = options;
    this.#options = options;
    this.own = new OwnEntries({
      ...{ best: (id) => entries.get(id), nowMs: () => performance.now() },
      ...{ isHeld: (id) => entries.isHeld(id), isContested: (id) => entries.isContested(id) },
      update: (updates) => entries.update('local', updates),
    });
    this.#learned = new Learned(entries);
    this.search = new Search({
      ...{ host: () => this.#host, log: options.log, local: (link) => this.local(link) },
      isKnown: (link, address) => entries.get({ link, kind: 'mac+ip', address }) !== undefined,
    });
    this.moves = new MoveClaims({
      ...{ host: () => this.#host, log: options.log, best: (id) => entries.get(id) },
      local: (link) => this.local(link),
      note: (link, mac, text) => this.history.remark(link, mac, text, Date.now()),
    });
    this.answers = new KernelAnswers({
      ...{ host: () => this.#host.answers, log: options.log, nowMs: () => performance.now() },
      ...{ best: (id) => entries.get(id), local: (link) => this.local(link) },
    });
    entries.listen((changes) => this.#entriesChanged(changes));
  }

  get #host(): NetworkHost {
    return this.#options.host;
  }

  /** What is known of a network's stations; undefined while it does not run. */
  local(link: string): LocalNetwork | undefined {
    return this.#networks.get(link)?.local;
  }

  /** What a port is called, '' where nobody has seen it. */
  portName(ifindex: number): string {
    return this.#portNames.get(ifindex) ?? '';
  }

  /** The host that clients of a service are led to; undefined = there is none. */
  serverOf(link: string, service: Service): UnderlayAddress | 'here' | undefined {
    return this.#servers.hostOf(link, service);
  }

  #queue(work: () => Promise<void>): Promise<void> {
    const result = this.#last.then(work, work);
    this.#last = result.catch((error: unknown) => {
      this.#options.log.error('networks', messageOf(error));
    });
    return result.catch(() => undefined);
  }

  /** A network has another device: it goes over to the other data path. */
  deviceIs(link: string, index: number): void {
    this.local(link)?.deviceIs(index);
    this.answers.deviceIs(link, index);
    this.search.forgetDevice(link);
  }

  /** Networks may have come, gone or changed, or their bridges may be others. Never throws. */
  refresh(): Promise<void> {
    return this.#queue(() => this.#refresh());
  }

  async #refresh(): Promise<void> {
    const { specs } = this.#options;
    const wanted = new Map(specs().map((spec) => [spec.name, spec]));
    if (wanted.size === 0 && this.#networks.size === 0) return;
    const host = this.#host;
    const links = await host.links();
    this.#portNames = new Map(links.map(({ index, name }) => [index, name]));
    const indexOf = (name: string): number | undefined =>
      links.find((link) => link.name === name)?.index;
    for (const [name, { local, file }] of [...this.#networks]) {
      const spec = wanted.get(name);
      const isSame =
        spec?.local === local.spec.local &&
        spec.vni === local.spec.vni &&
        indexOf(name) === local.bridge &&
        indexOf(spec.device) === local.device;
      if (isSame) continue;
      this.#networks.delete(name);
      this.answers.forget(name);
      this.search.forget(name);
      this.floods.forget(name);
      local.close();
      this.own.removeLink(name);
      this.#options.entries.withdraw('static', name);
      if (spec === undefined) file.forget();
      else file.stop();
    }
    for (const spec of wanted.values()) {
      const [bridge, device] = [indexOf(spec.name), indexOf(spec.device)];
      if (bridge === undefined || device === undefined) continue;
      if (!this.#networks.has(spec.name)) await this.#begin(spec, bridge, device);
      this.#flooding.add(spec.name);
    }
    if (this.#networks.size > 0) this.#watch();
    this.#applyFloods();
  }

  async #begin(spec: NetworkSpec, bridge: number, device: number): Promise<void> {
    const { log, run, host } = this.#options;
    const file = new StationFile(run, spec.name, log);
    const local = new LocalNetwork({
      ...{ spec, bridge, device, log, own: this.own },
      nowMs: () => performance.now(),
      portOf: (mac) => host.bridgePortOf(bridge, mac),
      port: (index) => this.#portState(index, bridge),
      addressesOf: (mac) => this.addresses.of(spec.name, mac),
      hasMoved: (mac) => this.moves.hasMoved(spec.name, spec.vni, mac),
      keepAway: (mac) => host.pointBridge(mac, this.local(spec.name)?.device ?? device),
      released: (mac, port) => this.#options.released(spec.name, mac, port),
      changed: () =>
        file.changed(
          () => local.stations.all(),
          (port) => this.#portNames.get(port) ?? '',
        ),
    });
    this.#networks.set(spec.name, { local, file });
    if (spec.kernelArp === true) this.answers.begin({ name: spec.name, bridge, device });
    this.#options.entries.update('static', peerClaims(spec));
    // Before the table is read, so that nothing that changes meanwhile is missed.
    this.#watch();
    await this.#readBridge(local);
    // What this host has itself nobody has to hear of first.
    for (const { address } of spec.addresses ?? []) local.seen(spec.mac, address);
    for (const { mac, port, name, addresses } of file.load()) {
      if (this.#portNames.get(port) !== name) continue;
      const state = await this.#portState(port, bridge);
      if (state.isPort) local.stations.restore(mac, port, addresses, performance.now());
    }
  }

  async #readBridge(local: LocalNetwork): Promise<void> {
    for (const entry of await this.#host.bridgeEntries(local.bridge)) {
      local.forwarding('new', entry);
    }
  }

  async #portState(index: number, bridge: number): Promise<PortState> {
    if (index === bridge) return { index, isPort: true, hasCarrier: true };
    const link = await this.#host.link(index);
    if (link === undefined) return { index, isPort: false, hasCarrier: false };
    this.#portNames.set(index, link.name);
    return { index, isPort: link.master === bridge, hasCarrier: link.up && link.carrier };
  }

  #watch(): void {
    this.#unwatch ??= this.#host.watchBridges((event) => this.#bridgeEvent(event));
    this.#timer ??= new Beat(ROUND_MS, () => this.#round()).unref();
  }

  #bridgeEvent(event: BridgeEvent): void {
    switch (event.kind) {
      case 'forwarding':
        return this.#byBridge(event.entry.bridge)?.forwarding(event.action, event.entry);
      case 'link': {
        const { index, name, master, up, carrier } = event.link;
        const isGone = event.action === 'deleted';
        if (!isGone) this.#portNames.set(index, name);
        for (const { local } of this.#networks.values()) {
          if (index === local.device || index === local.bridge) continue;
          const isPort = !isGone && master === local.bridge;
          if (!isPort && !local.stations.hasPort(index)) continue;
          local.portIs({ index, isPort, hasCarrier: up && carrier });
        }
        return;
      }
      case 'answer':
        return this.answers.written(event.bridge, event.address);
      case 'lost':
        // Notifications were dropped: the tables say what is true.
        void this.#queue(async () => {
          for (const { local } of this.#networks.values()) {
            for (const port of local.stations.ports()) {
              local.portIs(await this.#portState(port, local.bridge));
            }
            await this.#readBridge(local);
          }
        });
    }
  }

  #byBridge(index: number): LocalNetwork | undefined {
    for (const { local } of this.#networks.values()) if (local.bridge === index) return local;
    return undefined;
  }

  /** What the data processes saw. */
  events(events: readonly LinkEvent[]): void {
    for (const event of events) {
      const local = this.#networks.get(event.name)?.local;
      if (local !== undefined) this.#event(local, event);
    }
  }

  #event(local: LocalNetwork, event: LinkEvent): void {
    const { mac, peer, detail, name } = event;
    const { entries } = this.#options;
    const address = event.address.length === 0 ? undefined : hostOfBytes(event.address);
    switch (event.kind) {
      case EventKind.LocalMac:
        return local.seen(mac, undefined);
      case EventKind.Binding:
        return local.seen(mac, address);
      case EventKind.Miss:
        if (address !== undefined) this.search.missed(local, mac, address);
        return;
      case EventKind.Moved:
        if (detail === MovedTo.Here) return local.seen(mac, undefined);
        local.claimed(mac).catch((error: unknown) => {
          this.#options.log.warn(local.spec.name, messageOf(error));
        });
        return;
      case EventKind.Answered:
        if (typeof address === 'number') this.answers.answeredByUs(name, address);
        return;
      case EventKind.Duplicate: {
        // Somebody only asks whether it is free: whoever has it answers.
        if (address === undefined || detail === Snooped.Tentative) return;
        return local.duplicate(mac, address, holderOf(entries.get.bind(entries), name, address));
      }
      case EventKind.RemoteMac: {
        // The kernel's programs know no numbers of peers, and say the address.
        const host = peer === 0 ? address : this.#options.plane.hostOf(peer);
        if (host !== undefined) this.#learned.seen(name, mac, host, performance.now());
        return;
      }
    }
  }

  #entriesChanged(changes: readonly RibChange[]): void {
    this.history.note(changes, Date.now());
    this.addresses.note(changes);
    this.search.note(changes);
    this.moves.note(changes);
    this.answers.note(changes);
    for (const link of this.#servers.note(changes)) this.#flooding.add(link);
    for (const change of changes) {
      const { id, after } = change;
      const local = this.#networks.get(id.link)?.local;
      if (local === undefined) continue;
      if (id.kind === 'flood' || id.kind === 'vtep') this.#flooding.add(id.link);
      else if (id.kind === 'mac' && after !== undefined && after.source !== 'local') {
        this.#isElsewhere(local, id.mac);
      } else if (id.kind === 'mac+ip') this.#told.note(local, change);
    }
    if (this.#flooding.size > 0) setImmediate(() => this.#applyFloods());
  }

  /** Another host has a MAC that may have been here. */
  #isElsewhere(local: LocalNetwork, mac: number): void {
    const { log } = this.#options;
    const { name } = local.spec;
    const station = local.stations.get(mac);
    if (station === undefined) return;
    local.stations.forget(mac);
    log.info(name, `${formatMac(mac)} is on another host now`);
    // What is sent to it here goes there at once; and if it speaks here again, the bridge says so.
    this.#host.pointBridge(mac, local.device).catch((error: unknown) => {
      log.warn(name, `${formatMac(mac)} behind port ${station.port}: ${messageOf(error)}`);
    });
  }

  #round(): void {
    const nowMs = performance.now();
    this.own.review();
    this.#learned.age(nowMs);
    this.search.round(nowMs);
    this.answers.age();
    this.moves.round();
    for (const { local } of this.#networks.values()) {
      const due = local.stations.due(nowMs);
      if (due.length > 0) void this.search.askSilent(local, due);
    }
    this.#told.round();
  }

  #applyFloods(): void {
    const { entries, plane, log } = this.#options;
    const table = plane.networks();
    for (const name of this.#flooding) {
      const spec = this.#networks.get(name)?.local.spec;
      if (spec === undefined || table === undefined) continue;
      const hasRouter = this.#servers.hostOf(name, Service.Router) === 'here';
      const { view, labels } = floodViewOf(entries, name, hasRouter);
      const targets = floodTargets(spec, view);
      table.setFloods(
        name,
        targets.hosts.map((host) => ({ host, label: labels.get(host) ?? 0 })),
      );
      for (const service of Object.values(Service)) {
        table.setService(name, service, this.#servers.whereIs(name, service));
      }
      const { problem } = targets;
      if (problem !== '' && problem !== this.floods.problem(name)) log.warn(name, problem);
      if (this.floods.note(spec, targets, performance.now())) this.onThrough();
    }
    this.#flooding.clear();
  }

  /** The router ends. @param keeps who was here is written down for the next one; else nothing is */
  close(keeps: boolean): void {
    this.#timer?.close();
    this.#unwatch?.();
    this.moves.close();
    this.answers.close();
    for (const { local, file } of this.#networks.values()) {
      local.close();
      if (keeps) file.keep();
      else file.forget();
    }
    this.#networks.clear();
  }
}
