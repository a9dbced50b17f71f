/**
 * A raw end of a network in a test: an AF_PACKET socket on one device of one namespace, that sends
 * frames exactly as given and keeps what passes the device.
 * @module
 */

import {
  SO_ATTACH_FILTER,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
} from '../../src/sys/libc/constants.ts';
import { addressOf, check, errno, errnoName, libc, SystemError } from '../../src/sys/libc/libc.ts';
import type { NetworkNamespace } from '../../src/sys/process/netns.ts';
import { sleep } from './patience.ts';

const AF_PACKET = 17;
const ETH_P_ALL = 0x0003;
const ADDRESS_BYTES = 20;
const ADDRESS_TYPE_OFFSET = 10;
const PACKET_OUTGOING = 4;
const FRAME_BYTES_MAX = 70_000;
const RECEIVE_BUFFER_BYTES = 16 * 1024 * 1024;
const MSG_DONTWAIT = 0x40;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const MMSGHDR_BYTES = 64;

/** One BPF instruction: code, jump if true, jump if false, constant. */
function instruction(code: number, jt: number, jf: number, k: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes[2] = jt;
  bytes[3] = jf;
  bytes.writeUInt32LE(k, 4);
  return bytes;
}

/** Accepts IPv4 fragments in Ethernet frames: `ldh [12]; jeq 0x800; ldh [20]; jset 0x3fff`. */
export const FRAGMENTS = Buffer.concat([
  instruction(0x28, 0, 0, 12),
  instruction(0x15, 0, 3, 0x0800),
  instruction(0x28, 0, 0, 20),
  instruction(0x45, 0, 1, 0x3fff),
  instruction(0x06, 0, 0, 0x40000),
  instruction(0x06, 0, 0, 0),
]);

/** Accepts what is longer than IPv4 can say, its first bytes: `ld len; jgt #65600`. */
export const LONG_ONLY = Buffer.concat([
  instruction(0x80, 0, 0, 0),
  instruction(0x25, 0, 1, 65_600),
  instruction(0x06, 0, 0, 64),
  instruction(0x06, 0, 0, 0),
]);

/** Accepts Ethernet frames of one sender, u48: `ld [6]; jeq; ldh [10]; jeq`. */
export function fromMac(mac: number): Buffer {
  return Buffer.concat([
    instruction(0x20, 0, 0, 6),
    instruction(0x15, 0, 3, Math.floor(mac / 2 ** 16)),
    instruction(0x28, 0, 0, 10),
    instruction(0x15, 0, 1, mac % 2 ** 16),
    instruction(0x06, 0, 0, 0x40000),
    instruction(0x06, 0, 0, 0),
  ]);
}

/** Accepts ICMP in Ethernet frames. */
export const ICMP_ONLY = Buffer.concat([
  instruction(0x28, 0, 0, 12),
  instruction(0x15, 0, 3, 0x0800),
  instruction(0x30, 0, 0, 23),
  instruction(0x15, 0, 1, 1),
  instruction(0x06, 0, 0, 0x40000),
  instruction(0x06, 0, 0, 0),
]);

function attachFilter(fd: number, program: Buffer): void {
  // struct sock_fprog: count u16, padding, pointer.
  const descriptor = Buffer.alloc(16);
  descriptor.writeUInt16LE(program.length / 8, 0);
  descriptor.writeBigUInt64LE(BigInt(addressOf(program)), 8);
  check(
    'setsockopt SO_ATTACH_FILTER',
    libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, addressOf(descriptor), 16),
  );
}

export type SeenFrame = { bytes: Buffer; outgoing: boolean };

export class Wire {
  /** The socket, for what this class does not do. */
  readonly fd: number;
  readonly #frame = Buffer.alloc(FRAME_BYTES_MAX);
  readonly #address = Buffer.alloc(ADDRESS_BYTES);
  readonly #addressLength = new Int32Array(1);
  readonly #vector = new BigUint64Array(2);
  readonly #message = Buffer.alloc(56);
  #lost = 0;

  private constructor(fd: number) {
    this.fd = fd;
    this.#vector[0] = BigInt(addressOf(this.#frame));
    this.#vector[1] = BigInt(FRAME_BYTES_MAX);
    this.#message.writeBigUInt64LE(BigInt(addressOf(this.#address)), 0);
    this.#message.writeBigUInt64LE(BigInt(addressOf(this.#vector)), 16);
    this.#message.writeBigUInt64LE(1n, 24);
  }

