/**
 * A socket for ICMP echo requests of any size with "don't fragment": a ping socket where this user
 * may have one (`net.ipv4.ping_group_range`), else a raw one (CAP_NET_RAW), which is given the outer
 * header of what it reads and must number its requests itself.
 * @module
 */
import { type Family, familyOf, type UnderlayAddress } from '../../net/underlay-address.ts';
import {
  AF_INET,
  AF_INET6,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_PROBE,
  IPPROTO_ICMPV6,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_DONTFRAG,
  IPV6_MTU_DISCOVER,
  POLLIN,
  SO_TIMESTAMPNS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
} from '../libc/constants.ts';
import { addressOf, check, libc } from '../libc/libc.ts';
import { socketAddress } from './sockets.ts';

const IPPROTO_ICMP = 1;
const SOL_RAW = 255;
const ICMP_FILTER = 1;
/** Bits of the messages that are kept out: all but echo replies, type 0, and type 129 of ICMPv6. */
const ALL_BUT_REPLIES = ~1;
const ALL_BUT_REPLIES_IPV6 = Int32Array.of(-1, -1, -1, -1, ~(1 << (129 - 128)), -1, -1, -1);
const ICMP6_FILTER = 1;
const TWO_32 = 0x1_0000_0000n;
const clock = new BigInt64Array(2);
/** Bytes of an answer that are looked at. */
const ANSWER_BYTES = 128;

function set(fd: number, level: number, name: number, value: Int32Array<ArrayBuffer>): void {
  check('setsockopt', libc.setsockopt(fd, level, name, addressOf(value), value.byteLength));
}

function prepareIpv4(fd: number, isRaw: boolean): void {
  set(fd, IPPROTO_IP, IP_MTU_DISCOVER, Int32Array.of(IP_PMTUDISC_PROBE));
  if (isRaw) set(fd, SOL_RAW, ICMP_FILTER, Int32Array.of(ALL_BUT_REPLIES));
}

function prepareIpv6(fd: number, isRaw: boolean): void {
  set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, Int32Array.of(IP_PMTUDISC_PROBE));
  set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, Int32Array.of(1));
  if (isRaw) set(fd, IPPROTO_ICMPV6, ICMP6_FILTER, ALL_BUT_REPLIES_IPV6);
}

export class EchoSocket {
  readonly fd: number;
  readonly family: Family;
  /** What is read begins with the outer header: that of raw sockets of IPv4. */
  readonly showsOuterHeader: boolean;
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  /** `struct msghdr`, `struct iovec` and room for one control message. */
  readonly #stamped = {
    header: new BigUint64Array(7),
    iovec: new BigUint64Array(2),
    control: new BigUint64Array(8),
  };

  private constructor(fd: number, family: Family, isRaw: boolean) {
    this.fd = fd;
    this.family = family;
    this.showsOuterHeader = isRaw && family === 4;
  }

  /**
   * @param local our address, from which requests go out
   * @throws SystemError when neither kind may be opened, or the address is not ours
   */
  static open(local: UnderlayAddress): EchoSocket {
    const flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    const family = familyOf(local);
    const [domain, protocol] = family === 6 ? [AF_INET6, IPPROTO_ICMPV6] : [AF_INET, IPPROTO_ICMP];
    let fd = libc.socket(domain, SOCK_DGRAM | flags, protocol);
    const isRaw = fd < 0;
    if (isRaw) fd = check('socket', libc.socket(domain, SOCK_RAW | flags, protocol));
    try {
      if (family === 6) prepareIpv6(fd, isRaw);
      else prepareIpv4(fd, isRaw);
      const name = socketAddress(local, 0);
      check('bind', libc.bind(fd, addressOf(name), name.length));
    } catch (error) {
      libc.close(fd);
      throw error;
    }
    return new EchoSocket(fd, family, isRaw);
  }

  /** Sends one ICMP message; false when the host refuses it. */
  send(peer: UnderlayAddress, message: Uint8Array): boolean {
    const name = socketAddress(peer, 0);
    const length = message.length;
    return (
      libc.sendto(this.fd, addressOf(message), length, 0, addressOf(name), name.length) === length
    );
  }

  /** The beginning of the next message that came, undefined when none waits. `borrowed:` until the next. */
  receive(): Buffer | undefined {
    const length = libc.read(this.fd, addressOf(this.#answer), ANSWER_BYTES);
    return length < 0 ? undefined : this.#answer.subarray(0, length);
  }

  /** Has the kernel say of each message when it came; {@link receiveStamped} tells. */
  stampArrivals(): void {
    set(this.fd, SOL_SOCKET, SO_TIMESTAMPNS, Int32Array.of(1));
  }

  /** The beginning of the next message and when it came, on the clock of {@link nowMs}. `borrowed:` until the next. */
  receiveStamped(): { message: Buffer; atMs: number } | undefined {
    const { header, iovec, control } = this.#stamped;
    iovec.set([BigInt(addressOf(this.#answer)), BigInt(ANSWER_BYTES)]);
    control.fill(0n);
    header.fill(0n);
    header.set(
      [BigInt(addressOf(iovec)), 1n, BigInt(addressOf(control)), BigInt(control.byteLength)],
      2,
    );
    const length = libc.recvmsg(this.fd, addressOf(header), 0);
    if (length < 0) return undefined;
    // struct cmsghdr {length u64, level i32, type i32}, then struct timespec: all words of 64 bits.
    const isStamp = control[1] === BigInt(SO_TIMESTAMPNS) * TWO_32 + BigInt(SOL_SOCKET);
    const atMs = isStamp
      ? Number(control[2]) * 1000 + Number(control[3]) / 1e6
      : EchoSocket.nowMs();
    return { message: this.#answer.subarray(0, length), atMs };
  }

  /** The time of day in ms, as the kernel stamps messages with. */
  static nowMs(): number {
    libc.clock_gettime(0, addressOf(clock));
    return Number(clock[0]) * 1000 + Number(clock[1]) / 1e6;
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
