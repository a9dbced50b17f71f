/**
 * Stands between the data path and the kernel: takes what is sent apart and keeps copies of the
 * datagrams that the kernel would have put on the wire.
 * @module
 */
import {
  type Arena,
  MMSGHDR_BYTES,
  MMSGHDR_LENGTH,
  MSGHDR,
} from '../../src/dataplane/ground/arena.ts';
import {
  AF_INET6,
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_TCLASS,
  SOL_UDP,
  UDP_SEGMENT,
} from '../../src/sys/libc/constants.ts';
import type { TestPorts } from '../support/ports.ts';

/** One datagram as it would have left. */
export type Sent = {
  readonly socket: number;
  /** Its IPv4 address, or the last word of its IPv6 one. */
  readonly peer: number;
  readonly port: number;
  readonly tos: number;
  readonly bytes: Buffer;
};

/** The most segments and bytes that Linux takes in one UDP_SEGMENT send. */
const SEGMENTS_MAX = 128;
const PAYLOAD_MAX = 65507;

export class Sends {
  readonly sent: Sent[] = [];
  readonly #arena: Arena;
  readonly #ports: TestPorts;
  readonly #real: TestPorts['send'];

  constructor({ arena, ports }: { arena: Arena; ports: TestPorts }) {
    this.#arena = arena;
    this.#ports = ports;
    this.#real = ports.send;
    ports.send = (socket, messages, count) => {
      for (let index = 0; index < count; index++) {
        this.#take(socket, messages + index * MMSGHDR_BYTES);
      }
      return count;
    };
  }

  /** Leaves sending to the kernel again. */
  restore(): void {
    this.#ports.send = this.#real;
  }

  /** The arena offset of an absolute address; whatever the kernel reads must lie in the arena. */
  #inside(address: number, bytes: number): number {
    const offset = address - this.#arena.base;
    if (offset < 0 || offset + bytes > this.#arena.bytes.length) {
      throw new RangeError(`the kernel was told to read outside the arena: ${offset}`);
    }
    return offset;
  }

  #pointer(at: number): number {
    const { view } = this.#arena;
    return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
  }

  #take(socket: number, message: number): void {
    const { view, bytes } = this.#arena;
    const name = this.#inside(this.#pointer(message + MSGHDR.NAME), 16);
    const lastWord = view.getUint16(name, true) === AF_INET6 ? 20 : 4;
    const iovecs = view.getUint32(message + MSGHDR.IOV_LENGTH, true);
    const iov = this.#inside(this.#pointer(message + MSGHDR.IOV), iovecs * 16);
    const pieces: Uint8Array[] = [];
    for (let index = 0; index < iovecs; index++) {
      const length = view.getUint32(iov + index * 16 + 8, true);
      const start = this.#inside(this.#pointer(iov + index * 16), length);
      pieces.push(bytes.subarray(start, start + length));
    }
    const whole = Buffer.concat(pieces);
    const { segment, tos } = this.#control(message);
    const bytesEach = segment === 0 ? whole.length : segment;
    if (whole.length > PAYLOAD_MAX) throw new RangeError(`one send of ${whole.length} bytes`);
    if (Math.ceil(whole.length / bytesEach) > SEGMENTS_MAX)
      throw new RangeError('too many segments');
    for (let at = 0; at < whole.length; at += bytesEach) {
      this.sent.push({
        socket,
        peer: view.getUint32(name + lastWord),
        port: view.getUint16(name + 2),
        tos,
        bytes: whole.subarray(at, at + bytesEach),
      });
    }
    view.setUint32(message + MMSGHDR_LENGTH, whole.length, true);
  }

  #control(message: number): { segment: number; tos: number } {
    const { view } = this.#arena;
    const length = view.getUint32(message + MSGHDR.CONTROL_LENGTH, true);
    let [segment, tos] = [0, 0];
    if (length === 0) return { segment, tos };
    const control = this.#inside(this.#pointer(message + MSGHDR.CONTROL), length);
    for (let at = control; at + 16 <= control + length; ) {
      const entryBytes = view.getUint32(at, true);
      const [level, type] = [view.getInt32(at + 8, true), view.getInt32(at + 12, true)];
      if (level === SOL_UDP && type === UDP_SEGMENT) segment = view.getUint16(at + 16, true);
      else if (level === IPPROTO_IP && type === IP_TOS) tos = view.getInt32(at + 16, true);
      else if (level === IPPROTO_IPV6 && type === IPV6_TCLASS) tos = view.getInt32(at + 16, true);
      else throw new Error(`control message ${level}/${type}`);
      at += (entryBytes + 7) & ~7;
    }
    return { segment, tos };
  }
}
