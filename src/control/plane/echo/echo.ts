/**
 * Echo requests whose answers nobody can guess, and the answers (RFC 792, RFC 4443 §4).
 * @module
 */
import type { Family } from '../../../net/underlay-address.ts';
import { internetChecksum } from '../../../wire/checksum.ts';
import { getIpv4HeaderBytes, IPV4_HEADER_BYTES } from '../../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../../../wire/ipv6.ts';

/** Type of the message there and back, and the header before it. */
const ECHO = {
  4: { request: 8, reply: 0, headerBytes: IPV4_HEADER_BYTES },
  6: { request: 128, reply: 129, headerBytes: IPV6_HEADER_BYTES },
} as const;
const ICMP_HEADER_BYTES = 8;
/** The token, hexadecimal in the program. */
const TOKEN_BYTES = 8;

/** An echo request for an IP packet of `packetBytes` (at least 56), with `token` as its first data. */
export function emitEchoRequest(family: Family, packetBytes: number, token: string): Buffer {
  const { request, headerBytes } = ECHO[family];
  const message = Buffer.alloc(packetBytes - headerBytes);
  message.writeUInt8(request, 0);
  // Identifier of a raw socket's request; a ping socket writes its own.
  message.write(token.slice(0, 4), 4, 'hex');
  message.write(token, ICMP_HEADER_BYTES, TOKEN_BYTES, 'hex');
  // Over IPv6 the sum takes in the addresses, and the kernel makes it (RFC 3542 §3.1).
  if (family === 6) return message;
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  message.writeUInt16BE(internetChecksum(view, 0, message.length), 2);
  return message;
}

/** The token in the beginning of an echo reply; undefined when it is none. */
export function readEchoToken(
  message: Buffer,
  family: Family,
  withOuterHeader: boolean,
): string | undefined {
  let at = 0;
  if (withOuterHeader) {
    if (message.length < IPV4_HEADER_BYTES) return undefined;
    at = getIpv4HeaderBytes(new DataView(message.buffer, message.byteOffset, message.length), 0);
  }
  if (message.length < at + ICMP_HEADER_BYTES + TOKEN_BYTES) return undefined;
  if (message.readUInt8(at) !== ECHO[family].reply) return undefined;
  return message.toString('hex', at + ICMP_HEADER_BYTES, at + ICMP_HEADER_BYTES + TOKEN_BYTES);
}
