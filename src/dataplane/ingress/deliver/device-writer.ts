/**
 * Writing to the overlay's devices: one `writev` for each packet or super-packet, with the
 * virtio-net header in front where the device has one; the counters of how it went.
 * @module
 */
import type { Layout } from '../../../shm/layout.ts';
import { ErrorSite } from '../../../shm/worker.ts';
import { EAGAIN, EINTR, EIO, ENOBUFS, ENOMEM } from '../../../sys/libc/constants.ts';
import { ingressIndex } from '../../../table/counters.ts';
import { IPV4_PACKET_BYTES_MAX } from '../../../wire/ipv4.ts';
import {
  emitVirtioNet,
  emitVirtioNetPlain,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../../../wire/virtio-net.ts';
import { type Arena, IOVEC_BYTES } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import {
  Checksum,
  checksumOffset,
  finishTransport,
  verifyTransport,
} from '../../ground/transport-sum.ts';
import { InnerPacket } from '../../packet/inner-packet.ts';

const DELIVERED = ingressIndex('delivered');
const DELIVERED_BYTES = ingressIndex('deliveredBytes');
const DEVICE_FULL = ingressIndex('drop.device_full');
const DEVICE_DOWN = ingressIndex('drop.device_down');
const DEVICE_ERROR = ingressIndex('drop.device_error');
const BAD_CHECKSUM = ingressIndex('drop.bad_checksum');

export class DeviceWriter {
  readonly #arena: Arena;
  readonly #layout: Layout;
  readonly #packet = new InnerPacket();
  readonly #vnet: number;
  readonly #iovecs: number;

  constructor(arena: Arena, layout: Layout) {
    this.#arena = arena;
    this.#layout = layout;
    this.#vnet = arena.allocate(16);
    this.#iovecs = arena.allocate(2 * IOVEC_BYTES);
  }

  /** Writes one frame whose checksums the receiving stack may check itself. */
  writePlain(link: DataLink, frame: number, frameBytes: number): void {
    if (link.vnetHeader) emitVirtioNetPlain(this.#arena.view, this.#vnet);
    this.writeBehind(link, this.#vnet, frame, frameBytes);
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
    this.writeBehind(link, this.#vnet, frame, end - frame);
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

  /** Writes one frame, behind the virtio-net header at `vnet` where the device has one. */
  writeBehind(link: DataLink, vnet: number, frame: number, frameBytes: number): void {
    const iovec = this.#iovecs + IOVEC_BYTES;
    this.#arena.writeIovec(iovec, frame, frameBytes);
    if (!link.vnetHeader) return this.write(link, iovec, 1, 1, frameBytes);
    this.#arena.writeIovec(this.#iovecs, vnet, VIRTIO_NET_BYTES);
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
