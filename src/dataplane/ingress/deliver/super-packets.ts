/**
 * Super-packets on their way to the device: the headers of the first segment speak for all, and one write
 * gathers the payloads (TCP: GSO_TCPV4 or GSO_TCPV6; UDP datagrams of one size: GSO_UDP_L4).
 * @module
 */
import { eventIndex } from '../../../table/counters.ts';
import { getIpVersion, PROTOCOL_TCP } from '../../../wire/ipv4.ts';
import {
  emitVirtioNet,
  emitVirtioNetPlain,
  setVirtioGso,
  VIRTIO_DATA_VALID,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../../../wire/virtio-net.ts';
import { type Arena, IOVEC_BYTES } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import { checksumOffset, prepareSuper } from '../../ground/transport-sum.ts';
import type { DeviceWriter } from './device-writer.ts';
import { FLOW_SLOTS, type OpenFlows } from './open-flows.ts';

const VNET_STRIDE_BYTES = 16;

const SUPER_PACKETS_OUT = eventIndex('super_packets_out');

/** The virtio-net GSO type of a super-packet of TCP or UDP with its IP header at `l3`. */
export function superTypeOf(view: DataView, l3: number, protocol: number): number {
  if (protocol !== PROTOCOL_TCP) return VIRTIO_GSO_UDP_L4;
  return getIpVersion(view, l3) === 6 ? VIRTIO_GSO_TCPV6 : VIRTIO_GSO_TCPV4;
}

export class SuperPackets {
  readonly #arena: Arena;
  readonly #writer: DeviceWriter;
  readonly #flows: OpenFlows;
  readonly #vnets: number;

  constructor(arena: Arena, writer: DeviceWriter, flows: OpenFlows) {
    this.#arena = arena;
    this.#writer = writer;
    this.#flows = flows;
    this.#vnets = arena.allocate(FLOW_SLOTS * VNET_STRIDE_BYTES);
  }

  /** Writes what is open in a slot to its device. */
  write(slot: number): void {
    const flows = this.#flows;
    const link = flows.link[slot] as DataLink;
    const { view } = this.#arena;
    const segments = flows.segments[slot] as number;
    const frame = flows.frame[slot] as number;
    const l3 = flows.l3[slot] as number;
    const l4 = flows.l4[slot] as number;
    const prefixBytes = flows.prefixBytes[slot] as number;
    const payloadBytes = flows.payloadBytes[slot] as number;
    const protocol = flows.protocol[slot] as number;
    const vnet = this.#vnets + slot * VNET_STRIDE_BYTES;
    const field = checksumOffset(protocol);
    flows.close(slot);
    if (segments === 1) {
      if (flows.unfinished[slot] === 1) {
        emitVirtioNet(view, vnet, VIRTIO_NEEDS_CSUM, l4 - frame, field);
      } else {
        emitVirtioNetPlain(view, vnet, VIRTIO_DATA_VALID);
      }
    } else {
      prepareSuper(this.#arena, l3, l4, frame + prefixBytes - l3 + payloadBytes, protocol);
      emitVirtioNet(view, vnet, VIRTIO_NEEDS_CSUM, l4 - frame, field);
      const gsoBytes = flows.segmentBytes[slot] as number;
      setVirtioGso(view, vnet, superTypeOf(view, l3, protocol), prefixBytes, gsoBytes);
      link.counters[SUPER_PACKETS_OUT] = (link.counters[SUPER_PACKETS_OUT] as number) + 1;
    }
    const iovec = flows.iovecsOf(slot);
    const frameBytes = prefixBytes + payloadBytes;
    // Joining needs the virtio-net header, so a super-packet always has one.
    if (link.vnetHeader) {
      this.#arena.writeIovec(iovec, vnet, VIRTIO_NET_BYTES);
      this.#writer.write(link, iovec, segments + 1, segments, frameBytes);
    } else {
      this.#writer.write(link, iovec + IOVEC_BYTES, segments, segments, frameBytes);
    }
  }
}
