/**
 * Whether a frame of a layer-2 network is for us: its destination is here, or it is for everybody and the
 * network carries that. As a service node we send such a frame on to the others.
 * @module
 */
import { BumMode } from '../../../shm/network.ts';
import { ingressIndex } from '../../../table/counters.ts';
import { fdbPeer } from '../../../table/fdb.ts';
import { isBroadcastDestination, isGroupDestination } from '../../../wire/ethernet.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { News } from '../../learn/news.ts';
import type { Arrival } from '../../packet/arrival.ts';
import type { Replicator } from './replicator.ts';
import { PASS } from './vni-judge.ts';

const FOREIGN_DESTINATION = ingressIndex('drop.foreign_destination');
const UNKNOWN_UNICAST = ingressIndex('drop.unknown_unicast');
const BROADCAST = ingressIndex('drop.broadcast');
const MULTICAST = ingressIndex('drop.multicast');
const FLOOD_LIMITED = ingressIndex('drop.flood_limited');

export class VniDestination {
  readonly #arena: Arena;
  readonly #arrival: Arrival;
  readonly #news: News;
  readonly #replicator: Replicator;

  constructor(arena: Arena, arrival: Arrival, news: News, replicator: Replicator) {
    this.#arena = arena;
    this.#arrival = arrival;
    this.#news = news;
    this.#replicator = replicator;
  }

  /**
   * The counter of a frame that is not for us, or PASS.
   * @param isService it is a client's word to a service that is here, or a server's to one of our clients
   */
  judge(link: DataLink, network: Network, isService: boolean): number {
    const { view } = this.#arena;
    const { frame, end } = this.#arrival;
    if (!isGroupDestination(view, frame)) {
      const { fdb } = network.tables;
      const entry = fdb.find(network.id, view.getUint16(frame), view.getUint32(frame + 2));
      if (entry === 0) return network.bum === BumMode.None ? UNKNOWN_UNICAST : PASS;
      return fdbPeer(entry) === 0 ? PASS : FOREIGN_DESTINATION;
    }
    if (network.bum === BumMode.None && !isService) {
      return isBroadcastDestination(view, frame) ? BROADCAST : MULTICAST;
    }
    if (!network.floodsIn.take(this.#news.nowMs)) return FLOOD_LIMITED;
    if (network.isReplicator && !isService) {
      this.#replicator.copy(link, network, frame, end - frame, this.#news.nowMs);
    }
    return PASS;
  }
}
