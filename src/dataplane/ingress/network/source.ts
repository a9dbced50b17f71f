/**
 * Whether a peer of a layer-2 network may send from the MAC that it does: the FDB says whose it is. On a
 * network that learns, control is told who sends what.
 * @module
 */
import { BumMode } from '../../../shm/network.ts';
import { ingressIndex } from '../../../table/counters.ts';
import { EventKind, MovedTo } from '../../../table/events.ts';
import { FdbFlag, fdbFlags, fdbPeer } from '../../../table/fdb.ts';
import { VtepFlag, vtepFlags, vtepPeer } from '../../../table/vteps.ts';
import {
  ETHERNET_SOURCE_OFFSET,
  isGroupDestination,
  isGroupSource,
} from '../../../wire/ethernet.ts';
import { isControlFrame, isTagged } from '../../../wire/lan/control-frames.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { News } from '../../learn/news.ts';
import type { Arrival } from '../../packet/arrival.ts';
import { PASS } from './vni-judge.ts';

/** A MAC that was learned is told again so often while it talks, ms. */
const LEARN_AGAIN_MS = 60_000;

const BAD_MAC = ingressIndex('drop.bad_mac');
const FOREIGN_MAC = ingressIndex('drop.foreign_mac');
const UNKNOWN_ETHERTYPE = ingressIndex('drop.unknown_ethertype');
const CONTROL_PROTOCOL = ingressIndex('drop.control_protocol');

export class VniSource {
  readonly #arena: Arena;
  readonly #arrival: Arrival;
  readonly #news: News;
  /** What the FDB has of the sender of the frame judged last. */
  source = 0;

  constructor(arena: Arena, arrival: Arrival, news: News) {
    this.#arena = arena;
    this.#arrival = arrival;
    this.#news = news;
  }

  /** The counter of a frame whose sender may not send it, or PASS. */
  judge(link: DataLink, network: Network, etherType: number): number {
    const { view } = this.#arena;
    const { frame } = this.#arrival;
    if (isGroupSource(view, frame)) return BAD_MAC;
    if (isControlFrame(view, frame, etherType)) return CONTROL_PROTOCOL;
    if (isTagged(etherType)) return UNKNOWN_ETHERTYPE;
    const { fdb } = network.tables;
    const news = this.#news;
    const mac = frame + ETHERNET_SOURCE_OFFSET;
    const sender = vtepPeer(network.vtep);
    const source = fdb.find(network.id, view.getUint16(mac), view.getUint32(mac + 2));
    this.source = source;
    if (source !== 0) {
      const owner = fdbPeer(source);
      if (owner === 0) {
        // The bridge would believe that our container has moved to the tunnel; perhaps it has.
        news.tell(link, EventKind.Moved, mac, sender, MovedTo.Peer);
        return BAD_MAC;
      }
      if (owner === sender || network.tables.peers.plainOf(owner) === sender) {
        if (network.bum === BumMode.Learn && (fdbFlags(source) & FdbFlag.Learned) !== 0) {
          news.tell(link, EventKind.RemoteMac, mac, sender, 0, LEARN_AGAIN_MS);
        }
        return PASS;
      }
      const isFloodOfOthers =
        (vtepFlags(network.vtep) & VtepFlag.Replicator) !== 0 && isGroupDestination(view, frame);
      if (isFloodOfOthers) return PASS;
      if ((fdbFlags(source) & FdbFlag.Learned) === 0) return FOREIGN_MAC;
    }
    if (network.bum !== BumMode.Learn) return FOREIGN_MAC;
    news.tell(link, EventKind.RemoteMac, mac, sender, 0);
    return PASS;
  }
}
