/** What the kernel's VXLAN device puts on the wire, read from captured frames. @module */
import type { SeenPacket } from '../../src/sys/sockets/packet-socket.ts';

/** Ethernet 14, outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14. */
const INNER_OFFSET = 14 + 20 + 8 + 8 + 14;
const OUTER_OFFSET = 14;
const PROTOCOL_TCP = 6;
const TCP_HEADER_BYTES = 20;

export type Sight = {
  /** Frames with TCP inside. */
  packets: number;
  /** Of these, the ones whose TCP checksum is just the pseudo header's sum. */
  unfinished: number;
  /** The longest frame, Ethernet header included. */
  longestBytes: number;
};

export function emptySight(): Sight {
  return { packets: 0, unfinished: 0, longestBytes: 0 };
}

/** Adds a captured frame to `sight` when it is a VXLAN one to `port` from `source` with TCP inside. */
export function lookAt(seen: SeenPacket, port: number, source: number, sight: Sight): void {
  const { bytes, originalBytes } = seen;
  if (bytes.length < INNER_OFFSET + 20 + TCP_HEADER_BYTES) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(OUTER_OFFSET + 12) !== source || view.getUint16(36) !== port) return;
  if (view.getUint8(INNER_OFFSET + 9) !== PROTOCOL_TCP) return;
  sight.packets += 1;
  sight.longestBytes = Math.max(sight.longestBytes, originalBytes);
  const tcpBytes = view.getUint16(INNER_OFFSET + 2) - 20;
  if (view.getUint16(INNER_OFFSET + 20 + 16) === pseudoSum(view, tcpBytes)) sight.unfinished += 1;
}

/** Sum of the TCP pseudo header (RFC 9293 §3.1), folded to 16 bits and not complemented. */
function pseudoSum(view: DataView, tcpBytes: number): number {
  let sum = PROTOCOL_TCP + tcpBytes;
  for (let at = INNER_OFFSET + 12; at < INNER_OFFSET + 20; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
