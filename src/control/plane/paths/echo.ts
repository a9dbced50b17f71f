/**
 * Echo requests whose answers nobody can guess, and the answers (RFC 792).
 * @module
 */
import { internetChecksum } from '../../../wire/checksum.ts';
import { getIpv4HeaderBytes, IPV4_HEADER_BYTES } from '../../../wire/ipv4.ts';

const ECHO_REPLY = 0;
const ECHO_REQUEST = 8;
const ICMP_HEADER_BYTES = 8;
/** The token, hexadecimal in the program. */
const TOKEN_BYTES = 8;

/** An echo request for an IP packet of `packetBytes` (at least 36), with `token` as its first data. */
export function emitEchoRequest(packetBytes: number, token: string): Buffer {
  const message = Buffer.alloc(packetBytes - IPV4_HEADER_BYTES);
  message.writeUInt8(ECHO_REQUEST, 0);
  // Identifier of a raw socket's request; a ping socket writes its own.
  message.write(token.slice(0, 4), 4, 'hex');
  message.write(token, ICMP_HEADER_BYTES, TOKEN_BYTES, 'hex');
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  message.writeUInt16BE(internetChecksum(view, 0, message.length), 2);
  return message;
}

/** The token in the beginning of an echo reply; undefined when it is none. */
export function readEchoToken(message: Buffer, withOuterHeader: boolean): string | undefined {
  let at = 0;
  if (withOuterHeader) {
    if (message.length < IPV4_HEADER_BYTES) return undefined;
    at = getIpv4HeaderBytes(new DataView(message.buffer, message.byteOffset, message.length), 0);
  }
  if (message.length < at + ICMP_HEADER_BYTES + TOKEN_BYTES) return undefined;
  if (message.readUInt8(at) !== ECHO_REPLY) return undefined;
  return message.toString('hex', at + ICMP_HEADER_BYTES, at + ICMP_HEADER_BYTES + TOKEN_BYTES);
}
