/**
 * Questions about who has an address, answered where they are asked: ARP by a reply, Neighbour Discovery
 * by an advertisement, each in the name of the one that has it (RFC 9161 §3). The question goes no further.
 * @module
 */
import { eventIndex } from '../../table/counters.ts';
import {
  ARP_BYTES,
  ARP_REPLY,
  emitArp,
  getArpSenderAddress,
  getArpSenderMac,
  getArpTargetAddress,
  setArpTarget,
} from '../../wire/arp.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV6,
  emitEthernet,
  getEthernetSource,
} from '../../wire/ethernet.ts';
import { isIpv6SourceUnspecified } from '../../wire/ipv6.ts';
import {
  emitNeighbourAdvert,
  ND_OVERRIDE,
  ND_ROUTER,
  NEIGHBOUR_ADVERT_PACKET_BYTES,
} from '../../wire/six/nd-link.ts';
import { emitVirtioNetPlain, VIRTIO_NET_BYTES } from '../../wire/virtio-net.ts';
import type { Arena } from '../ground/arena.ts';
import { Bucket } from '../ground/bucket.ts';
import type { DataLink } from '../ground/link.ts';

/** Answers a second, all links together: a write to a device each. */
const ANSWERS_PER_SECOND = 20_000;
const BURST = 2000;
/** ff02::1 on Ethernet (RFC 2464 §7). */
const ALL_NODES_MAC = 0x3333_0000_0001;

const ARP_ANSWERED = eventIndex('arp_answered');
const ND_ANSWERED = eventIndex('nd_answered');
const LIMITED = eventIndex('neighbour_limited');

export class BindingAnswers {
  readonly #arena: Arena;
  readonly #buffer: number;
  readonly #bucket = new Bucket(ANSWERS_PER_SECOND, BURST);

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#buffer = arena.allocate(
      VIRTIO_NET_BYTES + ETHERNET_HEADER_BYTES + NEIGHBOUR_ADVERT_PACKET_BYTES,
    );
  }

  /** Answers the ARP request at `arp` for its target, which has the MAC `mac` (u48). */
  arp(link: DataLink, arp: number, mac: number, nowMs: number): boolean {
    if (!this.#mayGo(link, nowMs)) return false;
    const { view } = this.#arena;
    const at = this.#buffer + VIRTIO_NET_BYTES;
    const asker = getArpSenderMac(view, arp);
    const target = getArpTargetAddress(view, arp);
    emitEthernet(view, at, asker, mac, ETHERTYPE_ARP);
    const reply = at + ETHERNET_HEADER_BYTES;
    emitArp(view, reply, ARP_REPLY, mac, target);
    setArpTarget(view, reply, asker, getArpSenderAddress(view, arp));
    return this.#write(link, at, ETHERNET_HEADER_BYTES + ARP_BYTES, ARP_ANSWERED);
  }

  /**
   * Answers the neighbour solicitation at `l4` of the packet at `l3` in the frame at `frame`.
   * @param mac of its target, u48
   * @param isRouter the target routes (RFC 4861 §4.4)
   */
  nd(
    link: DataLink,
    frame: number,
    l4: number,
    mac: number,
    isRouter: boolean,
    nowMs: number,
  ): boolean {
    if (!this.#mayGo(link, nowMs)) return false;
    const { view } = this.#arena;
    const at = this.#buffer + VIRTIO_NET_BYTES;
    const l3 = frame + ETHERNET_HEADER_BYTES;
    const isForAll = isIpv6SourceUnspecified(view, l3);
    const asker = isForAll ? ALL_NODES_MAC : getEthernetSource(view, frame);
    const flags = ND_OVERRIDE | (isRouter ? ND_ROUTER : 0);
    emitEthernet(view, at, asker, mac, ETHERTYPE_IPV6);
    emitNeighbourAdvert(view, at + ETHERNET_HEADER_BYTES, l3, l4, mac, flags);
    return this.#write(
      link,
      at,
      ETHERNET_HEADER_BYTES + NEIGHBOUR_ADVERT_PACKET_BYTES,
      ND_ANSWERED,
    );
  }

  #mayGo(link: DataLink, nowMs: number): boolean {
    if (this.#bucket.take(nowMs)) return true;
    link.counters[LIMITED] = (link.counters[LIMITED] as number) + 1;
    return false;
  }

  #write(link: DataLink, frame: number, frameBytes: number, counter: number): boolean {
    let start = frame;
    if (link.vnetHeader) {
      start -= VIRTIO_NET_BYTES;
      emitVirtioNetPlain(this.#arena.view, start);
    }
    const bytes = frame + frameBytes - start;
    if (link.device.writePiece(start, bytes) !== bytes) return false;
    link.counters[counter] = (link.counters[counter] as number) + 1;
    return true;
  }
}
