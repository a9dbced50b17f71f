/**
 * The stations of one network on this host: which MAC is behind which port of the bridge, and which
 * addresses it has. Nothing here reads a clock, asks the host or sends: what happened comes in, what
 * follows goes out as events and as questions that are due.
 *
 * - A MAC comes when the bridge learns it, and goes with its port.
 * - One that the bridge forgets because it is silent stays, and is asked whether it is there. Asked in
 *   vain it stays as long as it is the only one of its port: then the port speaks for it. One of several
 *   goes.
 * - A port without carrier announces nothing; when it is back, its stations are asked at once.
 * - A full port gives newcomers the place of whoever was heard of longest ago, never of one that somebody
 *   wrote down. That is a word to all hosts each time, so it happens so many times a second and no more.
 * @module
 */
import { Bucket } from '../../../dataplane/ground/bucket.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';

/** Stations of one network, and of one port: who invents addresses hurts only itself. */
export const STATIONS_MAX = 8192;
export const PORT_STATIONS_MAX = 1024;
/** Places that a full port gives to others in a second, and at once: each is withdrawn and announced. */
export const PLACES_PER_SECOND = 8;
/** Addresses of one station; the one that was heard of longest ago goes first. */
export const ADDRESSES_MAX = 16;
/** Questions to a silent station before it is taken for gone, or left in peace for a while. */
const QUESTIONS_MAX = 3;
const QUESTION_MS = 1000;
/** A station that said nothing is asked again after so long. */
const AGAIN_MS = 60_000;
/** Questions in one round. */
const ROUND_MAX = 256;

export type StationState =
  /** The bridge has it. */
  | 'here'
  /** The bridge forgot it: it is asked. */
  | 'silent'
  /** Its port has no carrier. */
  | 'parked';

export type Station = {
  /** u48 */
  readonly mac: number;
  /** ifindex of the bridge's port. */
  port: number;
  state: StationState;
  /** Somebody wrote it down as a static entry of the bridge: it never moves. */
  isSticky: boolean;
  /** By key, the one heard of last at the end. */
  readonly addresses: Map<number | string, UnderlayAddress>;
  questions: number;
  askMs: number;
};

export type StationEvents = {
  /** To be announced from now on; also told when it came to another port here. */
  appeared(station: Station): void;
  left(station: Station): void;
  bound(station: Station, address: UnderlayAddress): void;
  unbound(station: Station, address: UnderlayAddress): void;
};

/** `macs`: the one heard of last at the end. */
type Port = { macs: Set<number>; places: Bucket };

export class Stations {
  readonly #events: StationEvents;
  readonly #stations = new Map<number, Station>();
  readonly #ports = new Map<number, Port>();
  /** Whose an address is, by its key. */
  readonly #owners = new Map<number | string, number>();
  /** MACs that found no room, or only that of another one. */
  refused = 0;

  constructor(events: StationEvents) {
    this.#events = events;
  }

  get size(): number {
    return this.#stations.size;
  }

  get(mac: number): Station | undefined {
    return this.#stations.get(mac);
  }

  /** The station that has an address. */
  ownerOf(address: UnderlayAddress): Station | undefined {
    const mac = this.#owners.get(address);
    return mac === undefined ? undefined : this.#stations.get(mac);
  }

  all(): IterableIterator<Station> {
    return this.#stations.values();
  }

  hasPort(port: number): boolean {
    return this.#ports.has(port);
  }

  /** Ports that have stations. */
  ports(): number[] {
    return [...this.#ports.keys()];
  }

  /** Whether a MAC that comes behind a port takes the place of another one, if it gets any. */
  isFull(port: number): boolean {
    return this.#stations.size >= STATIONS_MAX || this.#countOf(port) >= PORT_STATIONS_MAX;
  }

  #countOf(port: number): number {
    return this.#ports.get(port)?.macs.size ?? 0;
  }

  /** Makes room for a newcomer behind a full port, or in a full network. Returns whether there is any. */
  #makeRoom(port: number, nowMs: number): boolean {
    this.refused++;
    if (this.#ports.get(port)?.places.take(nowMs) === false) return false;
    // A network is full because of its fullest port: that one gives, so that others have their share.
    let from = port;
    if (this.#countOf(port) < PORT_STATIONS_MAX) {
      for (const other of this.#ports.keys()) {
        if (this.#countOf(other) > this.#countOf(from)) from = other;
      }
    }
    const oldest = this.#oldestOf(from);
    if (oldest === undefined) return false;
    this.forget(oldest);
    return true;
  }

  /** Whoever of a port was heard of longest ago, one that the bridge forgot first. */
  #oldestOf(port: number): number | undefined {
    let oldest: number | undefined;
    for (const mac of this.#ports.get(port)?.macs ?? []) {
      const station = this.#stations.get(mac);
      if (station === undefined || station.isSticky) continue;
      if (station.state !== 'here') return mac;
      oldest ??= mac;
    }
    return oldest;
  }

