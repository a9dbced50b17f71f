/**
 * A socket for ICMP echo requests of any size with "don't fragment": a ping socket where this user
 * may have one (`net.ipv4.ping_group_range`), else a raw one (CAP_NET_RAW), which is given the outer
 * header of what it reads and must number its requests itself. The requests of others only a raw one is
 * given.
 * @module
 */
import {
  type Family,
  familyOf,
  hostOfBytes,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
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
  SO_BINDTODEVICE,
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
/** Types of the messages there and back, by family. */
const REQUEST = { 4: 8, 6: 128 } as const;
const REPLY = { 4: 0, 6: 129 } as const;
/** Of IPv4: "destination unreachable". */
const UNREACHABLE = 3;
/** Words of an ICMPv6 filter. */
const FILTER_WORDS = 8;
const ICMP6_FILTER = 1;
const TWO_32 = 0x1_0000_0000n;
const clock = new BigInt64Array(2);
/** A `struct sockaddr_in6`. */
const NAME_BYTES = 28;
/** Bytes of an answer that are looked at. */
const ANSWER_BYTES = 128;

function set(fd: number, level: number, name: number, value: Int32Array<ArrayBuffer>): void {
  check('setsockopt', libc.setsockopt(fd, level, name, addressOf(value), value.byteLength));
}

function prepare(fd: number, family: Family): void {
  if (family === 4) return set(fd, IPPROTO_IP, IP_MTU_DISCOVER, Int32Array.of(IP_PMTUDISC_PROBE));
  set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, Int32Array.of(IP_PMTUDISC_PROBE));
  set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, Int32Array.of(1));
}

/** Keeps all messages but those of one type from a raw socket: a bit says what is kept out. */
function takeOnly(fd: number, family: Family, type: number): void {
  if (family === 4) return set(fd, SOL_RAW, ICMP_FILTER, Int32Array.of(~(1 << type)));
  const words = new Int32Array(FILTER_WORDS).fill(-1);
  words[type >> 5] = ~(1 << (type & 31));
  set(fd, IPPROTO_ICMPV6, ICMP6_FILTER, words);
}

/** What opens a socket of a kind that does not block. */
function socketOf(family: Family, kind: number): [number, number, number] {
  const type = kind | SOCK_CLOEXEC | SOCK_NONBLOCK;
  return family === 6 ? [AF_INET6, type, IPPROTO_ICMPV6] : [AF_INET, type, IPPROTO_ICMP];
}

export class EchoSocket {
  readonly fd: number;
  readonly family: Family;
  /** What is read begins with the outer header: that of raw sockets of IPv4. */
  readonly showsOuterHeader: boolean;
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  /** `struct msghdr`, `struct iovec`, a socket address and room for one control message. */
  readonly #stamped = {
    name: Buffer.alloc(NAME_BYTES),
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
   * @param device by which alone they go, and answers come; '' = by whatever routes say
   * @throws SystemError when neither kind may be opened, or the address is not ours
   */
  static open(local: UnderlayAddress, device = ''): EchoSocket {
    const family = familyOf(local);
    const fd = libc.socket(...socketOf(family, SOCK_DGRAM));
    return fd < 0
      ? EchoSocket.#raw(local, REPLY[family], device)
      : EchoSocket.#prepared(fd, local, undefined, device);
  }

  /**
   * One that is given the requests of others, which the kernel answers all the same.
   * @throws SystemError when a raw socket may not be opened, or the address is not ours
   */
  static openForRequests(local: UnderlayAddress): EchoSocket {
    return EchoSocket.#raw(local, REQUEST[familyOf(local)]);
  }

  /**
   * One that is given what others say could not be delivered (RFC 792), from the outer header on.
   * @throws SystemError when a raw socket may not be opened, or the address is not ours
   */
  static openForErrors(local: number): EchoSocket {
    return EchoSocket.#raw(local, UNREACHABLE);
  }

  static #raw(local: UnderlayAddress, type: number, device = ''): EchoSocket {
    const fd = check('socket', libc.socket(...socketOf(familyOf(local), SOCK_RAW)));
    return EchoSocket.#prepared(fd, local, type, device);
  }

  /** @param type the one type of messages that a raw socket takes; undefined = it is none */
  static #prepared(
    fd: number,
    local: UnderlayAddress,
    type: number | undefined,
    device: string,
  ): EchoSocket {
    const family = familyOf(local);
    try {
      prepare(fd, family);
      if (type !== undefined) takeOnly(fd, family, type);
      if (device !== '') {
        const bytes = Buffer.from(`${device}\0`);
        const [level, option] = [SOL_SOCKET, SO_BINDTODEVICE];
        check('setsockopt', libc.setsockopt(fd, level, option, addressOf(bytes), bytes.length));
      }
      const name = socketAddress(local, 0);
      check('bind', libc.bind(fd, addressOf(name), name.length));
    } catch (error) {
      libc.close(fd);
      throw error;
    }
    return new EchoSocket(fd, family, type !== undefined);
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
    const { name, header, iovec, control } = this.#stamped;
    iovec.set([BigInt(addressOf(this.#answer)), BigInt(ANSWER_BYTES)]);
    control.fill(0n);
    header.fill(0n);
    header.set([
      ...[BigInt(addressOf(name)), BigInt(NAME_BYTES), BigInt(addressOf(iovec)), 1n],
      ...[BigInt(addressOf(control)), BigInt(control.byteLength)],
    ]);
    const length = libc.recvmsg(this.fd, addressOf(header), 0);
    if (length < 0) return undefined;
    // struct cmsghdr {length u64, level i32, type i32}, then struct timespec: all words of 64 bits.
    const isStamp = control[1] === BigInt(SO_TIMESTAMPNS) * TWO_32 + BigInt(SOL_SOCKET);
    const atMs = isStamp
      ? Number(control[2]) * 1000 + Number(control[3]) / 1e6
      : EchoSocket.nowMs();
    return { message: this.#answer.subarray(0, length), atMs };
  }

  /** Who sent what {@link receiveStamped} gave last. */
  get sender(): UnderlayAddress {
    const { name } = this.#stamped;
    return hostOfBytes(this.family === 4 ? name.subarray(4, 8) : name.subarray(8, 24));
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
