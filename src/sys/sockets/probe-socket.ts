/**
 * A UDP socket that asks peers at the tunnel's port and hears what they answer, with the kernel's word
 * when each answer came. ICMP errors are not its business: who does not answer is not heard. IPv4.
 * @module
 */
import { IP_RECVERR, IPPROTO_IP, SO_TIMESTAMPNS, SOL_SOCKET } from '../libc/constants.ts';
import { addressOf, check, errno, libc } from '../libc/libc.ts';
import { EchoSocket } from './echo-socket.ts';
import { openUdp, socketAddress } from './sockets.ts';

const ANSWER_BYTES = 128;
const NAME_BYTES = 16;
const TWO_32 = 0x1_0000_0000n;

/** An answer; `borrowed:` until the next. Addresses are u32, times ms on the clock of `nowMs`. */
export type ProbeAnswer = { bytes: Buffer; from: number; port: number; atMs: number };

export class ProbeSocket {
  readonly #fd: number;
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  readonly #name = Buffer.alloc(NAME_BYTES);
  readonly #iovec = new BigUint64Array(2);
  readonly #control = new BigUint64Array(8);
  /** `struct msghdr`. */
  readonly #header = new BigUint64Array(7);

  /** @throws SystemError when the address is not ours, or no port is free */
  constructor(local: number) {
    this.#fd = openUdp(local, 0, { offload: false, reusePort: false }).fd;
    this.#set(IPPROTO_IP, IP_RECVERR, 0);
    this.#set(SOL_SOCKET, SO_TIMESTAMPNS, 1);
  }

  #set(level: number, name: number, value: number): void {
    const one = Int32Array.of(value);
    check('setsockopt', libc.setsockopt(this.#fd, level, name, addressOf(one), 4));
  }

  /** Sends to a peer; 0, or the errno for which the kernel did not. */
  send(peer: number, port: number, bytes: Uint8Array): number {
    const name = socketAddress(peer, port);
    const to = [addressOf(name), name.length] as const;
    return libc.sendto(this.#fd, addressOf(bytes), bytes.length, 0, ...to) < 0 ? errno() : 0;
  }

  /** The next answer, undefined when none waits. */
  receive(): ProbeAnswer | undefined {
    const [header, control] = [this.#header, this.#control];
    this.#iovec.set([BigInt(addressOf(this.#answer)), BigInt(ANSWER_BYTES)]);
    control.fill(0n);
    header.fill(0n);
    header.set([BigInt(addressOf(this.#name)), BigInt(NAME_BYTES)]);
    header.set([BigInt(addressOf(this.#iovec)), 1n, BigInt(addressOf(control))], 2);
    header[5] = BigInt(control.byteLength);
    const length = libc.recvmsg(this.#fd, addressOf(header), 0);
    if (length < 0) return undefined;
    // struct cmsghdr {length u64, level i32, type i32}, then struct timespec: all words of 64 bits.
    const isStamp = control[1] === BigInt(SO_TIMESTAMPNS) * TWO_32 + BigInt(SOL_SOCKET);
    return {
      bytes: this.#answer.subarray(0, length),
      from: this.#name.readUInt32BE(4),
      port: this.#name.readUInt16BE(2),
      atMs: isStamp ? Number(control[2]) * 1000 + Number(control[3]) / 1e6 : EchoSocket.nowMs(),
    };
  }

  close(): void {
    libc.close(this.#fd);
  }
}
