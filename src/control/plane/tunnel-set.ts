/**
 * The data plane as the router uses it: opened with the first link, closed with the last, and
 * forgiving about links it does not have.
 * @module
 */

import type { EventEmitter } from 'node:events';
import type { DataProcessStatus, SuperBytes } from '../../api/status.ts';
import { codeOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { UnderlayAddress, UnderlayPrefix } from '../../net/underlay-address.ts';
import { counterPlace } from '../../table/counters.ts';
import type { LinkEvent } from '../../table/events.ts';
import type { Home } from '../../table/links/homes.ts';
import type { PathLimit } from '../../table/links/path-limits.ts';
import type { Seat } from '../../table/links/seats.ts';
import type { PathRecord } from '../../table/paths.ts';
import type { LinkUpdate, Tunnels } from '../host/host.ts';
import { type AnySpec, isKernels } from '../store/link-spec.ts';
import type { Sending } from './endpoint-set.ts';
import type { EntryTable, EntryTableStatus, TableAnswer } from './entry-table.ts';
import type { BypassStatus } from './kernel/bypass.ts';
import { KernelPlane } from './kernel/kernel-plane.ts';
import { NO_RATE, type RateNow } from './link-state.ts';
import type { MacClaim } from './mac-claims.ts';
import { joinPaths } from './paths.ts';
import { CounterBlock, type CounterRows, counterRows } from './tables/counter-values.ts';
import type { NetworkTablePort } from './tables/network-table.ts';
import { EitherTables } from './tables/network-tables.ts';
import { PastCounters } from './tables/past-counters.ts';
import type { PolicyTable } from './tables/policy-table.ts';
import type { KeptNetwork } from './tables/predecessor.ts';

/** What data-plane.ts provides. */
export type DataPlanePort = Pick<EventEmitter, 'on'> & {
  addLink(spec: AnySpec): Promise<{ ifindex: number; offloads: string[] }>;
  /** Returns what the link has counted in the end. */
  removeLink(name: string, options?: { keepDevice?: boolean }): Promise<Record<string, number>>;
  updateLink(name: string, change: LinkUpdate): Promise<void>;
  setSuperBytes(name: string, limits: SuperBytes): Promise<void>;
  takeClaims(): MacClaim[];
  forgetMac(claim: MacClaim): void;
  counters(name: string): Record<string, number>;
  values(name: string, places: readonly number[]): Float64Array;
  rateOf(name: string): RateNow;
  /** The line by which root lets a link's sockets have the buffers that they were refused, '' when none was. */
  buffersRefused(name: string): string;
  status(): DataProcessStatus[];
  paths(): PathRecord[];
  setPathLimits(limits: readonly PathLimit[]): number;
  /** Sends from the port that a link listens on. @throws SystemError */
  sendFrom(name: string, ...sending: Sending): void;
  readonly entries: Pick<
    EntryTable,
    | ('set' | 'delete' | 'all' | 'answer' | 'status' | 'networks' | 'policy' | 'hostOf')
    | ('setReaches' | 'setHomes' | 'setSeats')
  >;
  readonly kept?: readonly KeptNetwork[];
  /** Has data processes run, with links or without, or no longer without any. */
  keep(isKept: boolean): Promise<void>;
  close(options?: { keepDevices?: boolean }): Promise<void>;
};

/** Links whichever data path they are on: data processes of ours, or the kernel. */
export class TunnelSet implements Tunnels {
  readonly #open: () => Promise<DataPlanePort>;
  readonly #openKernel: () => KernelPlane;
  #plane: DataPlanePort | undefined;
  #kernel: KernelPlane | undefined;
  /** Links of data processes. */
  readonly #names = new Set<string>();
  readonly #past = new PastCounters();
  /** Who is where in layer-2 networks, whichever data path they are on. */
  readonly #tables = new EitherTables({
    processes: () => this.#plane?.entries.networks,
    kernel: () => this.#kernel?.networks,
  });
  #told: (events: readonly LinkEvent[]) => void = () => undefined;
  #moved: (name: string, device: number) => void = () => undefined;
  #rows: CounterRows = new Map();
  #opened: (kept: readonly KeptNetwork[]) => void = () => undefined;

  /** Calls `listener` with what a predecessor had, when there is a data plane and before its first link. */
  whenOpened(listener: (kept: readonly KeptNetwork[]) => void): void {
    this.#opened = listener;
  }

  /** Calls `listener` with what the data path tells, whichever it is. */
  whenTold(listener: (events: readonly LinkEvent[]) => void): void {
    this.#told = listener;
  }

  /** Calls `listener` with a link that goes over and the ifindex of its new device, before anything passes there. */
  whenMoved(listener: (name: string, device: number) => void): void {
    this.#moved = listener;
  }

  /** @param open is called when there is a link of data processes to run */
  constructor(open: () => Promise<DataPlanePort>, log: Log) {
    this.#open = open;
    this.#openKernel = () =>
      new KernelPlane({
        tell: (events) => this.#told(events),
        kept: (network) => this.#opened([network]),
        log,
      });
  }

  async addLink(spec: AnySpec): Promise<{ ifindex: number; offloads: string[] }> {
    if (isKernels(spec)) {
      const kernel = this.#kernelPlane();
      this.#tables.settle(spec.name, 'kernel');
      return kernel.add(spec);
    }
    const plane = await this.#dataPlane();
    this.#tables.settle(spec.name, 'processes');
    return this.#addHere(spec, plane);
  }

  async #addHere(
    spec: AnySpec,
    plane: DataPlanePort,
  ): Promise<{ ifindex: number; offloads: string[] }> {
    this.#names.add(spec.name);
    try {
      return await plane.addLink(spec);
    } catch (error) {
      this.#names.delete(spec.name);
      throw error;
    }
  }

  async #dataPlane(): Promise<DataPlanePort> {
    if (this.#plane === undefined) {
      this.#plane = await this.#open();
      this.#plane.on('events', (events) => this.#told(events));
      this.#opened(this.#plane.kept ?? []);
    }
    return this.#plane;
  }

  #kernelPlane(): KernelPlane {
    this.#kernel ??= this.#openKernel();
    return this.#kernel;
  }

  /** What the kernel's data path lacks of a link; nothing of one that it does not forward. */
  async missing(name: string): Promise<string[]> {
    return (await this.#kernel?.missing(name)) ?? [];
  }

  async moveLink(from: AnySpec, to: AnySpec): Promise<number> {
    const plane = await this.#dataPlane();
    // Starting and ending them would take longer than all the rest.
    await plane.keep(true);
    try {
      return await (isKernels(to) ? this.#toKernel(from, to) : this.#toProcesses(to, plane));
    } finally {
      await plane.keep(false);
    }
  }

  async #toKernel(from: AnySpec, to: AnySpec): Promise<number> {
    const kernel = this.#kernelPlane();
    const { name } = to;
    this.#tables.prepare(name, 'kernel');
    for (const { prefix, peer } of this.#plane?.entries.all(name) ?? []) {
      if (typeof peer === 'number') kernel.setEntry(name, prefix, peer);
    }
    let index: number;
    try {
      index = await kernel.prepare(to);
      this.#moved(name, index);
      await this.#leaveProcesses(name, true);
      await kernel.commit(name);
    } catch (error) {
      await kernel.remove(name);
      this.#tables.stay(name);
      if (!this.#names.has(name)) this.#moved(name, (await this.addLink(from)).ifindex);
      throw error;
    }
    this.#tables.settle(name, 'kernel');
    return index;
  }

  async #toProcesses(to: AnySpec, plane: DataPlanePort): Promise<number> {
    const kernel = this.#kernelPlane();
    const { name } = to;
    for (const { prefix, peer } of kernel.entries(name)) plane.entries.set(name, prefix, peer);
    this.#tables.prepare(name, 'processes');
    const before = await kernel.stepAside(name);
    let index: number;
    try {
      index = (await this.#addHere(to, plane)).ifindex;
      this.#moved(name, index);
      await kernel.settle(index, to);
    } catch (error) {
      await this.#leaveProcesses(name, false);
      this.#tables.stay(name);
      this.#moved(name, before);
      await kernel.commit(name);
      throw error;
    }
    this.#tables.settle(name, 'processes');
    await this.#leaveKernel(name, kernel);
    return index;
  }

  async removeLink(name: string): Promise<void> {
    if (this.#kernel?.has(name)) await this.#leaveKernel(name, this.#kernel);
    else await this.#leaveProcesses(name, false);
  }

  forgetLink(name: string): void {
    this.#past.forget(name);
  }

  async #leaveKernel(name: string, kernel: KernelPlane): Promise<void> {
    this.#past.keep(name, kernel.counters(name));
    await kernel.remove(name);
  }

  /** @param keepDevice leaves the device, which nobody reads any more: deleting it takes its time */
  async #leaveProcesses(name: string, keepDevice: boolean): Promise<void> {
    if (this.#plane === undefined || !this.#names.has(name)) return;
    let last = this.#plane.counters(name);
    try {
      last = await this.#plane.removeLink(name, { keepDevice });
    } catch (error) {
      // Somebody deleted the device under its sockets: what should go is gone.
      if (!['EBADFD', 'EBADF', 'ENODEV', 'ENXIO'].includes(codeOf(error))) throw error;
    }
    this.#names.delete(name);
    this.#past.keep(name, last);
  }

  async updateLink(name: string, change: LinkUpdate): Promise<void> {
    if (this.#kernel?.has(name)) return this.#kernel.update(name, change);
    await this.#plane?.updateLink(name, change);
  }

  /**
   * `prefix` of a link is at the host `peer` from now on, also when the link's device is made
   * anew. Nothing to do before there was a link at all: who knows entries tells them for links that
   * are up.
   */
  setEntry(link: string, prefix: UnderlayPrefix, peer: UnderlayAddress): void {
    if (typeof peer === 'number') this.#kernel?.setEntry(link, prefix, peer);
    this.#plane?.entries.set(link, prefix, peer);
  }

  /** The prefix is where arithmetic says from now on. */
  deleteEntry(link: string, prefix: UnderlayPrefix): void {
    this.#kernel?.deleteEntry(link, prefix);
    this.#plane?.entries.delete(link, prefix);
  }

  /** The tables of layer-2 networks; undefined before there was a link. */
  networks(): NetworkTablePort | undefined {
    return (this.#plane ?? this.#kernel) && this.#tables;
  }

  /** The rules of layer-2 networks; undefined before there was a link. */
  policy(): PolicyTable | undefined {
    return this.#plane?.entries.policy;
  }

  /** Underlay address of a host by its number in the tables; undefined = nobody's. */
  hostOf(peer: number): UnderlayAddress | undefined {
    return this.#plane?.entries.hostOf(peer);
  }

  /** What the data path's own table says of an overlay address; undefined = arithmetic decides. */
  answer(link: string, address: UnderlayAddress): TableAnswer | undefined {
    return this.#kernel?.answer(link, address) ?? this.#plane?.entries.answer(link, address);
  }

  async setSuperBytes(name: string, limits: SuperBytes): Promise<void> {
    if (this.#names.has(name)) await this.#plane?.setSuperBytes(name, limits);
  }

  /** MACs of containers here that somebody claims from outside. */
  takeClaims(): MacClaim[] {
    return [...(this.#plane?.takeClaims() ?? []), ...(this.#kernel?.takeClaims() ?? [])];
  }

  /** A MAC has left this host: others may have it. */
  forgetMac(claim: MacClaim): void {
    this.#kernel?.forgetMac(claim);
    this.#plane?.forgetMac(claim);
  }

  /** Counters of every link that runs, by link and counter name. */
  counters(): Record<string, Record<string, number>> {
    const [plane, kernel] = [this.#plane, this.#kernel];
    const names = new Set([...this.#names, ...(kernel?.names ?? [])]);
    const of = (name: string): Record<string, number> =>
      (kernel?.has(name) ? kernel : plane)?.counters(name) ?? {};
    return Object.fromEntries([...names].map((name) => [name, this.#past.sum(name, of(name))]));
  }

  /** The values of some counters of every link that runs: far less than all of them. */
  values(names: readonly string[]): CounterBlock {
    const [plane, kernel] = [this.#plane, this.#kernel];
    const places = names.map(counterPlace);
    const kernels = kernel?.names ?? [];
    this.#rows = counterRows([...this.#names, ...kernels], this.#rows);
    const values = new CounterBlock(this.#rows, places.length);
    const take = (link: string, now: Float64Array): void => {
      values.set(link, this.#past.add(link, names, now));
    };
    if (plane !== undefined) {
      for (const link of this.#names) take(link, plane.values(link, places));
    }
    for (const link of kernels) {
      const counters = kernel?.counters(link) ?? {};
      const now = Float64Array.from(names, (name) => counters[name] ?? 0);
      take(link, now);
    }
    return values;
  }

  /** The same by name. */
  named(names: readonly string[]): Record<string, Record<string, number>> {
    const values = this.values(names);
    return Object.fromEntries(
      [...values.links].map((link) => {
        const column = values.get(link);
        return [link, Object.fromEntries(names.map((name, i) => [name, column?.[i] ?? 0]))];
      }),
    );
  }

  /** How the way past the bridge of a link stands that the kernel forwards. */
  bypass(name: string): BypassStatus | undefined {
    return this.#kernel?.bypass(name);
  }

  /** How a link's rate is now. */
  rateOf(name: string): RateNow {
    return this.#plane?.rateOf(name) ?? NO_RATE;
  }

  buffersRefused(name: string): string {
    return this.#plane?.buffersRefused(name) ?? '';
  }

  status(): DataProcessStatus[] {
    // Without links there is no process to speak of.
    return this.#names.size === 0 ? [] : (this.#plane?.status() ?? []);
  }

  /** What the paths to peers carry as far as control knows; returns how many found no room. */
  setPathLimits(limits: readonly PathLimit[]): number {
    return this.#plane?.setPathLimits(limits) ?? 0;
  }

  /** The underlays by which the peers of a link are reached; how many found no room. */
  setReaches(name: string, reaches: ReadonlyMap<number, number>): number {
    return this.#names.has(name) ? (this.#plane?.entries.setReaches(name, reaches) ?? 0) : 0;
  }

  /** Where the peers of a link say that they are on its further underlays; how many found no room. */
  setHomes(name: string, homes: readonly Home[]): number {
    return this.#names.has(name) ? (this.#plane?.entries.setHomes(name, homes) ?? 0) : 0;
  }

  /** Where the peers of a link are seen that are behind a NAT; how many found no room. */
  setSeats(name: string, seats: readonly Seat[]): number {
    return this.#names.has(name) ? (this.#plane?.entries.setSeats(name, seats) ?? 0) : 0;
  }

  /** Sends one datagram from the port that a link listens on. @throws SystemError */
  sendFrom(name: string, ...sending: Sending): void {
    this.#plane?.sendFrom(name, ...sending);
  }

  /** Peers whose path is another one than their device promises. */
  paths(): PathRecord[] {
    const own = this.#names.size === 0 ? [] : (this.#plane?.paths() ?? []);
    return joinPaths([...own, ...(this.#kernel?.paths() ?? [])]);
  }

  /** How full the table of entries is. */
  entryStatus(): EntryTableStatus {
    const own = this.#plane?.entries.status() ?? { entries: 0, peers: 0, waiting: 0 };
    const kernels = this.#kernel?.status() ?? { entries: 0, waiting: 0 };
    const waiting = own.waiting + kernels.waiting;
    return { entries: own.entries + kernels.entries, peers: own.peers, waiting };
  }

  async close(): Promise<void> {
    await this.#plane?.close();
    this.#plane = undefined;
    this.#kernel?.close();
    this.#kernel = undefined;
    this.#names.clear();
  }
}
