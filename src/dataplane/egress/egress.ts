/**
 * Overlay → underlay. What a packet meets, in this order:
 *
 *   1. read from the device into a slot          readBurst
 *   2. frame and header checks, cheapest first   packet, then four.ts or six.ts
 *   3. source check, destination → peer          (arithmetic on the address)
 *   4. MTU check, "too big" answered             wrap.ts
 *   5. shim, TOS, source port; super-packets cut  wrap.ts, source-ports.ts, segment.ts
 *   6. waits its turn, where the link has a rate   queue/stage.ts
 *   7. appended to a train, sent with the burst   trains.ts
 *
 * No packet throws, none allocates; each that ends here adds to exactly one drop counter.
 * @module
 */
import type { Layout } from '../../shm/layout.ts';
import { ErrorSite } from '../../shm/worker.ts';
import { EAGAIN, EINTR } from '../../sys/libc/constants.ts';
import { egressIndex, eventIndex } from '../../table/counters.ts';
import type { PeerRateReader } from '../../table/links/peer-rates.ts';
import {
  ARP_BYTES,
  ARP_SENDER_ADDRESS_OFFSET,
  ARP_TARGET_ADDRESS_OFFSET,
  getArpSenderAddress,
  getArpTargetAddress,
} from '../../wire/arp.ts';
import { checkArp, Fault } from '../../wire/classify.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
} from '../../wire/ethernet.ts';
import { getIpVersion, IPV4_HEADER_BYTES } from '../../wire/ipv4.ts';
import {
  getVirtioFlags,
  getVirtioGsoBytes,
  getVirtioGsoType,
  VIRTIO_GSO_ACCECN,
  VIRTIO_GSO_ECN_BITS,
  VIRTIO_GSO_NONE,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../../wire/virtio-net.ts';
import { BindingAnswers } from '../answer/bindings.ts';
import { NeighbourDiscovery } from '../answer/nd.ts';
import { Neighbours } from '../answer/neighbours.ts';
import type { TooBig } from '../answer/too-big.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { noPeerCounter } from '../ground/route.ts';
import { segmentCount } from '../ground/segment.ts';
import type { Claims } from '../learn/claims.ts';
import type { News } from '../learn/news.ts';
import type { Policy } from '../policy/policy.ts';
import { QueueStage } from '../queue/stage.ts';
import type { PathMtu } from '../send/path-mtu.ts';
import type { Trains } from '../send/trains.ts';
import { Forward } from './forward.ts';
import { FourEgress } from './four.ts';
import { InHand } from './in-hand.ts';
import { Questions } from './questions.ts';
import { Fate, SixEgress } from './six.ts';
import { VniEgress } from './vni.ts';
import { Wrap } from './wrap.ts';

/** Packets that one burst takes from a device before the other direction has its turn. */
const BURST_PACKETS = 64;
/** Room in front of each frame for the virtio-net header and, later, the shim in its place. */
const HEADROOM_BYTES = 64;
/** One slot: headroom, the largest super-packet, and a little slack. */
const SLOT_BYTES = HEADROOM_BYTES + 65536 + 512;
/** A burst is sent once this much payload waits, so that it is still in the processor's cache. */
const FLUSH_BYTES = 192 * 1024;

const RECEIVED = egressIndex('received');
const RECEIVED_BYTES = egressIndex('receivedBytes');
const RUNT = egressIndex('drop.runt');
const MALFORMED = egressIndex('drop.malformed');
const UNKNOWN_ETHERTYPE = egressIndex('drop.unknown_ethertype');
const IPV6 = egressIndex('drop.ipv6');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');
const LOCAL_DESTINATION = egressIndex('drop.local_destination');
const STALE = egressIndex('drop.stale');
const READ_ERRORS = eventIndex('device_read_errors');
const SUPER_PACKETS_IN = eventIndex('super_packets_in');
const NEIGHBOUR_TOLD = eventIndex('neighbour_told');

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
};

export class Egress {
  readonly #arena: Arena;
  readonly #layout: Layout;
  readonly #trains: Trains;
  readonly #neighbours: Neighbours;
  readonly #four: FourEgress;
  readonly #six: SixEgress;
  readonly #wrap: Wrap;
  /** What waits for its link's rate. */
  readonly queues: QueueStage;
  readonly #hand = new InHand();
  /** For links that are layer-2 networks. */
  #vni: VniEgress | undefined;
  #news: News | undefined;
  readonly #slots: number;
  #nowMs = 0;
  /** Drops what it reads: it waited too long (stale.ts). */
  sheds = false;

