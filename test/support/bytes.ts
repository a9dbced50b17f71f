/**
 * Packets spelled out for tests. Every field that a header derives (lengths, checksums, versions)
 * can be given instead, so that a packet may lie about exactly one thing.
 * Addresses are u32 in host order, MACs 48-bit numbers.
 * @module
 */
import { finishSum, foldSum, internetChecksum } from '../../src/wire/checksum.ts';

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** One's-complement sum of all bytes, an odd last one padded with zero; not folded. */
function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  return sum;
}

export type Ipv4Fields = {
  source: number;
  destination: number;
  /** Default 17. */
  protocol?: number;
  tos?: number;
  ttl?: number;
  identification?: number;
  /** Flags and offset word; default DF. */
  fragment?: number;
  version?: number;
  /** Header length in 32-bit words; default what the options need. */
  words?: number;
  /** Total length field; default the real one. */
  totalBytes?: number;
  /** Bytes of options, a multiple of four. */
  options?: Uint8Array;
  /** Checksum field; default right. */
  checksum?: number;
};

/** An IPv4 packet (RFC 791). */
export function ipv4(fields: Ipv4Fields, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const options = fields.options ?? Buffer.alloc(0);
  const headerBytes = 20 + options.length;
  const packet = Buffer.concat([Buffer.alloc(20), options, payload]);
  packet[0] = ((fields.version ?? 4) << 4) | ((fields.words ?? headerBytes / 4) & 15);
  packet[1] = fields.tos ?? 0;
  packet.writeUInt16BE((fields.totalBytes ?? packet.length) & 0xffff, 2);
  packet.writeUInt16BE(fields.identification ?? 1, 4);
  packet.writeUInt16BE(fields.fragment ?? 0x4000, 6);
  packet[8] = fields.ttl ?? 64;
  packet[9] = fields.protocol ?? 17;
  packet.writeUInt32BE(fields.source >>> 0, 12);
  packet.writeUInt32BE(fields.destination >>> 0, 16);
  // Summed over the header as it claims to be, as a receiver would.
  const claimed = Math.max(20, Math.min((fields.words ?? headerBytes / 4) * 4, packet.length));
  packet.writeUInt16BE(fields.checksum ?? internetChecksum(viewOf(packet), 0, claimed), 10);
  return packet;
}

function pseudoSum(source: number, destination: number, protocol: number, bytes: number): number {
  const words = (address: number): number => (address >>> 16) + (address & 0xffff);
  return words(source) + words(destination) + protocol + bytes;
}

export type UdpFields = {
  sourcePort?: number;
  destinationPort: number;
  /** Length field; default the real one. */
  length?: number;
  /** A number as it stands, `none` = 0 (RFC 768), default right. */
  checksum?: number | 'none' | 'right';
};

/** A UDP datagram between two addresses, without its IP header. */
export function udp(
  ends: { source: number; destination: number },
  fields: UdpFields,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const datagram = Buffer.concat([Buffer.alloc(8), payload]);
  datagram.writeUInt16BE(fields.sourcePort ?? 40_000, 0);
  datagram.writeUInt16BE(fields.destinationPort, 2);
  datagram.writeUInt16BE((fields.length ?? datagram.length) & 0xffff, 4);
  if (fields.checksum === 'none') return datagram;
  const sum = pseudoSum(ends.source, ends.destination, 17, datagram.length) + sumOf(datagram);
  const right = finishSum(sum) || 0xffff;
  datagram.writeUInt16BE(typeof fields.checksum === 'number' ? fields.checksum : right, 6);
  return datagram;
}

export type TcpFields = {
  sourcePort?: number;
  destinationPort: number;
  sequence?: number;
  acknowledge?: number;
  flags?: number;
  window?: number;
  /** Header length in 32-bit words; default what the options need. */
  words?: number;
  options?: Uint8Array;
  checksum?: number;
};

