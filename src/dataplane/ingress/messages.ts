/**
 * The `struct mmsghdr` array that one `recvmmsg` fills: a buffer, a name and ancillary data for each message.
 * @module
 */
import {
  IP_TOS,
  IPPROTO_IP,
  MSG_CTRUNC,
  MSG_TRUNC,
  SOL_UDP,
  UDP_GRO,
} from '../../sys/libc/constants.ts';
import {
  type Arena,
  CMSG_HEADER_BYTES,
  IOVEC_BYTES,
  MMSGHDR_BYTES,
  MMSGHDR_LENGTH,
  MSGHDR,
} from '../ground/arena.ts';
import { SOCKADDR_BYTES } from '../ground/sockaddr.ts';

/** Largest datagram or train that IPv4 can carry, and a little slack. */
export const BUFFER_BYTES = 65536 + 64;
/** Room for the ancillary data of one message, bytes. */
export const CONTROL_BYTES = 96;
/** A control message of at most 8 bytes. */
const CONTROL_ENTRY_BYTES = CMSG_HEADER_BYTES + 8;

export class Messages {
  readonly #arena: Arena;
  readonly #names: number;
  readonly #controls: number;
  readonly #buffers: number;
  /** The array, as the system call wants it. */
  readonly headers: number;

  /** @param count how many one call may bring at most */
  constructor(arena: Arena, count: number) {
    this.#arena = arena;
    this.headers = arena.allocate(count * MMSGHDR_BYTES);
    const iovecs = arena.allocate(count * IOVEC_BYTES);
    this.#names = arena.allocate(count * SOCKADDR_BYTES);
    this.#controls = arena.allocate(count * CONTROL_BYTES);
    this.#buffers = arena.allocate(count * BUFFER_BYTES);
    for (let i = 0; i < count; i++) {
      const at = this.headers + i * MMSGHDR_BYTES;
      arena.writeIovec(iovecs + i * IOVEC_BYTES, this.bufferOf(i), BUFFER_BYTES);
      arena.writePointer(at + MSGHDR.NAME, this.nameOf(i));
      arena.writePointer(at + MSGHDR.IOV, iovecs + i * IOVEC_BYTES);
      arena.view.setUint32(at + MSGHDR.IOV_LENGTH, 1, true);
      arena.writePointer(at + MSGHDR.CONTROL, this.controlOf(i));
      this.rearm(i);
    }
  }

  /** Where the bytes of a message are; {@link BUFFER_BYTES} from those of the next. */
  bufferOf(message: number): number {
    return this.#buffers + message * BUFFER_BYTES;
  }

  /** Where the socket address of its source is. */
  nameOf(message: number): number {
    return this.#names + message * SOCKADDR_BYTES;
  }

  /** Where its ancillary data is. */
  controlOf(message: number): number {
    return this.#controls + message * CONTROL_BYTES;
  }

  /** How many bytes of a message were received. */
  lengthOf(message: number): number {
    const at = this.headers + message * MMSGHDR_BYTES + MMSGHDR_LENGTH;
    return this.#arena.view.getUint32(at, true);
  }

  /** How many bytes of ancillary data came along. */
  controlBytesOf(message: number): number {
    const at = this.headers + message * MMSGHDR_BYTES + MSGHDR.CONTROL_LENGTH;
    return this.#arena.view.getUint32(at, true);
  }

  /** Whether not all of a message, or of what came along, has found room. */
  isCutOff(message: number): boolean {
    const at = this.headers + message * MMSGHDR_BYTES + MSGHDR.FLAGS;
    return (this.#arena.view.getUint32(at, true) & (MSG_TRUNC | MSG_CTRUNC)) !== 0;
  }

  /** Makes a message ready again: the kernel overwrites these words with what it used. */
  rearm(message: number): void {
    const { view } = this.#arena;
    const at = this.headers + message * MMSGHDR_BYTES;
    view.setUint32(at + MSGHDR.NAME_LENGTH, SOCKADDR_BYTES, true);
    view.setUint32(at + MSGHDR.CONTROL_LENGTH, CONTROL_BYTES, true);
    view.setUint32(at + MSGHDR.FLAGS, 0, true);
  }

  /**
   * Lays the `length` bytes at `offset` where the kernel would have put a message, with what it would have told
   * beside: a warm-up's sockets tell nothing.
   * @param message its place, below the count of all
   * @param source arena offset of the socket address that it comes from
   * @param segmentBytes of a train; 0 = it is none
   */
  lay(
    message: number,
    offset: number,
    length: number,
    source: number,
    tos: number,
    segmentBytes: number,
  ): void {
    const { bytes, view } = this.#arena;
    const at = this.headers + message * MMSGHDR_BYTES;
    const control = this.controlOf(message);
    bytes.copyWithin(this.bufferOf(message), offset, offset + length);
    bytes.copyWithin(this.nameOf(message), source, source + SOCKADDR_BYTES);
    view.setUint32(at + MMSGHDR_LENGTH, length, true);
    emitControl(view, control, IPPROTO_IP, IP_TOS, 1);
    view.setUint8(control + CMSG_HEADER_BYTES, tos);
    let controlBytes = CONTROL_ENTRY_BYTES;
    if (segmentBytes !== 0) {
      emitControl(view, control + controlBytes, SOL_UDP, UDP_GRO, 4);
      view.setInt32(control + controlBytes + CMSG_HEADER_BYTES, segmentBytes, true);
      controlBytes += CONTROL_ENTRY_BYTES;
    }
    view.setUint32(at + MSGHDR.CONTROL_LENGTH, controlBytes, true);
  }
}

/** Writes the head of a control message with `dataBytes` behind it (`struct cmsghdr`). */
function emitControl(
  view: DataView,
  at: number,
  level: number,
  type: number,
  dataBytes: number,
): void {
  view.setUint32(at, CMSG_HEADER_BYTES + dataBytes, true);
  view.setUint32(at + 4, 0, true);
  view.setInt32(at + 8, level, true);
  view.setInt32(at + 12, type, true);
}
