/**
 * "Packet too big" into the overlay: the inner sender learns the path's MTU (RFC 1191 §4, RFC
 * 8201 §4).
 * @module
 */

import { eventIndex } from '../../table/counters.ts';
import {
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  emitEthernet,
  getEthernetDestination,
  getEthernetSource,
} from '../../wire/ethernet.ts';
import {
  emitIcmpFragmentationNeeded,
  emitIcmpv6TooBig,
  mayAnswerIpv4,
  mayAnswerIpv6,
} from '../../wire/icmp.ts';
import { getIpVersion, IPV4_DESTINATION_OFFSET } from '../../wire/ipv4.ts';
import { IPV6_DESTINATION_OFFSET, IPV6_MTU_MIN } from '../../wire/ipv6.ts';
import { emitVirtioNetPlain, VIRTIO_NET_BYTES } from '../../wire/virtio-net.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';

/** At most this many a second for each link, so that a flood of big packets costs little. */
const RATE_PER_SECOND = 100;
const BURST = 100;
/** An ICMPv6 error is the longer one: up to the least MTU (RFC 4443 §2.4 c). */
const FRAME_BYTES = VIRTIO_NET_BYTES + 14 + IPV6_MTU_MIN;

const SENT = eventIndex('packet_too_big_sent');
const LIMITED = eventIndex('packet_too_big_limited');

export class TooBig {
  readonly #arena: Arena;
  readonly #buffer: number;
  /** 16 bytes: the address that an answer comes from. */
  readonly #source: number;
  #tokens = BURST;
  #refilledAtMs = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#buffer = arena.allocate(FRAME_BYTES);
    this.#source = arena.allocate(16);
  }

  /**
   * Tells the sender of the packet at `l3` (in the frame at `frame`, `byteCount` bytes from `l3`
   * on) that packets of `mtu` bytes fit. Errors, fragments and the like are never answered.
   */
  answer(
    link: DataLink,
    frame: number,
    l3: number,
    byteCount: number,
    mtu: number,
    nowMs: number,
  ): void {
    const { view } = this.#arena;
    const isSix = getIpVersion(view, l3) === 6;
    const mayAnswer = isSix
      ? mayAnswerIpv6(view, l3, byteCount)
      : mayAnswerIpv4(view, l3, byteCount);
    if (!mayAnswer) return;
    this.#tokens = Math.min(
      BURST,
      this.#tokens + ((nowMs - this.#refilledAtMs) * RATE_PER_SECOND) / 1000,
    );
    this.#refilledAtMs = nowMs;
    if (this.#tokens < 1) {
      link.counters[LIMITED] = (link.counters[LIMITED] as number) + 1;
      return;
    }
    this.#tokens--;
    const packet = this.#buffer + VIRTIO_NET_BYTES + link.innerHeaderBytes;
    const packetBytes = isSix
      ? this.#emit6(link, packet, l3, byteCount, mtu)
      : this.#emit(link, packet, l3, byteCount, mtu);
    let start = packet;
    if (link.innerHeaderBytes !== 0) {
      start -= link.innerHeaderBytes;
      const sender = getEthernetSource(view, frame);
      const etherType = isSix ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
      emitEthernet(view, start, sender, getEthernetDestination(view, frame), etherType);
    }
    if (link.vnetHeader) {
      start -= VIRTIO_NET_BYTES;
      emitVirtioNetPlain(view, start);
    }
    const length = packet + packetBytes - start;
    if (link.device.writePiece(start, length) === length) {
      link.counters[SENT] = (link.counters[SENT] as number) + 1;
    }
  }

  /** The message to an IPv4 sender at `packet`; its length. */
  #emit(link: DataLink, packet: number, l3: number, byteCount: number, mtu: number): number {
    const { view } = this.#arena;
    // The far router's address: our own slice's .1 is local to this host, whose stack would take
    // a packet from outside that carries it for a martian.
    const source = link.route.farGateway(view, l3 + IPV4_DESTINATION_OFFSET);
    return emitIcmpFragmentationNeeded(view, packet, source, mtu, {
      view,
      at: l3,
      bytes: byteCount,
    });
  }

  /** The same to an IPv6 sender, who is never told of less than every path must carry. */
  #emit6(link: DataLink, packet: number, l3: number, byteCount: number, mtu: number): number {
    const { view } = this.#arena;
    const destination = l3 + IPV6_DESTINATION_OFFSET;
    link.six?.farGateway(view, destination, this.#source);
    // On a layer-2 network no router stands between: it is told in the name of where it was going.
    const source = link.six === undefined ? destination : this.#source;
    const least = Math.max(mtu, IPV6_MTU_MIN);
    return emitIcmpv6TooBig(view, packet, view, source, least, { view, at: l3, bytes: byteCount });
  }
}
