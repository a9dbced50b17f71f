/**
 * IPv6 packets spelled out for tests, as bytes.ts does for IPv4: what a header derives can be given
 * instead, so that a packet may lie about exactly one thing. Addresses are text.
 * @module
 */
import { bytesOfIpv6, parseAddress6 } from '../../src/net/prefix6.ts';
import { internetChecksum, pseudoSumIpv6 } from '../../src/wire/checksum.ts';

export type Ends6 = { source: string; destination: string };

export type Ipv6Fields = Ends6 & {
  /** Number of the transport: what stands behind the last extension header. */
  protocol?: number;
  /** Extension headers in order: number and bytes, whose first one is filled in. */
  extensions?: readonly (readonly [number: number, bytes: Uint8Array])[];
  version?: number;
  trafficClass?: number;
  flowLabel?: number;
  hopLimit?: number;
  /** Payload length field; default the real one. */
  payloadBytes?: number;
};

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** 16 bytes of an address. */
export function address6(text: string): Buffer {
  return Buffer.from(bytesOfIpv6(parseAddress6(text)));
}

/** An IPv6 packet (RFC 8200). */
export function ipv6(fields: Ipv6Fields, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const { extensions = [], protocol = 17 } = fields;
  const numbers = [...extensions.map(([number]) => number), protocol];
  const chain = extensions.map(([, bytes], index) => {
    const header = Buffer.from(bytes);
    header[0] = numbers[index + 1] ?? 59;
    return header;
  });
  const rest = Buffer.concat([...chain, payload]);
  const header = Buffer.alloc(40);
  const first = ((fields.version ?? 6) << 28) | ((fields.trafficClass ?? 0) << 20);
  header.writeUInt32BE((first | (fields.flowLabel ?? 0)) >>> 0, 0);
  header.writeUInt16BE((fields.payloadBytes ?? rest.length) & 0xffff, 4);
  header[6] = numbers[0] ?? 59;
  header[7] = fields.hopLimit ?? 64;
  address6(fields.source).copy(header, 8);
  address6(fields.destination).copy(header, 24);
  return Buffer.concat([header, rest]);
}

/** Puts the right checksum of a transport with the number `protocol` at byte `at`, or `given`. */
function summed(
  message: Buffer,
  ends: Ends6,
  protocol: number,
  at: number,
  given?: number,
): Buffer {
  const whole = ipv6({ ...ends, protocol }, message);
  const pseudo = pseudoSumIpv6(viewOf(whole), 0, protocol, message.length);
  const right = internetChecksum(viewOf(whole), 40, message.length, pseudo);
  message.writeUInt16BE(given ?? (right || 0xffff), at);
  return message;
}

/** A UDP datagram between two addresses. */
export function udp6(
  ends: Ends6,
  fields: { destinationPort: number; sourcePort?: number; checksum?: number; length?: number },
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const datagram = Buffer.concat([Buffer.alloc(8), payload]);
  datagram.writeUInt16BE(fields.sourcePort ?? 40_000, 0);
  datagram.writeUInt16BE(fields.destinationPort, 2);
  datagram.writeUInt16BE((fields.length ?? datagram.length) & 0xffff, 4);
  return summed(datagram, ends, 17, 6, fields.checksum);
}

/** A TCP segment between two addresses. */
export function tcp6(
  ends: Ends6,
  fields: { flags?: number; sequence?: number; checksum?: number; destinationPort?: number },
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const segment = Buffer.concat([Buffer.alloc(20), payload]);
  segment.writeUInt16BE(40_000, 0);
  segment.writeUInt16BE(fields.destinationPort ?? 9, 2);
  segment.writeUInt32BE((fields.sequence ?? 1) >>> 0, 4);
  segment[12] = 0x50;
  segment[13] = fields.flags ?? 0x10;
  segment.writeUInt16BE(0x7210, 14);
  return summed(segment, ends, 6, 16, fields.checksum);
}

/** An ICMPv6 message: type, code, the second word, what follows. */
export function icmp6(
  ends: Ends6,
  type: number,
  rest: Uint8Array = Buffer.alloc(0),
  fields: { code?: number; word?: number; checksum?: number } = {},
): Buffer {
  const message = Buffer.concat([Buffer.alloc(8), rest]);
  message[0] = type;
  message[1] = fields.code ?? 0;
  message.writeUInt32BE((fields.word ?? 0) >>> 0, 4);
  return summed(message, ends, 58, 2, fields.checksum);
}

/** The group that an address is asked for in: ff02::1:ffXX:XXXX. */
export function solicitedNode(target: string): string {
  const bytes = address6(target);
  const [a = 0, b = 0, c = 0] = bytes.subarray(13);
  return `ff02::1:ff${a.toString(16).padStart(2, '0')}:${((b << 8) | c).toString(16)}`;
}

/** The MAC of a group: 33:33 and the last four bytes. */
export function groupMac(group: string): number {
  return 0x3333_0000_0000 + address6(group).readUInt32BE(12);
}

/** Options of ND: a link-layer address of the sender (1) or of the target (2). */
export function linkOption(type: 1 | 2, mac: number): Buffer {
  const option = Buffer.alloc(8);
  option[0] = type;
  option[1] = 1;
  option.writeUIntBE(mac, 2, 6);
  return option;
}

export type NdFields = Partial<Ends6> & {
  target: string;
  options?: Uint8Array;
  hopLimit?: number;
  code?: number;
  word?: number;
  checksum?: number;
  extensions?: Ipv6Fields['extensions'];
};

/** A neighbour solicitation from `source` for a target, to its group unless told. */
export function solicit(fields: NdFields & { source: string }): Buffer {
  const { target, source, destination = solicitedNode(target), options } = fields;
  const ends = { source, destination };
  const rest = Buffer.concat([address6(target), options ?? Buffer.alloc(0)]);
  const { hopLimit = 255, extensions = [] } = fields;
  return ipv6({ ...ends, protocol: 58, hopLimit, extensions }, icmp6(ends, 135, rest, fields));
}

/** A neighbour advertisement of a target by itself; flags in `word` (solicited and override unless told). */
export function advertise(fields: NdFields & { destination: string }): Buffer {
  const { target, destination, source = target, options } = fields;
  const ends = { source, destination };
  const rest = Buffer.concat([address6(target), options ?? Buffer.alloc(0)]);
  const { hopLimit = 255, extensions = [], word = 0x60000000 } = fields;
  const message = icmp6(ends, 136, rest, { ...fields, word });
  return ipv6({ ...ends, protocol: 58, hopLimit, extensions }, message);
}
