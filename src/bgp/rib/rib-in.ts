/**
 * What one neighbour told: taken into the table or refused, counted against its maximum, and kept
 * as stale while the neighbour restarts (RFC 4724 §4.2).
 * @module
 */
import { equalIp, type Ip } from '../../wire/bgp/address.ts';
import type { EvpnRoute } from '../../wire/bgp/evpn.ts';
import { TreatAsWithdraw } from '../../wire/bgp/faults.ts';
import { SegmentType } from '../../wire/bgp/iana.ts';
import type { Update } from '../../wire/bgp/update.ts';
import type { Timers } from '../base/api.ts';
import type { NeighbourCounters } from '../base/counters.ts';
import { Timer } from '../base/timer.ts';
import { type Origin, PathMaker } from './mac-path.ts';
import { meaningOf } from './meaning.ts';
import { type AttributePool, keyOf, type Path, type PathSource } from './path.ts';
import type { Table } from './table.ts';

export type RibInOptions = {
  table: Table;
  pool: AttributePool;
  source: PathSource;
  counters: NeighbourCounters;
  /** Ourselves, to know what came from us. */
  as: number;
  routerId: number;
  vtep: Ip;
  /** The neighbour's AS. */
  neighbourAs: number;
  isOpen: boolean;
  timers: Timers;
};

/** Routes that go in one turn: some ten ms of work. */
const DROPPED_PER_TURN = 4096;

export class RibIn {
  readonly #options: RibInOptions;
  readonly #paths = new PathMaker();
  #size = 0;
  #stale = 0;
  /** Stale routes that have their turn to go. */
  #leaving: [key: string, path: Path][] = [];
  readonly #timer: Timer;
  /** Why the last route was refused or withdrawn by a fault, for people. */
  lastFault = '';

  constructor(options: RibInOptions) {
    this.#options = options;
    this.#timer = new Timer(options.timers, () => this.#dropSome(DROPPED_PER_TURN));
  }

  /** Routes from this neighbour, stale ones among them. */
  get size(): number {
    return this.#size;
  }
  get stale(): number {
    return this.#stale;
  }

  take(update: Update): void {
    const { counters } = this.#options;
    counters.updatesReceived++;
    counters.passedBy += update.passedBy;
    for (const fault of update.faults) {
      if (fault instanceof TreatAsWithdraw) counters.withdrawnByFault++;
      else counters.discarded++;
      this.lastFault = fault.reason;
    }
    for (const route of update.unreach) this.#set(keyOf(route), undefined);
    if (update.reach.length > 0) this.#reach(update);
  }

  #reach(update: Update): void {
    const { pool, source, timers, counters } = this.#options;
    const { nextHop, reach } = update;
    const why = this.#refusal(update);
    if (why !== '') this.lastFault = why;
    // Interned only where it is kept: what is refused must not push out what is used.
    const attributes = why === '' ? pool.intern(update.attributes) : update.attributes;
    const meaning = meaningOf(attributes);
    const sinceMs = Math.trunc(timers.nowMs());
    let origin: Origin | undefined;
    for (const route of reach) {
      if (why === '' && nextHop !== undefined) {
        origin ??= this.#paths.originOf({ attributes, meaning, nextHop, source });
        const key = keyOf(route);
        this.#set(key, this.#paths.make(key, route, origin, sinceMs));
        continue;
      }
      if (why.startsWith('policy')) counters.refused++;
      else counters.looped++;
      this.#set(keyOf(route), undefined);
    }
  }

  /** Why these routes are not taken, '' when they are. */
  #refusal({ attributes, nextHop }: Update): string {
    const { as, routerId, vtep, source, neighbourAs, isOpen } = this.#options;
    if (!isOpen) return 'policy: nothing is imported from this neighbour (RFC 8212)';
    const path = attributes.asPath ?? [];
    // RFC 4271 §9.1.2, RFC 4456 §8.
    if (path.some(({ numbers }) => numbers.includes(as))) return `our AS ${as} is in the path`;
    if (attributes.originatorId === routerId) return 'we are its originator';
    if (attributes.clusterList?.includes(routerId) === true) return 'we are in its cluster list';
    if (nextHop !== undefined && equalIp(nextHop, vtep)) return 'its next hop is ours';
    const [first] = path;
    // RFC 4271 §6.3: the neighbour stands first in what it tells another AS.
    const isFirst = first?.type === SegmentType.Sequence && first.numbers[0] === neighbourAs;
    if (source.kind === 'external' && !isFirst) return 'policy: the path does not begin there';
    return '';
  }

  #set(key: string, path: Path | undefined): void {
    const { table, source } = this.#options;
    const before = table.pathOf(key, source);
    if (before?.isStale === true) this.#stale--;
    const had = table.set(key, source, path);
    this.#size += Number(path !== undefined) - Number(had);
  }

  /** Marks all routes; those that were stale already go (RFC 4724 §4.2: two restarts in a row). */
  markStale(): void {
    this.dropStale();
    this.#dropSome(Number.POSITIVE_INFINITY);
    for (const [key, path] of this.#own()) this.#isStaleNow(key, path);
  }

  /** Those that are stale go, many of them in turns; @returns how many. */
  dropStale(): number {
    const dropped = this.#stale;
    if (dropped === 0) return 0;
    this.#leaving = this.#own().filter(([, { isStale }]) => isStale);
    this.#dropSome(DROPPED_PER_TURN);
    return dropped;
  }

  #dropSome(count: number): void {
    const { table, source } = this.#options;
    for (const [key, path] of this.#leaving.splice(-count)) {
      // What was sent again meanwhile is another one.
      if (table.pathOf(key, source) === path) this.#set(key, undefined);
    }
    if (this.#leaving.length === 0) this.#timer.stop();
    else this.#timer.start(0);
  }

  /** All of it goes: at once where it is little, else in turns, so that nothing else waits for that. */
  dropAll(): void {
    if (this.#size === 0) return;
    for (const [key, path] of this.#own()) this.#isStaleNow(key, path);
    this.dropStale();
  }

  #isStaleNow(key: string, path: Path): void {
    if (path.isStale) return;
    path.isStale = true;
    this.#stale++;
    this.#options.table.reorder(key);
  }

  /** A list, as the table changes while it is walked. */
  #own(): [key: string, path: Path][] {
    const own: [string, Path][] = [];
    for (const { key, path } of this.#options.table.paths()) {
      if (path.source === this.#options.source) own.push([key, path]);
    }
    return own;
  }

  /** Its routes, for people. */
  routes(): EvpnRoute[] {
    return this.#own().map(([, path]) => path.route);
  }
}
