/**
 * The sockets that face the underlay: UDP (VXLAN, FOU) and raw IP (IPIP), over IPv4 and IPv6.
 * @module
 */
import {
  type Family,
  familyOf,
  hostBytes,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import {
  AF_INET,
  AF_INET6,
  IP_FREEBIND,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_PROBE,
  IP_RECVERR,
  IP_RECVTOS,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPIP,
  IPPROTO_IPV6,
  IPV6_AUTOFLOWLABEL,
  IPV6_DONTFRAG,
  IPV6_FLOWINFO_SEND,
  IPV6_FREEBIND,
  IPV6_MTU_DISCOVER,
  IPV6_RECVERR,
  IPV6_RECVTCLASS,
  IPV6_UNICAST_HOPS,
  IPV6_V6ONLY,
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
export const SOCKET_BUFFER_BYTES = 4 << 20;
/**
 * A send-only socket keeps no datagram, but ICMP errors are charged to its receive buffer with all
 * the memory that the card took for them, often a page: room for a few of them.
 */
const SEND_ONLY_RECEIVE_BYTES = 32 << 10;

/** Of an IPv4 header without options; also the least that steering looks at of an inner one. */
const IPV4_HEADER_BYTES = 20;

export type UnderlaySocket = {
  fd: number;
  /** UDP_SEGMENT is understood: one send may carry a train of equal datagrams. */
  segment: boolean;
  /** UDP_GRO is on: one receive may bring a train. */
  gro: boolean;
};

/**
 * A `sockaddr_in` of 16 bytes or a `sockaddr_in6` of 28: family little endian, port and address big
 * endian. The scope of IPv6 is left to the routing table.
 */
export function socketAddress(address: UnderlayAddress, port: number): Buffer {
  const isIpv6 = typeof address === 'string';
  const bytes = Buffer.alloc(isIpv6 ? 28 : 16);
  bytes.writeUInt16LE(isIpv6 ? AF_INET6 : AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(hostBytes(address), isIpv6 ? 8 : 4);
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

function setOuterHeader(fd: number, family: 4 | 6): void {
  if (family === 6) return setOuterIpv6(fd);
  requireOption(fd, IPPROTO_IP, IP_TTL, OUTER_TTL, 'IP_TTL');
  // PROBE sets DF and leaves path MTU decisions to us: the kernel's own cache believes ICMP that
  // we can check against what we sent (RFC 1191 §3, RFC 8899 §4.6.1).
  requireOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, 'IP_MTU_DISCOVER');
  requireOption(fd, IPPROTO_IP, IP_RECVERR, 1, 'IP_RECVERR');
  requireOption(fd, IPPROTO_IP, IP_RECVTOS, 1, 'IP_RECVTOS');
}

/** The same for IPv6, whose senders alone may fragment: `DONTFRAG` keeps the kernel from doing so. */
function setOuterIpv6(fd: number): void {
  const set = (name: number, value: number, what: string): void =>
    requireOption(fd, IPPROTO_IPV6, name, value, what);
  set(IPV6_UNICAST_HOPS, OUTER_TTL, 'IPV6_UNICAST_HOPS');
  set(IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE, 'IPV6_MTU_DISCOVER');
  set(IPV6_DONTFRAG, 1, 'IPV6_DONTFRAG');
  set(IPV6_RECVERR, 1, 'IPV6_RECVERR');
  set(IPV6_RECVTCLASS, 1, 'IPV6_RECVTCLASS');
  // The flow label (RFC 6438): the kernel's own hash of addresses and ports, so that flows which
  // differ by their source port differ by their label too, and what we say where there is no port.
  set(IPV6_AUTOFLOWLABEL, 1, 'IPV6_AUTOFLOWLABEL');
  set(IPV6_FLOWINFO_SEND, 1, 'IPV6_FLOWINFO_SEND');
}

/** Domain of a socket for an address. */
function domainOf(address: UnderlayAddress): number {
  return familyOf(address) === 6 ? AF_INET6 : AF_INET;
}

/** @param isFree it may be bound to an address that is not here, and works once that is */
function bindTo(fd: number, address: UnderlayAddress, port: number, isFree: boolean): void {
  if (isFree && familyOf(address) === 4) {
    requireOption(fd, IPPROTO_IP, IP_FREEBIND, 1, 'IP_FREEBIND');
  } else if (isFree) requireOption(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1, 'IPV6_FREEBIND');
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
 * @throws SystemError EADDRINUSE when the port is taken, EADDRNOTAVAIL when the address is not ours and
 *   `isFree` does not say that it may be so.
 */
export function openUdp(
  address: UnderlayAddress,
  port: number,
  options: { offload: boolean; reusePort: boolean; isFree?: boolean },
): UnderlaySocket {
  const type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const fd = check('socket', libc.socket(domainOf(address), type, 0));
  let segment = false;
  let gro = false;
  prepared(fd, () => {
    setBuffers(fd, SOCKET_BUFFER_BYTES);
    if (familyOf(address) === 6) requireOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, 'IPV6_V6ONLY');
    setOuterHeader(fd, familyOf(address));
    if (options.reusePort) requireOption(fd, SOL_SOCKET, SO_REUSEPORT, 1, 'SO_REUSEPORT');
    bindTo(fd, address, port, options.isFree === true);
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
export function openSendOnlyUdp(
  address: UnderlayAddress,
  options: { offload: boolean; isFree?: boolean },
): UnderlaySocket {
  const { isFree = false } = options;
  const socket = openUdp(address, 0, { offload: false, reusePort: false, isFree });
  prepared(socket.fd, () => {
    setOption(socket.fd, SOL_SOCKET, SO_RCVBUF, SEND_ONLY_RECEIVE_BYTES);
    attachFilter(socket.fd, [[BPF.RETURN, 0, 0, 0]]);
  });
  const segment = options.offload && setOption(socket.fd, SOL_UDP, UDP_SEGMENT, 0);
  return { fd: socket.fd, segment, gro: false };
}

/** IP protocols of a packet that is right behind the outer header, by its version (IANA). */
const PROTOCOL_INSIDE = { 4: IPPROTO_IPIP, 6: IPPROTO_IPV6 } as const;

/**
 * A raw socket for IP protocol 4 or 41, as `inside` says, bound to one underlay address. The kernel
 * writes the outer header; what is received starts with it on IPv4, and with the inner packet on IPv6.
 *
 * The kernel gives every raw socket a copy of each packet; where there are several `queues`, a
 * filter leaves to each one the flows whose inner addresses fall to it, and what is too short to
 * have any to the first.
 * @throws SystemError EPERM without CAP_NET_RAW.
 */
export function openIpip(
  address: UnderlayAddress,
  queue = 0,
  queues = 1,
  inside: Family = 4,
  isFree = false,
): UnderlaySocket {
  const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const domain = domainOf(address);
  const fd = check('socket', libc.socket(domain, type, PROTOCOL_INSIDE[inside]));
  prepared(fd, () => {
    setBuffers(fd, SOCKET_BUFFER_BYTES);
    setOuterHeader(fd, familyOf(address));
    const innerAt = domain === AF_INET6 ? 0 : IPV4_HEADER_BYTES;
    if (queues > 1) attachFilter(fd, steering(queue, queues, innerAt, inside));
    bindTo(fd, address, 0, isFree);
  });
  return { fd, segment: false, gro: false };
}

/**
 * Accepts (inner source XOR inner destination) mod `queues` = `queue`, with a plain outer header or
 * none before the inner packet at `innerAt`.
 */
function steering(
  queue: number,
  queues: number,
  innerAt: number,
  inside: Family,
): BpfInstruction[] {
  // Of IPv6 the last words of both addresses: those before are alike in a whole slice.
  const [headerBytes, source, destination] = inside === 6 ? [40, 20, 36] : [20, 12, 16];
  return [
    [BPF.LOAD_LENGTH, 0, 0, 0],
    [BPF.JUMP_GREATER_EQUAL, 1, 0, innerAt + headerBytes],
    [BPF.RETURN, 0, 0, queue === 0 ? BPF_ACCEPT : 0],
    [BPF.LOAD_WORD, 0, 0, innerAt + source],
    [BPF.COPY_TO_X, 0, 0, 0],
    [BPF.LOAD_WORD, 0, 0, innerAt + destination],
    [BPF.XOR_X, 0, 0, 0],
    [BPF.MODULO, 0, 0, queues],
    [BPF.JUMP_EQUAL, 0, 1, queue],
    [BPF.RETURN, 0, 0, BPF_ACCEPT],
    [BPF.RETURN, 0, 0, 0],
  ];
}