  constructor(layout: Layout, parts: EgressParts) {
    const { arena, trains, paths, tooBig, rates } = parts;
    const { neighbours = new Neighbours(arena), discovery = new NeighbourDiscovery(arena) } = parts;
    this.#arena = arena;
    this.#layout = layout;
    this.#trains = trains;
    this.#neighbours = neighbours;
    this.#four = new FourEgress(arena);
    this.#six = new SixEgress(arena, discovery);
    this.queues = new QueueStage(arena, trains, paths.peers, Math.max(1, layout.queues), rates);
    this.#wrap = new Wrap(arena, trains, paths, tooBig, this.queues, layout.queues <= 1);
    this.#slots = arena.allocate(BURST_PACKETS * SLOT_BYTES);
  }

  /** Serves links that are layer-2 networks too, and tells what happens there. */
  serveNetworks(claims: Claims, news: News, policy: Policy): void {
    const [arena, hand] = [this.#arena, this.#hand];
    const forward = new Forward(arena, hand, this.#wrap, news);
    const answers = new BindingAnswers(arena);
    const questions = new Questions({ arena, hand, forward, claims, news, answers });
    this.#news = news;
    this.#vni = new VniEgress(arena, hand, { claims, policy, forward, questions });
  }

  /** Moves up to one burst from the link's device to the underlay; returns packets read. */
  readBurst(link: DataLink, nowMs: number): number {
    this.#nowMs = nowMs;
    this.#wrap.nextBurst(nowMs);
    if (this.#news !== undefined) this.#news.nowMs = nowMs;
    const vnetBytes = link.vnetHeader ? VIRTIO_NET_BYTES : 0;
    let slot = 0;
    let reads = 0;
    while (reads < BURST_PACKETS) {
      const frame = this.#slots + slot * SLOT_BYTES + HEADROOM_BYTES;
      const length = link.device.read(frame - vnetBytes, SLOT_BYTES - HEADROOM_BYTES);
      if (length < 0) {
        if (length !== -EAGAIN && length !== -EINTR) this.#readFailed(link, -length);
        break;
      }
      link.readErrors = 0;
      reads++;
      this.packet(link, frame, length - vnetBytes);
      slot++;
      if (this.#trains.pendingBytes >= FLUSH_BYTES) {
        this.flush();
        slot = 0;
      }
    }
    this.flush();
    return reads;
  }

  #readFailed(link: DataLink, error: number): void {
    link.counters[READ_ERRORS] = (link.counters[READ_ERRORS] as number) + 1;
    this.#layout.recordError(ErrorSite.DeviceRead, error);
    link.readErrors++;
  }

  #drop(link: DataLink, counter: number, segments: number): void {
    link.counters[counter] = (link.counters[counter] as number) + segments;
  }

  /**
   * Decides about one frame (bridged) or packet (routed) of `byteCount` bytes at `frame`, with
   * its virtio-net header right before it where the device has one, and appends it to a train.
   * Exposed for tests; {@link flush} sends.
   */
  packet(link: DataLink, frame: number, byteCount: number): void {
    const { view } = this.#arena;
    const hand = this.#hand;
    hand.frame = frame;
    hand.byteCount = byteCount;
    hand.l3 = frame + link.innerHeaderBytes;
    hand.begin();
    if (link.vnetHeader) this.#readOffload(link);
    const { counters } = link;
    const { segments } = hand;
    counters[RECEIVED] = (counters[RECEIVED] as number) + segments;
    counters[RECEIVED_BYTES] = (counters[RECEIVED_BYTES] as number) + byteCount;
    if (this.sheds) return hand.drop(link, STALE);
    if (link.network !== undefined && this.#vni !== undefined) {
      return this.#vni.packet(link, link.network);
    }
    if (link.innerHeaderBytes !== 0) {
      if (byteCount < ETHERNET_HEADER_BYTES) return hand.drop(link, RUNT);
      const etherType = getEtherType(view, frame);
      if (etherType !== ETHERTYPE_IPV4) {
        if (etherType === ETHERTYPE_ARP) return this.#arp(link, frame, byteCount);
        if (etherType === ETHERTYPE_IPV6) return this.#packet6(link);
        return hand.drop(link, UNKNOWN_ETHERTYPE);
      }
    }
    if (byteCount < link.innerHeaderBytes + IPV4_HEADER_BYTES) return hand.drop(link, RUNT);
    if (getIpVersion(view, hand.l3) === 6) {
      // A frame that says IPv4 must not carry it.
      return link.innerHeaderBytes === 0 ? this.#packet6(link) : hand.drop(link, IPV6);
    }
    const fate = this.#four.judge(link, hand, this.#nowMs);
    if (fate >= 0) return hand.drop(link, fate);
    this.#wrap.send(link, hand);
  }

  /** What the virtio-net header in front of the packet in hand says of it. */
  #readOffload(link: DataLink): void {
    const { view } = this.#arena;
    const hand = this.#hand;
    const header = hand.frame - VIRTIO_NET_BYTES;
    const type = getVirtioGsoType(view, header);
    const gsoType = type & ~VIRTIO_GSO_ECN_BITS;
    hand.gsoType = gsoType;
    hand.repeatsCwr = (type & VIRTIO_GSO_ACCECN) !== 0;
    hand.needsChecksum = (getVirtioFlags(view, header) & VIRTIO_NEEDS_CSUM) !== 0;
    if (gsoType === VIRTIO_GSO_NONE) return;
    const { counters } = link;
    const gsoBytes = getVirtioGsoBytes(view, header);
    const available = hand.byteCount - link.innerHeaderBytes;
    hand.segments = segmentCount(view, link, hand.l3, available, gsoType, gsoBytes);
    hand.gsoBytes = gsoBytes;
    counters[SUPER_PACKETS_IN] = (counters[SUPER_PACKETS_IN] as number) + 1;
  }

