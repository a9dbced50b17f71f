/**
 * The data plane as control sees it: links with their devices, endpoints with their sockets, and
 * the data processes that move packets between them.
 * @module
 */
import { EventEmitter } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import type { DataProcessStatus, SuperBytes } from '../../api/status.ts';
import { FanwayError } from '../../errors.ts';
import { QUEUES_MAX } from '../../limits.ts';
import { CrowdWatch } from '../../sys/process/crowd.ts';
import { EVERY_PLACE, namedCounters, sumOf } from '../../table/counters.ts';
import type { PathLimit } from '../../table/links/path-limits.ts';
import type { PathRecord } from '../../table/paths.ts';
import type { LinkUpdate } from '../host/host.ts';
import type { AnySpec } from '../store/link-spec.ts';
import {
  closeDevices,
  type DeviceOpener,
  deviceOptions,
  type OpenDevice,
  openDevices,
  openHere,
} from './devices.ts';
import { EndpointSet, type EndpointState, type Sending } from './endpoint-set.ts';
import { EntryTable } from './entry-table.ts';
import {
  clearLink,
  freeLinkId,
  holdingOf,
  type LinkState,
  linkRow,
  moveTo,
  newLink,
  offeredBy,
  offloadsOf,
  type RateNow,
  rateNowOf,
  specWords,
  watchedOf,
  writeLinks,
} from './link-state.ts';
import { forgetMac, type MacClaim, takeClaims } from './mac-claims.ts';
import { NetworkEvents } from './network-events.ts';
import type { DataPlaneOptions } from './open-data-plane.ts';
import { joinPaths } from './paths.ts';
import { Again } from './process/again.ts';
import { DataProcess } from './process/data-process.ts';
import { Estate } from './process/estate.ts';
import type { Holding } from './process/link-passing.ts';
import { pidsOf, succeed } from './process/succession.ts';
import { RateWatch } from './rate/rate-watch.ts';
import { buffersRefused } from './tables/kernel-drops.ts';
import { updatedSpec } from './tables/overlay-words.ts';
import { type KeptNetwork, keptRate } from './tables/predecessor.ts';

/**
 * Emits `restarted` (reason) when a data process was replaced after it died, and `events` (LinkEvent[],
 * see network-events.ts) when something happens on layer-2 networks.
 * All methods that change something run one after the other, in call order.
 */
export class DataPlane extends EventEmitter {
  readonly #processes: DataProcess[] = [];
  readonly #links = new Map<string, LinkState>();
  readonly #endpoints: EndpointSet;
  readonly #crowd: CrowdWatch | undefined;
  readonly #events = new NetworkEvents(
    () => this.#processes.map(({ events }) => events),
    (id) => [...this.#links.values()].find((link) => link.id === id)?.spec.name,
    (events) => this.emit('events', events),
  );
  readonly #rates: RateWatch;
  readonly #openDevice: DeviceOpener;
  /** What a killed predecessor had. */
  readonly #estate: Estate;
  /** Who has which overlay address; a change to it needs no turn and no wake-up. */
  readonly entries = new EntryTable();
  #turn: Promise<unknown> = Promise.resolve();
  readonly #again = new Again();
  #incarnations = 0;
  #closed = false;

