/**
 * Packets longer than the link's MTU, as a kernel endpoint on the same machine puts them on the wire uncut:
 * the device is told how to cut them, or gets them cut.
 * @module
 */
import { UDP_SEGMENTS_MAX } from '../../../sys/libc/constants.ts';
import { ingressIndex } from '../../../table/counters.ts';
import {
  emitVirtioNet,
  emitVirtioNetPlain,
  setVirtioGso,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../../../wire/virtio-net.ts';
import { type Arena, IOVEC_BYTES } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import { SCRATCH_BYTES, Segmenter } from '../../ground/segment.ts';
import { checksumOffset, prepareSuper } from '../../ground/transport-sum.ts';
import type { InnerPacket } from '../../packet/inner-packet.ts';
import type { DeviceWriter } from './device-writer.ts';
import { superTypeOf } from './super-packets.ts';

const TOO_BIG = ingressIndex('drop.too_big');

export class Giants {
  readonly #arena: Arena;
  readonly #writer: DeviceWriter;
  readonly #segmenter: Segmenter;
  readonly #vnet: number;
  readonly #iovecs: number;
  readonly #scratch: number;
  readonly #piece: number;

  constructor(arena: Arena, writer: DeviceWriter) {
    this.#arena = arena;
    this.#writer = writer;
    this.#segmenter = new Segmenter(arena);
    this.#vnet = arena.allocate(16);
    this.#iovecs = arena.allocate(2 * UDP_SEGMENTS_MAX * IOVEC_BYTES);
    this.#scratch = arena.allocate(UDP_SEGMENTS_MAX * SCRATCH_BYTES);
    this.#piece = arena.allocate(3 * IOVEC_BYTES);
  }

  /**
   * A TCP packet larger than the MTU, or a train of inner UDP datagrams: a kernel endpoint on the
   * same machine put its super-packet on the wire uncut. The device is told how to cut it, or gets
   * it cut. Others are too big.
   *
   * @param innerSegmentBytes payload of each datagram of a train, 0 when it is none
   */
  write(link: DataLink, packet: InnerPacket, innerSegmentBytes: number): void {
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
    this.#writer.writeBehind(link, this.#vnet, frame, end - frame);
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
    if (!link.vnetHeader) return this.#writer.write(link, iovec, 2, packets, 0);
    const { bytes, view } = this.#arena;
    emitVirtioNetPlain(view, this.#vnet);
    this.#arena.writeIovec(this.#piece, this.#vnet, VIRTIO_NET_BYTES);
    bytes.copyWithin(this.#piece + IOVEC_BYTES, iovec, iovec + 2 * IOVEC_BYTES);
    this.#writer.write(link, this.#piece, 3, packets, 0);
  }
}
