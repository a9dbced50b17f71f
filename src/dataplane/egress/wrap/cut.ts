/**
 * Cutting a super-packet on its way out: into pieces of the size that the sender's stack chose, as a train
 * or into the link's queue.
 * @module
 */
import { egressIndex } from '../../../table/counters.ts';
import { TrainUse } from '../../../table/links/path-limits.ts';
import { PROTOCOL_TCP } from '../../../wire/ipv4.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import { SCRATCH_BYTES, Segmenter, unevenBytes } from '../../ground/segment.ts';
import type { InHand } from '../../packet/in-hand.ts';
import type { QueueStage } from '../../queue/stage.ts';
import type { PathMtu } from '../../send/path-mtu.ts';
import type { Trains } from '../../send/trains.ts';
import type { OuterWay } from './outer-way.ts';

const RECEIVED = egressIndex('received');

export class Cut {
  readonly #arena: Arena;
  readonly #trains: Trains;
  readonly #paths: PathMtu;
  readonly #queues: QueueStage;
  readonly #segmenter: Segmenter;
  /** Headers of IP and above of a super-packet that goes to several peers. */
  readonly #headers: number;

  constructor(arena: Arena, trains: Trains, paths: PathMtu, queues: QueueStage) {
    this.#arena = arena;
    this.#trains = trains;
    this.#paths = paths;
    this.#queues = queues;
    this.#segmenter = new Segmenter(arena);
    this.#headers = arena.allocate(SCRATCH_BYTES);
  }

  /**
   * Finds out into what pieces the super-packet in hand is cut for its peer: of the size that the sender's stack
   * chose, unless only trains that end short get there. Where there are more or fewer than were counted
   * when it was read, they are counted now.
   */
  measure(link: DataLink, hand: InHand, nowMs: number): void {
    const { gsoBytes } = hand;
    hand.pieceBytes = gsoBytes;
    if (hand.protocol !== PROTOCOL_TCP) return;
    const payload = hand.totalBytes - hand.headerBytes - hand.l4Bytes;
    if (payload % gsoBytes !== 0) return;
    if (this.#paths.trainUse(hand.peer, nowMs) !== TrainUse.Uneven) return;
    const bytes = unevenBytes(payload, gsoBytes);
    if (bytes === gsoBytes) return;
    hand.pieceBytes = bytes;
    hand.pieces = Math.ceil(payload / bytes);
    const received = link.counters[RECEIVED] as number;
    link.counters[RECEIVED] = received + hand.pieces - hand.segments;
  }

  /** Cuts the packet in hand, whose shim is at `start`; room for all pieces was ensured where none waits. */
  send(link: DataLink, hand: InHand, way: OuterWay, start: number, mustWait: boolean): void {
    const { l3, headerBytes, l4Bytes, totalBytes, protocol } = hand;
    const segmenter = this.#segmenter;
    const hash = mustWait ? this.#queues.hashOf(link, hand) : 0;
    if (hand.toSeveral) this.#keepHeaders(hand, headerBytes + l4Bytes);
    segmenter.repeatsCwr = hand.repeatsCwr;
    segmenter.gsoBytes = hand.pieceBytes;
    segmenter.begin(start, l3, headerBytes, l4Bytes, totalBytes, protocol);
    if (mustWait) this.#queues.putCut(link, hand, way, segmenter, hash);
    else this.#append(link, way);
  }

  /** Cutting overwrites headers: keeps them for the next peer, or puts them back for this one. */
  #keepHeaders(hand: InHand, bytes: number): void {
    const memory = this.#arena.bytes;
    const kept = this.#headers;
    if (hand.isWrapped) memory.copyWithin(hand.l3, kept, kept + bytes);
    else memory.copyWithin(kept, hand.l3, hand.l3 + bytes);
    hand.isWrapped = true;
  }

  /** Appends the super-packet that the segmenter holds to a train. */
  #append(link: DataLink, { peer, socket, marks }: OuterWay): void {
    const segmenter = this.#segmenter;
    const trains = this.#trains;
    while (segmenter.remaining > 0) {
      const datagramBytes = segmenter.prefixBytes + segmenter.nextBytes;
      const room = trains.reserveRun(link, peer, socket, marks, datagramBytes);
      const count = Math.min(room, segmenter.remaining);
      const runBytes = segmenter.run(count, trains.takeScratch(count), trains.runIovec);
      const byteCount = count * segmenter.prefixBytes + runBytes;
      trains.commitRun(count, byteCount, byteCount < count * datagramBytes);
    }
  }
}
