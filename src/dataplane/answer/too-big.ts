/**
 * "Packet too big" into the overlay: the inner sender learns the path's MTU (RFC 1191 §4).
 * @module
 */

import { eventIndex } from '../../table/counters.ts';
import {
  ETHERTYPE_IPV4,
  emitEthernet,
  getEthernetDestination,
  getEthernetSource,
} from '../../wire/ethernet.ts';
import {
  emitIcmpFragmentationNeeded,
  ICMP_ERROR_BYTES_MAX,
  mayAnswerIpv4,
} from '../../wire/icmp.ts';
import { IPV4_DESTINATION_OFFSET } from '../../wire/ipv4.ts';
import { emitVirtioNetPlain, VIRTIO_NET_BYTES } from '../../wire/virtio-net.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';

/** At most this many a second for each link, so that a flood of big packets costs little. */
const RATE_PER_SECOND = 100;
const BURST = 100;
const FRAME_BYTES = VIRTIO_NET_BYTES + 14 + ICMP_ERROR_BYTES_MAX;

const SENT = eventIndex('packet_too_big_sent');
const LIMITED = eventIndex('packet_too_big_limited');

export class TooBig {
  readonly #arena: Arena;
  readonly #buffer: number;
  #tokens = BURST;
  #refilledAtMs = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#buffer = arena.allocate(FRAME_BYTES);
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
    if (!mayAnswerIpv4(view, l3, byteCount)) return;
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
    // The far router's address: our own slice's .1 is local to this host, whose stack would take
    // a packet from outside that carries it for a martian.
    const source = link.route.farGateway(view, l3 + IPV4_DESTINATION_OFFSET);
    const packet = this.#buffer + VIRTIO_NET_BYTES + link.innerHeaderBytes;
    const packetBytes = emitIcmpFragmentationNeeded(view, packet, source, mtu, view, l3, byteCount);
    let start = packet;
    if (link.innerHeaderBytes !== 0) {
      start -= link.innerHeaderBytes;
      const sender = getEthernetSource(view, frame);
      emitEthernet(view, start, sender, getEthernetDestination(view, frame), ETHERTYPE_IPV4);
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
}