  /** The bridge has learned the MAC behind a port. */
  learned(mac: number, port: number, isSticky: boolean, nowMs: number): void {
    const known = this.#stations.get(mac);
    if (known === undefined && this.isFull(port) && !this.#makeRoom(port, nowMs)) return;
    const station = known ?? newStation(mac, port);
    const isNews = known === undefined || known.state !== 'here' || known.isSticky !== isSticky;
    this.#place(station, port);
    station.isSticky = isSticky;
    station.state = 'here';
    station.questions = 0;
    if (isNews) this.#events.appeared(station);
  }

  #place(station: Station, port: number): void {
    this.#takeFrom(station);
    station.port = port;
    this.#stations.set(station.mac, station);
    const behind = this.#ports.get(port) ?? {
      macs: new Set(),
      places: new Bucket(PLACES_PER_SECOND),
    };
    behind.macs.add(station.mac);
    this.#ports.set(port, behind);
  }

  #takeFrom({ mac, port }: Station): void {
    this.#ports.get(port)?.macs.delete(mac);
    if (this.#countOf(port) === 0) this.#ports.delete(port);
  }

  /** The bridge has forgotten a MAC whose port is still there. */
  aged(mac: number, port: number, nowMs: number): void {
    const station = this.#stations.get(mac);
    if (station === undefined || station.port !== port || station.state !== 'here') return;
    station.state = 'silent';
    station.questions = 0;
    station.askMs = nowMs;
  }

  /** Nobody is behind a port any more. */
  portGone(port: number): void {
    for (const mac of [...(this.#ports.get(port)?.macs ?? [])]) this.forget(mac);
  }

  /** A port lost its carrier. */
  portDown(port: number): void {
    for (const mac of this.#ports.get(port)?.macs ?? []) {
      const station = this.#stations.get(mac);
      if (station === undefined || station.state === 'parked') continue;
      station.state = 'parked';
      this.#events.left(station);
    }
  }

  /** It has it again: those behind it are asked. */
  portUp(port: number, nowMs: number): void {
    for (const mac of this.#ports.get(port)?.macs ?? []) {
      const station = this.#stations.get(mac);
      if (station?.state !== 'parked') continue;
      station.questions = 0;
      station.askMs = nowMs;
    }
  }

  /** The station is not here any more: with another host, or gone with its port. */
  forget(mac: number): void {
    const station = this.#stations.get(mac);
    if (station === undefined) return;
    this.#stations.delete(mac);
    for (const key of station.addresses.keys()) this.#owners.delete(key);
    this.#takeFrom(station);
    if (station.state !== 'parked') this.#events.left(station);
  }

  /** A station speaks for an address; whoever had it here before has it no more. */
  bound(mac: number, address: UnderlayAddress): void {
    const station = this.#stations.get(mac);
    if (station === undefined) return;
    const key = address;
    const owner = this.#owners.get(key);
    if (owner !== undefined && owner !== mac) this.unbound(owner, address);
    this.#owners.set(key, mac);
    const isNew = !station.addresses.delete(key);
    station.addresses.set(key, address);
    const macs = this.#ports.get(station.port)?.macs;
    if (macs?.delete(mac) === true) macs.add(mac);
    if (!isNew) return;
    if (station.state !== 'parked') this.#events.bound(station, address);
    const [oldest] = station.addresses.values();
    if (station.addresses.size > ADDRESSES_MAX && oldest !== undefined) this.unbound(mac, oldest);
  }

  /** A station has an address no more. */
  unbound(mac: number, address: UnderlayAddress): void {
    const station = this.#stations.get(mac);
    if (station?.addresses.delete(address) !== true) return;
    this.#owners.delete(address);
    if (station.state !== 'parked') this.#events.unbound(station, address);
  }

  /** What a predecessor knew of a station that is asked first whether it is still there. */
  restore(mac: number, port: number, addresses: readonly UnderlayAddress[], nowMs: number): void {
    if (this.#stations.size >= STATIONS_MAX) return;
    const known = this.#stations.get(mac);
    const station = known ?? newStation(mac, port);
    if (known === undefined) {
      station.state = 'silent';
      station.askMs = nowMs;
      this.#place(station, port);
      this.#events.appeared(station);
    }
    for (const address of addresses.slice(-ADDRESSES_MAX)) this.bound(mac, address);
  }

  /** Silent stations that are to be asked now. Those that were asked in vain go, or rest. */
  due(nowMs: number): Station[] {
    const due: Station[] = [];
    for (const station of this.#stations.values()) {
      if (station.state === 'here' || station.askMs > nowMs) continue;
      if (station.questions >= QUESTIONS_MAX) {
        const isOnly = this.#countOf(station.port) === 1;
        if (!isOnly && station.state === 'silent') {
          this.forget(station.mac);
          continue;
        }
        station.questions = 0;
        station.askMs = nowMs + AGAIN_MS;
        continue;
      }
      if (due.length >= ROUND_MAX) break;
      station.questions++;
      station.askMs = nowMs + QUESTION_MS;
      due.push(station);
    }
    return due;
  }
}

function newStation(mac: number, port: number): Station {
  return {
    ...{ mac, port, state: 'here', isSticky: false },
    ...{ addresses: new Map(), questions: 0, askMs: 0 },
  };
}
