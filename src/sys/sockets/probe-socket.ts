/**
 * A socket that asks peers where the tunnel listens and hears what they answer, with the kernel's word
 * when each answer came: of UDP, or a raw one of IP protocol 4, to which a filter leaves the answers alone.
 * ICMP errors are not its business: who does not answer is not heard.
 * @module
 */
import { familyOf, hostOfBytes, type UnderlayAddress } from '../../net/underlay-address.ts';
import {
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVERR,
  SO_TIMESTAMPNS,
  SOL_SOCKET,
} from '../libc/constants.ts';
import { addressOf, check, errno, libc } from '../libc/libc.ts';
import { attachFilter, BPF, BPF_ACCEPT, type BpfInstruction } from './bpf.ts';
import { EchoSocket } from './echo-socket.ts';
import { openIpip, openUdp, socketAddress } from './sockets.ts';

const ANSWER_BYTES = 128;
/** A `struct sockaddr_in6`. */
const NAME_BYTES = 28;
/** The outer header that a raw socket of IPv4 shows. */
const IPV4_HEADER_BYTES = 20;
const TWO_32 = 0x1_0000_0000n;

/** An answer; `borrowed:` until the next. Times are ms on the clock of `nowMs`; raw sockets have port 0. */
export type ProbeAnswer = { bytes: Buffer; from: UnderlayAddress; port: number; atMs: number };

/** What answers begin with: words in network order, and where each stands. */
export type AnswerWords = readonly { at: number; word: number }[];

/** Accepts what has all these words behind `innerAt` bytes. */
function answersOnly(words: AnswerWords, innerAt: number): BpfInstruction[] {
  const checks = words.flatMap(({ at, word }, i): BpfInstruction[] => [
    [BPF.LOAD_WORD, 0, 0, innerAt + at],
    [BPF.JUMP_EQUAL, 0, 2 * (words.length - i) - 1, word >>> 0],
  ]);
  return [...checks, [BPF.RETURN, 0, 0, BPF_ACCEPT], [BPF.RETURN, 0, 0, 0]];
}

export class ProbeSocket {
  readonly #fd: number;
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  readonly #name = Buffer.alloc(NAME_BYTES);
  readonly #iovec = new BigUint64Array(2);
  readonly #control = new BigUint64Array(8);
  /** `struct msghdr`. */
  readonly #header = new BigUint64Array(7);
  readonly #isIpv6: boolean;
  /** What is before the inner packet in what is read. */
  readonly #innerAt: number;

  /**
   * @param local need not be here yet
   * @param raw what answers begin with, where a raw socket is to be opened
   * @throws SystemError when no port is free, or raw sockets are not for us
   */
  constructor(local: UnderlayAddress, raw?: AnswerWords) {
    this.#isIpv6 = familyOf(local) === 6;
    this.#innerAt = raw === undefined || this.#isIpv6 ? 0 : IPV4_HEADER_BYTES;
    const plain = { offload: false, reusePort: false, isFree: true };
    this.#fd = (raw === undefined ? openUdp(local, 0, plain) : openIpip(local, 0, 1, 4, true)).fd;
    try {
      if (raw !== undefined) attachFilter(this.#fd, answersOnly(raw, this.#innerAt));
      if (this.#isIpv6) this.#set(IPPROTO_IPV6, IPV6_RECVERR, 0);
      else this.#set(IPPROTO_IP, IP_RECVERR, 0);
      this.#set(SOL_SOCKET, SO_TIMESTAMPNS, 1);
    } catch (error) {
      libc.close(this.#fd);
      throw error;
    }
  }

  #set(level: number, name: number, value: number): void {
    const one = Int32Array.of(value);
    check('setsockopt', libc.setsockopt(this.#fd, level, name, addressOf(one), 4));
  }

  /** Sends to a peer; 0, or the errno for which the kernel did not. */
  send(peer: UnderlayAddress, port: number, bytes: Uint8Array): number {
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
    const name = this.#name;
    // struct cmsghdr {length u64, level i32, type i32}, then struct timespec: all words of 64 bits.
    const isStamp = control[1] === BigInt(SO_TIMESTAMPNS) * TWO_32 + BigInt(SOL_SOCKET);
    return {
      bytes: this.#answer.subarray(Math.min(this.#innerAt, length), length),
      from: hostOfBytes(this.#isIpv6 ? name.subarray(8, 24) : name.subarray(4, 8)),
      port: name.readUInt16BE(2),
      atMs: isStamp ? Number(control[2]) * 1000 + Number(control[3]) / 1e6 : EchoSocket.nowMs(),
    };
  }

  close(): void {
    libc.close(this.#fd);
  }
}
