/**
 * A service node's work (the replicator of RFC 9574): floods of one member of a layer-2 network go on to
 * the others from here, the only frames that leave by the way they came. Never those of another service
 * node, so that no two of them send to each other for ever.
 *
 * `borrowed:` the frame stays where it was received until {@link flush}; so the way into our own port must
 * not change its bytes.
 * @module
 */
import { egressIndex, eventIndex } from '../../../table/counters.ts';
import { VtepFlag, vtepFlags, vtepPeer } from '../../../table/vteps.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { Trains } from '../../send/trains.ts';

const RECEIVED = egressIndex('received');
const RECEIVED_BYTES = egressIndex('receivedBytes');
const REPLICATED = eventIndex('replicated');

export class Replicator {
  readonly #trains: Trains;
  readonly #view: DataView;
  #waits = false;

  constructor(arena: Arena, trains: Trains) {
    this.#view = arena.view;
    this.#trains = trains;
  }

  /** Copies the frame of `length` bytes at `frame`, its shim before it, to everybody but its sender. */
  copy(link: DataLink, network: Network, frame: number, length: number, nowMs: number): void {
    const { vtep } = network;
    if ((vtepFlags(vtep) & VtepFlag.Replicator) !== 0) return;
    const { floods } = network.tables;
    const { counters } = link;
    const start = frame - link.shimBytes;
    const high = floods.high(network.id);
    let shimVni = link.vni;
    for (let place = 0; place < high; place++) {
      const target = floods.target(network.id, place);
      if (target === 0 || network.tables.peers.plainOf(target) === vtepPeer(vtep)) continue;
      const peer = network.peerOf(target);
      if (peer === 0) continue;
      const vni = network.vniTo(target, link.vni);
      if (vni !== shimVni) {
        // All copies have one shim: those that bear another VNI go before it is written.
        this.flush(nowMs);
        link.shim.emitShim(this.#view, start, vni);
        shimVni = vni;
      }
      this.#trains.ensureRoom(1, nowMs);
      const { ways } = link;
      const to = ways === undefined ? peer : ways.usual(peer, nowMs);
      const socket = (ways ?? link).endpoint.sockets[0] as number;
      this.#trains.append(link, to, socket, 0, start, length + link.shimBytes);
      this.#waits = true;
      counters[RECEIVED] = (counters[RECEIVED] as number) + 1;
      counters[RECEIVED_BYTES] = (counters[RECEIVED_BYTES] as number) + length;
      counters[REPLICATED] = (counters[REPLICATED] as number) + 1;
    }
  }

  /** Sends the copies. */
  flush(nowMs: number): void {
    if (!this.#waits) return;
    this.#waits = false;
    this.#trains.flush(nowMs);
  }
}
