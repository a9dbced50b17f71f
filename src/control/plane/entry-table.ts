/**
 * Entries: which host has which overlay prefix of a link, beside what the fan's arithmetic says.
 * Whoever decides that tells changes here, one at a time; each is one write to the memory that all
 * data processes read, and holds for the next packet of every one of them.
 *
 * Entries belong to a link's name, also while it does not run. What the table has no room for waits
 * and is counted; everything else goes on changing, and whatever leaves makes room.
 * @module
 */
import { randomInt } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { type Ipv6, wordsOfIpv6 } from '../../net/prefix6.ts';
import {
  ADDRESS_BITS,
  familyOf,
  hostBytes,
  hostNetworkOf,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../net/underlay-address.ts';
import { prefixOfSlot, slotOfPrefix } from '../../rib/entry.ts';
import { SharedMemory } from '../../sys/libc/memory.ts';
import { type Home, HomeWriter } from '../../table/links/homes.ts';
import { LinkWriter } from '../../table/links/links.ts';
import { PathLimitWriter } from '../../table/links/path-limits.ts';
import { PeerRateWriter } from '../../table/links/peer-rates.ts';
import { type Seat, SeatWriter } from '../../table/links/seats.ts';
import { UnderlayWriter } from '../../table/links/underlays.ts';
import { PeerWriter } from '../../table/peers.ts';
import { PrefixWriter } from '../../table/prefixes.ts';
import { TABLES_BYTES, TABLES_NAME, TableSegment } from '../../table/segment.ts';
import { Prefix6Writer } from '../../table/six/prefixes.ts';
import { NetworkTable } from './tables/network-table.ts';
import { PolicyTable } from './tables/policy-table.ts';

/** A prefix of the overlay and the host that it is sent to. */
export type TableAnswer = { prefix: UnderlayPrefix; peer: UnderlayAddress };

export type EntryTableStatus = {
  /** Entries in the table, and hosts that they name. */
  entries: number;
  peers: number;
  /** Entries that found no room; the traffic for them goes where arithmetic says. */
  waiting: number;
};

type LinkEntries = {
  /** Number of the running link, −1 while it does not run. */
  id: number;
  /** Peers by prefix, as {@link slotOfPrefix} writes it. */
  installed: Map<number | string, number>;
  /** Hosts by prefix that are not in the table: no room, or the link does not run. */
  waiting: Map<number | string, UnderlayAddress>;
};

const wordsOf = (address: string): Ipv6 => wordsOfIpv6(hostBytes(address));

/** The prefixes of both families in the shared memory. */
class PrefixTables {
  readonly #ipv4: PrefixWriter;
  readonly #ipv6: Prefix6Writer;

  constructor(segment: TableSegment) {
    this.#ipv4 = new PrefixWriter(segment);
    this.#ipv6 = new Prefix6Writer(segment);
  }

  get count(): number {
    return this.#ipv4.count + this.#ipv6.count;
  }

  /** The peer of exactly this prefix, 0 when it has none. */
  get(link: number, { address, length }: UnderlayPrefix): number {
    if (typeof address === 'number') return this.#ipv4.get(link, address, length);
    return this.#ipv6.get(link, wordsOf(address), length);
  }

  /** False, and nothing has changed, when there is no room. */
  set(link: number, { address, length }: UnderlayPrefix, peer: number): boolean {
    if (typeof address === 'number') return this.#ipv4.set(link, address, length, peer);
    return this.#ipv6.set(link, wordsOf(address), length, peer);
  }

  delete(link: number, { address, length }: UnderlayPrefix): void {
    if (typeof address === 'number') this.#ipv4.delete(link, address, length);
    else this.#ipv6.delete(link, wordsOf(address), length);
  }
}

export class EntryTable {
  readonly #memory = SharedMemory.create(TABLES_NAME, TABLES_BYTES);
  readonly #readFd = openSync(`/proc/self/fd/${this.#memory.fd}`, 'r');
  readonly #peers: PeerWriter;
  readonly #prefixes: PrefixTables;
  readonly #links = new Map<string, LinkEntries>();
  /** What the paths to hosts carry, in the same memory. */
  readonly limits: PathLimitWriter;
  /** By which underlays they are reached, likewise. */
  readonly reaches: UnderlayWriter;
  /** Where those are seen that are behind a NAT, likewise. */
  readonly seats: SeatWriter;
  /** Where they say that they are on further underlays, likewise. */
  readonly homes: HomeWriter;
  /** What each link is, likewise. */
  readonly links: LinkWriter;
  /** What single hosts of links may be sent, likewise. */
  readonly rates: PeerRateWriter;
  /** Who is where in layer-2 networks, in the same memory. */
  readonly networks: NetworkTable;
  /** What rules those have, likewise. */
  readonly policy: PolicyTable;

  constructor() {
    const segment = new TableSegment(this.#memory.buffer);
    segment.initialize(randomInt(2 ** 32));
    this.limits = new PathLimitWriter(segment);
    this.links = new LinkWriter(segment);
    this.rates = new PeerRateWriter(segment);
    this.reaches = new UnderlayWriter(segment);
    this.seats = new SeatWriter(segment);
    this.homes = new HomeWriter(segment);
    this.#peers = new PeerWriter(segment);
    this.#prefixes = new PrefixTables(segment);
    this.networks = new NetworkTable(segment, this.#peers);
    this.policy = new PolicyTable(segment);
  }

  /** Descriptor of the memory for data processes: they can only read. */
  get fd(): number {
    return this.#readFd;
  }

  /** Underlay address of a host by its number; undefined = nobody's. */
  hostOf(peer: number): UnderlayAddress | undefined {
    return this.#peers.hostOf(peer);
  }

  #of(name: string): LinkEntries {
    let link = this.#links.get(name);
    if (link === undefined) {
      link = { id: -1, installed: new Map(), waiting: new Map() };
      this.#links.set(name, link);
    }
    return link;
  }

  /** Makes these the ways to the peers of a link with several underlays; how many found no room. */
  setReaches(name: string, reaches: ReadonlyMap<number, number>): number {
    const { id } = this.#of(name);
    return id < 0 ? 0 : this.reaches.replace(id, reaches);
  }

  /** Makes these the places of a link's peers on its further underlays; how many found no room. */
  setHomes(name: string, homes: readonly Home[]): number {
    const { id } = this.#of(name);
    return id < 0 ? 0 : this.homes.replace(id, homes);
  }

  /** Makes these the peers of a link that are seen elsewhere; how many found no room. */
  setSeats(name: string, seats: readonly Seat[]): number {
    const { id } = this.#of(name);
    return id < 0 ? 0 : this.seats.replace(id, seats);
  }

  /** The link runs from now on, as number `id`. */
  bind(name: string, id: number): void {
    const link = this.#of(name);
    link.id = id;
    this.#admit(link);
    this.networks.bind(name, id);
    this.policy.bind(name, id);
  }

  /** The link runs no more; its entries stay known. Call it once no data process reads them. */
  unbind(name: string): void {
    const link = this.#of(name);
    for (const [key, peer] of link.installed) {
      const host = this.#peers.hostOf(peer);
      if (host !== undefined) link.waiting.set(key, host);
      this.#remove(link, key, peer);
    }
    link.id = -1;
    this.networks.unbind(name);
    this.policy.unbind(name);
    this.#forgetEmpty(name, link);
    this.#admitAll();
  }

  /** `prefix` of the link is at the host `peer` from now on. */
  set(name: string, prefix: UnderlayPrefix, peer: UnderlayAddress): void {
    const link = this.#of(name);
    const key = slotOfPrefix(prefix);
    const known = link.installed.get(key);
    if (known !== undefined && this.#peers.hostOf(known) === peer) return;
    if (this.#install(link, key, peer)) return;
    if (known !== undefined) this.#remove(link, key, known);
    link.waiting.set(key, peer);
  }

  /** The prefix is where arithmetic says from now on. */
  delete(name: string, prefix: UnderlayPrefix): void {
    const link = this.#links.get(name);
    if (link === undefined) return;
    const key = slotOfPrefix(prefix);
    link.waiting.delete(key);
    const peer = link.installed.get(key);
    if (peer !== undefined) {
      this.#remove(link, key, peer);
      this.#admitAll();
    }
    this.#forgetEmpty(name, link);
  }

  /**
   * What the memory that the data processes read has for an overlay address: the longest prefix and
   * its host; undefined = arithmetic decides.
   */
  answer(name: string, address: UnderlayAddress): TableAnswer | undefined {
    const link = this.#links.get(name);
    if (link === undefined || link.id < 0) return undefined;
    for (let length: number = ADDRESS_BITS[familyOf(address)]; length > 0; length--) {
      const prefix = { address: hostNetworkOf({ address, length }), length };
      const peer = this.#prefixes.get(link.id, prefix);
      const host = peer === 0 ? undefined : this.#peers.hostOf(peer);
      if (host !== undefined) return { prefix, peer: host };
    }
    return undefined;
  }

  /** Every entry of a link, in the table or not. */
  all(name: string): TableAnswer[] {
    const link = this.#links.get(name);
    if (link === undefined) return [];
    const known = [...link.installed].map(
      ([key, peer]) => [key, this.#peers.hostOf(peer)] as const,
    );
    return [...known, ...link.waiting].flatMap(([key, peer]) =>
      peer === undefined ? [] : [{ prefix: prefixOfSlot(key), peer }],
    );
  }

  status(): EntryTableStatus {
    let waiting = 0;
    for (const link of this.#links.values()) if (link.id >= 0) waiting += link.waiting.size;
    return { entries: this.#prefixes.count, peers: this.#peers.count, waiting };
  }

  /** Frees the memory; no data process runs any more. */
  close(): void {
    closeSync(this.#readFd);
    this.policy.close();
    this.#memory.close();
  }

  #install(link: LinkEntries, key: number | string, host: UnderlayAddress): boolean {
    if (link.id < 0) return false;
    const peer = this.#peers.intern(hostBytes(host));
    if (peer === 0) return false;
    if (!this.#prefixes.set(link.id, prefixOfSlot(key), peer)) {
      this.#peers.release(peer);
      return false;
    }
    const before = link.installed.get(key);
    link.installed.set(key, peer);
    link.waiting.delete(key);
    // Only now: nothing leads to it any more.
    if (before !== undefined) this.#peers.release(before);
    return true;
  }

  #remove(link: LinkEntries, key: number | string, peer: number): void {
    this.#prefixes.delete(link.id, prefixOfSlot(key));
    link.installed.delete(key);
    this.#peers.release(peer);
  }

  #admit(link: LinkEntries): void {
    for (const [key, host] of link.waiting) if (!this.#install(link, key, host)) return;
  }

  /** Something left: what waits may come in. */
  #admitAll(): void {
    for (const link of this.#links.values()) {
      if (link.id >= 0 && link.waiting.size > 0) this.#admit(link);
    }
  }

  #forgetEmpty(name: string, link: LinkEntries): void {
    if (link.id < 0 && link.waiting.size === 0) this.#links.delete(name);
  }
}
