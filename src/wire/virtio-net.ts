/**
 * The virtio-net header that a TUN/TAP with `IFF_VNET_HDR` puts before each packet
 * (VIRTIO 1.2 §5.1.6; Linux `linux/virtio_net.h`). 10 bytes by default, 12 with the mergeable
 * buffer count (`TUNSETVNETHDRSZ`). TUN speaks the CPU's byte order unless told otherwise, and
 * every machine Node 20 runs Linux on with our FFI is little endian.
 * @module
 */

/** Header without the buffer count: TUN's default. */
export const VIRTIO_NET_BYTES = 10;
/** Header with `num_buffers`. */
export const VIRTIO_NET_MERGEABLE_BYTES = 12;

export const VIRTIO_FLAGS_OFFSET = 0;
export const VIRTIO_GSO_TYPE_OFFSET = 1;
export const VIRTIO_HEADER_BYTES_OFFSET = 2;
export const VIRTIO_GSO_BYTES_OFFSET = 4;
export const VIRTIO_CSUM_START_OFFSET = 6;
export const VIRTIO_CSUM_OFFSET_OFFSET = 8;
export const VIRTIO_BUFFERS_OFFSET = 10;

/** The checksum field holds the pseudo-header's sum; finish it over csum_start to the end. */
export const VIRTIO_NEEDS_CSUM = 1;
/** Checksums were verified below; the reader need not. */
export const VIRTIO_DATA_VALID = 2;

export const VIRTIO_GSO_NONE = 0;
export const VIRTIO_GSO_TCPV4 = 1;
/** Old UFO: IP fragmentation of UDP. Never negotiated by us. */
export const VIRTIO_GSO_UDP = 3;
export const VIRTIO_GSO_TCPV6 = 4;
/** UDP segmentation (USO): equal datagrams. */
export const VIRTIO_GSO_UDP_L4 = 5;
/** Or-ed to a TCP type when the segment carries CWR, which then belongs to its first piece (RFC 3168). */
export const VIRTIO_GSO_ECN = 0x80;
/** Or-ed to a TCP type whose CWR is a bit of a counter that every piece repeats (RFC 9768, AccECN). */
export const VIRTIO_GSO_ACCECN = 0x10;
/** What may be or-ed to a type. */
export const VIRTIO_GSO_ECN_BITS: number = VIRTIO_GSO_ECN | VIRTIO_GSO_ACCECN;

export function getVirtioFlags(view: DataView, offset: number): number {
  return view.getUint8(offset + VIRTIO_FLAGS_OFFSET);
}

/** The GSO type as it stands, {@link VIRTIO_GSO_ECN_BITS} included. */
export function getVirtioGsoType(view: DataView, offset: number): number {
  return view.getUint8(offset + VIRTIO_GSO_TYPE_OFFSET);
}

/** Length of all headers up to the payload: a hint, not to be trusted (VIRTIO 1.2 §5.1.6.2). */
export function getVirtioHeaderBytes(view: DataView, offset: number): number {
  return view.getUint16(offset + VIRTIO_HEADER_BYTES_OFFSET, true);
}

/** Payload bytes of each segment. */
export function getVirtioGsoBytes(view: DataView, offset: number): number {
  return view.getUint16(offset + VIRTIO_GSO_BYTES_OFFSET, true);
}

/** Where summing starts, counted from the first byte of the packet. */
export function getVirtioCsumStart(view: DataView, offset: number): number {
  return view.getUint16(offset + VIRTIO_CSUM_START_OFFSET, true);
}

/** Where the checksum field is, counted from csum_start. */
export function getVirtioCsumOffset(view: DataView, offset: number): number {
  return view.getUint16(offset + VIRTIO_CSUM_OFFSET_OFFSET, true);
}

/** Only in the 12-byte form. */
export function getVirtioBuffers(view: DataView, offset: number): number {
  return view.getUint16(offset + VIRTIO_BUFFERS_OFFSET, true);
}

export function setVirtioBuffers(view: DataView, offset: number, count: number): void {
  view.setUint16(offset + VIRTIO_BUFFERS_OFFSET, count, true);
}

/** Writes the first 10 bytes of a packet that is not to be cut; {@link setVirtioGso} says otherwise. */
export function emitVirtioNet(
  view: DataView,
  offset: number,
  flags: number,
  csumStart: number,
  csumOffset: number,
): void {
  view.setUint8(offset + VIRTIO_FLAGS_OFFSET, flags);
  setVirtioGso(view, offset, VIRTIO_GSO_NONE, 0, 0);
  view.setUint16(offset + VIRTIO_CSUM_START_OFFSET, csumStart, true);
  view.setUint16(offset + VIRTIO_CSUM_OFFSET_OFFSET, csumOffset, true);
}

/** Says how a super-packet is cut: behind `headerBytes` into pieces of `gsoBytes`. */
export function setVirtioGso(
  view: DataView,
  offset: number,
  gsoType: number,
  headerBytes: number,
  gsoBytes: number,
): void {
  view.setUint8(offset + VIRTIO_GSO_TYPE_OFFSET, gsoType);
  view.setUint16(offset + VIRTIO_HEADER_BYTES_OFFSET, headerBytes, true);
  view.setUint16(offset + VIRTIO_GSO_BYTES_OFFSET, gsoBytes, true);
}

/** Writes a header that asks for nothing: no checksum, no segmentation. */
export function emitVirtioNetPlain(view: DataView, offset: number, flags = 0): void {
  emitVirtioNet(view, offset, flags, 0, 0);
}
