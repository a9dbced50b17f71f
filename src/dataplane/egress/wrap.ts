/**
 * The second half of egress: a packet that may go to a peer is measured against the path, gets its
 * shim, outer TOS and source port, is cut if it is a super-packet, and joins a train.
 * @module
 */
import { egressIndex } from '../../table/counters.ts';
import { TrainUse } from '../../table/links/path-limits.ts';
import { checkVirtioNet, Fault } from '../../wire/classify.ts';
import { encapsulateTos } from '../../wire/ecn.ts';
import { flowHash } from '../../wire/flow-hash.ts';
import { getIpVersion, PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import { getUdpDestination, UDP_HEADER_BYTES } from '../../wire/udp.ts';
import { VIRTIO_GSO_NONE, VIRTIO_NET_BYTES } from '../../wire/virtio-net.ts';
import type { TooBig } from '../answer/too-big.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import {
  IP_HEADER_BYTES_MAX,
  l4HeaderBytes,
  SCRATCH_BYTES,
  Segmenter,
  unevenBytes,
} from '../ground/segment.ts';
import { SourcePorts } from '../ground/source-ports.ts';
import { finishLeft } from '../ground/transport-sum.ts';
import type { QueuedWay, QueueStage } from '../queue/stage.ts';
import type { PathMtu } from '../send/path-mtu.ts';
import { marksOf } from '../send/train-columns.ts';
import type { Trains } from '../send/trains.ts';
import type { InHand } from './in-hand.ts';

/** Segments of one super-packet; a guest may ask for one-byte ones, which no buffer would hold. */
const SEGMENTS_MAX = 2048;

const RECEIVED = egressIndex('received');
const MALFORMED = egressIndex('drop.malformed');
const NESTED = egressIndex('drop.nested');
const TOO_BIG = egressIndex('drop.too_big');
const SEND_PAUSED = egressIndex('drop.send_paused');
const UNSUPPORTED_OFFLOAD = egressIndex('drop.unsupported_offload');

export class Wrap {
  readonly #arena: Arena;
  readonly #trains: Trains;
  readonly #paths: PathMtu;
  readonly #tooBig: TooBig;
  readonly #queues: QueueStage;
  readonly #way: QueuedWay = { peer: 0, socket: 0, marks: 0 };
  readonly #segmenter: Segmenter;
  readonly #sourcePorts: SourcePorts;
  /** Headers of IP and above of a super-packet that goes to several peers. */
  readonly #headers: number;
  #nowMs = 0;
  /** The way that the last large packet took, and what fits it inside; none after each send. */
  #pathLink: DataLink | undefined;
  #pathPeer = 0;
  #pathMtu = 0;

  /** @param isAlone whether no other data process serves the same links */
  constructor(
    arena: Arena,
    trains: Trains,
    paths: PathMtu,
    tooBig: TooBig,
    queues: QueueStage,
    isAlone: boolean,
  ) {
    this.#queues = queues;
    this.#arena = arena;
    this.#trains = trains;
    this.#paths = paths;
    this.#tooBig = tooBig;
    this.#segmenter = new Segmenter(arena);
    this.#sourcePorts = new SourcePorts(isAlone);
    this.#headers = arena.allocate(SCRATCH_BYTES);
  }

  nextBurst(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#sourcePorts.nextBurst();
    this.#queues.nextBurst(nowMs);
    this.#paths.peers.nextBurst(nowMs);
  }

  /** Sends what was appended. */
  flush(): void {
    this.#trains.flush(this.#nowMs);
    // A send that is refused tells what fits.
    this.#pathLink = undefined;
  }

