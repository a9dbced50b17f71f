/**
 * The second half of egress. What a packet meets that may go to a peer, in this order:
 *
 *   1. may it, can it be cut, does it fit the path       fit.ts
 *   2. address of the peer, source port, outer marks     outer-way.ts
 *   3. the checksum that its device left to us, the shim
 *   4. waits its turn, where the link has a rate         queue/stage.ts
 *   5. joins a train, a super-packet in pieces           cut.ts, send/trains.ts
 *
 * @module
 */
import { egressIndex } from '../../../table/counters.ts';
import type { TooBig } from '../../answer/too-big.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import { finishLeft } from '../../ground/transport-sum.ts';
import type { InHand } from '../../packet/in-hand.ts';
import type { QueueStage } from '../../queue/stage.ts';
import type { PathMtu } from '../../send/path-mtu.ts';
import type { Trains } from '../../send/trains.ts';
import { Cut } from './cut.ts';
import { Fit } from './fit.ts';
import { OuterWay } from './outer-way.ts';
import { TcpAgain } from './tcp-again.ts';

const MALFORMED = egressIndex('drop.malformed');
const SEND_PAUSED = egressIndex('drop.send_paused');

/** What wrapping works with. */
export type WrapParts = {
  arena: Arena;
  trains: Trains;
  paths: PathMtu;
  tooBig: TooBig;
  queues: QueueStage;
  /** Whether no other data process serves the same links. */
  isAlone: boolean;
};

export class Wrap {
  readonly #arena: Arena;
  readonly #trains: Trains;
  readonly #paths: PathMtu;
  readonly #queues: QueueStage;
  readonly #fit: Fit;
  readonly #way: OuterWay;
  readonly #cut: Cut;
  readonly #again = new TcpAgain();
  #nowMs = 0;

  constructor({ arena, trains, paths, tooBig, queues, isAlone }: WrapParts) {
    this.#arena = arena;
    this.#trains = trains;
    this.#paths = paths;
    this.#queues = queues;
    this.#fit = new Fit(arena, paths, tooBig);
    this.#way = new OuterWay(arena, isAlone);
    this.#cut = new Cut(arena, trains, paths, queues);
  }

  nextBurst(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#way.nextBurst();
    this.#queues.nextBurst(nowMs);
    this.#paths.peers.nextBurst(nowMs);
  }

  /** Sends what was appended. */
  flush(): void {
    this.#trains.flush(this.#nowMs);
    this.#fit.forget();
  }

  /** Sends the packet in hand to its peer, all its checks passed; what cannot go is dropped here. */
  send(link: DataLink, hand: InHand): void {
    const nowMs = this.#nowMs;
    const way = this.#way;
    const refused = this.#fit.judge(link, hand);
    if (refused >= 0) return hand.drop(link, refused);
    this.#queues.aim(link, hand.peer);
    way.choose(link, hand, nowMs);
    this.#again.note(this.#arena.view, link, hand);
    const { l3, totalBytes, l4Bytes } = hand;
    if (totalBytes > link.sureBytes && !this.#fit.fits(link, hand, nowMs)) return;
    if (l4Bytes !== 0) this.#cut.measure(link, hand, nowMs);
    way.leave(link, hand, nowMs);
    const { pieces } = hand;
    if (this.#trains.isPaused(way.socket, nowMs)) {
      link.counters[SEND_PAUSED] = (link.counters[SEND_PAUSED] as number) + pieces;
      return;
    }
    const start = hand.frame - link.shimBytes;
    const end = l3 + totalBytes;
    // The shim takes the virtio-net header's place, so what that says is used first.
    const isLeft = hand.needsChecksum && l4Bytes === 0 && !hand.isWrapped;
    if (isLeft && !finishLeft(this.#arena, hand.frame, end)) return hand.drop(link, MALFORMED);
    link.shim.emitShim(this.#arena.view, start, hand.vni);
    const prefixBytes = l4Bytes === 0 ? 0 : l3 + hand.headerBytes + l4Bytes - start;
    const mustWait =
      this.#queues.isRated(link) &&
      !this.#queues.passes(link, end - start + (pieces - 1) * prefixBytes, pieces);
    if (!mustWait) this.#trains.ensureRoom(pieces, nowMs);
    if (l4Bytes !== 0) return this.#cut.send(link, hand, way, start, mustWait);
    hand.isWrapped = true;
    if (mustWait) this.#queues.put(link, hand, way, start, end - start);
    else this.#trains.append(link, way.peer, way.socket, way.marks, start, end - start);
  }

  /** Sends a frame of `byteCount` bytes as it is to a peer, from the port that listens. */
  sendPlain(link: DataLink, frame: number, byteCount: number, peer: number, vni: number): void {
    const way = this.#way;
    const start = frame - link.shimBytes;
    link.shim.emitShim(this.#arena.view, start, vni);
    way.usual(link, peer, this.#nowMs);
    const length = link.shimBytes + byteCount;
    this.#queues.aim(link, peer);
    if (this.#queues.isRated(link) && !this.#queues.passes(link, length, 1)) {
      return this.#queues.putPlain(link, way, start, length);
    }
    this.#trains.ensureRoom(1, this.#nowMs);
    this.#trains.append(link, way.peer, way.socket, 0, start, length);
  }
}
