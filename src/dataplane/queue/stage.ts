/**
 * The queue stage of egress: what a link's rate does not let through at once waits here, as finished
 * datagrams, each in a cell of its own, and leaves by trains when its turn comes. Links without a rate
 * never come here.
 *
 * A super-packet that has to wait is cut first, so that no packet behind it waits for more than one; and
 * so that one of it can be marked, or lost, alone. Senders that know ECN are told by a mark, inside and,
 * as encapsulation copies it, outside (RFC 6040 §4.1); the others by a loss.
 * @module
 */
import { egressIndex, queueIndex } from '../../table/counters.ts';
import type { PeerRateReader } from '../../table/links/peer-rates.ts';
import { ECN_CE, ECN_ECT1, ECN_MASK, ECN_NOT_ECT } from '../../wire/ecn.ts';
import { getIpVersion, getIpv4Tos, replaceIpv4Tos } from '../../wire/ipv4.ts';
import { getIpv6TrafficClass, replaceIpv6TrafficClass } from '../../wire/ipv6.ts';
import { type Arena, IOVEC_BYTES } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import type { PeerTable } from '../ground/peers.ts';
import { SCRATCH_BYTES, type Segmenter } from '../ground/segment.ts';
import type { Trains } from '../send/trains.ts';
import { Cells, NONE } from './cells.ts';
import { flowKeyHash, flowSeed, type Sorted } from './flow-key.ts';
import { Class, classOf, type Signals } from './flow-queues.ts';
import { HostShapers } from './host-shapers.ts';
import { Shaper } from './shaper.ts';

/** Segments of a super-packet that are cut in one go. */
const CUT_MAX = 16;
/** Packets that leave in one round: the other direction has its turn between. */
const RELEASE_MAX = 256;
/** Packets that are given up at a time when there is no room (RFC 8290 §5.3). */
const GIVE_UP_MAX = 64;
/** Nothing waits longer than this without a look at it, µs. */
const LOOK_US = 500_000;
/** Releases are no closer than this, µs: a few packets each, and a core left for others. */
const RELEASE_GAP_US = 200;

const QUEUE_FULL = egressIndex('drop.queue_full');
const QUEUE_DELAY = egressIndex('drop.queue_delay');
const STALE = egressIndex('drop.stale');
const ENTERED = queueIndex('entered');
const LEFT = queueIndex('left');
const MARKED = queueIndex('marked');
const WAITED_US = queueIndex('waited_us');
const FLOWS_BEGAN = queueIndex('flows_began');
const FLOWS_ENDED = queueIndex('flows_ended');

/** Where a packet goes that is about to wait. */
export type QueuedWay = { peer: number; socket: number; marks: number };

function add(column: Float64Array, index: number, amount: number): void {
  column[index] = (column[index] as number) + amount;
}

export class QueueStage {
  readonly #arena: Arena;
  readonly #trains: Trains;
  readonly #peers: PeerTable;
  readonly #cells: Cells;
  /** How many data processes share a link's rate. */
  readonly #share: number;
  readonly #seed = flowSeed();
  readonly #byLink: (Shaper | undefined)[] = [];
  readonly #shapers: Shaper[] = [];
  readonly #ofHosts: HostShapers;
  /** The one of the host that the packet in hand goes to, if it has one of its own. */
  #aimed: Shaper | undefined;
  /** The one that said last that a packet has to wait. */
  #refused: Shaper | undefined;
  /** Where the next release begins. */
  #turn = 0;
  readonly #scratch: number;
  readonly #iovec: number;
  /** Cells whose datagrams are on trains, until those are sent. */
  readonly #sent = new Int32Array(RELEASE_MAX);
  #nowMs = 0;
  /** The shaper that a packet is taken from. */
  #serving: Shaper | undefined;
  /** Packets that wait, of all links. */
  waiting = 0;

