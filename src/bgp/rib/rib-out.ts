/**
 * Adj-RIB-Out of one neighbour: which routes it has to be told of, and what it was told. What waits
 * is a set of keys: a route that changes a thousand times before it is sent is sent once.
 * @module
 */
import type { Ip } from '../../wire/bgp/address.ts';
import type { Attributes } from '../../wire/bgp/attributes.ts';
import { emitReach, emitUnreach } from '../../wire/bgp/emit-update.ts';
import type { EvpnRoute } from '../../wire/bgp/evpn.ts';
import type { Timers } from '../base/api.ts';
import { Timer } from '../base/timer.ts';
import type { Path } from './path.ts';

/** Changes are gathered this long, so that what belongs together travels together. */
const GATHER_MS = 10;
/** Nothing more is made while this much waits to be taken, bytes. */
export const QUEUED_BYTES_MAX = 256 * 1024;
/** Keys in one go; between two goes the neighbour may say that it is full. */
const KEYS_PER_GO = 1000;

export type RibOutOptions = {
  timers: Timers;
  /** The path to tell, undefined for none. */
  pathOf(key: string): Path | undefined;
  /** May the neighbour be told of this path? */
  mayTell(path: Path): boolean;
  attributesOf(path: Path): Attributes;
  context(): { as4: boolean; internal: boolean };
  /** The body of an UPDATE. */
  send(body: Uint8Array): void;
  queuedBytes(): number;
};

type Batch = { attributes: Attributes; nextHop: Ip; routes: EvpnRoute[] };

export class RibOut {
  readonly #options: RibOutOptions;
  readonly #timer: Timer;
  readonly #pending = new Set<string>();
  readonly #told = new Map<string, Path>();
  #isOpen = false;
  #owesEnd = false;

  constructor(options: RibOutOptions) {
    this.#options = options;
    this.#timer = new Timer(options.timers, () => this.flush());
  }

  /** Routes that the neighbour has from us. */
  get size(): number {
    return this.#told.size;
  }
  get pending(): number {
    return this.#pending.size;
  }

  /** A session began: all of `bests` is told, then that it was all (RFC 4724 §3). */
  open(bests: Iterable<Path>): void {
    this.#isOpen = true;
    this.#owesEnd = true;
    this.#told.clear();
    this.again(bests);
  }

  /** Tells all of `bests` once more: somebody asked for it (RFC 2918). */
  again(bests: Iterable<Path>): void {
    // Withdrawals that wait stay among the pending ones.
    for (const path of bests) {
      if (!this.#options.mayTell(path)) continue;
      // A copy is another path, and so is told again; that the neighbour has it stays known, or a
      // withdrawal that comes before that would not be sent.
      const told = this.#told.get(path.key);
      if (told !== undefined) this.#told.set(path.key, { ...told });
      this.#pending.add(path.key);
    }
    this.#timer.start(0);
  }

  close(): void {
    this.#isOpen = false;
    this.#timer.stop();
    this.#pending.clear();
    this.#told.clear();
  }

  /** The best path of `key` is `best` now. Most of what others tell is no news for this neighbour. */
  mark(key: string, best: Path | undefined): void {
    if (!this.#isOpen) return;
    const isNews = this.#told.has(key) || (best !== undefined && this.#options.mayTell(best));
    if (!isNews) return;
    this.#pending.add(key);
    if (!this.#timer.isRunning) this.#timer.start(GATHER_MS);
  }

  /** The routes that were told, for people. */
  *told(): Generator<[key: string, path: Path]> {
    yield* this.#told;
  }

  /** Sends what waits, as far as the neighbour takes it; `drained` goes on with the rest. */
  flush(): void {
    while (this.#isOpen && this.#pending.size > 0) {
      if (this.#options.queuedBytes() > QUEUED_BYTES_MAX) return;
      this.#go();
    }
    if (!this.#isOpen || !this.#owesEnd) return;
    this.#owesEnd = false;
    this.#sendAll(emitUnreach([]));
  }

  #go(): void {
    const { pathOf, attributesOf, context } = this.#options;
    const gone: EvpnRoute[] = [];
    const batches = new Map<Attributes, Map<string, Batch>>();
    let left = KEYS_PER_GO;
    for (const key of this.#pending) {
      if (left-- === 0) break;
      this.#pending.delete(key);
      const before = this.#told.get(key);
      const path = pathOf(key);
      if (path === before) continue;
      if (path === undefined) {
        this.#told.delete(key);
        if (before !== undefined) gone.push(before.route);
        continue;
      }
      this.#told.set(key, path);
      const attributes = attributesOf(path);
      const hops = batches.get(attributes) ?? new Map<string, Batch>();
      batches.set(attributes, hops);
      const hop = String(path.nextHop);
      const batch = hops.get(hop) ?? { attributes, nextHop: path.nextHop, routes: [] };
      hops.set(hop, batch);
      batch.routes.push(path.route);
    }
    if (gone.length > 0) this.#sendAll(emitUnreach(gone));
    for (const hops of batches.values()) {
      for (const { attributes, nextHop, routes } of hops.values()) {
        this.#sendAll(emitReach(attributes, nextHop, routes, context()));
      }
    }
  }

  #sendAll(bodies: readonly Uint8Array[]): void {
    for (const body of bodies) this.#options.send(body);
  }
}
