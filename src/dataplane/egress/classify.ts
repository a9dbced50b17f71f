/**
 * What kind of packet egress has in hand, and so which checks it meets: those of a layer-2 network, of ARP,
 * of IPv4 or of IPv6. What passes them goes on to be wrapped.
 * @module
 */
import { egressIndex, eventIndex } from '../../table/counters.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
} from '../../wire/ethernet.ts';
import { getIpVersion, IPV4_HEADER_BYTES } from '../../wire/ipv4.ts';
import type { NeighbourDiscovery } from '../answer/nd.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import type { InHand } from '../packet/in-hand.ts';
import type { ArpEgress } from './arp.ts';
import { FourEgress } from './four.ts';
import type { VniEgress } from './network/vni.ts';
import { readOffload } from './offload.ts';
import { Fate, SixEgress } from './six.ts';
import type { Wrap } from './wrap/wrap.ts';

const RECEIVED = egressIndex('received');
const RECEIVED_BYTES = egressIndex('receivedBytes');
const RUNT = egressIndex('drop.runt');
const UNKNOWN_ETHERTYPE = egressIndex('drop.unknown_ethertype');
const IPV6 = egressIndex('drop.ipv6');
const LOCAL_DESTINATION = egressIndex('drop.local_destination');
const STALE = egressIndex('drop.stale');
const NEIGHBOUR_TOLD = eventIndex('neighbour_told');

/** What the packets of each kind go to. */
export type ClassifyParts = {
  arena: Arena;
  hand: InHand;
  discovery: NeighbourDiscovery;
  arp: ArpEgress;
  wrap: Wrap;
};

export class Classify {
  readonly #view: DataView;
  readonly #hand: InHand;
  readonly #arp: ArpEgress;
  readonly #four: FourEgress;
  readonly #six: SixEgress;
  readonly #wrap: Wrap;
  /** For links that are layer-2 networks. */
  networks: VniEgress | undefined;
  /** Time of the burst in hand, ms on the loop's clock. */
  nowMs = 0;
  /** Drops what it is given: it waited too long (stale.ts). */
  sheds = false;

  constructor({ arena, hand, discovery, arp, wrap }: ClassifyParts) {
    this.#view = arena.view;
    this.#hand = hand;
    this.#arp = arp;
    this.#four = new FourEgress(arena);
    this.#six = new SixEgress(arena, discovery);
    this.#wrap = wrap;
  }

  /** Takes the frame or packet of `byteCount` bytes at `frame` in hand and decides about it. */
  packet(link: DataLink, frame: number, byteCount: number): void {
    const view = this.#view;
    const hand = this.#hand;
    hand.frame = frame;
    hand.byteCount = byteCount;
    hand.l3 = frame + link.innerHeaderBytes;
    hand.begin();
    if (link.vnetHeader) readOffload(view, link, hand);
    const { counters } = link;
    counters[RECEIVED] = (counters[RECEIVED] as number) + hand.segments;
    counters[RECEIVED_BYTES] = (counters[RECEIVED_BYTES] as number) + byteCount;
    if (this.sheds) return hand.drop(link, STALE);
    if (link.network !== undefined && this.networks !== undefined) {
      return this.networks.packet(link, link.network);
    }
    if (link.innerHeaderBytes !== 0) {
      if (byteCount < ETHERNET_HEADER_BYTES) return hand.drop(link, RUNT);
      const etherType = getEtherType(view, frame);
      if (etherType !== ETHERTYPE_IPV4) {
        if (etherType === ETHERTYPE_ARP) return this.#arp.packet(link, hand, this.nowMs);
        if (etherType === ETHERTYPE_IPV6) return this.#packet6(link);
        return hand.drop(link, UNKNOWN_ETHERTYPE);
      }
    }
    if (byteCount < link.innerHeaderBytes + IPV4_HEADER_BYTES) return hand.drop(link, RUNT);
    if (getIpVersion(view, hand.l3) === 6) {
      // A frame that says IPv4 must not carry it.
      return link.innerHeaderBytes === 0 ? this.#packet6(link) : hand.drop(link, IPV6);
    }
    const fate = this.#four.judge(link, hand, this.nowMs);
    if (fate >= 0) return hand.drop(link, fate);
    this.#wrap.send(link, hand);
  }

  /** The same for the IPv6 packet in hand. */
  #packet6(link: DataLink): void {
    const hand = this.#hand;
    const fate = this.#six.judge(link, hand, this.nowMs);
    if (fate >= 0) return hand.drop(link, fate);
    if (fate === Fate.Forward) return this.#wrap.send(link, hand);
    // One message for many hosts: each copy counts as a packet of its own.
    const bytes = hand.l3 + hand.totalBytes - hand.frame;
    let told = 0;
    while (this.#six.nextPeer(link, hand, this.nowMs)) {
      this.#wrap.sendPlain(link, hand.frame, bytes, hand.peer, hand.vni);
      told++;
    }
    const { counters } = link;
    if (told === 0) return hand.dropOne(link, LOCAL_DESTINATION);
    counters[NEIGHBOUR_TOLD] = (counters[NEIGHBOUR_TOLD] as number) + told;
    counters[RECEIVED] = (counters[RECEIVED] as number) + told - 1;
  }
}