  /**
   * @param share how many data processes share a rate
   * @param rates of single hosts; undefined = there are none
   */
  constructor(
    arena: Arena,
    trains: Trains,
    peers: PeerTable,
    share: number,
    rates?: PeerRateReader,
  ) {
    this.#arena = arena;
    this.#ofHosts = new HostShapers(arena.view, peers, rates, {
      make: (link, peer) => this.#add(link, { peer, parent: this.#ofLink(link) }),
      drop: (shaper) => this.#remove(shaper),
    });
    this.#trains = trains;
    this.#peers = peers;
    this.#share = share;
    this.#cells = new Cells(arena);
    this.#scratch = arena.allocate(CUT_MAX * SCRATCH_BYTES);
    this.#iovec = arena.allocate(CUT_MAX * 2 * IOVEC_BYTES);
  }

  /** A new burst begins. */
  nextBurst(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  /** The next packet of a link goes to a host, named as the link knows it. */
  aim(link: DataLink, peer: number): void {
    this.#aimed = this.#ofHosts.find(link, peer);
  }

  /** Whether the packet that was {@link aim aimed} comes by here: there is a rate, or was one and some wait still. */
  isRated(link: DataLink): boolean {
    if (link.rateBytes !== 0 || this.#aimed !== undefined) return true;
    return this.waiting > 0 && this.#byLink[link.id]?.link === link;
  }

  #ofLink(link: DataLink): Shaper {
    const shaper = this.#byLink[link.id];
    return shaper !== undefined && shaper.link === link ? shaper : this.#begin(link);
  }

  /** Whether `count` datagrams of `bytes` together may go at once; then they are paid for. */
  passes(link: DataLink, bytes: number, count: number): boolean {
    const own = this.#aimed ?? this.#ofLink(link);
    own.refill(this.#nowUs, this.#share);
    this.#refused = own;
    return own.passes(bytes, count);
  }

  get #nowUs(): number {
    return (this.#nowMs * 1000) | 0;
  }

  /** A link has a rate for the first time. */
  #begin(link: DataLink): Shaper {
    this.forget(link.id);
    const shaper = this.#add(link);
    this.#byLink[link.id] = shaper;
    return shaper;
  }

  #add(link: DataLink, of?: { peer: number; parent: Shaper }): Shaper {
    const shaper = new Shaper(link, this.#cells, this.#signals, of);
    this.#shapers.push(shaper);
    return shaper;
  }

  #remove(shaper: Shaper): void {
    this.#shapers.splice(this.#shapers.indexOf(shaper), 1);
  }

  readonly #signals: Signals = {
    isShallow: (cell) => (this.#tos(cell) & ECN_MASK) === ECN_ECT1,
    mark: (cell) => this.#mark(cell),
    giveUp: (cell) => this.#giveUp(cell, QUEUE_DELAY),
  };

  /** TOS byte or traffic class of the packet in a cell; 0 where it has none. */
  #tos(cell: number): number {
    const { view } = this.#arena;
    const offset = this.#cells.l3[cell] as number;
    if (offset === 0xff) return 0;
    const l3 = (this.#cells.start[cell] as number) + offset;
    return getIpVersion(view, l3) === 6 ? getIpv6TrafficClass(view, l3) : getIpv4Tos(view, l3);
  }

  #mark(cell: number): boolean {
    const tos = this.#tos(cell);
    if ((tos & ECN_MASK) === ECN_NOT_ECT) return false;
    const { view } = this.#arena;
    const cells = this.#cells;
    const l3 = (cells.start[cell] as number) + (cells.l3[cell] as number);
    if (getIpVersion(view, l3) === 6) replaceIpv6TrafficClass(view, l3, tos | ECN_CE);
    else replaceIpv4Tos(view, l3, tos | ECN_CE);
    cells.marks[cell] = ((cells.marks[cell] as number) | ECN_CE) >>> 0;
    const counters = this.#serving?.link.counters;
    if (counters !== undefined) add(counters, MARKED, 1);
    return true;
  }

  /** A packet of the shaper in hand ends here. */
  #giveUp(cell: number, counter: number): void {
    const counters = this.#serving?.link.counters;
    if (counters !== undefined) {
      add(counters, counter, 1);
      add(counters, LEFT, 1);
    }
    this.#free(cell);
  }

  #free(cell: number): void {
    this.#peers.letGo(this.#cells.peer[cell] as number);
    this.#cells.give(cell);
    this.waiting--;
  }

  /** Has the packet in hand wait: `byteCount` bytes at arena offset `start`, its shim in front. */
  put(link: DataLink, hand: Sorted, way: QueuedWay, start: number, byteCount: number): void {
    const cell = this.#enter(link, way, byteCount);
    if (cell === NONE) return;
    const at = this.#cells.start[cell] as number;
    this.#arena.bytes.copyWithin(at, start, start + byteCount);
    this.#cells.l3[cell] = hand.l3 - start;
    this.#push(hand, cell, this.#hashOf(link, hand));
  }

  /** The same for one without an IP header that anybody has looked at. */
  putPlain(link: DataLink, way: QueuedWay, start: number, byteCount: number): void {
    const cell = this.#enter(link, way, byteCount);
    if (cell === NONE) return;
    const at = this.#cells.start[cell] as number;
    this.#arena.bytes.copyWithin(at, start, start + byteCount);
    this.#cells.l3[cell] = 0xff;
    this.#refused?.queues.push(cell, this.#seed, Class.Usual);
  }

  /** Flow of the packet in hand; before it is cut, because that overwrites what it goes by. */
  hashOf(link: DataLink, hand: Sorted): number {
    return this.#hashOf(link, hand);
  }

  #hashOf(link: DataLink, hand: Sorted): number {
    return flowKeyHash(this.#arena.view, hand, link.flowKeys, this.#seed);
  }

  #push(hand: Sorted, cell: number, hash: number): void {
    this.#refused?.queues.push(cell, hash, classOf(hand.tos));
  }

  /** Cuts the super-packet that the segmenter holds, and has the pieces wait. @param hash see {@link hashOf} */
  putCut(link: DataLink, hand: Sorted, way: QueuedWay, segmenter: Segmenter, hash: number): void {
    const { bytes } = this.#arena;
    const { prefixBytes } = segmenter;
    const l3 = hand.l3 - (hand.frame - link.shimBytes);
    while (segmenter.remaining > 0) {
      const count = Math.min(CUT_MAX, segmenter.remaining);
      let from = segmenter.at;
      const pieceBytes = segmenter.nextBytes;
      const end = Math.min(segmenter.end, from + count * pieceBytes);
      segmenter.run(count, this.#scratch, this.#iovec);
      for (let header = this.#scratch; from < end; header += SCRATCH_BYTES) {
        const payload = Math.min(pieceBytes, end - from);
        const cell = this.#enter(link, way, prefixBytes + payload);
        if (cell !== NONE) {
          const at = this.#cells.start[cell] as number;
          bytes.copyWithin(at, header, header + prefixBytes);
          bytes.copyWithin(at + prefixBytes, from, from + payload);
          this.#cells.l3[cell] = l3;
          this.#push(hand, cell, hash);
        }
        from += payload;
      }
    }
  }

  /** A cell for a datagram that begins to wait; NONE: it is dropped, and counted. */
  #enter(link: DataLink, { peer, socket, marks }: QueuedWay, byteCount: number): number {
    const shaper = this.#refused;
    if (shaper === undefined) return NONE;
    if (shaper.queues.bytes + byteCount > shaper.backlogMax) this.#makeRoom(shaper);
    const cells = this.#cells;
    let cell = cells.take(byteCount);
    if (cell === NONE) {
      this.#makeRoom(this.#fullest());
      cell = cells.take(byteCount);
      if (cell === NONE) {
        add(link.counters, QUEUE_FULL, 1);
        return NONE;
      }
    }
    add(link.counters, ENTERED, 1);
    this.waiting++;
    this.#peers.hold(peer);
    cells.length[cell] = byteCount;
    cells.enteredUs[cell] = this.#nowUs;
    cells.peer[cell] = peer;
    cells.socket[cell] = socket;
    cells.marks[cell] = marks;
    return cell;
  }

  #fullest(): Shaper | undefined {
    let fullest = this.#shapers[0];
    for (let i = 1; i < this.#shapers.length; i++) {
      const shaper = this.#shapers[i] as Shaper;
      if (fullest === undefined || shaper.queues.bytes > fullest.queues.bytes) fullest = shaper;
    }
    return fullest;
  }

  /** Gives up packets at the heads of the longest queues: whoever fills the room pays for it. */
  #makeRoom(shaper: Shaper | undefined): void {
    if (shaper === undefined) return;
    const { queues } = shaper;
    this.#serving = shaper;
    const enough = queues.bytes >> 1;
    for (let i = 0; i < GIVE_UP_MAX && queues.bytes > enough; i++) {
      this.#giveUp(queues.pullFattest(), QUEUE_FULL);
    }
  }

  /** Sends what may leave now; how many packets. */
  release(nowMs: number): number {
    this.#nowMs = nowMs;
    const nowUs = this.#nowUs;
    let count = 0;
    const { length } = this.#shapers;
    // Where they share a link's rate, each is the first one in turn.
    this.#turn = (this.#turn + 1) % Math.max(1, length);
    for (let i = 0; i < length && count < RELEASE_MAX; i++) {
      const shaper = this.#shapers[(i + this.#turn) % length] as Shaper;
      if (shaper.queues.packets === 0) continue;
      if (shaper.peer !== 0) this.#ofHosts.refresh(shaper);
      shaper.refill(nowUs, this.#share);
      this.#serving = shaper;
      while (count < RELEASE_MAX && shaper.mayRelease) {
        const cell = shaper.queues.pull(nowUs);
        if (cell === NONE) break;
        this.#send(shaper, cell, nowMs);
        this.#sent[count++] = cell;
      }
      this.#tellFlows(shaper);
    }
    if (count === 0) return 0;
    this.#trains.flush(nowMs);
    for (let i = 0; i < count; i++) this.#free(this.#sent[i] as number);
    return count;
  }

  #send(shaper: Shaper, cell: number, nowMs: number): void {
    const { link } = shaper;
    const cells = this.#cells;
    const byteCount = cells.length[cell] as number;
    this.#trains.ensureRoom(1, nowMs);
    this.#trains.append(
      link,
      cells.peer[cell] as number,
      cells.socket[cell] as number,
      cells.marks[cell] as number,
      cells.start[cell] as number,
      byteCount,
    );
    shaper.pay(byteCount);
    add(link.counters, LEFT, 1);
    const waitedUs = (this.#nowUs - (cells.enteredUs[cell] as number)) | 0;
    if (waitedUs > 0) add(link.counters, WAITED_US, waitedUs);
  }

  /** How long until the next packet may leave, µs; only where some wait. */
  get dueUs(): number {
    let due = Number.MAX_SAFE_INTEGER;
    for (let i = 0; i < this.#shapers.length; i++) {
      const shaper = this.#shapers[i] as Shaper;
      if (shaper.queues.packets > 0) due = Math.min(due, shaper.dueUs);
    }
    return due <= 0 ? 0 : Math.min(Math.max(due, RELEASE_GAP_US), LOOK_US);
  }

  /** A link leaves, or has no rate any more: what waits for it ends. */
  forget(id: number): void {
    for (const shaper of [...this.#shapers]) {
      if (shaper.link.id !== id) continue;
      this.#serving = shaper;
      while (shaper.queues.packets > 0) this.#giveUp(shaper.queues.pullFattest(), STALE);
      this.#tellFlows(shaper);
      this.#ofHosts.forget(shaper);
      this.#remove(shaper);
    }
    this.#byLink[id] = undefined;
    this.#aimed = undefined;
    this.#refused = undefined;
  }

  /** Counts flows that have begun and ended since the last time. */
  #tellFlows({ link: { counters }, queues }: Shaper): void {
    add(counters, FLOWS_BEGAN, queues.flowsBegan);
    add(counters, FLOWS_ENDED, queues.flowsEnded);
    queues.flowsBegan = 0;
    queues.flowsEnded = 0;
  }
}
