/**
 * The plain versions: each says what the fast code has to come to, in the most obvious way. They
 * copy, allocate and read byte by byte, as a first draft would.
 * @module
 */

/** The shape of a packet of either family. */
type PlainShape = {
  headerBytes: number;
  totalBytes: number;
  protocol: number;
};

/** What a first draft would keep of an IPv4 packet. */
export type PlainPacket = PlainShape & {
  source: number;
  destination: number;
  sourcePort: number;
  destinationPort: number;
};

const IPV6_BYTES = 40;
const TCP = 6;
const UDP = 17;
/** IP in IP, IPv6, GRE, EtherIP, L2TP, MPLS. */
const TUNNELS = [4, 41, 47, 97, 115, 137];

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
}

function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 65536 + u16(bytes, at + 2);
}

/** RFC 1071, folded, not complemented. */
export function plainSum(bytes: Uint8Array, initial = 0): number {
  let sum = initial;
  for (let at = 0; at < bytes.length; at += 2) sum += u16(bytes, at);
  while (sum > 0xffff) sum = (sum % 65536) + Math.floor(sum / 65536);
  return sum;
}

/** Whether the transport header and payload of a packet are of TCP or UDP, and whole. */
function isHonest(transport: Uint8Array, protocol: number): boolean {
  if (TUNNELS.includes(protocol) || transport.length < (protocol === TCP ? 20 : 8)) return false;
  if (protocol === TCP) {
    const tcpBytes = ((transport[12] ?? 0) >> 4) * 4;
    if (tcpBytes < 20 || tcpBytes > transport.length) return false;
  }
  return protocol !== UDP || (u16(transport, 4) >= 8 && u16(transport, 4) <= transport.length);
}

/** An IPv4 packet with TCP or UDP, or undefined when something about it is wrong. */
export function plainParse(bytes: Uint8Array): PlainPacket | undefined {
  const headerBytes = ((bytes[0] ?? 0) & 15) * 4;
  if ((bytes[0] ?? 0) >> 4 !== 4 || headerBytes < 20 || headerBytes > bytes.length)
    return undefined;
  const totalBytes = u16(bytes, 2);
  if (totalBytes < headerBytes || totalBytes > bytes.length) return undefined;
  if (plainSum(bytes.slice(0, headerBytes)) !== 0xffff) return undefined;
  const protocol = bytes[9] ?? 0;
  const transport = bytes.slice(headerBytes, totalBytes);
  if (!isHonest(transport, protocol)) return undefined;
  return {
    headerBytes,
    totalBytes,
    protocol,
    source: u32(bytes, 12),
    destination: u32(bytes, 16),
    sourcePort: u16(transport, 0),
    destinationPort: u16(transport, 2),
  };
}

function isIpv6(bytes: Uint8Array): boolean {
  return (bytes[0] ?? 0) >> 4 === 6;
}

/** The same for an IPv6 packet without extension headers, or of either family. */
function plainShape(bytes: Uint8Array): PlainShape | undefined {
  if (!isIpv6(bytes)) return plainParse(bytes);
  const totalBytes = IPV6_BYTES + u16(bytes, 4);
  if (totalBytes > bytes.length) return undefined;
  const protocol = bytes[6] ?? 0;
  if (!isHonest(bytes.slice(IPV6_BYTES, totalBytes), protocol)) return undefined;
  return { headerBytes: IPV6_BYTES, totalBytes, protocol };
}

/** The two addresses of a packet. */
function addressesOf(bytes: Uint8Array): Uint8Array {
  return isIpv6(bytes) ? bytes.subarray(8, IPV6_BYTES) : bytes.subarray(12, 20);
}

