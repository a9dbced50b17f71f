/**
 * What we remember of each underlay peer: the largest datagram that we sent it lately, a path MTU
 * that the network told us, the one that our own side knows of, and whether trains reach it. A fixed
 * table, so that strangers cannot make it grow; what control shall see goes into the rows of
 * table/paths.ts as well.
 * @module
 */
import { PATHS_MAX } from '../shm/path-rows.ts';
import { MtuSource, type MtuSourceCode, PathRows } from '../table/paths.ts';

const SLOTS = PATHS_MAX;
const PROBES_MAX = 8;
/** An ICMP error speaks of a packet that we sent at most this long ago, ms. */
const SENT_MEMORY_MS = 60_000;
/** How long a lowered path MTU is believed, ms (RFC 1191 §6.3 suggests ten minutes). */
const PMTU_LIFETIME_MS = 600_000;
/** Nothing takes the path MTU below this, bytes: RFC 791 hosts must accept 576. */
export const PATH_MTU_FLOOR_BYTES = 576;
/** A path MTU that limits nothing: the longest IP packet there is, bytes. */
export const PATH_MTU_UNLIMITED = 65535;
/** How long a refused UDP_SEGMENT is left alone, ms. */
const SEGMENT_AGAIN_MS = 10_000;

export class PeerTable {
  readonly #rows: PathRows;
  readonly #address = new Uint32Array(SLOTS);
  readonly #sentBytes = new Uint16Array(SLOTS);
  readonly #sentAtMs = new Float64Array(SLOTS);
  readonly #pathMtu = new Uint16Array(SLOTS);
  readonly #pathMtuUntilMs = new Float64Array(SLOTS);
  readonly #pathMtuSource = new Uint8Array(SLOTS);
  /** What our own side says that the way there carries; 0 = no less than the device. */
  readonly #ownMtu = new Uint16Array(SLOTS);
  readonly #ownSource = new Uint8Array(SLOTS);
  /** When the route may be asked about again; 0 = never asked. */
  readonly #askAtMs = new Float64Array(SLOTS);
  /** When a train was last refused, 0 = not, so the clock's first ms counts as 1. */
  readonly #refusedAtMs = new Float64Array(SLOTS);
  /** Trains have gone out to it, and that has been told. */
  readonly #segmented = new Uint8Array(SLOTS);
  /** Peers that the network told us a smaller path MTU of. */
  loweredCount = 0;
  /** Peers that a train was refused to; while zero a send does not look. */
  refusedCount = 0;

  constructor(rows = new PathRows()) {
    this.#rows = rows;
  }