  #drop(link: DataLink, counter: number, segments: number): void {
    link.counters[counter] = (link.counters[counter] as number) + segments;
  }

  /** Whether a packet is one of this very tunnel: a routing loop, or somebody's attempt. */
  #isOwn(link: DataLink, hand: InHand): boolean {
    const l4 = hand.l3 + hand.headerBytes;
    return (
      hand.protocol === PROTOCOL_UDP &&
      hand.totalBytes - hand.headerBytes >= UDP_HEADER_BYTES &&
      link.peerPort !== 0 &&
      getUdpDestination(this.#arena.view, l4) === link.peerPort &&
      !hand.isFragment
    );
  }

  /** Sends the packet in hand to its peer, all its checks passed; what cannot go is dropped here. */
  send(link: DataLink, hand: InHand): void {
    const { view } = this.#arena;
    const { frame, l3, headerBytes, totalBytes, protocol, gsoType } = hand;
    let { gsoBytes, segments } = hand;
    if (this.#isOwn(link, hand)) return this.#drop(link, NESTED, segments);
    if (
      link.vnetHeader &&
      !hand.isWrapped &&
      checkVirtioNet(view, frame - VIRTIO_NET_BYTES, hand.byteCount) !== Fault.None
    ) {
      return this.#drop(
        link,
        gsoType === VIRTIO_GSO_NONE ? MALFORMED : UNSUPPORTED_OFFLOAD,
        segments,
      );
    }
    let l4Bytes = 0;
    if (gsoType !== VIRTIO_GSO_NONE) {
      const l4Available = totalBytes - headerBytes;
      l4Bytes = l4HeaderBytes(view, l3 + headerBytes, l4Available, protocol, gsoType);
      if (l4Bytes === 0 || segments > SEGMENTS_MAX || headerBytes > IP_HEADER_BYTES_MAX) {
        return this.#drop(link, UNSUPPORTED_OFFLOAD, segments);
      }
    }
    this.#queues.aim(link, hand.peer);
    const endpoint = this.#chooseWay(link, hand);
    const { peer } = hand;
    const segmentL3Bytes = l4Bytes === 0 ? totalBytes : headerBytes + l4Bytes + gsoBytes;
    if (segmentL3Bytes > link.sureBytes && totalBytes > link.sureBytes) {
      if (peer !== this.#pathPeer || link !== this.#pathLink) this.#findPath(link, peer);
      const mtu = this.#pathMtu;
      if (segmentL3Bytes > mtu && totalBytes > mtu) {
        this.#drop(link, TOO_BIG, segments);
        return this.#tooBig.answer(link, frame, l3, totalBytes, mtu, this.#nowMs);
      }
    }
    if (l4Bytes !== 0) {
      gsoBytes = this.#pieceBytes(hand, totalBytes - headerBytes - l4Bytes);
      if (gsoBytes !== hand.gsoBytes) segments = this.#countPieces(link, hand, l4Bytes, gsoBytes);
    }
    const isFixed = link.ways?.isFixed === true;
    const socket = isFixed
      ? (endpoint.sockets[0] as number)
      : this.#socketFor(endpoint, l3, l4Bytes !== 0);
    if (this.#trains.isPaused(socket, this.#nowMs)) return this.#drop(link, SEND_PAUSED, segments);
    const tos = encapsulateTos(link.dscpMode, hand.tos);
    const marks = link.endpoint.saysFlowLabel ? marksOf(tos, flowHash(view, l3) >>> 12) : tos;
    // The shim takes the virtio-net header's place, so what that says is used first.
    const isLeft = hand.needsChecksum && l4Bytes === 0 && !hand.isWrapped;
    if (isLeft && !finishLeft(this.#arena, frame, l3 + totalBytes)) {
      return this.#drop(link, MALFORMED, segments);
    }
    const start = frame - link.shimBytes;
    link.shim.emitShim(view, start, hand.vni);
    const end = l3 + totalBytes;
    const prefixBytes = l4Bytes === 0 ? 0 : l3 + headerBytes + l4Bytes - start;
    const mustWait =
      this.#queues.isRated(link) &&
      !this.#queues.passes(link, end - start + (segments - 1) * prefixBytes, segments);
    if (mustWait) this.#setWay(peer, socket, marks);
    else this.#trains.ensureRoom(segments, this.#nowMs);
    if (l4Bytes !== 0) {
      const hash = mustWait ? this.#queues.hashOf(link, hand) : 0;
      if (hand.toSeveral) this.#keepHeaders(hand, headerBytes + l4Bytes);
      this.#segmenter.repeatsCwr = hand.repeatsCwr;
      this.#segmenter.gsoBytes = gsoBytes;
      this.#segmenter.begin(start, l3, headerBytes, l4Bytes, totalBytes, protocol);
      if (mustWait) this.#queues.putCut(link, hand, this.#way, this.#segmenter, hash);
      else this.#cut(link, peer, socket, marks);
      return;
    }
    hand.isWrapped = true;
    if (mustWait) this.#queues.put(link, hand, this.#way, start, end - start);
    else this.#trains.append(link, peer, socket, marks, start, end - start);
  }

  /** Payload of each segment: what the sender's stack chose, unless only trains that end short get there. */
  #pieceBytes({ peer, protocol, gsoBytes }: InHand, payload: number): number {
    if (protocol !== PROTOCOL_TCP || payload % gsoBytes !== 0) return gsoBytes;
    if (this.#paths.trainUse(peer, this.#nowMs) !== TrainUse.Uneven) return gsoBytes;
    return unevenBytes(payload, gsoBytes);
  }

  /** How many segments there are of another size than the one that was counted by; counts the others too. */
  #countPieces(link: DataLink, hand: InHand, l4Bytes: number, gsoBytes: number): number {
    const segments = Math.ceil((hand.totalBytes - hand.headerBytes - l4Bytes) / gsoBytes);
    const received = link.counters[RECEIVED] as number;
    link.counters[RECEIVED] = received + segments - hand.segments;
    return segments;
  }

  #setWay(peer: number, socket: number, marks: number): void {
    this.#way.peer = peer;
    this.#way.socket = socket;
    this.#way.marks = marks;
  }

  /** Cutting overwrites headers: keeps them for the next peer, or puts them back for this one. */
  #keepHeaders(hand: InHand, bytes: number): void {
    const memory = this.#arena.bytes;
    const kept = this.#headers;
    if (hand.isWrapped) memory.copyWithin(hand.l3, kept, kept + bytes);
    else memory.copyWithin(kept, hand.l3, hand.l3 + bytes);
    hand.isWrapped = true;
  }

  /** Sends a frame of `byteCount` bytes as it is to a peer, from the port that listens. */
  sendPlain(link: DataLink, frame: number, byteCount: number, peer: number, vni: number): void {
    const start = frame - link.shimBytes;
    link.shim.emitShim(this.#arena.view, start, vni);
    const { ways } = link;
    const to = ways === undefined ? peer : ways.usual(peer, this.#nowMs);
    const socket = (ways ?? link).endpoint.sockets[0] as number;
    const length = link.shimBytes + byteCount;
    this.#queues.aim(link, peer);
    if (this.#queues.isRated(link) && !this.#queues.passes(link, length, 1)) {
      this.#setWay(to, socket, 0);
      return this.#queues.putPlain(link, this.#way, start, length);
    }
    this.#trains.ensureRoom(1, this.#nowMs);
    this.#trains.append(link, to, socket, 0, start, length);
  }

  /** Where a link has several underlays: the peer in hand is at its address on one of them from now on. */
  #chooseWay(link: DataLink, hand: InHand): DataEndpoint {
    const { ways } = link;
    if (ways === undefined) return link.endpoint;
    const { frame, peer, segments } = hand;
    hand.peer = ways.choose(this.#arena.view, frame, peer, segments, this.#nowMs);
    return ways.endpoint;
  }

  /** The first socket listens; the others are the pool of source ports, or the raw one of IPv6. */
  #socketFor({ sockets, isRaw }: DataEndpoint, l3: number, isBulk: boolean): number {
    if (sockets.length === 1) return sockets[0] as number;
    if (isRaw) {
      return sockets[getIpVersion(this.#arena.view, l3) === 6 ? 1 : 0] as number;
    }
    const hash = flowHash(this.#arena.view, l3);
    const port = this.#sourcePorts.choose(hash, sockets.length - 1, isBulk, this.#nowMs);
    return sockets[1 + port] as number;
  }

  /** Appends the super-packet that the segmenter holds; room for all segments was ensured. */
  #cut(link: DataLink, peer: number, socket: number, marks: number): void {
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

  #findPath(link: DataLink, peer: number): void {
    this.#pathLink = link;
    this.#pathPeer = peer;
    this.#pathMtu = this.#paths.innerMtu(link, peer, this.#nowMs);
  }
}
