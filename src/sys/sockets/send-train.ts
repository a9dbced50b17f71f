/**
 * Datagrams from control, which sends few: one, or a train of them in one call (UDP_SEGMENT).
 * @module
 */
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import { SOL_UDP, UDP_SEGMENT } from '../libc/constants.ts';
import { addressOf, check, libc } from '../libc/libc.ts';
import { socketAddress } from './sockets.ts';

const MSGHDR_BYTES = 56;
/** struct cmsghdr (length, level, type) and a u16, padded. */
const CONTROL_BYTES = 24;
const CONTROL_LENGTH = 18n;

/**
 * Sends `payload` to a host: as datagrams of `segmentBytes` and a shorter last one, or as one where that
 * is 0. @throws SystemError
 */
export function sendTrain(
  fd: number,
  to: { address: UnderlayAddress; port: number },
  payload: Buffer<ArrayBuffer>,
  segmentBytes = 0,
): void {
  const name = socketAddress(to.address, to.port);
  const vector = BigUint64Array.of(BigInt(addressOf(payload)), BigInt(payload.length));
  const control = Buffer.alloc(CONTROL_BYTES);
  control.writeBigUInt64LE(CONTROL_LENGTH, 0);
  control.writeInt32LE(SOL_UDP, 8);
  control.writeInt32LE(UDP_SEGMENT, 12);
  control.writeUInt16LE(segmentBytes, 16);
  const message = Buffer.alloc(MSGHDR_BYTES);
  message.writeBigUInt64LE(BigInt(addressOf(name)), 0);
  message.writeUInt32LE(name.length, 8);
  message.writeBigUInt64LE(BigInt(addressOf(vector)), 16);
  message.writeBigUInt64LE(1n, 24);
  if (segmentBytes > 0) {
    message.writeBigUInt64LE(BigInt(addressOf(control)), 32);
    message.writeBigUInt64LE(BigInt(control.length), 40);
  }
  check('sendmsg', libc.sendmsg(fd, addressOf(message), 0));
}
