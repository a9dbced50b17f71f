/**
 * The packet that egress has in hand: what the stages have found out about it so far. One object for
 * all packets, so that nothing is allocated. Offsets are the arena's.
 * @module
 */
import {
  getIpVersion,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Tos,
  getIpv4TotalBytes,
  IPV4_HEADER_BYTES,
  isIpv4Fragment,
} from '../../wire/ipv4.ts';
import { getIpv6PayloadBytes, getIpv6TrafficClass, IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';
import { VIRTIO_GSO_NONE } from '../../wire/virtio-net.ts';
import type { DataLink } from '../ground/link.ts';
import { chainBytes, chainProtocol, isChainOfFragment, soundIpv6 } from './sound.ts';

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
  /** Its transport header where it is a super-packet that is cut, bytes; 0 where it goes as one. */
  l4Bytes = 0;
  /** The payload of each piece on its way to the peer in hand, bytes, and how many there are. */
  pieceBytes = 0;
  pieces = 1;
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

  /**
   * Takes what the IPv4 header says, of which the fixed part is among `available` bytes; false when it cannot
   * be so. The length field of a super-packet is not trusted.
   */
  takeIpv4(view: DataView, available: number): boolean {
    const { l3 } = this;
    const headerBytes = getIpv4HeaderBytes(view, l3);
    const totalBytes = this.gsoType === VIRTIO_GSO_NONE ? getIpv4TotalBytes(view, l3) : available;
    if (
      getIpVersion(view, l3) !== 4 ||
      headerBytes < IPV4_HEADER_BYTES ||
      totalBytes < headerBytes ||
      totalBytes > available
    ) {
      return false;
    }
    this.headerBytes = headerBytes;
    this.totalBytes = totalBytes;
    this.protocol = getIpv4Protocol(view, l3);
    this.tos = getIpv4Tos(view, l3);
    this.isFragment = isIpv4Fragment(view, l3);
    return true;
  }

  /** The same for IPv6; the length field of a super-packet beyond 65,535 bytes says 0. */
  takeIpv6(view: DataView, available: number): boolean {
    const { l3 } = this;
    const chain = soundIpv6(view, l3, available);
    if (chain < 0) return false;
    this.headerBytes = chainBytes(chain);
    this.protocol = chainProtocol(chain);
    this.isFragment = isChainOfFragment(chain);
    this.tos = getIpv6TrafficClass(view, l3);
    const said = IPV6_HEADER_BYTES + getIpv6PayloadBytes(view, l3);
    this.totalBytes = this.gsoType === VIRTIO_GSO_NONE ? said : available;
    return true;
  }

  /** Ends it at a drop counter. */
  drop(link: Pick<DataLink, 'counters'>, counter: number): void {
    link.counters[counter] = (link.counters[counter] as number) + this.segments;
  }

  /** The same for one that is a single packet, whatever its virtio-net header says. */
  dropOne(link: Pick<DataLink, 'counters'>, counter: number): void {
    link.counters[counter] = (link.counters[counter] as number) + 1;
  }
}
