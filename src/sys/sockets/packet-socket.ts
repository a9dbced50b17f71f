/**
 * Packet sockets (packet(7)): everything that passes a device, for `fanway capture`, and frames out of it.
 * @module
 */
import { hostBytes, type UnderlayAddress } from '../../net/underlay-address.ts';
import {
  MSG_DONTWAIT,
  MSG_TRUNC,
  POLLIN,
  SO_RCVBUF,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
} from '../libc/constants.ts';
import { addressOf, check, errno, errnoName, libc, SystemError } from '../libc/libc.ts';
import { attachFilter, type BpfInstruction } from './bpf.ts';

const AF_PACKET = 17;
const ETH_P_ALL = 0x0003;
/** `struct sockaddr_ll`, 20 bytes. */
const ADDRESS_BYTES = 20;
const ADDRESS_TYPE_OFFSET = 10;
const PACKET_OUTGOING = 4;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
/** A super-packet of the largest kind with its headers. */
const FRAME_BYTES_MAX = 65_536 + 64;
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

export type SeenPacket = {
  /** Valid until the next {@link PacketSocket.read}: `borrowed:`. */
  bytes: Uint8Array;
  /** Length on the wire, bytes. */
  originalBytes: number;
  outgoing: boolean;
};

/** One packet socket on one device. */
export class PacketSocket {
  readonly #fd: number;
  readonly #frame = Buffer.alloc(FRAME_BYTES_MAX);
  readonly #address = Buffer.alloc(ADDRESS_BYTES);
  readonly #vector = new BigUint64Array(2);
  /** `struct msghdr` of 64-bit Linux, 56 bytes. */
  readonly #message = Buffer.alloc(56);

  /**
   * @param filter what of it is of interest; all, unless given
   * @param protocol the EtherType; with one of them nothing that goes out is seen
   * @throws SystemError EPERM without CAP_NET_RAW, ENODEV when the device is gone.
   */
  constructor(ifindex: number, filter?: readonly BpfInstruction[], protocol = ETH_P_ALL) {
    const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
    // Protocol 0: nothing arrives before the socket is bound to its device.
    this.#fd = check('socket(AF_PACKET)', libc.socket(AF_PACKET, type, 0));
    if (filter !== undefined) attachFilter(this.#fd, filter);
    const size = Int32Array.of(RECEIVE_BUFFER_BYTES);
    libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUF, addressOf(size), 4);
    const name = Buffer.alloc(ADDRESS_BYTES);
    name.writeUInt16LE(AF_PACKET, 0);
    name.writeUInt16BE(protocol, 2);
    name.writeInt32LE(ifindex, 4);
    if (libc.bind(this.#fd, addressOf(name), ADDRESS_BYTES) === -1) {
      const failure = new SystemError('bind(AF_PACKET)', errno());
      libc.close(this.#fd);
      throw failure;
    }
    this.#vector[0] = BigInt(addressOf(this.#frame));
    this.#vector[1] = BigInt(FRAME_BYTES_MAX);
    this.#message.writeBigUInt64LE(BigInt(addressOf(this.#address)), 0);
    this.#message.writeBigUInt64LE(BigInt(addressOf(this.#vector)), 16);
    this.#message.writeBigUInt64LE(1n, 24);
  }

  /** The next packet, undefined when none waits. @throws SystemError, ENETDOWN when the device went. */
  read(): SeenPacket | undefined {
    this.#message.writeUInt32LE(ADDRESS_BYTES, 8);
    const flags = MSG_DONTWAIT | MSG_TRUNC;
    const length = libc.recvmsg(this.#fd, addressOf(this.#message), flags);
    if (length === -1) {
      const code = errnoName(errno());
      if (code === 'EAGAIN' || code === 'EINTR') return undefined;
      throw new SystemError('recvmsg(AF_PACKET)', errno());
    }
    return {
      bytes: this.#frame.subarray(0, Math.min(length, FRAME_BYTES_MAX)),
      originalBytes: length,
      outgoing: this.#address[ADDRESS_TYPE_OFFSET] === PACKET_OUTGOING,
    };
  }

  /** Sends a whole Ethernet frame out of the device. @throws SystemError */
  send(frame: Uint8Array): void {
    check('write(AF_PACKET)', libc.write(this.#fd, addressOf(frame), frame.length));
  }

  /** Packets that found no room in the socket since the last call. */
  missed(): number {
    // `struct tpacket_stats`, and its length.
    const words = Uint32Array.of(0, 0, 8);
    const at = addressOf(words);
    const status = libc.getsockopt(this.#fd, SOL_PACKET, PACKET_STATISTICS, at, at + 8);
    return status < 0 ? 0 : (words[1] ?? 0);
  }

  close(): void {
    libc.close(this.#fd);
  }

  /** Waits until one of the sockets has something to read, at most `timeoutMs`. */
  static wait(sockets: readonly PacketSocket[], timeoutMs: number): void {
    const polls = Buffer.alloc(8 * sockets.length);
    for (const [index, socket] of sockets.entries()) {
      polls.writeInt32LE(socket.#fd, index * 8);
      polls.writeInt16LE(POLLIN, index * 8 + 4);
    }
    libc.poll(addressOf(polls), sockets.length, timeoutMs);
  }
}

/**
 * Whether a packet belongs to a tunnel: UDP to or from `port` (0 = IP protocol 4 or 41 instead) with
 * `local` at one end. `ipOffset` is where its IP header begins. Fragments after the first have no ports
 * and belong to nobody: we never make them.
 */
export function isTunnelPacket(
  bytes: Uint8Array,
  ipOffset: number,
  local: UnderlayAddress,
  port: number,
): boolean {
  if (bytes.length < ipOffset + 28) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (typeof local === 'string') return isIpv6TunnelPacket(view, ipOffset, local, port);
  if (view.getUint8(ipOffset) >>> 4 !== 4) return false;
  const isOurs = view.getUint32(ipOffset + 12) === local || view.getUint32(ipOffset + 16) === local;
  const protocol = view.getUint8(ipOffset + 9);
  if (!isOurs) return false;
  if (port === 0) return protocol === 4 || protocol === 41;
  if (protocol !== 17 || (view.getUint16(ipOffset + 6) & 0x1fff) !== 0) return false;
  const udp = ipOffset + (view.getUint8(ipOffset) & 15) * 4;
  return bytes.length >= udp + 4 && view.getUint16(udp + 2) === port;
}

/** The same over IPv6; extension headers before the tunnel's own are not looked behind. */
function isIpv6TunnelPacket(
  view: DataView,
  ip: number,
  local: UnderlayAddress,
  port: number,
): boolean {
  if (view.byteLength < ip + 48 || view.getUint8(ip) >>> 4 !== 6) return false;
  const own = hostBytes(local);
  const isAt = (at: number): boolean => own.every((byte, i) => view.getUint8(at + i) === byte);
  if (!isAt(ip + 8) && !isAt(ip + 24)) return false;
  const protocol = view.getUint8(ip + 6);
  if (port === 0) return protocol === 4 || protocol === 41;
  return protocol === 17 && view.getUint16(ip + 42) === port;
}
