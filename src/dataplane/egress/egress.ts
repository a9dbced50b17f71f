/**
 * Overlay → underlay. What a packet meets, in this order:
 *
 *   1. read from the device into a slot           device-reader.ts
 *   2. what its device says of it, which kind     classify.ts, offload.ts
 *   3. header checks, cheapest first; source
 *      check, destination → peer                  four.ts, six.ts, arp.ts, or network/
 *   4. MTU check, "too big" answered              wrap/fit.ts
 *   5. source port, TOS, shim                     wrap/outer-way.ts, wrap/wrap.ts
 *   6. waits its turn, where the link has a rate  queue/stage.ts
 *   7. cut if it is a super-packet                wrap/cut.ts
 *   8. appended to a train, sent with the burst   send/trains.ts
 *
 * No packet throws, none allocates; each that ends here adds to exactly one drop counter.
 * @module
 */
import type { Layout } from '../../shm/layout.ts';
import type { PeerRateReader } from '../../table/links/peer-rates.ts';
import { NeighbourDiscovery } from '../answer/nd.ts';
import { Neighbours } from '../answer/neighbours.ts';
import type { TooBig } from '../answer/too-big.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import type { Claims } from '../learn/claims.ts';
import type { News } from '../learn/news.ts';
import { InHand } from '../packet/in-hand.ts';
import type { Policy } from '../policy/policy.ts';
import type { DeviceBacklog } from '../queue/device-backlog.ts';
import { QueueStage } from '../queue/stage.ts';
import type { Clock } from '../queue/time-slice.ts';
import type { PathMtu } from '../send/path-mtu.ts';
import type { Trains } from '../send/trains.ts';
import { ArpEgress } from './arp.ts';
import { Classify } from './classify.ts';
import { DeviceReader } from './device-reader.ts';
import { VniEgress } from './network/vni.ts';
import { Wrap } from './wrap/wrap.ts';

/** What egress works with. */
export type EgressParts = {
  arena: Arena;
  trains: Trains;
  paths: PathMtu;
  tooBig: TooBig;
  /** Those that ingress has too; its own where there is none. */
  neighbours?: Neighbours;
  discovery?: NeighbourDiscovery;
  /** What single hosts may be sent; nobody has a rate of its own where there is none. */
  rates?: PeerRateReader;
  /** What flows that wait are hashed with; a secret of its own unless given. */
  seed?: number;
  /** What turns are timed by; the system's unless given. */
  clock?: Clock;
};

export class Egress {
  readonly #arena: Arena;
  readonly #trains: Trains;
  readonly #classify: Classify;
  readonly #wrap: Wrap;
  /** What waits for its link's rate. */
  readonly queues: QueueStage;
  readonly #hand = new InHand();
  #news: News | undefined;
  readonly #reader: DeviceReader;

  constructor(layout: Layout, parts: EgressParts) {
    const { arena, trains, paths, tooBig, rates } = parts;
    const { neighbours = new Neighbours(arena), discovery = new NeighbourDiscovery(arena) } = parts;
    this.#arena = arena;
    this.#trains = trains;
    this.queues = new QueueStage(arena, trains, paths.peers, Math.max(1, layout.queues), rates);
    const isAlone = layout.queues <= 1;
    const wrap = new Wrap({ arena, trains, paths, tooBig, queues: this.queues, isAlone });
    const arp = new ArpEgress(arena, neighbours, trains, wrap);
    this.#wrap = wrap;
    this.#classify = new Classify({ arena, hand: this.#hand, discovery, arp, wrap });
    this.#reader = new DeviceReader(arena, layout, this, parts.seed, parts.clock);
  }

  /** Serves links that are layer-2 networks too, and tells what happens there. */
  serveNetworks(claims: Claims, news: News, policy: Policy): void {
    const [arena, hand, wrap] = [this.#arena, this.#hand, this.#wrap];
    this.#news = news;
    this.#classify.networks = new VniEgress({ arena, hand, wrap, claims, news, policy });
  }

  /** Drops what it reads: it waited too long (stale.ts). */
  set sheds(sheds: boolean) {
    this.#classify.sheds = sheds;
    this.#reader.sheds = sheds;
  }

  /** Moves up to one burst, `most` packets, from the link's device to the underlay; returns packets read. */
  readBurst(link: DataLink, nowMs: number, most?: number): number {
    this.#nextBurst(nowMs);
    return this.#reader.read(link, nowMs, most);
  }

  /** Small packets that have been read since this was asked last. */
  takeSmall(): number {
    return this.#reader.takeSmall();
  }

  /** What was read and has to wait; and how many frames that is. */
  get held(): DeviceBacklog {
    return this.#reader.held;
  }

  get backlog(): number {
    return this.held.frames;
  }

  /** Forwards of that what has waited longest; returns how many frames. */
  release(nowMs: number): number {
    this.#nextBurst(nowMs);
    return this.#reader.release();
  }

  /** A link has gone, and with it what it had waiting. */
  forgetLink(id: number): void {
    this.queues.forget(id);
    this.#reader.forgetLink(id);
  }

  #nextBurst(nowMs: number): void {
    this.#classify.nowMs = nowMs;
    this.#wrap.nextBurst(nowMs);
    if (this.#news !== undefined) this.#news.nowMs = nowMs;
  }

  /**
   * Decides about one frame (bridged) or packet (routed) of `byteCount` bytes at `frame`, with
   * its virtio-net header right before it where the device has one, and appends it to a train.
   * Exposed for tests; {@link flush} sends.
   */
  packet(link: DataLink, frame: number, byteCount: number): void {
    this.#classify.packet(link, frame, byteCount);
  }

  /** Bytes that {@link packet} has appended since. */
  get pendingBytes(): number {
    return this.#trains.pendingBytes;
  }

  /** Sends what {@link packet} appended. */
  flush(): void {
    this.#wrap.flush();
  }
}
