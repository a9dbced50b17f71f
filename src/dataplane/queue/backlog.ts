/**
 * What has come from the underlay faster than the devices take it. A socket's buffer is first in, first
 * out, and as long in time as its packets are small: a ping that came behind a flood of them waited there
 * for a tenth of a second. So a router that is behind empties the socket at once, which costs a small
 * part of what delivering does, and sorts (waiting-flows.ts). Those that have to wait do so here, and give up
 * what is oldest where there is no room.
 *
 * ```
 * a record:  outer source (socket address) | one datagram, or equal ones of one flow that came as a train
 * ```
 * @module
 */
import { ingressIndex } from '../../table/counters.ts';
import { fillsIpv4, IPV4_HEADER_BYTES, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataEndpoint } from '../ground/link.ts';
import { SOCKADDR_BYTES } from '../ground/sockaddr.ts';
import { flowSeed } from './flow-key.ts';
import { LooseFlow } from './loose-flow.ts';
import { type Clock, ownClock, TimeSlice } from './time-slice.ts';
import { NOBODY, WaitingFlows } from './waiting-flows.ts';

/** What waits at one time: so many packets are some 50 ms of what a core delivers. */
const PACKETS_MAX = 8192;
/** Records that wait, those behind the oldest of them that have left already counted. */
const RECORDS = 8192;
/** Room for as many of the usual size, or for some fifty of the longest trains, bytes. */
const RING_BYTES = 4 << 20;
/** Packets that leave in one round, and how long that may take, ms: the other direction has its turn between. */
const RELEASE_PACKETS = 128;
const RELEASE_MS = 0.3;

/**
 * How long packets of flows that send much are held where that is asked for, ms, and how many at most: 64 flows of
 * 150,000 packets a second together have five each by then, which are delivered in one piece.
 */
const GATHER_MS = 2;
const GATHER_PACKETS = 1024;

const RECEIVED = ingressIndex('received');
const RECEIVED_BYTES = ingressIndex('receivedBytes');
const OVERLOAD = ingressIndex('drop.overload');

/** All that it takes of the arena, which is touched only as it is used, bytes. */
export const BACKLOG_BYTES = RING_BYTES;

/** Who delivers: ingress. */
export type Deliverer = {
  begin(nowMs: number, versionInside: number): void;
  message(
    endpoint: DataEndpoint,
    offset: number,
    length: number,
    source: number,
    tos: number,
    segmentBytes: number,
  ): void;
  flush(): void;
};

export class Backlog {
  readonly #arena: Arena;
  readonly #ingress: Deliverer;
  readonly #flows: LooseFlow;
  readonly #order = new WaitingFlows(RECORDS);
  readonly #releasing: TimeSlice;
  readonly #ring: number;
  /** Where the next record begins. */
  #at: number;
  // The records by number, in their order of coming: `#count` of them from `#first` on.
  readonly #start = new Int32Array(RECORDS);
  readonly #length = new Int32Array(RECORDS);
  /** As the socket told it, 0 where it is no train; and how many packets it is. */
  readonly #segmentBytes = new Int32Array(RECORDS);
  readonly #packets = new Int32Array(RECORDS);
  readonly #bucket = new Uint16Array(RECORDS);
  readonly #tos = new Uint8Array(RECORDS);
  readonly #socket = new Int32Array(RECORDS);
  /** Undefined where the record has left. */
  readonly #endpoint: (DataEndpoint | undefined)[] = Array(RECORDS).fill(undefined);
  #first = 0;
  #count = 0;
  /** Packets that wait. */
  packets = 0;
  /** Whether those of flows that send much are held for a moment, so that more of them are joined. */
  gathers = false;
  /** When the first of those that wait began to, ms; and whether they have waited for long enough. */
  #sinceMs = 0;
  #isDue = false;
  #roundMs = 0;
  // The message in hand, and where it comes from.
  #from: DataEndpoint | undefined;
  #by = 0;
  #shimBytes = 0;
  #headerBytes = 0;
  #source = 0;
  #outerTos = 0;
  #segment = 0;

  constructor(arena: Arena, ingress: Deliverer, seed = flowSeed(), nowMs: Clock = ownClock) {
    this.#releasing = new TimeSlice(RELEASE_MS, nowMs);
    this.#arena = arena;
    this.#ingress = ingress;
    this.#flows = new LooseFlow(arena.view, seed);
    this.#ring = arena.allocate(RING_BYTES);
    this.#at = this.#ring;
  }

  get isEmpty(): boolean {
    return this.packets === 0;
  }

