/**
 * A socket for ICMP echo requests of any size with "don't fragment": a ping socket where this user
 * may have one (`net.ipv4.ping_group_range`), else a raw one (CAP_NET_RAW), which is given the outer
 * header of what it reads and must number its requests itself.
 * @module
 */
import {
  AF_INET,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_PROBE,
  IPPROTO_IP,
  POLLIN,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
} from '../libc/constants.ts';
import { addressOf, check, libc } from '../libc/libc.ts';
import { socketAddress } from './sockets.ts';

const IPPROTO_ICMP = 1;
const SOL_RAW = 255;
const ICMP_FILTER = 1;
/** Bits of the messages that are kept out: all but echo replies, type 0. */
const ALL_BUT_REPLIES = ~1;
/** Bytes of an answer that are looked at. */
const ANSWER_BYTES = 128;

export class EchoSocket {
  readonly fd: number;
  /** What is read begins with the outer IPv4 header. */
  readonly isRaw: boolean;
  readonly #answer = Buffer.alloc(ANSWER_BYTES);

  private constructor(fd: number, isRaw: boolean) {
    this.fd = fd;
    this.isRaw = isRaw;
  }

  /**
   * @param local our address, u32, from which requests go out
   * @throws SystemError when neither kind may be opened, or the address is not ours
   */
  static open(local: number): EchoSocket {
    const flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    let fd = libc.socket(AF_INET, SOCK_DGRAM | flags, IPPROTO_ICMP);
    const isRaw = fd < 0;
    if (isRaw) fd = check('socket', libc.socket(AF_INET, SOCK_RAW | flags, IPPROTO_ICMP));
    try {
      const value = Int32Array.of(IP_PMTUDISC_PROBE, ALL_BUT_REPLIES);
      const at = addressOf(value);
      check('setsockopt', libc.setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, at, 4));
      if (isRaw) check('setsockopt', libc.setsockopt(fd, SOL_RAW, ICMP_FILTER, at + 4, 4));
      const name = socketAddress(local, 0);
      check('bind', libc.bind(fd, addressOf(name), name.length));
    } catch (error) {
      libc.close(fd);
      throw error;
    }
    return new EchoSocket(fd, isRaw);
  }

  /** Sends one ICMP message; false when the host refuses it. */
  send(peer: number, message: Uint8Array): boolean {
    const name = socketAddress(peer, 0);
    const length = message.length;
    return libc.sendto(this.fd, addressOf(message), length, 0, addressOf(name), 16) === length;
  }

  /** The beginning of the next message that came, undefined when none waits. `borrowed:` until the next. */
  receive(): Buffer | undefined {
    const length = libc.read(this.fd, addressOf(this.#answer), ANSWER_BYTES);
    return length < 0 ? undefined : this.#answer.subarray(0, length);
  }

  /** Waits until one of the sockets has something to read, at most `timeoutMs`. */
  static wait(sockets: readonly EchoSocket[], timeoutMs: number): void {
    const polls = Buffer.alloc(8 * sockets.length);
    for (const [index, { fd }] of sockets.entries()) {
      polls.writeInt32LE(fd, index * 8);
      polls.writeInt16LE(POLLIN, index * 8 + 4);
    }
    libc.poll(addressOf(polls), sockets.length, timeoutMs);
  }

  close(): void {
    libc.close(this.fd);
  }
}
