/**
 * One block of memory that the kernel reads and writes, and the C structures laid out in it.
 * Little-endian LP64 Linux (x86-64, arm64): pointers and sizes are 8 bytes.
 * @module
 */
import { addressOf } from '../../sys/libc/libc.ts';

export const SOCKADDR_IN_BYTES = 16;
export const IOVEC_BYTES = 16;
export const MMSGHDR_BYTES = 64;
/** Offset of `msg_len` (bytes received or sent) inside a `struct mmsghdr`. */
export const MMSGHDR_LENGTH_OFFSET = 56;
export const POLLFD_BYTES = 8;
const AF_INET = 2;

/** A fixed block of memory handed out piece by piece at start, never returned. */
export class CallMemory {
  readonly buffer: ArrayBuffer;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** Address of the first byte, for libc. */
  readonly base: number;
  #used = 0;

  constructor(sizeBytes: number) {
    this.buffer = new ArrayBuffer(sizeBytes);
    this.view = new DataView(this.buffer);
    this.bytes = new Uint8Array(this.buffer);
    this.base = addressOf(this.buffer);
  }

  /**
   * Sets `length` bytes aside and returns their offset (64-byte aligned: a cache line).
   * @throws RangeError when the arena was made too small, a mistake of ours.
   */
  take(length: number): number {
    const offset = (this.#used + 63) & ~63;
    if (offset + length > this.buffer.byteLength) throw new RangeError('arena too small');
    this.#used = offset + length;
    return offset;
  }

  /** Writes a pointer or a size_t. */
  setWord(offset: number, value: number): void {
    this.view.setUint32(offset, value >>> 0, true);
    this.view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
  }

  /** Takes and fills a `struct sockaddr_in`. `address` is in host order. Returns its offset. */
  socketAddress(address: number, port: number): number {
    const offset = this.take(SOCKADDR_IN_BYTES);
    this.setSocketAddress(offset, address, port);
    return offset;
  }

  /** Fills the `struct sockaddr_in` at `offset`. */
  setSocketAddress(offset: number, address: number, port: number): void {
    this.view.setUint16(offset, AF_INET, true);
    this.view.setUint16(offset + 2, port, false);
    this.view.setUint32(offset + 4, address, false);
  }

  /** Takes a `struct timeval` of `ms` milliseconds. Returns its offset. */
  timeval(ms: number): number {
    const offset = this.take(16);
    this.setWord(offset, Math.floor(ms / 1000));
    this.setWord(offset + 8, (ms % 1000) * 1000);
    return offset;
  }

  /** Takes a C int. Returns its offset. */
  int(value: number): number {
    const offset = this.take(4);
    this.view.setInt32(offset, value, true);
    return offset;
  }
}

/** Offsets of a batch of messages for `sendmmsg`/`recvmmsg`: one iovec and one slot each. */
export type MessageBatch = {
  readonly count: number;
  /** First `struct mmsghdr`; they lie {@link MMSGHDR_BYTES} apart. */
  readonly headers: number;
  /** First payload byte; payloads lie `stride` apart. */
  readonly payloads: number;
  readonly stride: number;
};

/**
 * Lays out `count` messages with payloads of `payloadBytes`.
 * @param nameOffset offset of one sockaddr_in used for all messages, or −1 for none.
 */
export function layMessages(
  arena: CallMemory,
  count: number,
  payloadBytes: number,
  nameOffset: number,
): MessageBatch {
  const stride = (payloadBytes + 63) & ~63;
  const headers = arena.take(count * MMSGHDR_BYTES);
  const vectors = arena.take(count * IOVEC_BYTES);
  const payloads = arena.take(count * stride);
  for (let i = 0; i < count; i += 1) {
    const vector = vectors + i * IOVEC_BYTES;
    arena.setWord(vector, arena.base + payloads + i * stride);
    arena.setWord(vector + 8, payloadBytes);
    const header = headers + i * MMSGHDR_BYTES;
    if (nameOffset >= 0) {
      arena.setWord(header, arena.base + nameOffset);
      arena.view.setUint32(header + 8, SOCKADDR_IN_BYTES, true);
    }
    arena.setWord(header + 16, arena.base + vector);
    arena.setWord(header + 24, 1);
  }
  return { count, headers, payloads, stride };
}
