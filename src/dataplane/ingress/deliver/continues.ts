/**
 * Which packets may be joined, by the rules of the kernel's GRO: all headers equal but for what counts up,
 * each checksum verified before.
 * @module
 */
import { PROTOCOL_UDP } from '../../../wire/ipv4.ts';
import {
  getTcpSequence,
  TCP_ACK,
  TCP_ACKNOWLEDGE_OFFSET,
  TCP_DATA_OFFSET,
  TCP_ECE,
  TCP_FLAGS_OFFSET,
  TCP_HEADER_BYTES,
  TCP_PSH,
} from '../../../wire/tcp.ts';
import { UDP_CHECKSUM_OFFSET, UDP_LENGTH_OFFSET } from '../../../wire/udp.ts';
import type { DataLink } from '../../ground/link.ts';
import { Checksum } from '../../ground/transport-sum.ts';
import type { InnerPacket } from '../../packet/inner-packet.ts';
import { isSameWay } from './alike.ts';
import { type OpenFlows, SEGMENTS_MAX } from './open-flows.ts';

/** Flags with which segments may be joined; AE and ECE (RFC 9768) have to agree. CWR stays alone: who cuts again leaves it on one. */
const MAY_JOIN_WITH = TCP_PSH | TCP_ECE;

/** Whether more may be joined to a packet, or it to others. */
export function mayJoin(view: DataView, link: DataLink, packet: InnerPacket): boolean {
  const { l4 } = packet;
  if (packet.payloadBytes <= 0) return false;
  if (packet.isTcp) {
    return (
      link.vnetHeader &&
      packet.l4Bytes >= TCP_HEADER_BYTES &&
      (view.getUint8(l4 + TCP_FLAGS_OFFSET) & ~MAY_JOIN_WITH) === TCP_ACK
    );
  }
  return (
    link.uso &&
    view.getUint16(l4 + UDP_LENGTH_OFFSET) === packet.end - l4 &&
    view.getUint16(l4 + UDP_CHECKSUM_OFFSET) !== 0
  );
}

/** Whether a packet continues the flow that is open in a slot, exactly. */
export function continuesFlow(
  view: DataView,
  flows: OpenFlows,
  slot: number,
  link: DataLink,
  packet: InnerPacket,
): boolean {
  const { frame, l3, l4, l4Bytes, payloadBytes, protocol } = packet;
  const first = flows.frame[slot] as number;
  const firstL3 = flows.l3[slot] as number;
  const firstL4 = flows.l4[slot] as number;
  const segments = flows.segments[slot] as number;
  if (
    flows.link[slot] !== link ||
    flows.protocol[slot] !== protocol ||
    l4 + l4Bytes - frame !== flows.prefixBytes[slot] ||
    l4 - l3 !== firstL4 - firstL3 ||
    payloadBytes > (flows.segmentBytes[slot] as number) ||
    segments === SEGMENTS_MAX ||
    firstL4 - firstL3 + l4Bytes + (flows.payloadBytes[slot] as number) + payloadBytes >
      (flows.bytesMax[slot] as number) ||
    (packet.state === Checksum.Unfinished ? 1 : 0) !== flows.unfinished[slot] ||
    !isSameWay(view, l3, firstL3, l4 - l3, segments) ||
    view.getUint32(l4) !== view.getUint32(firstL4)
  ) {
    return false;
  }
  for (let i = 0; i < link.innerHeaderBytes; i += 2) {
    if (view.getUint16(frame + i) !== view.getUint16(first + i)) return false;
  }
  if (protocol === PROTOCOL_UDP) return true;
  if (
    getTcpSequence(view, l4) !== flows.nextSequence[slot] ||
    view.getUint32(l4 + TCP_ACKNOWLEDGE_OFFSET) !==
      view.getUint32(firstL4 + TCP_ACKNOWLEDGE_OFFSET) ||
    ((view.getUint32(l4 + TCP_DATA_OFFSET) ^ view.getUint32(firstL4 + TCP_DATA_OFFSET)) &
      ~(TCP_PSH << 16)) !==
      0
  ) {
    return false;
  }
  for (let i = TCP_HEADER_BYTES; i < l4Bytes; i += 4) {
    if (view.getUint32(l4 + i) !== view.getUint32(firstL4 + i)) return false;
  }
  return true;
}
