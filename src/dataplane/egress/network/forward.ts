/**
 * Where a frame of a layer-2 network goes that has passed its checks: to the peer that has its destination,
 * to the one that has the service it looks for, or, by the network's policy, to everybody or nobody. A
 * flood is a copy to each flood target: all members (head-end replication, RFC 8365 §5.1), or the one
 * service node that does it for us. Copies are the same bytes on several trains.
 * @module
 */
import { BumMode } from '../../../shm/network.ts';
import { egressIndex, eventIndex } from '../../../table/counters.ts';
import { EventKind } from '../../../table/events.ts';
import { fdbPeer } from '../../../table/fdb.ts';
import { SERVICE_HERE, type Service } from '../../../table/flood.ts';
import { isBroadcastDestination, isGroupDestination } from '../../../wire/ethernet.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { News } from '../../learn/news.ts';
import type { InHand } from '../../packet/in-hand.ts';
import type { Wrap } from '../wrap/wrap.ts';

const RECEIVED = egressIndex('received');
const LOCAL_DESTINATION = egressIndex('drop.local_destination');
const UNKNOWN_UNICAST = egressIndex('drop.unknown_unicast');
const BROADCAST = egressIndex('drop.broadcast');
const MULTICAST = egressIndex('drop.multicast');
const FLOOD_LIMITED = egressIndex('drop.flood_limited');
const FLOODED_UNKNOWN = eventIndex('flooded_unknown');
const FLOODED_BROADCAST = eventIndex('flooded_broadcast');
const FLOODED_MULTICAST = eventIndex('flooded_multicast');
const SERVICE_CARRIED = eventIndex('service_carried');

export class Forward {
  readonly #arena: Arena;
  readonly #hand: InHand;
  readonly #wrap: Wrap;
  readonly #news: News;

  constructor(arena: Arena, hand: InHand, wrap: Wrap, news: News) {
    this.#arena = arena;
    this.#hand = hand;
    this.#wrap = wrap;
    this.#news = news;
  }

  /** Sends the frame in hand to where its destination is. */
  byDestination(link: DataLink, network: Network): void {
    const { view } = this.#arena;
    const { frame } = this.#hand;
    if (isGroupDestination(view, frame)) return this.byPolicy(link, network);
    const { fdb } = network.tables;
    const entry = fdb.find(network.id, view.getUint16(frame), view.getUint32(frame + 2));
    if (entry === 0) {
      this.#news.tell(link, EventKind.Miss, frame, 0, 0);
      return this.#flood(link, network, UNKNOWN_UNICAST, FLOODED_UNKNOWN);
    }
    this.#toPeer(link, network, fdbPeer(entry));
  }

  /** The same for the MAC at arena offset `mac`, whatever the frame itself says; else by policy. */
  byMac(link: DataLink, network: Network, mac: number): void {
    const { view } = this.#arena;
    const { fdb } = network.tables;
    const entry = fdb.find(network.id, view.getUint16(mac), view.getUint32(mac + 2));
    if (entry === 0) return this.byPolicy(link, network);
    this.#toPeer(link, network, fdbPeer(entry));
  }

  /** Sends the frame in hand, for everybody, to the one that has `service`; else by policy. */
  toService(link: DataLink, network: Network, service: Service): void {
    const where = network.tables.floods.service(network.id, service);
    if (where === 0) return this.byPolicy(link, network);
    const peer = where === SERVICE_HERE ? 0 : where;
    if (peer !== 0) link.counters[SERVICE_CARRIED] = (link.counters[SERVICE_CARRIED] as number) + 1;
    this.#toPeer(link, network, peer);
  }

  /**
   * Sends the frame in hand, of a router that may speak as one: what it says to all goes to all that take
   * part, also where nothing is flooded.
   */
  ofRouter(link: DataLink, network: Network): void {
    const isForAll = isGroupDestination(this.#arena.view, this.#hand.frame);
    if (network.bum !== BumMode.None || !isForAll) return this.byDestination(link, network);
    this.#copy(link, network, MULTICAST, SERVICE_CARRIED);
  }

  /** Sends the frame in hand, which is for everybody, as the network's policy has it. */
  byPolicy(link: DataLink, network: Network): void {
    if (isBroadcastDestination(this.#arena.view, this.#hand.frame)) {
      return this.#flood(link, network, BROADCAST, FLOODED_BROADCAST);
    }
    this.#flood(link, network, MULTICAST, FLOODED_MULTICAST);
  }

  /** @param index of the peer in control's table, 0 = here: then the bridge has delivered it */
  #toPeer(link: DataLink, network: Network, index: number): void {
    if (index === 0) return this.#hand.drop(link, LOCAL_DESTINATION);
    const peer = network.peerOf(index);
    if (peer === 0) return this.#hand.drop(link, UNKNOWN_UNICAST);
    this.#send(link, peer, network.vniTo(index, link.vni));
  }

  #send(link: DataLink, peer: number, vni: number): void {
    const hand = this.#hand;
    const { frame, plainBytes } = hand;
    if (plainBytes > 0) return this.#wrap.sendPlain(link, frame, plainBytes, peer, vni);
    hand.peer = peer;
    hand.vni = vni;
    this.#wrap.send(link, hand);
  }

  /** @param drop the counter of a frame that nobody gets, `flooded` that of one that is carried */
  #flood(link: DataLink, network: Network, drop: number, flooded: number): void {
    if (network.bum === BumMode.None) return this.#hand.drop(link, drop);
    this.#copy(link, network, drop, flooded);
  }

  /** Sends the frame in hand to every flood target. */
  #copy(link: DataLink, network: Network, drop: number, carried: number): void {
    const hand = this.#hand;
    const { floods } = network.tables;
    const high = floods.high(network.id);
    if (high === 0) return hand.drop(link, drop);
    if (!network.floodsOut.take(this.#news.nowMs)) return hand.drop(link, FLOOD_LIMITED);
    let copies = 0;
    let lastVni = 0;
    hand.toSeveral = true;
    for (let place = 0; place < high; place++) {
      const target = floods.target(network.id, place);
      const peer = target === 0 ? 0 : network.peerOf(target);
      if (peer === 0) continue;
      const vni = network.vniTo(target, link.vni);
      // All copies have one shim: those that bear another VNI go before it is written.
      if (copies > 0 && vni !== lastVni) this.#wrap.flush();
      lastVni = vni;
      this.#send(link, peer, vni);
      copies++;
    }
    if (copies === 0) return hand.drop(link, drop);
    const { counters } = link;
    // Each copy ends by itself, and counts as a packet of its own.
    counters[RECEIVED] = (counters[RECEIVED] as number) + (copies - 1) * hand.segments;
    counters[carried] = (counters[carried] as number) + hand.segments;
  }
}
