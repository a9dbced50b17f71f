/**
 * The packet that egress has in hand: what the stages have found out about it so far. One object for
 * all packets, so that nothing is allocated. Offsets are the arena's.
 * @module
 */
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
  gsoType = 0;
  gsoBytes = 0;
  needsChecksum = false;
  segments = 1;
  /** Where it goes, and the network that it is of. */
  peer = 0;
  vni = 0;
}
