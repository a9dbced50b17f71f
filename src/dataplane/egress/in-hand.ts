/**
 * The packet that egress has in hand: what the stages have found out about it so far. One object for
 * all packets, so that nothing is allocated. Offsets are the arena's.
 * @module
 */
import { VIRTIO_GSO_NONE } from '../../wire/virtio-net.ts';
import type { DataLink } from '../ground/link.ts';

export class InHand {
  /** The frame (bridged) or packet (routed), and how much of it was read, bytes. */
  frame = 0;
  byteCount = 0;
  /** Its IP header, how long that is with all that stands before the transport header, bytes. */
  l3 = 0;
  headerBytes = 0;
  /** Length of the IP packet, bytes. */
  totalBytes = 0;
  /** The transport's protocol number. */
  protocol = 0;
  /** TOS byte or traffic class. */
  tos = 0;
  /** A piece of a larger packet. */
  isFragment = false;
  /** What its virtio-net header says, and how many packets on the wire it stands for. */
  gsoType: number = VIRTIO_GSO_NONE;
  gsoBytes = 0;
  needsChecksum = false;
  /** Its CWR is a bit of AccECN's counter: every piece has it. */
  repeatsCwr = false;
  segments = 1;
  /** Where it goes, and the network that it is of. */
  peer = 0;
  vni = 0;
  /** Set where it goes as it is, without a look at an IP header: its length, bytes; 0 otherwise. */
  plainBytes = 0;
  /** It may go to more than one peer. */
  toSeveral = false;
  /** It went to one: the shim stands in front, and what its device left to us is done. */
  isWrapped = false;

  /** The packet that was read is this one: what is found out about it comes now. */
  begin(): void {
    this.gsoType = VIRTIO_GSO_NONE;
    this.gsoBytes = 0;
    this.needsChecksum = false;
    this.repeatsCwr = false;
    this.segments = 1;
    this.plainBytes = 0;
    this.toSeveral = false;
    this.isWrapped = false;
  }

  /** Ends it at a drop counter. */
  drop(link: Pick<DataLink, 'counters'>, counter: number): void {
    link.counters[counter] = (link.counters[counter] as number) + this.segments;
  }
}
