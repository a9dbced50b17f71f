/**
 * What we remember of each peer, by its number: the largest datagram that we sent it lately, a path
 * MTU that the network told us, the one that our own side knows of, and whether trains reach it. What
 * control shall see goes into the rows of table/paths.ts as well, for the first few thousand peers.
 * @module
 */
import { PATHS_MAX } from '../../shm/path-rows.ts';
import { AF_INET } from '../../sys/libc/constants.ts';
import type { TrainUse } from '../../table/links/path-limits.ts';
import { MtuSource, type MtuSourceCode, PathRows } from '../../table/paths.ts';
import { IPV6_MTU_MIN } from '../../wire/ipv6.ts';
import type { Arena } from './arena.ts';
import { lengthened, PEERS_KNOWN_MAX, PeerIndex } from './peer-index.ts';
import {
  addressBytes,
  addressOffset,
  emitSockaddrIpv6,
  SOCKADDR_BYTES,
  setSockaddrPort,
} from './sockaddr.ts';

/** An ICMP error speaks of a packet that we sent at most this long ago, ms. */
const SENT_MEMORY_MS = 60_000;
/** How long a lowered path MTU is believed, ms (RFC 1191 §6.3 suggests ten minutes). */
const PMTU_LIFETIME_MS = 600_000;
/** Nothing takes the path MTU below this, bytes: RFC 791 hosts must accept 576, IPv6 links 1280. */
export const PATH_MTU_FLOOR_BYTES = 576;
export const PATH_MTU_FLOOR_IPV6_BYTES = IPV6_MTU_MIN;
/** A path MTU that limits nothing: the longest IP packet there is, bytes. */
export const PATH_MTU_UNLIMITED = 65535;
/** How long a refused UDP_SEGMENT is left alone, ms. */
const SEGMENT_AGAIN_MS = 10_000;
/** So often it is told that packets go to a peer, ms. */
const USED_AGAIN_MS = 100;

export class PeerTable {
  readonly #arena: Arena;
  /** Where a socket address is put together. */
  readonly #scratch: number;
  readonly #index: PeerIndex;
  readonly #rows: PathRows;
  #sentBytes = new Uint16Array(0);
  #sentAtMs = new Float64Array(0);
  #pathMtu = new Uint16Array(0);
  #pathMtuUntilMs = new Float64Array(0);
  #pathMtuSource = new Uint8Array(0);
  /** What our own side says that the way there carries; 0 = no less than the device. */
  #ownMtu = new Uint16Array(0);
  #ownSource = new Uint8Array(0);
  /** When the route may be asked about again; 0 = never asked. */
  #askAtMs = new Float64Array(0);
  /** When a train was last refused, 0 = not, so the clock's first ms counts as 1. */
  #refusedAtMs = new Float64Array(0);
  /** Trains have gone out to it, and that has been told. */
  #segmented = new Uint8Array(0);
  /** When it was last told that packets go to it. */
  #usedAtMs = new Float64Array(0);
  /** Which trains get there as far as control knows, and when that is to be read again, ms. */
  #trainUse = new Uint8Array(0);
  #trainsAtMs = new Float64Array(0);
  /** Peers that the network told us a smaller path MTU of. */
  loweredCount = 0;
  /** Peers that a train was refused to; while zero a send does not look. */
  refusedCount = 0;

  /**
   * @param capacityMax a power of two; at most so many peers are known at one time
   * @param family of the socket addresses of IPv4 hosts that are sent to
   */
  constructor(
    arena: Arena,
    rows = new PathRows(),
    capacityMax = PEERS_KNOWN_MAX,
    family: number = AF_INET,
  ) {
    this.#arena = arena;
    this.#scratch = arena.allocate(SOCKADDR_BYTES);
    this.#rows = rows;
    this.#index = new PeerIndex(arena, capacityMax, family, (peer) => this.#forget(peer));
    this.#makeRoom();
  }

