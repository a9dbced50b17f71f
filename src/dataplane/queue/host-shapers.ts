/**
 * Shapers of single hosts, where a link has rates for such: made when the first packet goes there, found by
 * link and number of the host.
 * @module
 */
import type { PeerRateReader } from '../../table/links/peer-rates.ts';
import type { DataLink } from '../ground/link.ts';
import type { PeerTable } from '../ground/peers.ts';
import { addressBytes, addressOffset } from '../ground/sockaddr.ts';
import type { Shaper } from './shaper.ts';

/** Hosts of all links that have queues of their own at a time; some 130 kB each. */
const SHAPERS_MAX = 128;
/** More than there are numbers of hosts. */
const HOST_NUMBERS = 2 ** 20;

export class HostShapers {
  readonly #view: DataView;
  readonly #peers: PeerTable;
  readonly #rates: PeerRateReader | undefined;
  readonly #make: (link: DataLink, peer: number) => Shaper;
  readonly #drop: (shaper: Shaper) => void;
  readonly #byHost = new Map<number, Shaper>();

  /**
   * @param rates undefined = there are none
   * @param around `make` and `drop` keep the list of all shapers
   */
  constructor(
    view: DataView,
    peers: PeerTable,
    rates: PeerRateReader | undefined,
    around: {
      make: (link: DataLink, peer: number) => Shaper;
      drop: (shaper: Shaper) => void;
    },
  ) {
    this.#view = view;
    this.#peers = peers;
    this.#rates = rates;
    this.#make = around.make;
    this.#drop = around.drop;
  }

  /** The shaper of a host; undefined = it has no rate of its own, and nothing waits that had one. */
  find(link: DataLink, peer: number): Shaper | undefined {
    if (link.peerRates === 0 && this.#byHost.size === 0) return undefined;
    const rate = this.#rateOf(link, peer);
    const key = link.id * HOST_NUMBERS + peer;
    const known = this.#byHost.get(key);
    if (known !== undefined) {
      known.peerRateBytes = rate;
      return rate !== 0 || known.queues.packets > 0 ? known : undefined;
    }
    if (rate === 0) return undefined;
    if (this.#byHost.size >= SHAPERS_MAX && !this.#dropIdle()) return undefined;
    const shaper = this.#make(link, peer);
    shaper.peerRateBytes = rate;
    this.#byHost.set(key, shaper);
    return shaper;
  }

  /** Takes over the rate that a host has now. Its number is held while packets for it wait. */
  refresh(shaper: Shaper): void {
    shaper.peerRateBytes = this.#rateOf(shaper.link, shaper.peer);
  }

  /** Bytes a second; 0 = none of its own. */
  #rateOf(link: DataLink, peer: number): number {
    if (link.peerRates === 0 || this.#rates === undefined) return 0;
    const name = this.#peers.nameOf(peer);
    const at = name + addressOffset(this.#view, name);
    return this.#rates.find(this.#view, at, addressBytes(this.#view, name), link.id);
  }

  /** Makes room for another one; false where all have packets waiting. */
  #dropIdle(): boolean {
    for (const [key, shaper] of this.#byHost) {
      if (shaper.queues.packets > 0) continue;
      this.#byHost.delete(key);
      this.#drop(shaper);
      return true;
    }
    return false;
  }

  /** A shaper has ended. */
  forget({ link, peer }: Shaper): void {
    this.#byHost.delete(link.id * HOST_NUMBERS + peer);
  }
}