/** Murmur3 over protocol, addresses and ports, word by word. */
export function plainHash(bytes: Uint8Array): number {
  const packet = plainParse(bytes);
  if (packet === undefined) return 0;
  const { protocol, source, destination, sourcePort, destinationPort } = packet;
  let state = protocol;
  for (const word of [source, destination, sourcePort * 65536 + destinationPort]) {
    const scrambled = Math.imul(word, 0xcc9e2d51);
    state ^= Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
    state = (Math.imul((state << 13) | (state >>> 19), 5) + 0xe6546b64) | 0;
  }
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}

/** Writes the checksums of a whole packet. */
function finish(bytes: Uint8Array, headerBytes: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const protocol = view.getUint8(isIpv6(bytes) ? 6 : 9);
  const field = headerBytes + (protocol === TCP ? 16 : 6);
  if (!isIpv6(bytes)) {
    view.setUint16(10, 0);
    view.setUint16(10, ~plainSum(bytes.subarray(0, headerBytes)) & 0xffff);
  }
  const pseudo = plainSum(addressesOf(bytes), protocol + bytes.length - headerBytes);
  view.setUint16(field, 0);
  const checksum = ~plainSum(bytes.subarray(headerBytes), pseudo) & 0xffff;
  view.setUint16(field, protocol === UDP && checksum === 0 ? 0xffff : checksum);
}

/** Cuts a TCP super-packet into packets of `gsoBytes` payload, each a copy of its own. */
export function plainCut(packet: Uint8Array, gsoBytes: number): Uint8Array[] {
  const ipBytes = isIpv6(packet) ? IPV6_BYTES : ((packet[0] ?? 0) & 15) * 4;
  const headerBytes = ipBytes + ((packet[ipBytes + 12] ?? 0) >> 4) * 4;
  const pieces: Uint8Array[] = [];
  for (let at = headerBytes; at < packet.length; at += gsoBytes) {
    const payload = packet.subarray(at, at + gsoBytes);
    const piece = new Uint8Array(headerBytes + payload.length);
    piece.set(packet.subarray(0, headerBytes));
    piece.set(payload, headerBytes);
    const view = new DataView(piece.buffer);
    if (isIpv6(packet)) view.setUint16(4, piece.length - IPV6_BYTES);
    else {
      view.setUint16(2, piece.length);
      view.setUint16(4, (view.getUint16(4) + pieces.length) & 0xffff);
    }
    view.setUint32(ipBytes + 4, (view.getUint32(ipBytes + 4) + at - headerBytes) >>> 0);
    // FIN and PSH belong to the last piece.
    if (at + gsoBytes < packet.length) {
      view.setUint8(ipBytes + 13, view.getUint8(ipBytes + 13) & ~9);
    }
    finish(piece, ipBytes);
    pieces.push(piece);
  }
  return pieces;
}

/** A VXLAN datagram around a frame. */
export function plainWrap(frame: Uint8Array, vni: number): Uint8Array {
  const packet = plainShape(frame.slice(14));
  if (packet === undefined) return new Uint8Array(0);
  const datagram = new Uint8Array(8 + 14 + packet.totalBytes);
  datagram.set([8, 0, 0, 0, (vni >> 16) & 255, (vni >> 8) & 255, vni & 255, 0]);
  datagram.set(frame.subarray(0, 14 + packet.totalBytes), 8);
  return datagram;
}

/** The frame inside a VXLAN datagram, its checksums verified; empty when anything is wrong. */
export function plainUnwrap(datagram: Uint8Array, vni: number): Uint8Array {
  const nothing = new Uint8Array(0);
  if (u32(datagram, 0) !== 0x08000000 || u32(datagram, 4) !== vni * 256) return nothing;
  const inner = datagram.slice(8 + 14);
  const packet = plainShape(inner);
  if (packet === undefined) return nothing;
  const { headerBytes, totalBytes, protocol } = packet;
  const transport = inner.slice(headerBytes, totalBytes);
  const pseudo = plainSum(addressesOf(inner), protocol + transport.length);
  if (plainSum(transport, pseudo) !== 0xffff) return nothing;
  return datagram.slice(8, 8 + 14 + totalBytes);
}