  /** Makes the columns as long as there are numbers. */
  #makeRoom(): void {
    const { capacity } = this.#index;
    this.#sentBytes = lengthened(this.#sentBytes, new Uint16Array(capacity));
    this.#sentAtMs = lengthened(this.#sentAtMs, new Float64Array(capacity));
    this.#pathMtu = lengthened(this.#pathMtu, new Uint16Array(capacity));
    this.#pathMtuUntilMs = lengthened(this.#pathMtuUntilMs, new Float64Array(capacity));
    this.#pathMtuSource = lengthened(this.#pathMtuSource, new Uint8Array(capacity));
    this.#ownMtu = lengthened(this.#ownMtu, new Uint16Array(capacity));
    this.#ownSource = lengthened(this.#ownSource, new Uint8Array(capacity));
    this.#askAtMs = lengthened(this.#askAtMs, new Float64Array(capacity));
    this.#refusedAtMs = lengthened(this.#refusedAtMs, new Float64Array(capacity));
    this.#segmented = lengthened(this.#segmented, new Uint8Array(capacity));
    this.#usedAtMs = lengthened(this.#usedAtMs, new Float64Array(capacity));
    this.#trainUse = lengthened(this.#trainUse, new Uint8Array(capacity));
    this.#trainsAtMs = lengthened(this.#trainsAtMs, new Float64Array(capacity));
  }

  /** The number of the host at an IPv4 address (u32) and port; it has one from now on. */
  intern(address: number, port: number): number {
    const peer = this.#index.intern(address, port);
    if (this.#index.capacity !== this.#sentAtMs.length) this.#makeRoom();
    return peer;
  }

  /** The same for an IPv6 socket address in the arena, and the port in it. */
  internName(name: number): number {
    const peer = this.#index.internName(name);
    if (this.#index.capacity !== this.#sentAtMs.length) this.#makeRoom();
    return peer;
  }

  /** The same for an IPv6 address of four words, u32 each. */
  internIpv6(first: number, second: number, third: number, last: number, port: number): number {
    const name = this.#scratch;
    emitSockaddrIpv6(this.#arena.view, name, first, second, third, last);
    setSockaddrPort(this.#arena.view, name, port);
    return this.internName(name);
  }

  /** The arena, where all names lie. */
  get view(): DataView {
    return this.#arena.view;
  }

  /** The number of the host that a socket address in the arena names, 0 when it has none. */
  find(name: number, port: number): number {
    return this.#index.find(name, port);
  }

  /** A new burst begins: numbers that only the last one holds may become others'. */
  nextBurst(nowMs: number): void {
    this.#index.nextBurst(nowMs);
  }

  /** A packet for a peer waits: its number stays its own until {@link letGo}. */
  hold(peer: number): void {
    this.#index.hold(peer);
  }

  letGo(peer: number): void {
    this.#index.letGo(peer);
  }

  /** Arena offset of a peer's socket address, and its length in bytes. */
  nameOf(peer: number): number {
    return this.#index.nameOf(peer);
  }

  nameBytes(peer: number): number {
    return this.#index.nameBytes(peer);
  }

  #floor(peer: number): number {
    return this.#index.isIpv6(peer) ? PATH_MTU_FLOOR_IPV6_BYTES : PATH_MTU_FLOOR_BYTES;
  }

  /** The peer's row, with its address in it; those beyond the first few thousand have none. */
  #row(peer: number): number {
    if (peer <= 0 || peer >= PATHS_MAX) return 0;
    const { view } = this.#arena;
    const name = this.nameOf(peer);
    this.#rows.own(peer, view, name + addressOffset(view, name), addressBytes(view, name));
    return peer;
  }

  /** Numbers in use, the one that is nobody's included. */
  get size(): number {
    return this.#index.size;
  }

  #forget(peer: number): void {
    if (this.#pathMtu[peer] !== 0) this.loweredCount--;
    if (this.#refusedAtMs[peer] !== 0) this.refusedCount--;
    this.#sentBytes[peer] = 0;
    this.#sentAtMs[peer] = 0;
    this.#pathMtu[peer] = 0;
    this.#ownMtu[peer] = 0;
    this.#askAtMs[peer] = 0;
    this.#refusedAtMs[peer] = 0;
    this.#segmented[peer] = 0;
    this.#usedAtMs[peer] = 0;
    this.#trainUse[peer] = 0;
    this.#trainsAtMs[peer] = 0;
    if (peer < PATHS_MAX) this.#rows.forget(peer);
  }

  /** Notes that a datagram of `outerBytes` (IP length) went to `peer`. */
  noteSent(peer: number, outerBytes: number, nowMs: number): void {
    const stale = nowMs - (this.#sentAtMs[peer] ?? 0) > SENT_MEMORY_MS;
    if (stale || outerBytes > (this.#sentBytes[peer] ?? 0)) this.#sentBytes[peer] = outerBytes;
    this.#sentAtMs[peer] = nowMs;
  }

  /**
   * Believes "packet too big, next-hop MTU `mtu`" about `peer` only where we lately sent it
   * something larger. Returns whether the path MTU changed.
   */
  lower(peer: number, mtu: number, nowMs: number, source: MtuSourceCode = MtuSource.Icmp): boolean {
    if (peer === 0 || nowMs - (this.#sentAtMs[peer] ?? 0) > SENT_MEMORY_MS) return false;
    const floored = Math.max(mtu, this.#floor(peer));
    if ((this.#sentBytes[peer] ?? 0) <= floored) return false;
    const known = this.#pathMtu[peer] ?? 0;
    if (known !== 0 && known <= floored) return false;
    if (known === 0) this.loweredCount++;
    this.#pathMtu[peer] = floored;
    this.#pathMtuUntilMs[peer] = nowMs + PMTU_LIFETIME_MS;
    this.#pathMtuSource[peer] = source;
    this.#tell(peer);
    return true;
  }

  /** Path MTU towards `peer` in bytes, or {@link PATH_MTU_UNLIMITED} when nothing lowered it. */
  pathMtu(peer: number, nowMs: number): number {
    const told = this.#pathMtu[peer] as number;
    const own = this.#ownMtu[peer] as number;
    if (told === 0) return own === 0 ? PATH_MTU_UNLIMITED : own;
    if (nowMs > (this.#pathMtuUntilMs[peer] as number)) {
      this.#pathMtu[peer] = 0;
      // Only packets sent from now on may lower it again.
      this.#sentBytes[peer] = 0;
      this.loweredCount--;
      this.#tell(peer);
      return own === 0 ? PATH_MTU_UNLIMITED : own;
    }
    return own !== 0 && own < told ? own : told;
  }

  /** Whether the route to a peer should be asked about (again). */
  isAskDue(peer: number, nowMs: number): boolean {
    return nowMs >= (this.#askAtMs[peer] as number);
  }

  /**
   * What our own side knows of the way to a peer, bytes; 0 = it carries as much as the device.
   * A large packet is about to go there.
   */
  setOwnMtu(peer: number, mtu: number, source: MtuSourceCode, askAgainAtMs: number): void {
    this.#askAtMs[peer] = askAgainAtMs;
    const row = this.#row(peer);
    if (row !== 0) this.#rows.setLarge(row, Date.now());
    const floored = mtu === 0 ? 0 : Math.max(mtu, this.#floor(peer));
    if (this.#ownMtu[peer] === floored && this.#ownSource[peer] === source) return;
    this.#ownMtu[peer] = floored;
    this.#ownSource[peer] = source;
    this.#tell(peer);
  }

  #tell(peer: number): void {
    const told = this.#pathMtu[peer] as number;
    const own = this.#ownMtu[peer] as number;
    const isOwn = own !== 0 && (told === 0 || own < told);
    let source = this.#pathMtuSource[peer] as number as MtuSourceCode;
    if (isOwn) source = this.#ownSource[peer] as MtuSourceCode;
    else if (told === 0) source = MtuSource.None;
    const mtu = isOwn ? own : told;
    const row = this.#row(peer);
    if (row !== 0) this.#rows.setMtu(row, mtu, source, Date.now());
  }

  /** A send says that segmentation does not work on the way to `peer`: without it for a while. */
  refuseSegments(peer: number, errno: number, nowMs: number): void {
    if (this.#refusedAtMs[peer] === 0) this.refusedCount++;
    this.#refusedAtMs[peer] = Math.max(nowMs, 1);
    this.#segmented[peer] = 0;
    const row = this.#row(peer);
    if (row !== 0) this.#rows.setSegmentationRefused(row, errno, Date.now());
  }

  /**
   * Whether a train to `peer` may go as one send. After a refusal it is tried anew once in a while:
   * what refused it may have been a moment's trouble, or a route that has changed. Another refusal
   * costs one system call.
   */
  maySegment(peer: number, nowMs: number): boolean {
    const refusedAtMs = this.#refusedAtMs[peer] as number;
    // The absolute value: a clock that was set back must not end it for good.
    return refusedAtMs === 0 || Math.abs(nowMs - refusedAtMs) >= SEGMENT_AGAIN_MS;
  }

  /** A train went out to `peer` in one send. */
  noteSegmented(peer: number): void {
    if (this.#segmented[peer] !== 0) return;
    if (this.#refusedAtMs[peer] !== 0) this.refusedCount--;
    this.#refusedAtMs[peer] = 0;
    this.#segmented[peer] = 1;
    const row = this.#row(peer);
    if (row !== 0) this.#rows.setSegmentationWorks(row);
  }

  /** Packets go to `peer`, whose underlays control is to look at. */
  noteUsed(peer: number, nowMs: number): void {
    // The absolute value: zero is never, and a clock that was set back must not end it for good.
    const sinceMs = Math.abs(nowMs - (this.#usedAtMs[peer] as number));
    if (sinceMs < USED_AGAIN_MS && this.#usedAtMs[peer] !== 0) return;
    this.#usedAtMs[peer] = Math.max(nowMs, 1);
    const row = this.#row(peer);
    if (row !== 0) this.#rows.setUsed(row, Date.now());
  }

  /** Which trains get to a peer, as it was read last. */
  trainUse(peer: number): TrainUse {
    return this.#trainUse[peer] as TrainUse;
  }

  /** Whether that is to be read (again). */
  isTrainUseDue(peer: number, nowMs: number): boolean {
    return nowMs >= (this.#trainsAtMs[peer] as number);
  }

  setTrainUse(peer: number, use: TrainUse, againAtMs: number): void {
    this.#trainUse[peer] = use;
    this.#trainsAtMs[peer] = againAtMs;
  }

  /** The host of a peer says that nobody listens on the port there. */
  notePortUnreachable(peer: number): void {
    const row = this.#row(peer);
    if (row !== 0) this.#rows.addPortUnreachable(row, Date.now());
  }
}