  /**
   * Opens `device` of `node`'s namespace.
   * @param filter a classic BPF program (see {@link FRAGMENTS}): only what it accepts is kept
   * @throws SystemError EPERM without CAP_NET_RAW, ENODEV when there is no such device.
   */
  static open(
    node: { run<T>(fn: () => T): T } | NetworkNamespace,
    device: string,
    filter?: Buffer,
  ): Wire {
    return node.run(() => {
      const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
      const fd = check('socket(AF_PACKET)', libc.socket(AF_PACKET, type, 0));
      const size = Int32Array.of(RECEIVE_BUFFER_BYTES);
      libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, addressOf(size), 4);
      if (filter !== undefined) attachFilter(fd, filter);
      const name = Buffer.alloc(ADDRESS_BYTES);
      name.writeUInt16LE(AF_PACKET, 0);
      name.writeUInt16BE(ETH_P_ALL, 2);
      name.writeInt32LE(libc.if_nametoindex(device), 4);
      if (libc.bind(fd, addressOf(name), ADDRESS_BYTES) === -1) {
        const failure = new SystemError(`bind(${device})`, errno());
        libc.close(fd);
        throw failure;
      }
      return new Wire(fd);
    });
  }

  /** Sends one frame. @throws SystemError */
  send(frame: Uint8Array): void {
    check('send(AF_PACKET)', libc.sendto(this.fd, addressOf(frame), frame.length, 0, 0, 0));
  }

  /** Everything that passed since the last call, oldest first. */
  take(): SeenFrame[] {
    const frames: SeenFrame[] = [];
    for (;;) {
      this.#message.writeUInt32LE(ADDRESS_BYTES, 8);
      const length = libc.recvmsg(this.fd, addressOf(this.#message), MSG_DONTWAIT);
      if (length === -1) {
        const code = errnoName(errno());
        if (code === 'EAGAIN' || code === 'EINTR' || code === 'ENETDOWN') return frames;
        throw new SystemError('recvmsg(AF_PACKET)', errno());
      }
      frames.push({
        bytes: Buffer.from(this.#frame.subarray(0, length)),
        outgoing: this.#address[ADDRESS_TYPE_OFFSET] === PACKET_OUTGOING,
      });
    }
  }

  /** What came from the other side of the device since the last call. */
  arrived(): Buffer[] {
    return this.take().flatMap((frame) => (frame.outgoing ? [] : [frame.bytes]));
  }

  /** Waits until `wanted` accepts a frame and returns it; undefined after `ms`. */
  async find(wanted: (frame: SeenFrame) => boolean, ms = 1000): Promise<SeenFrame | undefined> {
    const deadline = Date.now() + ms;
    for (;;) {
      const found = this.take().find(wanted);
      if (found !== undefined || Date.now() > deadline) return found;
      await sleep(2);
    }
  }

  /** Frames that found the receive buffer full since the socket was opened: should stay 0. */
  lost(): number {
    const statistics = new Uint32Array(2);
    this.#addressLength[0] = 8;
    libc.getsockopt(
      this.fd,
      SOL_PACKET,
      PACKET_STATISTICS,
      addressOf(statistics),
      addressOf(this.#addressLength),
    );
    this.#lost += statistics[1] ?? 0;
    return this.#lost;
  }

  close(): void {
    libc.close(this.fd);
  }

  /**
   * Prepares a batch that {@link Batch.send} hands to the kernel in one call: `frames` stay as they
   * are, and may be edited in place between two sends.
   */
  batch(frames: readonly Buffer[]): Batch {
    return new Batch(this.fd, frames);
  }
}

/** Frames laid out for sendmmsg. */
export class Batch {
  readonly #fd: number;
  readonly #frames: readonly Buffer[];
  readonly #vectors: BigUint64Array;
  readonly #messages: Buffer;

  constructor(fd: number, frames: readonly Buffer[]) {
    this.#fd = fd;
    this.#frames = frames;
    this.#vectors = new BigUint64Array(frames.length * 2);
    this.#messages = Buffer.alloc(frames.length * MMSGHDR_BYTES);
    for (const [i, frame] of frames.entries()) {
      this.#vectors[2 * i] = BigInt(addressOf(frame));
      this.#vectors[2 * i + 1] = BigInt(frame.length);
      const vector = BigInt(addressOf(this.#vectors) + i * 16);
      this.#messages.writeBigUInt64LE(vector, i * MMSGHDR_BYTES + 16);
      this.#messages.writeBigUInt64LE(1n, i * MMSGHDR_BYTES + 24);
    }
  }

  /** Sends the first `count` frames; returns how many the kernel took. @throws SystemError */
  send(count = this.#frames.length): number {
    const sent = libc.sendmmsg(this.#fd, addressOf(this.#messages), count, 0);
    if (sent >= 0) return sent;
    const code = errnoName(errno());
    if (code === 'ENOBUFS' || code === 'EAGAIN') return 0;
    throw new SystemError('sendmmsg(AF_PACKET)', errno());
  }
}