/** A TCP segment between two addresses, without its IP header. */
export function tcp(
  ends: { source: number; destination: number },
  fields: TcpFields,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const options = fields.options ?? Buffer.alloc(0);
  const segment = Buffer.concat([Buffer.alloc(20), options, payload]);
  segment.writeUInt16BE(fields.sourcePort ?? 40_000, 0);
  segment.writeUInt16BE(fields.destinationPort, 2);
  segment.writeUInt32BE((fields.sequence ?? 1) >>> 0, 4);
  segment.writeUInt32BE((fields.acknowledge ?? 0) >>> 0, 8);
  segment[12] = ((fields.words ?? 5 + options.length / 4) << 4) & 0xff;
  segment[13] = fields.flags ?? 0x10;
  segment.writeUInt16BE(fields.window ?? 0x7210, 14);
  const sum = pseudoSum(ends.source, ends.destination, 6, segment.length) + sumOf(segment);
  segment.writeUInt16BE(fields.checksum ?? finishSum(sum), 16);
  return segment;
}

/** An ICMP message: type, code, the second word, and what follows; the checksum is right. */
export function icmp(type: number, code: number, word: number, rest: Uint8Array): Buffer {
  const message = Buffer.concat([Buffer.alloc(8), rest]);
  message[0] = type;
  message[1] = code;
  message.writeUInt32BE(word >>> 0, 4);
  message.writeUInt16BE(finishSum(sumOf(message)), 2);
  return message;
}

export function mac(value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(value, 0, 6);
  return bytes;
}

/** An Ethernet frame without its checksum sequence. */
export function ethernet(
  destination: number,
  source: number,
  etherType: number,
  payload: Uint8Array,
): Buffer {
  const type = Buffer.alloc(2);
  type.writeUInt16BE(etherType, 0);
  return Buffer.concat([mac(destination), mac(source), type, payload]);
}

export type ArpFields = {
  operation?: number;
  senderMac: number;
  sender: number;
  targetMac?: number;
  target: number;
  hardware?: number;
  protocol?: number;
  lengths?: number;
};

/** An ARP message (RFC 826), 28 bytes. */
export function arp(fields: ArpFields): Buffer {
  const message = Buffer.alloc(28);
  message.writeUInt16BE(fields.hardware ?? 1, 0);
  message.writeUInt16BE(fields.protocol ?? 0x0800, 2);
  message.writeUInt16BE(fields.lengths ?? 0x0604, 4);
  message.writeUInt16BE(fields.operation ?? 1, 6);
  message.writeUIntBE(fields.senderMac, 8, 6);
  message.writeUInt32BE(fields.sender >>> 0, 14);
  message.writeUIntBE(fields.targetMac ?? 0, 18, 6);
  message.writeUInt32BE(fields.target >>> 0, 24);
  return message;
}

/** A VXLAN header and what it carries (RFC 7348 §5). */
export function vxlan(
  vni: number,
  inner: Uint8Array,
  header: { flags?: number; reserved?: number } = {},
): Buffer {
  const shim = Buffer.alloc(8);
  shim.writeUInt32BE((header.flags ?? 0x08000000) >>> 0, 0);
  shim.writeUInt32BE((vni * 256 + (header.reserved ?? 0)) >>> 0, 4);
  return Buffer.concat([shim, inner]);
}

/** True when the transport checksum of an IPv4 packet is right; true for protocols without one. */
export function isTransportSumRight(packet: Uint8Array): boolean {
  const view = viewOf(packet);
  const headerBytes = (view.getUint8(0) & 15) * 4;
  const protocol = view.getUint8(9);
  if (protocol !== 6 && protocol !== 17) return true;
  const body = packet.subarray(headerBytes, view.getUint16(2));
  const sum = pseudoSum(view.getUint32(12), view.getUint32(16), protocol, body.length);
  return foldSum(sum + sumOf(body)) === 0xffff;
}
