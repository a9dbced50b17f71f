/**
 * The data plane as the router uses it: opened with the first link, closed with the last, and
 * forgiving about links it does not have.
 * @module
 */

import type { EventEmitter } from 'node:events';
import type { DataProcessStatus, SuperBytes } from '../../api/status.ts';
import { codeOf, FanwayError } from '../../errors.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import type { PathLimit } from '../../table/path-limits.ts';
import type { PathRecord } from '../../table/paths.ts';
import type { LinkUpdate, Tunnels } from '../host/host.ts';
import type { AnySpec } from '../store/link-spec.ts';
import type { EntryTable, EntryTableStatus, TableAnswer } from './entry-table.ts';
import type { MacClaim } from './mac-claims.ts';
import type { NetworkTable } from './network-table.ts';
import type { PolicyTable } from './tables/policy-table.ts';
import type { KeptNetwork } from './tables/predecessor.ts';

/** What data-plane.ts provides. */
export type DataPlanePort = Pick<EventEmitter, 'on'> & {
  addLink(spec: AnySpec): Promise<{ ifindex: number; offloads: string[] }>;
  removeLink(name: string): Promise<void>;
  updateLink(name: string, change: LinkUpdate): Promise<void>;
  setSuperBytes(name: string, limits: SuperBytes): Promise<void>;
  takeClaims(): MacClaim[];
  forgetMac(claim: MacClaim): void;
  counters(name: string): Record<string, number>;
  status(): DataProcessStatus[];
  paths(): PathRecord[];
  setPathLimits(limits: readonly PathLimit[]): number;
  readonly entries: Pick<
    EntryTable,
    'set' | 'delete' | 'answer' | 'status' | 'networks' | 'policy' | 'hostOf'
  >;
  readonly kept?: readonly KeptNetwork[];
  close(options?: { keepDevices?: boolean }): Promise<void>;
};

export class TunnelSet implements Tunnels {
  readonly #open: () => Promise<DataPlanePort>;
  #plane: DataPlanePort | undefined;
  readonly #names = new Set<string>();
  #opened: (kept: readonly KeptNetwork[]) => void = () => undefined;

  /** Calls `listener` with what a predecessor had, when there is a data plane and before its first link. */
  whenOpened(listener: (kept: readonly KeptNetwork[]) => void): void {
    this.#opened = listener;
  }

  /** `open` is called when there is a link to run. */
  constructor(open: () => Promise<DataPlanePort>) {
    this.#open = open;
  }

  async addLink(spec: AnySpec): Promise<{ ifindex: number; offloads: string[] }> {
    if (this.#plane === undefined) {
      this.#plane = await this.#open();
      this.#opened(this.#plane.kept ?? []);
    }
    this.#names.add(spec.name);
    try {
      return await this.#plane.addLink(spec);
    } catch (error) {
      this.#names.delete(spec.name);
      throw error;
    }
  }

  async removeLink(name: string): Promise<void> {
    if (this.#plane === undefined || !this.#names.has(name)) return;
    try {
      await this.#plane.removeLink(name);
    } catch (error) {
      // Somebody deleted the device under its sockets: what should go is gone.
      if (!['EBADFD', 'EBADF', 'ENODEV', 'ENXIO'].includes(codeOf(error))) throw error;
    }
    this.#names.delete(name);
  }

  async updateLink(name: string, change: LinkUpdate): Promise<void> {
    await this.#plane?.updateLink(name, change);
  }

  /**
   * `prefix` of a link is at the host `peer` (u32) from now on, also when the link's device is made
   * anew. Nothing to do before there was a link at all: who knows entries tells them for links that
   * are up.
   */
  setEntry(link: string, prefix: Prefix, peer: number): void {
    this.#plane?.entries.set(link, prefix, peer);
  }

  /** The prefix is where arithmetic says from now on. */
  deleteEntry(link: string, prefix: Prefix): void {
    this.#plane?.entries.delete(link, prefix);
  }

  /** The tables of layer-2 networks; undefined before there was a link. */
  networks(): NetworkTable | undefined {
    return this.#plane?.entries.networks;
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
  answer(link: string, address: number): TableAnswer | undefined {
    return this.#plane?.entries.answer(link, address);
  }

  async setSuperBytes(name: string, limits: SuperBytes): Promise<void> {
    if (this.#names.has(name)) await this.#plane?.setSuperBytes(name, limits);
  }

  /** MACs of containers here that somebody claims from outside. */
  takeClaims(): MacClaim[] {
    return this.#plane?.takeClaims() ?? [];
  }

  /** A MAC has left this host: others may have it. */
  forgetMac(claim: MacClaim): void {
    this.#plane?.forgetMac(claim);
  }

  /** Counters of every link that runs, by link and counter name. */
  counters(): Record<string, Record<string, number>> {
    const plane = this.#plane;
    if (plane === undefined) return {};
    return Object.fromEntries([...this.#names].map((name) => [name, plane.counters(name)]));
  }

  status(): DataProcessStatus[] {
    // Without links there is no process to speak of.
    return this.#names.size === 0 ? [] : (this.#plane?.status() ?? []);
  }

  /** What the paths to peers carry as far as control knows; returns how many found no room. */
  setPathLimits(limits: readonly PathLimit[]): number {
    return this.#plane?.setPathLimits(limits) ?? 0;
  }

  /** Peers whose path is another one than their device promises. */
  paths(): PathRecord[] {
    return this.#names.size === 0 ? [] : (this.#plane?.paths() ?? []);
  }

  /** How full the table of entries is. */
  entryStatus(): EntryTableStatus {
    return this.#plane?.entries.status() ?? { entries: 0, peers: 0, waiting: 0 };
  }

  async close(): Promise<void> {
    await this.#plane?.close();
    this.#plane = undefined;
    this.#names.clear();
  }
}

/** For taking back what a dead router left: nothing runs, so nothing can be added. */
export const noTunnels: Tunnels = {
  async addLink() {
    throw new FanwayError('no-data-plane', 'no data plane runs in this process');
  },
  async removeLink() {},
  async updateLink() {},
  async setSuperBytes() {},
};
