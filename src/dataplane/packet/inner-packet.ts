/**
 * The inner packet that ingress has in hand, once its headers are checked: where its parts are. One
 * object for all packets of whoever holds it, so that nothing is allocated. Offsets are the arena's.
 * @module
 */
import {
  getIpVersion,
  getIpv4Fragment,
  getIpv4Protocol,
  IPV4_DF,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { getIpv6NextHeader, IPV6_HEADER_BYTES, NEXT_FRAGMENT } from '../../wire/ipv6.ts';
import { getTcpHeaderBytes, TCP_HEADER_BYTES } from '../../wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../../wire/udp.ts';
import { Checksum } from '../ground/transport-sum.ts';

export class InnerPacket {
  /** The frame (bridged) or packet (routed), and where it ends. */
  frame = 0;
  end = 0;
  l3 = 0;
  isSix = false;
  /** The transport's number, and its header. */
  protocol = 0;
  l4 = 0;
  /** Its whole fixed header is there. */
  isTcp = false;
  isUdp = false;
  /** A fragment, or behind extension headers: no ports show which flow it is of. */
  isPiece = false;
  /** Of TCP and UDP: the transport header with its options, and what follows, bytes. */
  l4Bytes = 0;
  payloadBytes = 0;
  /** What {@link Checksum} says of its transport. */
  state: number = Checksum.Right;

  /** Takes the frame of `frameBytes` bytes at `frame` with a checked IP header at `l3`. */
  find(view: DataView, frame: number, frameBytes: number, l3: number, headerBytes: number): void {
    const isSix = getIpVersion(view, l3) === 6;
    const protocol = isSix ? getIpv6NextHeader(view, l3) : getIpv4Protocol(view, l3);
    const l4 = l3 + headerBytes;
    const end = frame + frameBytes;
    this.frame = frame;
    this.end = end;
    this.l3 = l3;
    this.l4 = l4;
    this.isSix = isSix;
    this.protocol = protocol;
    this.isTcp = protocol === PROTOCOL_TCP && end - l4 >= TCP_HEADER_BYTES;
    this.isUdp = protocol === PROTOCOL_UDP && end - l4 >= UDP_HEADER_BYTES;
    this.isPiece = isSix
      ? headerBytes !== IPV6_HEADER_BYTES || protocol === NEXT_FRAGMENT
      : (getIpv4Fragment(view, l3) & ~IPV4_DF) !== 0;
  }

  /** Finds the payload of one that is of TCP or UDP. */
  findPayload(view: DataView): void {
    this.l4Bytes = this.isTcp ? getTcpHeaderBytes(view, this.l4) : UDP_HEADER_BYTES;
    this.payloadBytes = this.end - this.l4 - this.l4Bytes;
  }
}
