/**
 * Echo requests whose answers nobody can guess, and the answers (RFC 792, RFC 4443 §4).
 *
 * A request may ask for more than the kernel's answer, which says nothing of when it came. A fanway that
 * sees one sends a second reply then, with the same token: when the request arrived, on its own clock.
 *
 * ```
 *  0  type, code, checksum, identifier, sequence number
 *  8  token, 8 bytes
 * 16  u32  ASKS in such a request, TELLS in such a reply
 * 20  u64  in the reply: µs since 1970 on the clock of who sends it
 * ```
 *
 * Hosts that know nothing of it repeat what they were sent, so each side finds out by itself.
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

const WORD_OFFSET = ICMP_HEADER_BYTES + TOKEN_BYTES;
const ARRIVAL_OFFSET = WORD_OFFSET + 4;
const TELLING_BYTES = ARRIVAL_OFFSET + 8;
/** "fwT?" and "fwT!". */
const ASKS = 0x6677_543f;
const TELLS = 0x6677_5421;

/**
 * An echo request for an IP packet of `packetBytes` (at least 56, 64 over IPv6), with `token` as its first data.
 * @param asks to be told when it came
 */
export function emitEchoRequest(
  family: Family,
  packetBytes: number,
  token: string,
  asks = false,
): Buffer {
  const { request, headerBytes } = ECHO[family];
  const message = Buffer.alloc(packetBytes - headerBytes);
  message.writeUInt8(request, 0);
  // Identifier of a raw socket's request; a ping socket writes its own.
  message.write(token.slice(0, 4), 4, 'hex');
  message.write(token, ICMP_HEADER_BYTES, TOKEN_BYTES, 'hex');
  if (asks) message.writeUInt32BE(ASKS, WORD_OFFSET);
  return summed(message, family);
}

/** A message with its checksum. */
function summed(message: Buffer, family: Family): Buffer {
  // Over IPv6 the sum takes in the addresses, and the kernel makes it (RFC 3542 §3.1).
  if (family === 6) return message;
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  message.writeUInt16BE(internetChecksum(view, 0, message.length), 2);
  return message;
}

/** Where the ICMP message begins, -1 where there is none. */
function startOf(message: Buffer, withOuterHeader: boolean): number {
  if (!withOuterHeader) return 0;
  if (message.length < IPV4_HEADER_BYTES) return -1;
  return getIpv4HeaderBytes(new DataView(message.buffer, message.byteOffset, message.length), 0);
}

/** What tells the sender of a request when it came, ms since 1970; undefined when it does not ask. */
export function emitArrival(
  request: Buffer,
  family: Family,
  withOuterHeader: boolean,
  arrivedMs: number,
): Buffer | undefined {
  const at = startOf(request, withOuterHeader);
  if (at < 0 || request.length < at + ARRIVAL_OFFSET) return undefined;
  if (request.readUInt8(at) !== ECHO[family].request) return undefined;
  if (request.readUInt32BE(at + WORD_OFFSET) !== ASKS) return undefined;
  const message = Buffer.alloc(TELLING_BYTES);
  // Identifier, sequence number and token say which request it was; filters let it through by them.
  request.copy(message, 4, at + 4, at + WORD_OFFSET);
  message.writeUInt8(ECHO[family].reply, 0);
  message.writeUInt32BE(TELLS, WORD_OFFSET);
  message.writeBigUInt64BE(BigInt(Math.round(arrivedMs * 1000)), ARRIVAL_OFFSET);
  return summed(message, family);
}

/** When the request of a reply came, ms since 1970 on the other host's clock; undefined where it does not say. */
export function readArrivalMs(message: Buffer, withOuterHeader: boolean): number | undefined {
  const at = startOf(message, withOuterHeader);
  if (at < 0 || message.length < at + TELLING_BYTES) return undefined;
  if (message.readUInt32BE(at + WORD_OFFSET) !== TELLS) return undefined;
  return Number(message.readBigUInt64BE(at + ARRIVAL_OFFSET)) / 1000;
}

/** The token in the beginning of an echo reply; undefined when it is none. */
export function readEchoToken(
  message: Buffer,
  family: Family,
  withOuterHeader: boolean,
): string | undefined {
  const at = startOf(message, withOuterHeader);
  if (at < 0 || message.length < at + ICMP_HEADER_BYTES + TOKEN_BYTES) return undefined;
  if (message.readUInt8(at) !== ECHO[family].reply) return undefined;
  return message.toString('hex', at + ICMP_HEADER_BYTES, at + ICMP_HEADER_BYTES + TOKEN_BYTES);
}
