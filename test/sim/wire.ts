/**
 * The network between the nodes: each datagram may be lost, doubled, delayed, overtaken or held
 * back for long, and any set of directed paths may be cut. All of it follows from the seed.
 * @module
 */
import type { Endpoint } from '../../src/wire/gossip/types.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

/** IPv4 and UDP headers, bytes: they count as traffic. */
const HEADERS_BYTES = 28;

export type Conditions = {
  /** Shares of all datagrams, 0 to 1. */
  lossShare: number;
  duplicateShare: number;
  /** Share that is overtaken: held back by up to `reorderMs` more. */
  reorderShare: number;
  reorderMs: number;
  /** Share of the duplicates that come up to `lateMs` later, when all about them has changed. */
  lateShare: number;
  lateMs: number;
  /** Each pair of nodes has a delay of its own between these, and a tenth of it jitter. */
  delayLeastMs: number;
  delayMostMs: number;
};

export const CLEAN: Conditions = {
  lossShare: 0,
  duplicateShare: 0,
  reorderShare: 0,
  reorderMs: 0,
  lateShare: 0,
  lateMs: 0,
  delayLeastMs: 0.2,
  delayMostMs: 2,
};

/** What stands at the end of the wire. */
export type Station = {
  readonly index: number;
  /** A datagram is here. `sentAtMs` lets a station refuse what was meant for its earlier life. */
  arrive(from: Endpoint, sender: Station, payload: Uint8Array, sentAtMs: number): void;
};

/** True where nothing gets from the first node to the second, by index. */
export type Cut = (from: number, to: number) => boolean;

export type Traffic = { datagrams: number; bytes: number };

export class ImpairedWire {
  conditions: Conditions;
  /** What left each node, lost or not, by index; headers included. */
  readonly sent: Traffic[] = [];
  lost = 0;
  stopped = 0;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #pairSalt: number;
  readonly #stations = new Map<number, Station[]>();
  readonly #cuts = new Map<string, Cut>();
  readonly #overheadBytes: number;

  /** @param overheadBytes what the security layer adds to a payload. */
  constructor(
    scheduler: Scheduler,
    random: Random,
    conditions: Conditions,
    { overheadBytes }: { overheadBytes: number },
  ) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#pairSalt = random.below(0x7fffffff);
    this.#overheadBytes = overheadBytes + HEADERS_BYTES;
    this.conditions = conditions;
  }

  /** Several stations may wrongly have one address: each datagram then reaches one of them. */
  attach(address: number, station: Station): void {
    const stations = this.#stations.get(address) ?? [];
    this.#stations.set(address, [...stations.filter((one) => one !== station), station]);
  }

  detach(address: number, station: Station): void {
    const rest = (this.#stations.get(address) ?? []).filter((one) => one !== station);
    if (rest.length === 0) this.#stations.delete(address);
    else this.#stations.set(address, rest);
  }

  /** The station that something sent to `address` now reaches, if any. */
  stationAt(address: number): Station | undefined {
    const stations = this.#stations.get(address) ?? [];
    return stations.length > 1 ? this.#random.pick(stations) : stations[0];
  }

  cut(name: string, cut: Cut): void {
    this.#cuts.set(name, cut);
  }

  heal(name: string): void {
    this.#cuts.delete(name);
  }

  healAll(): void {
    this.#cuts.clear();
  }

  /** Whether something can get from one node to another now. */
  isOpen(from: number, to: number): boolean {
    for (const cut of this.#cuts.values()) if (cut(from, to)) return false;
    return true;
  }

  /** One way, without jitter, in milliseconds; the same both ways. */
  delayMs(a: number, b: number): number {
    const { delayLeastMs, delayMostMs } = this.conditions;
    const mixed = Math.imul((Math.min(a, b) * 1031 + Math.max(a, b)) ^ this.#pairSalt, 0x9e3779b1);
    return delayLeastMs + ((mixed >>> 8) / 0x1000000) * (delayMostMs - delayLeastMs);
  }

  send(from: Endpoint, sender: Station, to: Endpoint, payload: Uint8Array): void {
    const { lossShare, duplicateShare, lateShare, lateMs } = this.conditions;
    this.count(sender.index, payload.length + this.#overheadBytes);
    const station = this.stationAt(Number(to.address));
    if (station === undefined || !this.isOpen(sender.index, station.index)) {
      this.stopped += 1;
      return;
    }
    if (this.#random.chance(lossShare)) this.lost += 1;
    else this.#deliver(from, sender, station, payload, 0);
    if (this.#random.chance(duplicateShare)) {
      const heldMs = this.#random.chance(lateShare) ? this.#random.between(0, lateMs) : 0;
      this.#deliver(from, sender, station, payload, heldMs);
    }
  }

  /** Adds to the traffic of a node. */
  count(index: number, bytes: number): void {
    const sent = this.sent[index] ?? { datagrams: 0, bytes: 0 };
    sent.datagrams += 1;
    sent.bytes += bytes;
    this.sent[index] = sent;
  }

  #deliver(
    from: Endpoint,
    sender: Station,
    station: Station,
    payload: Uint8Array,
    heldMs: number,
  ): void {
    const { reorderShare, reorderMs } = this.conditions;
    const delayMs = this.delayMs(sender.index, station.index);
    const jitterMs = delayMs * this.#random.between(0, 0.1);
    const overtakenMs = this.#random.chance(reorderShare) ? this.#random.between(1, reorderMs) : 0;
    const sentAtMs = this.#scheduler.nowMs;
    this.#scheduler.after(delayMs + jitterMs + overtakenMs + heldMs, () =>
      station.arrive(from, sender, payload, sentAtMs),
    );
  }
}