  private constructor(options: DataPlaneOptions & { queues: number }, estate: Estate) {
    super();
    this.#estate = estate;
    this.#endpoints = new EndpointSet(options.queues, estate);
    this.#openDevice = options.openDevice ?? openHere;
    this.#rates = new RateWatch({
      ...{ links: this.#links, processes: this.#processes, log: options.log },
      ...{ paths: () => this.paths(), changed: () => this.#updateAll() },
    });
    const priority = options.priority ?? 'normal';
    if (priority !== 'normal') {
      this.#crowd = new CrowdWatch((crowded) => {
        for (const process of this.#processes) process.crowded = crowded;
      });
    }
    this.entries.policy.readHits = (index) =>
      this.#processes.reduce((sum, process) => sum + process.ruleHits(index), 0);
    for (let i = 0; i < options.queues; i++) {
      this.#processes.push(
        new DataProcess({
          log: options.log,
          recordDirectory: options.recordDirectory,
          tablesFd: this.entries.fd,
          flowsFd: this.entries.policy.flowsFd,
          ...{ queues: options.queues, busyPollUs: options.busyPollUs ?? 0, priority },
          crowded: this.#crowd?.isCrowded ?? false,
          onRestart: (reason) => this.emit('restarted', reason),
          onEvents: () => this.#events.look(),
        }),
      );
    }
  }

  get kept(): readonly KeptNetwork[] {
    return this.#estate.kept.networks;
  }

  /** Takes over from the data processes that a killed predecessor left. @throws FanwayError */
  static async open(options: DataPlaneOptions): Promise<DataPlane> {
    const queues = options.queues ?? 1;
    if (!Number.isInteger(queues) || queues < 1 || queues > QUEUES_MAX) {
      throw new FanwayError('queues', `${queues} queues: choose 1 to ${QUEUES_MAX}`);
    }
    const { recordDirectory: directory, log } = options;
    // Devices of another network namespace are opened there.
    const ours = options.openDevice === undefined ? queues : 0;
    const estate = directory ? await Estate.open(directory, ours, log) : Estate.none();
    const plane = new DataPlane({ ...options, queues }, estate);
    await succeed(estate, plane.#processes, log);
    return plane;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(work);
    this.#turn = next.catch(() => {});
    return next;
  }

  /**
   * Opens the link's device (made, or re-attached when it persisted) and sockets, and starts
   * forwarding.
   * @throws SystemError when the kernel refuses; FanwayError when the link exists or limits are met.
   */
  addLink(spec: AnySpec): Promise<{ ifindex: number; offloads: string[] }> {
    return this.#inTurn(async () => {
      if (this.#links.has(spec.name)) {
        throw new FanwayError('link-exists', `the link ${spec.name} is running already`);
      }
      await this.#settleFor(spec);
      const link = this.#openLink(spec);
      this.#links.set(spec.name, link);
      this.entries.bind(spec.name, link.id);
      try {
        await this.#runAll();
      } catch (error) {
        this.#links.delete(spec.name);
        // Some may have it already.
        await this.#runAll().catch(() => this.#runLater());
        this.entries.unbind(spec.name);
        this.#closeLink(link, false);
        throw error;
      }
      return { ifindex: link.devices[0]?.ifindex ?? 0, offloads: offloadsOf(link) };
    });
  }

  /** Has data processes run without links too, or no longer. */
  async keep(isKept: boolean): Promise<void> {
    const keep = (one: DataProcess) => (isKept ? one.prepare(true) : one.rest());
    await this.#inTurn(() => Promise.all(this.#processes.map(keep)));
  }

  /**
   * Stops the link and deletes its device unless that is kept; returns its counters as they are when
   * nobody counts any more. Unknown names are fine.
   */
  removeLink(name: string, { keepDevice = false } = {}): Promise<Record<string, number>> {
    return this.#inTurn(async () => {
      const link = this.#links.get(name);
      if (link === undefined) return {};
      this.#estate.hurry();
      this.#links.delete(name);
      try {
        await this.#runAll();
        return namedCounters(this.#sum(link, EVERY_PLACE));
      } catch (error) {
        this.#runLater();
        throw error;
      } finally {
        this.entries.unbind(name);
        this.#closeLink(link, keepDevice);
      }
    });
  }

  /**
   * Changes MTUs while the link runs; a new local address moves it to new sockets.
   * @throws FanwayError for an unknown link; SystemError when the address cannot be bound.
   */
  updateLink(name: string, change: LinkUpdate): Promise<void> {
    return this.#inTurn(async () => {
      const link = this.#require(name);
      const spec = updatedSpec(link.spec, change);
      if (spec.local === link.spec.local) {
        if (spec.rate !== link.spec.rate) link.autoRate = 0;
        link.spec = spec;
        this.#updateAll();
        this.#rates.start();
        return;
      }
      this.#estate.hurry();
      const { endpoint, incarnation } = link;
      const before = { endpoint, incarnation, spec: link.spec };
      moveTo(link, this.#endpoints.acquire(spec));
      link.spec = spec;
      // For the data processes it is another link, at another place in the fan.
      link.incarnation = ++this.#incarnations;
      try {
        await this.#runAll();
      } catch (error) {
        const refused = link.endpoint;
        Object.assign(link, before);
        await this.#runAll().catch(() => this.#runLater());
        // Some may have it already, and a process that starts meanwhile is given what is open.
        this.#release(refused);
        throw error;
      }
      this.#release(before.endpoint);
    });
  }

  /**
   * How long a TCP packet may be that the link's device is given in one piece; data processes hear of changes only.
   * @throws FanwayError for an unknown link.
   */
  setSuperBytes(name: string, limits: SuperBytes): Promise<void> {
    return this.#inTurn(async () => {
      const link = this.#require(name);
      if (isDeepStrictEqual(link.superBytes, limits)) return;
      link.superBytes = limits;
      this.#updateAll();
    });
  }

  rateOf(name: string): RateNow {
    return rateNowOf(this.#links.get(name));
  }

  /** MACs of containers here that somebody claims from outside; each only once. */
  takeClaims(): MacClaim[] {
    return takeClaims(this.#processes, this.#links);
  }

  /** A MAC is not behind the link's own ports any more: others may have it. */
  forgetMac(claim: MacClaim): void {
    forgetMac(this.#processes, this.#links, claim);
  }

  /** Counters by public name, summed over the queues; all zero for an unknown link. */
  counters(name: string): Record<string, number> {
    return namedCounters(this.values(name, EVERY_PLACE));
  }

  /** The counters at these places of a link's column, summed over the queues. */
  values(name: string, places: readonly number[]): Float64Array {
    return this.#sum(this.#links.get(name), places);
  }

  #sum(link: LinkState | undefined, places: readonly number[]): Float64Array {
    if (link === undefined) return new Float64Array(places.length);
    const columns = this.#processes.map((one) => one.counters(link.id));
    return link.kernelDrops.addTo(sumOf(columns, places), places, watchedOf(link));
  }

  buffersRefused(name: string): string {
    const link = this.#links.get(name);
    return link === undefined ? '' : buffersRefused(watchedOf(link));
  }

  status(): DataProcessStatus[] {
    const offered = offeredBy([...this.#links.values()]);
    return this.#processes.map((process) => ({ ...process.report(), ...offered }));
  }

  /** Makes these the limits of the paths to peers; returns how many found no room. */
  setPathLimits(limits: readonly PathLimit[]): number {
    return this.entries.limits.replace(limits);
  }

  sendFrom(name: string, ...sending: Sending): void {
    this.#endpoints.sendFrom(this.#links.get(name)?.endpoint, ...sending);
  }

  /** What is known of the paths to peers, where it differs from what the device promises. */
  paths(): PathRecord[] {
    return joinPaths(this.#processes.flatMap((process) => process.paths()));
  }

  /** Ends the data processes; devices go too unless `keepDevices`. */
  close(options: { keepDevices?: boolean } = {}): Promise<void> {
    return this.#inTurn(async () => {
      this.#closed = true;
      this.#again.stop();
      this.#rates.stop();
      this.#events.close();
      this.#crowd?.close();
      await this.#estate.end(pidsOf(this.#processes));
      await Promise.all(this.#processes.map((process) => process.close()));
      for (const link of this.#links.values()) this.#closeLink(link, options.keepDevices === true);
      this.#links.clear();
      this.entries.close();
    });
  }

  #require(name: string): LinkState {
    const link = this.#links.get(name);
    if (link === undefined) throw new FanwayError('no-link', `there is no link ${name}`);
    return link;
  }

  #openLink(spec: AnySpec): LinkState {
    const id = freeLinkId(this.#links.values());
    const [endpoint, ...further] = this.#endpoints.acquireAll(spec);
    let devices: OpenDevice[];
    try {
      devices = openDevices(spec, this.#processes.length, this.#openDevice, this.#estate);
    } catch (error) {
      for (const one of [endpoint, ...further]) this.#release(one);
      throw error;
    }
    for (const process of this.#processes) process.clearCounters(id);
    const incarnation = ++this.#incarnations;
    const link = newLink({ id, incarnation, spec, endpoint, further, devices });
    if (spec.rate === 'auto') link.autoRate = keptRate(this.#estate.kept, linkRow(link));
    return link;
  }

  #closeLink(link: LinkState, keepDevice: boolean): void {
    closeDevices(link.devices, keepDevice || link.spec.owned === true);
    clearLink(this.entries, link.id);
    for (const endpoint of [link.endpoint, ...link.further]) this.#release(endpoint);
  }

  #release(endpoint: EndpointState): void {
    if (this.#endpoints.release(endpoint)) this.entries.links.clearEndpoint(endpoint.index);
  }

  async #runAll(): Promise<void> {
    this.#writeRows();
    if (this.#estate.waits(() => this.#runSoon())) return;
    const started = await Promise.allSettled(
      this.#processes.map((process, queue) => process.run(this.#holding(queue))),
    );
    const failed = started.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    this.#again.worked();
    this.#rates.start();
    await this.#estate.end(pidsOf(this.#processes));
  }

  /** A predecessor's processes are in the way of a link: ours take over what they have. */
  async #settleFor(spec: AnySpec): Promise<void> {
    const options = deviceOptions(spec, this.#processes.length);
    if (this.#estate.fits(spec, specWords(spec), options)) return;
    this.#estate.hurry();
    if (this.#links.size > 0) await this.#runAll();
    await this.#estate.end(pidsOf(this.#processes));
  }

  #runSoon(): void {
    void this.#inTurn(() => this.#runAll()).catch(() => this.#runLater());
  }

  /**
   * For when a successor could not be started: processes that go on may hold sockets of a link that
   * is gone, and a port stays taken as long as they live. A restart gets only what is still open
   * here; and they are replaced as soon as that works.
   */
  #runLater(): void {
    this.#updateAll();
    if (!this.#closed) this.#again.later(() => this.#runSoon());
  }

  #updateAll(): void {
    this.#writeRows();
    for (const [queue, process] of this.#processes.entries()) process.update(this.#holding(queue));
  }

  /** What a data process is to have. */
  #holding(queue: number): Holding {
    return holdingOf([...this.#links.values()], queue);
  }

  /** What is different from the row that is there. */
  #writeRows(): void {
    writeLinks(this.entries, [...this.#links.values()]);
  }
}
