/**
 * The sockets that face the underlay: UDP (VXLAN, FOU) and raw IPv4 (IPIP).
 * @module
 */

import {
  AF_INET,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_PROBE,
  IP_RECVERR,
  IP_RECVTOS,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPIP,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
  UDP_SEGMENT,
} from '../libc/constants.ts';
import { addressOf, check, libc } from '../libc/libc.ts';
import { attachFilter, BPF, BPF_ACCEPT, type BpfInstruction } from './bpf.ts';

/** Outer TTL of everything we send: the value that Linux tunnels use. */
export const OUTER_TTL = 64;
/** Socket buffers, bytes: room for some fifty trains of 64 kB, so that one late wake-up loses none. */
const SOCKET_BUFFER_BYTES = 4 << 20;
/**
 * A send-only socket keeps no datagram, but ICMP errors are charged to its receive buffer with all
 * the memory that the card took for them, often a page: room for a few of them.
 */
const SEND_ONLY_RECEIVE_BYTES = 32 << 10;

export type UnderlaySocket = {
  fd: number;
  /** UDP_SEGMENT is understood: one send may carry a train of equal datagrams. */
  segment: boolean;
  /** UDP_GRO is on: one receive may bring a train. */
  gro: boolean;
};

/** A `sockaddr_in`, 16 bytes: family little endian, port and address big endian. */
export function socketAddress(address: number, port: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.writeUInt32BE(address >>> 0, 4);
  return bytes;
}

const intValue = new Int32Array(1);
const intAddress = addressOf(intValue);

function setOption(fd: number, level: number, name: number, value: number): boolean {
  intValue[0] = value;
  return libc.setsockopt(fd, level, name, intAddress, 4) === 0;
}

function requireOption(fd: number, level: number, name: number, value: number, what: string): void {
  check(`setsockopt ${what}`, setOption(fd, level, name, value) ? 0 : -1);
}

/** Asks for big buffers: past the sysctl limits with CAP_NET_ADMIN, up to them without. */
function setBuffers(fd: number, receiveBytes: number): void {
  if (!setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBytes)) {
    setOption(fd, SOL_SOCKET, SO_RCVBUF, receiveBytes);
  }
  if (!setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES)) {
    setOption(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER_BYTES);
  }
}

function setOuterHeader(fd: number): void {
  requireOption(fd, IPPROTO_IP, IP_TTL, OUTER_TTL, 'IP_TTL');
  // PROBE sets DF and leaves path MTU decisions to us: the kernel's own cache believes ICMP that
  // we can check against what we sent (RFC 1191 §3, RFC 8899 §4.6.1).
  requireOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, 'IP_MTU_DISCOVER');
  requireOption(fd, IPPROTO_IP, IP_RECVERR, 1, 'IP_RECVERR');
  requireOption(fd, IPPROTO_IP, IP_RECVTOS, 1, 'IP_RECVTOS');
}

function bindTo(fd: number, address: number, port: number): void {
  const name = socketAddress(address, port);
  check('bind', libc.bind(fd, addressOf(name), name.length));
}

/** Closes `fd` when `prepare` throws, so that a half-made socket never leaks. */
function prepared(fd: number, prepare: () => void): void {
  try {
    prepare();
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/**
 * A UDP socket bound to one underlay address: it can receive nothing that was sent to a multicast,
 * broadcast or other address of this host.
 * @throws SystemError EADDRINUSE when the port is taken, EADDRNOTAVAIL when the address is not ours.
 */
export function openUdp(
  address: number,
  port: number,
  options: { offload: boolean; reusePort: boolean },
): UnderlaySocket {
  const fd = check('socket', libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  let segment = false;
  let gro = false;
  prepared(fd, () => {
    setBuffers(fd, SOCKET_BUFFER_BYTES);
    setOuterHeader(fd);
    if (options.reusePort) requireOption(fd, SOL_SOCKET, SO_REUSEPORT, 1, 'SO_REUSEPORT');
    bindTo(fd, address, port);
    if (options.offload) {
      segment = setOption(fd, SOL_UDP, UDP_SEGMENT, 0);
      gro = setOption(fd, SOL_UDP, UDP_GRO, 1);
    }
  });
  return { fd, segment, gro };
}

/**
 * A UDP socket on an ephemeral port that only sends: its source port keeps flows apart in the
 * network. A filter drops whatever arrives before it takes memory; ICMP errors still come.
 * @throws SystemError
 */
export function openSendOnlyUdp(address: number, options: { offload: boolean }): UnderlaySocket {
  const socket = openUdp(address, 0, { offload: false, reusePort: false });
  prepared(socket.fd, () => {
    setOption(socket.fd, SOL_SOCKET, SO_RCVBUF, SEND_ONLY_RECEIVE_BYTES);
    attachFilter(socket.fd, [[BPF.RETURN, 0, 0, 0]]);
  });
  const segment = options.offload && setOption(socket.fd, SOL_UDP, UDP_SEGMENT, 0);
  return { fd: socket.fd, segment, gro: false };
}

/**
 * A raw socket for IP protocol 4, bound to one underlay address. The kernel writes the outer
 * header; what is received starts with it.
 *
 * The kernel gives every raw socket a copy of each packet; where there are several `queues`, a
 * filter leaves to each one the flows whose inner addresses fall to it, and what is too short to
 * have any to the first.
 * @throws SystemError EPERM without CAP_NET_RAW.
 */
export function openIpip(address: number, queue = 0, queues = 1): UnderlaySocket {
  const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const fd = check('socket', libc.socket(AF_INET, type, IPPROTO_IPIP));
  prepared(fd, () => {
    setBuffers(fd, SOCKET_BUFFER_BYTES);
    setOuterHeader(fd);
    if (queues > 1) attachFilter(fd, steering(queue, queues));
    bindTo(fd, address, 0);
  });
  return { fd, segment: false, gro: false };
}

/** Accepts (inner source XOR inner destination) mod `queues` = `queue`, with a plain outer header. */
function steering(queue: number, queues: number): BpfInstruction[] {
  return [
    [BPF.LOAD_LENGTH, 0, 0, 0],
    [BPF.JUMP_GREATER_EQUAL, 1, 0, 40],
    [BPF.RETURN, 0, 0, queue === 0 ? BPF_ACCEPT : 0],
    [BPF.LOAD_WORD, 0, 0, 32],
    [BPF.COPY_TO_X, 0, 0, 0],
    [BPF.LOAD_WORD, 0, 0, 36],
    [BPF.XOR_X, 0, 0, 0],
    [BPF.MODULO, 0, 0, queues],
    [BPF.JUMP_EQUAL, 0, 1, queue],
    [BPF.RETURN, 0, 0, BPF_ACCEPT],
    [BPF.RETURN, 0, 0, 0],
  ];
}
