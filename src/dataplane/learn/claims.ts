/**
 * Who speaks for which address at our own port of a layer-2 network: what control is told of it, and what
 * is refused. The tables say what is true; control writes them from what it is told here and from the
 * bridge.
 * @module
 */
import { GuardMode } from '../../shm/network.ts';
import { EventKind, MovedTo, Snooped } from '../../table/events.ts';
import { FdbFlag, fdbFlags, fdbPeer } from '../../table/fdb.ts';
import { NeighbourFlag } from '../../table/neighbours.ts';
import { ETHERNET_SOURCE_OFFSET } from '../../wire/ethernet.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import type { Network } from '../ground/network.ts';
import type { News } from './news.ts';

export class Claims {
  readonly #arena: Arena;
  readonly #news: News;

  constructor(arena: Arena, news: News) {
    this.#arena = arena;
    this.#news = news;
  }

  /**
   * Whether the sender of the frame at `frame`, from our port, may have its MAC. `source` is what the
   * FDB has of it.
   */
  mayHaveMac(link: DataLink, network: Network, frame: number, source: number): boolean {
    const mac = frame + ETHERNET_SOURCE_OFFSET;
    if (source === 0) {
      this.#news.tell(link, EventKind.LocalMac, mac, 0, 0);
      return true;
    }
    const peer = fdbPeer(source);
    if (peer === 0) return true;
    // It has moved here, or pretends to; control decides by what the bridge and the others say.
    this.#news.tell(link, EventKind.Moved, mac, peer, MovedTo.Here);
    return network.guard !== GuardMode.Strict && (fdbFlags(source) & FdbFlag.Sticky) === 0;
  }

  /**
   * The MAC at `mac` says, by ARP or the like, that it has the address at `address`. False when it may
   * not.
   */
  claim(
    link: DataLink,
    network: Network,
    mac: number,
    address: number,
    bytes: 4 | 16,
    snooped: (typeof Snooped)[keyof typeof Snooped],
  ): boolean {
    const { neighbours } = network.tables;
    if (!this.#find(network, address, bytes)) {
      this.#news.tellAddress(link, EventKind.Binding, mac, address, bytes, snooped);
      return true;
    }
    if (this.#hasFound(network, mac)) {
      const isLocal = (neighbours.flags & NeighbourFlag.Local) !== 0;
      if (!isLocal) this.#news.tellAddress(link, EventKind.Binding, mac, address, bytes, snooped);
      return true;
    }
    return this.#refuseDuplicate(link, network, mac, address, bytes);
  }

  /** Whether the sender at our port with the MAC at `mac` may send from the address at `address`. */
  maySendFrom(
    link: DataLink,
    network: Network,
    mac: number,
    address: number,
    bytes: 4 | 16,
    source: number,
  ): boolean {
    if (network.guard === GuardMode.Off) return true;
    if (!this.#find(network, address, bytes)) {
      if (network.guard !== GuardMode.Strict) return true;
      // A router speaks for others; and who has no address yet says so.
      return (fdbFlags(source) & FdbFlag.Router) !== 0 || this.#isUnspecified(address, bytes);
    }
    if (this.#hasFound(network, mac)) return true;
    return this.#refuseDuplicate(link, network, mac, address, bytes);
  }

  /**
   * Whether a peer's frame may speak for the address at `address` with the MAC at `mac`: nobody else is
   * known to have it.
   */
  isFree(network: Network, mac: number, address: number, bytes: 4 | 16): boolean {
    if (network.guard === GuardMode.Off || !this.#find(network, address, bytes)) return true;
    return this.#hasFound(network, mac);
  }

  /** A DHCP server has given the address at `address` to the client here with the MAC at `mac`. */
  given(link: DataLink, network: Network, mac: number, address: number): void {
    if (this.#find(network, address, 4) && this.#hasFound(network, mac)) return;
    this.#news.tellAddress(link, EventKind.Binding, mac, address, 4, Snooped.Dhcp);
  }

  /** Another one has the address that the MAC claims, as was just found: true where it may all the same. */
  #refuseDuplicate(
    link: DataLink,
    network: Network,
    mac: number,
    address: number,
    bytes: 4 | 16,
  ): boolean {
    const { neighbours, fdb } = network.tables;
    const isStatic = (neighbours.flags & NeighbourFlag.Static) !== 0;
    const where = fdbPeer(fdb.find(network.id, neighbours.macHigh, neighbours.macLow));
    this.#news.tellAddress(link, EventKind.Duplicate, mac, address, bytes, where);
    if (network.guard === GuardMode.Off) return true;
    return network.guard !== GuardMode.Strict && !isStatic;
  }

  #find(network: Network, address: number, bytes: 4 | 16): boolean {
    const { view } = this.#arena;
    const { neighbours } = network.tables;
    if (bytes === 4) return neighbours.findIpv4(network.id, view.getUint32(address));
    return neighbours.findIpv6(network.id, view, address);
  }

  /** Whether the neighbour that was just found has the MAC at `mac`. */
  #hasFound(network: Network, mac: number): boolean {
    const { view } = this.#arena;
    const { neighbours } = network.tables;
    return (
      neighbours.macLow === view.getUint32(mac + 2) && neighbours.macHigh === view.getUint16(mac)
    );
  }

  #isUnspecified(address: number, bytes: 4 | 16): boolean {
    const { view } = this.#arena;
    for (let i = 0; i < bytes; i += 4) if (view.getUint32(address + i) !== 0) return false;
    return true;
  }
}
