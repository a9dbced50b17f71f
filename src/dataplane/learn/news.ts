/**
 * What control is told of layer-2 networks: each thing once in a while as long as it is so, and each
 * link only so much a second, so that a guest who invents addresses fills neither the ring nor
 * anybody's time but its own.
 * @module
 */
import { LINKS_MAX } from '../../limits.ts';
import { eventIndex } from '../../table/counters.ts';
import { EventKind, type EventWriter } from '../../table/events.ts';
import type { Arena } from '../ground/arena.ts';
import { Bucket } from '../ground/bucket.ts';
import type { DataLink } from '../ground/link.ts';
import { addressBytes, addressOffset } from '../ground/sockaddr.ts';

/** Things that are remembered to have been told; others that share a place are told more often. */
const SLOTS = 8192;
/** The same thing is told again after so long, ms. */
const AGAIN_MS = 1000;
/** Events of one link a second. */
const EVENTS_PER_SECOND = 1000;

const LOST = eventIndex('events_lost');
const LIMITED = eventIndex('events_limited');

function absorb(state: number, word: number): number {
  const mixed = Math.imul(state ^ word, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}

export class News {
  readonly #arena: Arena;
  readonly #events: EventWriter;
  readonly #hash = new Int32Array(SLOTS);
  readonly #toldMs = new Float64Array(SLOTS).fill(Number.NEGATIVE_INFINITY);
  readonly #buckets: (Bucket | undefined)[] = new Array(LINKS_MAX).fill(undefined);
  readonly #about = { kind: EventKind.Miss as EventKind, link: 0, peer: 0, detail: 0 };
  /** Time of the burst in hand, ms on the loop's clock. */
  nowMs = 0;

  constructor(arena: Arena, events: EventWriter) {
    this.#arena = arena;
    this.#events = events;
  }

  /**
   * Tells `kind` of the MAC at arena offset `mac`.
   * @param againMs the same is not told again for so long
   */
  tell(
    link: DataLink,
    kind: EventKind,
    mac: number,
    peer: number,
    detail: number,
    againMs = AGAIN_MS,
  ): void {
    const { view } = this.#arena;
    const high = view.getUint16(mac);
    const low = view.getUint32(mac + 2);
    const hash = absorb(absorb(absorb(kind | (link.id << 8), peer), high), low);
    if (!this.#isDue(link, hash, againMs)) return;
    this.#count(link, this.#events.push(kind, link.id, high, low, peer, detail));
  }

  /**
   * The same with the address of `bytes` (4 or 16) at arena offset `address`.
   * @param word the detail of a binding, the peer of any other event
   */
  tellAddress(
    link: DataLink,
    kind: EventKind,
    mac: number,
    address: number,
    bytes: 4 | 16,
    word: number,
  ): void {
    const { view } = this.#arena;
    const high = view.getUint16(mac);
    const low = view.getUint32(mac + 2);
    let hash = absorb(absorb(absorb(kind | (link.id << 8), word), high), low);
    for (let i = 0; i < bytes; i += 4) hash = absorb(hash, view.getInt32(address + i));
    if (!this.#isDue(link, hash, AGAIN_MS)) return;
    const about = this.#about;
    about.kind = kind;
    about.link = link.id;
    about.peer = kind === EventKind.Binding ? 0 : word;
    about.detail = kind === EventKind.Binding ? word : 0;
    this.#count(link, this.#events.pushAddress(about, high, low, view, address, bytes));
  }

  /** Tells of a datagram of a train test: its token at arena offset `token`, from the socket address at `name`. */
  tellSender(link: DataLink, token: number, name: number, what: number): void {
    const { view } = this.#arena;
    const at = name + addressOffset(view, name);
    this.tellAddress(link, EventKind.TrainTest, token, at, addressBytes(view, name), what);
  }

  #isDue(link: DataLink, hash: number, againMs: number): boolean {
    const slot = hash & (SLOTS - 1);
    const { nowMs } = this;
    if (this.#hash[slot] === hash && nowMs - (this.#toldMs[slot] as number) < againMs) return false;
    let bucket = this.#buckets[link.id];
    if (bucket === undefined) {
      bucket = new Bucket(EVENTS_PER_SECOND);
      this.#buckets[link.id] = bucket;
    }
    if (!bucket.take(nowMs)) {
      link.counters[LIMITED] = (link.counters[LIMITED] as number) + 1;
      return false;
    }
    this.#hash[slot] = hash;
    this.#toldMs[slot] = nowMs;
    return true;
  }

  #count(link: DataLink, isTold: boolean): void {
    if (!isTold) link.counters[LOST] = (link.counters[LOST] as number) + 1;
  }
}