  /** The same for the IPv6 packet in hand. */
  #packet6(link: DataLink): void {
    const hand = this.#hand;
    const fate = this.#six.judge(link, hand, this.#nowMs);
    if (fate >= 0) return hand.drop(link, fate);
    if (fate === Fate.Forward) return this.#wrap.send(link, hand);
    // One message for many hosts: each copy counts as a packet of its own.
    let told = 0;
    while (this.#six.nextPeer(link, hand, this.#nowMs)) {
      this.#wrap.sendPlain(
        link,
        hand.frame,
        hand.l3 + hand.totalBytes - hand.frame,
        hand.peer,
        hand.vni,
      );
      told++;
    }
    const { counters } = link;
    if (told === 0) return this.#drop(link, LOCAL_DESTINATION, 1);
    counters[NEIGHBOUR_TOLD] = (counters[NEIGHBOUR_TOLD] as number) + told;
    counters[RECEIVED] = (counters[RECEIVED] as number) + told - 1;
  }

  /** Sends what {@link packet} appended. */
  flush(): void {
    this.#wrap.flush();
  }

  /** ARP goes to the host that owns its target address, as unicast (the kernel fan's rule). */
  #arp(link: DataLink, frame: number, byteCount: number): void {
    const { view } = this.#arena;
    const arp = frame + ETHERNET_HEADER_BYTES;
    if (byteCount < ETHERNET_HEADER_BYTES + ARP_BYTES) return this.#drop(link, RUNT, 1);
    if (checkArp(view, arp, ARP_BYTES) !== Fault.None) return this.#drop(link, MALFORMED, 1);
    const { route } = link;
    if (!route.isHere(view, arp + ARP_SENDER_ADDRESS_OFFSET)) {
      return this.#drop(link, FOREIGN_SOURCE, 1);
    }
    const sender = getArpSenderAddress(view, arp);
    link.noteSender(view, frame, sender, this.#nowMs);
    if (getArpTargetAddress(view, arp) === sender) {
      return this.#neighbours.tell(link, frame, this.#trains, this.#nowMs);
    }
    const peer = route.to(view, arp + ARP_TARGET_ADDRESS_OFFSET);
    if (peer < 0) return this.#drop(link, noPeerCounter(peer), 1);
    this.#wrap.sendPlain(link, frame, ETHERNET_HEADER_BYTES + ARP_BYTES, peer, link.vni);
  }
}
