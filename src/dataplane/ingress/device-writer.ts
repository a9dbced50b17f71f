/**
 * Writing to the overlay's devices: one `writev` for each packet or super-packet, with the
 * virtio-net header in front where the device has one; the counters of how it went.
 * @module
 */
import type { Layout } from '../../shm/layout.ts';
import { ErrorSite } from '../../shm/worker.ts';
import { EAGAIN, EINTR, EIO, ENOBUFS, ENOMEM, UDP_SEGMENTS_MAX } from '../../sys/libc/constants.ts';
import { ingressIndex } from '../../table/counters.ts';
import {
  getIpVersion,
  getIpv4Fragment,
  getIpv4Protocol,
  IPV4_DF,
  IPV4_PACKET_BYTES_MAX,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { getIpv6NextHeader, IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';
import { TCP_HEADER_BYTES } from '../../wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../../wire/udp.ts';
import {
  emitVirtioNet,
  VIRTIO_GSO_NONE,
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
    this.#writeOne(link, frame, frameBytes, 0, VIRTIO_GSO_NONE, 0, 0, 0, 0);
  }

  /** Writes one TCP or UDP frame, declaring (or finishing) an unfinished checksum. */
  writeTransport(
    link: DataLink,
    frame: number,
    frameBytes: number,
    l4: number,
    protocol: number,
    state: number,
  ): void {
    if (state !== Checksum.Unfinished) {
      this.writePlain(link, frame, frameBytes);
    } else if (link.vnetHeader) {
      const field = checksumOffset(protocol);
      const flags = VIRTIO_NEEDS_CSUM;
      this.#writeOne(link, frame, frameBytes, flags, VIRTIO_GSO_NONE, 0, 0, l4 - frame, field);
    } else {
      finishTransport(this.#arena, l4, frame + frameBytes, protocol);
      this.writePlain(link, frame, frameBytes);
    }
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
    const { view } = this.#arena;
    const isSix = getIpVersion(view, l3) === 6;
    const protocol = isSix ? getIpv6NextHeader(view, l3) : getIpv4Protocol(view, l3);
    const l4 = l3 + headerBytes;
    const end = frame + frameBytes;
    const isWhole = isSix
      ? headerBytes === IPV6_HEADER_BYTES
      : (getIpv4Fragment(view, l3) & ~IPV4_DF) === 0;
    const hasSum =
      (protocol === PROTOCOL_TCP && end - l4 >= TCP_HEADER_BYTES) ||
      (protocol === PROTOCOL_UDP && end - l4 >= UDP_HEADER_BYTES);
    if (!isWhole || !hasSum) return this.writePlain(link, frame, frameBytes);
    const state = verifyTransport(this.#arena, l3, l4, end, protocol);
    if (state === Checksum.Wrong) {
      link.counters[BAD_CHECKSUM] = (link.counters[BAD_CHECKSUM] as number) + 1;
      return;
    }
    this.writeTransport(link, frame, frameBytes, l4, protocol, state);
  }

  /**
   * A TCP packet larger than the MTU, or a train of inner UDP datagrams: a kernel endpoint on the
   * same machine put its super-packet on the wire uncut. The device is told how to cut it, or gets
   * it cut. Others are too big.
   *
   * @param innerSegmentBytes payload of each datagram of a train, 0 when it is none
   */
  writeGiant(
    link: DataLink,
    frame: number,
    frameBytes: number,
    l3: number,
    l4: number,
    l4Bytes: number,
    protocol: number,
    innerSegmentBytes: number,
  ): void {
    const isTcp = protocol === PROTOCOL_TCP;
    const gsoBytesMax = link.innerMtu - (l4 - l3) - l4Bytes;
    const gsoBytes = isTcp ? gsoBytesMax : innerSegmentBytes;
    if (gsoBytes <= 0 || gsoBytes > gsoBytesMax) {
      link.counters[TOO_BIG] = (link.counters[TOO_BIG] as number) + 1;
      return;
    }
    const totalBytes = frame + frameBytes - l3;
    if (!link.vnetHeader || (!isTcp && !link.uso)) {
      this.#writeCut(link, frame, l3, l4 - l3, l4Bytes, totalBytes, gsoBytes, protocol);
      return;
    }
    prepareSuper(this.#arena, l3, l4, totalBytes, protocol);
    this.#writeOne(
      link,
      frame,
      frameBytes,
      VIRTIO_NEEDS_CSUM,
      superTypeOf(this.#arena.view, l3, protocol),
      l4 + l4Bytes - frame,
      gsoBytes,
      l4 - frame,
      checksumOffset(protocol),
    );
  }

  /** The packet arrived as one and counts as one, however many pieces the device gets. */
  #writeCut(
    link: DataLink,
    frame: number,
    l3: number,
    headerBytes: number,
    l4Bytes: number,
    totalBytes: number,
    gsoBytes: number,
    protocol: number,
  ): void {
    const segmenter = this.#segmenter;
    segmenter.begin(frame, l3, headerBytes, l4Bytes, totalBytes, gsoBytes, protocol);
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
    emitVirtioNet(view, this.#vnet, 0, VIRTIO_GSO_NONE, 0, 0, 0, 0);
    this.#arena.writeIovec(this.#piece, this.#vnet, VIRTIO_NET_BYTES);
    bytes.copyWithin(this.#piece + IOVEC_BYTES, iovec, iovec + 2 * IOVEC_BYTES);
    this.write(link, this.#piece, 3, packets, 0);
  }

  #writeOne(
    link: DataLink,
    frame: number,
    frameBytes: number,
    flags: number,
    gsoType: number,
    headerBytes: number,
    gsoBytes: number,
    csumStart: number,
    csumOffset: number,
  ): void {
    let iovec = this.#iovecs + IOVEC_BYTES;
    let count = 1;
    this.#arena.writeIovec(iovec, frame, frameBytes);
    if (link.vnetHeader) {
      emitVirtioNet(
        this.#arena.view,
        this.#vnet,
        flags,
        gsoType,
        headerBytes,
        gsoBytes,
        csumStart,
        csumOffset,
      );
      iovec = this.#iovecs;
      count = 2;
      this.#arena.writeIovec(iovec, this.#vnet, VIRTIO_NET_BYTES);
    }
    this.write(link, iovec, count, 1, frameBytes);
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
