/**
 * Descriptors that travel from one process to another beside bytes (SCM_RIGHTS, unix(7)).
 *
 * What arrives is marked close-on-exec. More descriptors than there is room for are a mistake of the
 * sender's: the kernel closes those that do not fit, and the rest is closed here, so that nobody goes
 * on with half of them.
 * @module
 */
import { EAGAIN, EMSGSIZE, MSG_CTRUNC, MSG_DONTWAIT, SOL_SOCKET } from '../libc/constants.ts';
import { addressOf, errno, libc, SystemError } from '../libc/libc.ts';

/** Most descriptors in one message (SCM_MAX_FD of the kernel). */
export const DESCRIPTORS_MAX = 253;

const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
// struct msghdr and struct cmsghdr where pointers and size_t have 8 bytes.
const MESSAGE_BYTES = 56;
const NAME_OFFSET = 0;
const NAME_LENGTH_OFFSET = 8;
const VECTOR_OFFSET = 16;
const VECTOR_COUNT_OFFSET = 24;
const CONTROL_OFFSET = 32;
const CONTROL_LENGTH_OFFSET = 40;
const FLAGS_OFFSET = 48;
const VECTOR_BYTES = 16;
const CONTROL_HEADER_BYTES = 16;
const CONTROL_ALIGN_BYTES = 8;
const DESCRIPTOR_BYTES = 4;

/** What came in one message. */
export type Passed = { bytes: Uint8Array; descriptors: number[] };

function controlBytes(descriptors: number): number {
  const bytes = CONTROL_HEADER_BYTES + descriptors * DESCRIPTOR_BYTES;
  return Math.ceil(bytes / CONTROL_ALIGN_BYTES) * CONTROL_ALIGN_BYTES;
}

/** A msghdr over these buffers, which the caller keeps alive until the call is over. */
function messageOf(
  bytes: Uint8Array<ArrayBuffer>,
  control: Buffer | undefined,
  name: Uint8Array<ArrayBuffer> | undefined,
): { header: Buffer; vector: Buffer } {
  const header = Buffer.alloc(MESSAGE_BYTES);
  const vector = Buffer.alloc(VECTOR_BYTES);
  vector.writeBigUInt64LE(BigInt(addressOf(bytes)), 0);
  vector.writeBigUInt64LE(BigInt(bytes.length), 8);
  header.writeBigUInt64LE(BigInt(addressOf(vector)), VECTOR_OFFSET);
  header.writeBigUInt64LE(1n, VECTOR_COUNT_OFFSET);
  if (name !== undefined) {
    header.writeBigUInt64LE(BigInt(addressOf(name)), NAME_OFFSET);
    header.writeUInt32LE(name.length, NAME_LENGTH_OFFSET);
  }
  if (control !== undefined) {
    header.writeBigUInt64LE(BigInt(addressOf(control)), CONTROL_OFFSET);
    header.writeBigUInt64LE(BigInt(control.length), CONTROL_LENGTH_OFFSET);
  }
  return { header, vector };
}

/**
 * Sends bytes, at least one, with descriptors beside them; they stay open here too. Never waits.
 * @param to the address of the receiver, family included, where the socket is not connected
 * @returns how many bytes went; 0 when the other end has no room now, and nothing went.
 * @throws SystemError EPIPE, ECONNRESET or ECONNREFUSED when nobody is there, EBADF for one that is not open.
 */
export function sendDescriptors(
  socket: number,
  bytes: Uint8Array<ArrayBuffer>,
  descriptors: readonly number[],
  to?: Uint8Array<ArrayBuffer>,
): number {
  if (bytes.length === 0) throw new RangeError('descriptors travel beside at least one byte');
  if (descriptors.length > DESCRIPTORS_MAX) {
    throw new RangeError(`${descriptors.length} descriptors: at most ${DESCRIPTORS_MAX} at a time`);
  }
  let control: Buffer | undefined;
  if (descriptors.length > 0) {
    control = Buffer.alloc(controlBytes(descriptors.length));
    const used = CONTROL_HEADER_BYTES + descriptors.length * DESCRIPTOR_BYTES;
    control.writeBigUInt64LE(BigInt(used), 0);
    control.writeInt32LE(SOL_SOCKET, 8);
    control.writeInt32LE(SCM_RIGHTS, 12);
    for (const [at, descriptor] of descriptors.entries()) {
      control.writeInt32LE(descriptor, CONTROL_HEADER_BYTES + at * DESCRIPTOR_BYTES);
    }
  }
  const { header } = messageOf(bytes, control, to);
  const sent = libc.sendmsg(socket, addressOf(header), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent !== -1) return sent;
  if (errno() === EAGAIN) return 0;
  throw new SystemError('sendmsg', errno());
}

/** The descriptors of the control messages that came. */
function descriptorsIn(control: Buffer, length: number): number[] {
  const found: number[] = [];
  for (let at = 0; at + CONTROL_HEADER_BYTES <= length; ) {
    const bytes = Number(control.readBigUInt64LE(at));
    if (bytes < CONTROL_HEADER_BYTES || at + bytes > length) break;
    const isRights =
      control.readInt32LE(at + 8) === SOL_SOCKET && control.readInt32LE(at + 12) === SCM_RIGHTS;
    for (
      let i = at + CONTROL_HEADER_BYTES;
      isRights && i + DESCRIPTOR_BYTES <= at + bytes;
      i += 4
    ) {
      found.push(control.readInt32LE(i));
    }
    at += Math.ceil(bytes / CONTROL_ALIGN_BYTES) * CONTROL_ALIGN_BYTES;
  }
  return found;
}

/**
 * Takes one message, without waiting.
 * @param bytesMax room for its bytes; of a longer datagram the rest is lost
 * @param descriptorsMax room for its descriptors
 * @returns undefined when there is none now; no bytes: the other end has closed.
 * @throws SystemError EMSGSIZE when more descriptors came than there was room for; none is kept.
 */
export function receiveDescriptors(
  socket: number,
  bytesMax: number,
  descriptorsMax = DESCRIPTORS_MAX,
): Passed | undefined {
  const bytes = new Uint8Array(bytesMax);
  // Not rounded up: what the kernel rounds to could hold one more.
  const control = Buffer.alloc(CONTROL_HEADER_BYTES + descriptorsMax * DESCRIPTOR_BYTES);
  const { header } = messageOf(bytes, control, undefined);
  const flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
  const received = libc.recvmsg(socket, addressOf(header), flags);
  if (received === -1) {
    if (errno() === EAGAIN) return undefined;
    throw new SystemError('recvmsg', errno());
  }
  const length = Number(header.readBigUInt64LE(CONTROL_LENGTH_OFFSET));
  const descriptors = descriptorsIn(control, length);
  if ((header.readInt32LE(FLAGS_OFFSET) & MSG_CTRUNC) !== 0) {
    for (const descriptor of descriptors) libc.close(descriptor);
    throw new SystemError('recvmsg', EMSGSIZE, 'more descriptors than there was room for');
  }
  return { bytes: bytes.subarray(0, received), descriptors };
}