  #home(peer: number): number {
    return (Math.imul(peer, 0x9e3779b1) >>> 20) & (SLOTS - 1);
  }

  #find(peer: number): number {
    const home = this.#home(peer);
    for (let i = 0; i < PROBES_MAX; i++) {
      const slot = (home + i) & (SLOTS - 1);
      if (this.#address[slot] === peer) return slot;
    }
    return -1;
  }

  /** The peer's slot; a crowded neighbourhood forgets the peer that was silent for longest. */
  claim(peer: number): number {
    const found = this.#find(peer);
    if (found >= 0) return found;
    const home = this.#home(peer);
    let oldest = home;
    for (let i = 0; i < PROBES_MAX; i++) {
      const slot = (home + i) & (SLOTS - 1);
      if (this.#address[slot] === 0) {
        oldest = slot;
        break;
      }
      if ((this.#sentAtMs[slot] ?? 0) < (this.#sentAtMs[oldest] ?? 0)) oldest = slot;
    }
    if (this.#pathMtu[oldest] !== 0) this.loweredCount--;
    if (this.#refusedAtMs[oldest] !== 0) this.refusedCount--;
    this.#address[oldest] = peer;
    this.#sentBytes[oldest] = 0;
    this.#sentAtMs[oldest] = 0;
    this.#pathMtu[oldest] = 0;
    this.#ownMtu[oldest] = 0;
    this.#askAtMs[oldest] = 0;
    this.#refusedAtMs[oldest] = 0;
    this.#segmented[oldest] = 0;
    this.#rows.forget(oldest);
    return oldest;
  }

  /** Notes that a datagram of `outerBytes` (IP length) went to `peer`; returns the peer's slot. */
  noteSent(peer: number, outerBytes: number, nowMs: number): number {
    const slot = this.claim(peer);
    const stale = nowMs - (this.#sentAtMs[slot] ?? 0) > SENT_MEMORY_MS;
    if (stale || outerBytes > (this.#sentBytes[slot] ?? 0)) this.#sentBytes[slot] = outerBytes;
    this.#sentAtMs[slot] = nowMs;
    return slot;
  }

  /**
   * Believes "packet too big, next-hop MTU `mtu`" about `peer` only where we lately sent it
   * something larger. Returns whether the path MTU changed.
   */
  lower(peer: number, mtu: number, nowMs: number, source: MtuSourceCode = MtuSource.Icmp): boolean {
    const slot = this.#find(peer);
    if (slot < 0 || nowMs - (this.#sentAtMs[slot] ?? 0) > SENT_MEMORY_MS) return false;
    const floored = Math.max(mtu, PATH_MTU_FLOOR_BYTES);
    if ((this.#sentBytes[slot] ?? 0) <= floored) return false;
    const known = this.#pathMtu[slot] ?? 0;
    if (known !== 0 && known <= floored) return false;
    if (known === 0) this.loweredCount++;
    this.#pathMtu[slot] = floored;
    this.#pathMtuUntilMs[slot] = nowMs + PMTU_LIFETIME_MS;
    this.#pathMtuSource[slot] = source;
    this.#tell(slot);
    return true;
  }

  /** Path MTU towards `peer` in bytes, or {@link PATH_MTU_UNLIMITED} when nothing lowered it. */
  pathMtu(peer: number, nowMs: number): number {
    const slot = this.#find(peer);
    return slot < 0 ? PATH_MTU_UNLIMITED : this.mtuAt(slot, nowMs);
  }

  /** The same for a slot that {@link claim} has just returned. */
  mtuAt(slot: number, nowMs: number): number {
    const told = this.#pathMtu[slot] as number;
    const own = this.#ownMtu[slot] as number;
    if (told === 0) return own === 0 ? PATH_MTU_UNLIMITED : own;
    if (nowMs > (this.#pathMtuUntilMs[slot] as number)) {
      this.#pathMtu[slot] = 0;
      // Only packets sent from now on may lower it again.
      this.#sentBytes[slot] = 0;
      this.loweredCount--;
      this.#tell(slot);
      return own === 0 ? PATH_MTU_UNLIMITED : own;
    }
    return own !== 0 && own < told ? own : told;
  }

  /** Whether the route to a slot's peer should be asked about (again). */
  isAskDue(slot: number, nowMs: number): boolean {
    return nowMs >= (this.#askAtMs[slot] as number);
  }

  /**
   * What our own side knows of the way to a slot's peer, bytes; 0 = it carries as much as the device.
   * A large packet is about to go there.
   */
  setOwnMtu(slot: number, mtu: number, source: MtuSourceCode, askAgainAtMs: number): void {
    this.#askAtMs[slot] = askAgainAtMs;
    this.#rows.setLarge(slot, this.#address[slot] as number, Date.now());
    const floored = mtu === 0 ? 0 : Math.max(mtu, PATH_MTU_FLOOR_BYTES);
    if (this.#ownMtu[slot] === floored && this.#ownSource[slot] === source) return;
    this.#ownMtu[slot] = floored;
    this.#ownSource[slot] = source;
    this.#tell(slot);
  }

  #tell(slot: number): void {
    const told = this.#pathMtu[slot] as number;
    const own = this.#ownMtu[slot] as number;
    const isOwn = own !== 0 && (told === 0 || own < told);
    let source = this.#pathMtuSource[slot] as number as MtuSourceCode;
    if (isOwn) source = this.#ownSource[slot] as MtuSourceCode;
    else if (told === 0) source = MtuSource.None;
    const mtu = isOwn ? own : told;
    this.#rows.setMtu(slot, this.#address[slot] as number, mtu, source, Date.now());
  }

  /** A send says that segmentation does not work on the way to `peer`: without it for a while. */
  refuseSegments(peer: number, errno: number, nowMs: number): void {
    const slot = this.claim(peer);
    if (this.#refusedAtMs[slot] === 0) this.refusedCount++;
    this.#refusedAtMs[slot] = Math.max(nowMs, 1);
    this.#segmented[slot] = 0;
    this.#rows.setSegmentationRefused(slot, peer, errno, Date.now());
  }

  /**
   * Whether a train to `peer` may go as one send. After a refusal it is tried anew once in a while:
   * what refused it may have been a moment's trouble, or a route that has changed. Another refusal
   * costs one system call.
   */
  maySegment(peer: number, nowMs: number): boolean {
    const slot = this.#find(peer);
    if (slot < 0) return true;
    const refusedAtMs = this.#refusedAtMs[slot] as number;
    // The absolute value: a clock that was set back must not end it for good.
    return refusedAtMs === 0 || Math.abs(nowMs - refusedAtMs) >= SEGMENT_AGAIN_MS;
  }

  /** A train went out to a slot's peer in one send. */
  noteSegmented(slot: number): void {
    if (this.#segmented[slot] !== 0) return;
    if (this.#refusedAtMs[slot] !== 0) this.refusedCount--;
    this.#refusedAtMs[slot] = 0;
    this.#segmented[slot] = 1;
    this.#rows.setSegmentationWorks(slot, this.#address[slot] as number);
  }

  /** The host of a peer says that nobody listens on the port there. */
  notePortUnreachable(peer: number): void {
    const slot = this.#find(peer);
    if (slot >= 0) this.#rows.addPortUnreachable(slot, peer, Date.now());
  }
}
