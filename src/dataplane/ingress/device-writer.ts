/**
 * Writing to the overlay's devices: one `writev` for each packet or super-packet, with the
 * virtio-net header in front where the device has one; the counters of how it went.
 * @module
 */
import type { Layout } from '../../shm/layout.ts';
import { ErrorSite } from '../../shm/worker.ts';
import { EAGAIN, EINTR, EIO, ENOBUFS, ENOMEM, UDP_SEGMENTS_MAX } from '../../sys/libc/constants.ts';
import { ingressIndex } from '../../table/counters.ts';
import { getIpVersion, IPV4_PACKET_BYTES_MAX, PROTOCOL_TCP } from '../../wire/ipv4.ts';
import {
  emitVirtioNet,
  emitVirtioNetPlain,
  setVirtioGso,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../../wire/virtio-net.ts';
import { type Arena, IOVEC_BYTES } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { SCRATCH_BYTES, Segmenter } from '../ground/segment.ts';
import {
  Checksum,
  checksumOffset,
  finishTransport,
  prepareSuper,
  verifyTransport,
} from '../ground/transport-sum.ts';
import { InnerPacket } from './inner-packet.ts';

const DELIVERED = ingressIndex('delivered');
const DELIVERED_BYTES = ingressIndex('deliveredBytes');
const DEVICE_FULL = ingressIndex('drop.device_full');
const DEVICE_DOWN = ingressIndex('drop.device_down');
const DEVICE_ERROR = ingressIndex('drop.device_error');
const TOO_BIG = ingressIndex('drop.too_big');
const BAD_CHECKSUM = ingressIndex('drop.bad_checksum');

/** The virtio-net GSO type of a super-packet of TCP or UDP with its IP header at `l3`. */
export function superTypeOf(view: DataView, l3: number, protocol: number): number {
  if (protocol !== PROTOCOL_TCP) return VIRTIO_GSO_UDP_L4;
  return getIpVersion(view, l3) === 6 ? VIRTIO_GSO_TCPV6 : VIRTIO_GSO_TCPV4;
}

export class DeviceWriter {
  readonly #arena: Arena;
  readonly #layout: Layout;
  readonly #segmenter: Segmenter;
  readonly #packet = new InnerPacket();
  readonly #vnet: number;
  readonly #iovecs: number;
  readonly #scratch: number;
  readonly #piece: number;

  constructor(arena: Arena, layout: Layout) {
    this.#arena = arena;
    this.#layout = layout;
    this.#segmenter = new Segmenter(arena);
    this.#vnet = arena.allocate(16);
    this.#iovecs = arena.allocate(2 * UDP_SEGMENTS_MAX * IOVEC_BYTES);
    this.#scratch = arena.allocate(UDP_SEGMENTS_MAX * SCRATCH_BYTES);
    this.#piece = arena.allocate(3 * IOVEC_BYTES);
  }

  /** Writes one frame whose checksums the receiving stack may check itself. */
  writePlain(link: DataLink, frame: number, frameBytes: number): void {
    if (link.vnetHeader) emitVirtioNetPlain(this.#arena.view, this.#vnet);
    this.#writeOne(link, frame, frameBytes);
  }

  /** Writes one TCP or UDP packet, declaring (or finishing) an unfinished checksum. */
  writeTransport(link: DataLink, packet: InnerPacket): void {
    const { frame, end, l4, protocol } = packet;
    if (packet.state !== Checksum.Unfinished) return this.writePlain(link, frame, end - frame);
    if (!link.vnetHeader) {
      finishTransport(this.#arena, l4, end, protocol);
      return this.writePlain(link, frame, end - frame);
    }
    const field = checksumOffset(protocol);
    emitVirtioNet(this.#arena.view, this.#vnet, VIRTIO_NEEDS_CSUM, l4 - frame, field);
    this.#writeOne(link, frame, end - frame);
  }

  /**
   * Writes one IP frame with its header at `l3`, which nothing is joined to. Its transport checksum
   * is verified like any other's, and nothing of its bytes changes but an unfinished one.
   */
  writeAlone(
    link: DataLink,
    frame: number,
    frameBytes: number,
    l3: number,
    headerBytes: number,
  ): void {
    const packet = this.#packet;
    packet.find(this.#arena.view, frame, frameBytes, l3, headerBytes);
    const hasSum = !packet.isPiece && (packet.isTcp || packet.isUdp);
    if (!hasSum) return this.writePlain(link, frame, frameBytes);
    packet.state = verifyTransport(this.#arena, l3, packet.l4, packet.end, packet.protocol);
    if (packet.state === Checksum.Wrong) {
      link.counters[BAD_CHECKSUM] = (link.counters[BAD_CHECKSUM] as number) + 1;
      return;
    }
    this.writeTransport(link, packet);
  }

  /**
   * A TCP packet larger than the MTU, or a train of inner UDP datagrams: a kernel endpoint on the
   * same machine put its super-packet on the wire uncut. The device is told how to cut it, or gets
   * it cut. Others are too big.
   *
   * @param innerSegmentBytes payload of each datagram of a train, 0 when it is none
   */
  writeGiant(link: DataLink, packet: InnerPacket, innerSegmentBytes: number): void {
    const { frame, end, l3, l4, l4Bytes, protocol, isTcp } = packet;
    const gsoBytesMax = link.innerMtu - (l4 - l3) - l4Bytes;
    const gsoBytes = isTcp ? gsoBytesMax : innerSegmentBytes;
    if (gsoBytes <= 0 || gsoBytes > gsoBytesMax) {
      link.counters[TOO_BIG] = (link.counters[TOO_BIG] as number) + 1;
      return;
    }
    if (!link.vnetHeader || (!isTcp && !link.uso)) return this.#writeCut(link, packet, gsoBytes);
    const { view } = this.#arena;
    const headerBytes = l4 + l4Bytes - frame;
    prepareSuper(this.#arena, l3, l4, end - l3, protocol);
    emitVirtioNet(view, this.#vnet, VIRTIO_NEEDS_CSUM, l4 - frame, checksumOffset(protocol));
    setVirtioGso(view, this.#vnet, superTypeOf(view, l3, protocol), headerBytes, gsoBytes);
    this.#writeOne(link, frame, end - frame);
  }

  /** The packet arrived as one and counts as one, however many pieces the device gets. */
  #writeCut(link: DataLink, packet: InnerPacket, gsoBytes: number): void {
    const segmenter = this.#segmenter;
    const { frame, end, l3, l4, l4Bytes, protocol } = packet;
    segmenter.gsoBytes = gsoBytes;
    segmenter.begin(frame, l3, l4 - l3, l4Bytes, end - l3, protocol);
    let packets = 1;
    while (segmenter.remaining > 0) {
      const count = Math.min(segmenter.remaining, UDP_SEGMENTS_MAX);
      segmenter.run(count, this.#scratch, this.#iovecs);
      for (let i = 0; i < count; i++) {
        this.#writePiece(link, this.#iovecs + i * 2 * IOVEC_BYTES, packets);
        packets = 0;
      }
    }
  }

  /** Writes headers and payload, the two iovecs at `iovec`, behind a plain virtio-net header. */
  #writePiece(link: DataLink, iovec: number, packets: number): void {
    if (!link.vnetHeader) return this.write(link, iovec, 2, packets, 0);
    const { bytes, view } = this.#arena;
    emitVirtioNetPlain(view, this.#vnet);
    this.#arena.writeIovec(this.#piece, this.#vnet, VIRTIO_NET_BYTES);
    bytes.copyWithin(this.#piece + IOVEC_BYTES, iovec, iovec + 2 * IOVEC_BYTES);
    this.write(link, this.#piece, 3, packets, 0);
  }

  /** Writes one frame, behind the virtio-net header that stands ready where the device has one. */
  #writeOne(link: DataLink, frame: number, frameBytes: number): void {
    const iovec = this.#iovecs + IOVEC_BYTES;
    this.#arena.writeIovec(iovec, frame, frameBytes);
    if (!link.vnetHeader) return this.write(link, iovec, 1, 1, frameBytes);
    this.#arena.writeIovec(this.#iovecs, this.#vnet, VIRTIO_NET_BYTES);
    this.write(link, this.#iovecs, 2, 1, frameBytes);
  }

  /** One writev of `count` iovecs at `iovec`, which stands for `packets` packets on the wire. */
  write(link: DataLink, iovec: number, count: number, packets: number, frameBytes: number): void {
    const { counters } = link;
    for (;;) {
      const written = link.device.write(iovec, count);
      if (written >= 0) {
        counters[DELIVERED] = (counters[DELIVERED] as number) + packets;
        counters[DELIVERED_BYTES] = (counters[DELIVERED_BYTES] as number) + frameBytes;
        return;
      }
      const error = -written;
      if (error === EINTR) continue;
      this.#layout.recordError(ErrorSite.DeviceWrite, error);
      let counter = DEVICE_ERROR;
      if (error === EAGAIN || error === ENOBUFS || error === ENOMEM) counter = DEVICE_FULL;
      // The kernel answers EIO while the device is down.
      else if (error === EIO) counter = DEVICE_DOWN;
      // Memory in pieces too small for so long a packet: TCP sends it again, and in shorter ones.
      if (error !== EIO && frameBytes > link.innerHeaderBytes + IPV4_PACKET_BYTES_MAX) {
        link.shortenSuperPackets();
      }
      counters[counter] = (counters[counter] as number) + packets;
      return;
    }
  }
}