  /** Whether some wait whose time has come. */
  isDue(nowMs: number): boolean {
    if (this.packets === 0) this.#isDue = false;
    else if (!this.#isDue) this.#isDue = this.dueMs(nowMs) <= 0 || this.packets >= GATHER_PACKETS;
    return this.#isDue;
  }

  /** How long those that wait may go on waiting, ms. */
  dueMs(nowMs: number): number {
    return this.gathers ? this.#sinceMs + GATHER_MS - nowMs : 0;
  }

  /** A round of sorting begins, of what a socket brought: each flow may have a few packets delivered again. */
  begin(endpoint: DataEndpoint, socket: number, nowMs: number): void {
    if (!this.gathers || nowMs - this.#roundMs >= GATHER_MS) {
      this.#order.nextRound();
      this.#roundMs = nowMs;
    }
    if (this.packets === 0) this.#sinceMs = nowMs;
    this.#from = endpoint;
    this.#by = socket;
    const link = endpoint.links[0];
    const outer = endpoint.showsOuterHeader ? IPV4_HEADER_BYTES : 0;
    this.#shimBytes = outer + (link?.shimBytes ?? 0);
    this.#headerBytes = link?.innerHeaderBytes ?? 0;
  }

  /**
   * Sorts one received message, told as ingress is told it: what may go first is delivered, the rest is
   * copied. Whoever calls flushes ingress before the message's memory is used again.
   */
  sort(offset: number, length: number, source: number, tos: number, segmentBytes: number): void {
    this.#source = source;
    this.#outerTos = tos;
    this.#segment = segmentBytes;
    const l3 = this.#shimBytes + this.#headerBytes;
    const isTrain =
      segmentBytes > 0 &&
      segmentBytes < length &&
      !fillsIpv4(this.#arena.view, offset + l3, length - l3, PROTOCOL_UDP);
    const step = isTrain ? segmentBytes : length;
    const end = offset + length;
    let from = offset;
    // Of the pieces from there on: their flow, NOBODY while each goes at once.
    let run = NOBODY;
    for (let at = offset; at < end; at += step) {
      const bucket = this.#bucketOf(at, Math.min(step, end - at));
      const place = this.#order.mayGo(bucket, this.gathers) ? NOBODY : bucket;
      if (place !== run && at > from) {
        this.#settle(run, from, at - from, step);
        from = at;
      }
      run = place;
    }
    this.#settle(run, from, end - from, step);
  }

  #bucketOf(at: number, bytes: number): number {
    return this.#flows.bucketOf(at + this.#shimBytes, bytes - this.#shimBytes, this.#headerBytes);
  }

  /** Pieces side by side go at once, or wait as a record of their flow. */
  #settle(bucket: number, at: number, length: number, step: number): void {
    if (bucket !== NOBODY) return this.#keep(bucket, at, length, step);
    const endpoint = this.#from as DataEndpoint;
    this.#ingress.message(endpoint, at, length, this.#source, this.#outerTos, this.#segment);
  }

  #keep(bucket: number, at: number, length: number, step: number): void {
    const bytes = (SOCKADDR_BYTES + length + 7) & ~7;
    const start = this.#room(bytes);
    const memory = this.#arena.bytes;
    memory.copyWithin(start, this.#source, this.#source + SOCKADDR_BYTES);
    memory.copyWithin(start + SOCKADDR_BYTES, at, at + length);
    this.#at = start + bytes;
    const record = (this.#first + this.#count) % RECORDS;
    const packets = Math.ceil(length / step);
    this.#start[record] = start;
    this.#length[record] = length;
    this.#segmentBytes[record] = this.#segment;
    this.#packets[record] = packets;
    this.#bucket[record] = bucket;
    this.#tos[record] = this.#outerTos;
    this.#socket[record] = this.#by;
    this.#endpoint[record] = this.#from;
    this.#order.wait(record, bucket, packets);
    this.#count++;
    this.packets += packets;
  }

  /** Where `bytes` find room; the oldest are given up for it. */
  #room(bytes: number): number {
    while (this.#count === RECORDS || this.packets >= PACKETS_MAX) this.#giveUp();
    while (this.#count > 0) {
      const oldest = this.#start[this.#first] as number;
      if (this.#at > oldest) {
        if (this.#at + bytes <= this.#ring + RING_BYTES) return this.#at;
        this.#at = this.#ring;
      }
      if (this.#at + bytes <= oldest) return this.#at;
      this.#giveUp();
    }
    this.#at = this.#ring;
    return this.#at;
  }

  /** A record waits no more. The oldest that is left does, so its memory counts. */
  #leave(record: number): void {
    this.packets -= this.#packets[record] as number;
    this.#endpoint[record] = undefined;
    while (this.#count > 0 && this.#endpoint[this.#first] === undefined) {
      this.#first = (this.#first + 1) % RECORDS;
      this.#count--;
    }
  }

  /** There is no room for the oldest any more. What is not judged is counted on the first link. */
  #giveUp(): void {
    const record = this.#order.giveUp(this.#bucket[this.#first] as number);
    const counters = this.#endpoint[record]?.links[0]?.counters;
    this.#leave(record);
    if (counters === undefined) return;
    const packets = this.#packets[record] as number;
    counters[RECEIVED] = (counters[RECEIVED] as number) + packets;
    const bytes = this.#length[record] as number;
    counters[RECEIVED_BYTES] = (counters[RECEIVED_BYTES] as number) + bytes;
    counters[OVERLOAD] = (counters[OVERLOAD] as number) + packets;
  }

  /** Delivers what has its turn, a round's worth of it; returns how many packets. */
  release(nowMs: number): number {
    let [packets, isOver] = [0, false];
    this.#releasing.begin();
    while (packets < RELEASE_PACKETS && !isOver) {
      const record = this.#order.pull();
      if (record === NOBODY) break;
      const endpoint = this.#endpoint[record] as DataEndpoint;
      const start = this.#start[record] as number;
      this.#leave(record);
      packets += this.#packets[record] as number;
      isOver = this.#releasing.isOver(this.#packets[record] as number);
      this.#ingress.begin(nowMs, endpoint.versionInside(this.#socket[record] as number));
      this.#ingress.message(
        endpoint,
        start + SOCKADDR_BYTES,
        this.#length[record] as number,
        start,
        this.#tos[record] as number,
        this.#segmentBytes[record] as number,
      );
    }
    this.#ingress.flush();
    return packets;
  }
}
