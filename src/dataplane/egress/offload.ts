/**
 * What the virtio-net header in front of a packet says of it: how many packets on the wire it stands for,
 * and what was left to the device.
 * @module
 */
import { eventIndex } from '../../table/counters.ts';
import {
  getVirtioFlags,
  getVirtioGsoBytes,
  getVirtioGsoType,
  VIRTIO_GSO_ACCECN,
  VIRTIO_GSO_ECN_BITS,
  VIRTIO_GSO_NONE,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../../wire/virtio-net.ts';
import type { DataLink } from '../ground/link.ts';
import { segmentCount } from '../ground/segment.ts';
import type { InHand } from '../packet/in-hand.ts';

const SUPER_PACKETS_IN = eventIndex('super_packets_in');

/** Takes the virtio-net header right before the packet in hand, on a link whose device has one. */
export function readOffload(view: DataView, link: DataLink, hand: InHand): void {
  const header = hand.frame - VIRTIO_NET_BYTES;
  const type = getVirtioGsoType(view, header);
  const gsoType = type & ~VIRTIO_GSO_ECN_BITS;
  hand.gsoType = gsoType;
  hand.repeatsCwr = (type & VIRTIO_GSO_ACCECN) !== 0;
  hand.needsChecksum = (getVirtioFlags(view, header) & VIRTIO_NEEDS_CSUM) !== 0;
  if (gsoType === VIRTIO_GSO_NONE) return;
  const { counters } = link;
  const gsoBytes = getVirtioGsoBytes(view, header);
  const available = hand.byteCount - link.innerHeaderBytes;
  hand.segments = segmentCount(view, link, hand.l3, available, gsoType, gsoBytes);
  hand.gsoBytes = gsoBytes;
  counters[SUPER_PACKETS_IN] = (counters[SUPER_PACKETS_IN] as number) + 1;
}
