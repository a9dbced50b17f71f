/**
 * Linux numbers that Node does not export: socket options, ioctls, flags.
 * Source: the kernel's uapi headers (if_tun.h, udp.h, in.h, errqueue.h, socket.h), x86-64 and
 * arm64 values, which agree for everything listed here.
 * @module
 */

// fcntl.h, mman.h, memfd
export const O_RDWR = 2;
export const O_CLOEXEC = 0x80000;
export const O_NONBLOCK = 0x800;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
export const MFD_CLOEXEC = 1;
export const PROT_READ = 1;
export const PROT_READ_WRITE = 3;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const MAP_SHARED = 1;
export const MADV_DONTNEED = 4;
export const EFD_NONBLOCK_CLOEXEC = O_NONBLOCK | O_CLOEXEC;

// errno values the data path decides by
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EPERM = 1;
export const EEXIST = 17;
export const EINVAL = 22;
export const EADDRNOTAVAIL = 99;
export const EMFILE = 24;
export const EBADFD = 77;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const ECONNREFUSED = 111;
export const EINPROGRESS = 115;
export const ESTALE = 116;
export const EHOSTDOWN = 112;
export const EHOSTUNREACH = 113;

// socket.h
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
export const SOCK_CLOEXEC = O_CLOEXEC;
export const SOCK_NONBLOCK = O_NONBLOCK;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
/** asm-generic/socket.h: struct timespec of 64-bit words on 64-bit machines. */
export const SO_BINDTODEVICE = 25;
export const SO_TIMESTAMPNS = 35;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_REUSEPORT = 15;
export const SO_ATTACH_FILTER = 26;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const MSG_CTRUNC = 0x08;
export const MSG_ERRQUEUE = 0x2000;
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;
export const EPOLL_CLOEXEC = 0x80000;
export const EPOLLIN = 1;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;

// in.h, in6.h, tcp.h, udp.h
export const IPPROTO_IP = 0;
export const IPPROTO_IPIP = 4;
export const IP_TOS = 1;
export const IP_TTL = 2;
export const IP_MTU_DISCOVER = 10;
export const IP_FREEBIND = 15;
export const IP_RECVERR = 11;
export const IP_RECVTOS = 13;
export const IP_MTU = 14;
export const IP_MINTTL = 21;
export const IP_PMTUDISC_PROBE = 3;
export const IPPROTO_TCP = 6;
export const TCP_MD5SIG = 14;
export const IPPROTO_IPV6 = 41;
export const IPV6_UNICAST_HOPS = 16;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_MTU = 24;
export const IPV6_FREEBIND = 78;
export const IPV6_RECVERR = 25;
export const IPV6_V6ONLY = 26;
export const IPV6_FLOWINFO_SEND = 33;
export const IPV6_DONTFRAG = 62;
export const IPV6_RECVTCLASS = 66;
export const IPV6_TCLASS = 67;
export const IPV6_AUTOFLOWLABEL = 70;
export const IPPROTO_ICMPV6 = 58;
export const IPV6_MINHOPCOUNT = 73;
export const SOL_UDP = 17;
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;
/** Most segments one UDP_SEGMENT send may carry on every kernel that has it (UDP_MAX_SEGMENTS). */
export const UDP_SEGMENTS_MAX = 64;
/** Largest UDP payload over IPv4, bytes: 65535 − 20 − 8. */
export const UDP_PAYLOAD_BYTES_MAX = 65507;

// errqueue.h
export const SO_EE_ORIGIN_LOCAL = 1;
export const SO_EE_ORIGIN_ICMP = 2;
export const SO_EE_ORIGIN_ICMP6 = 3;

// sockios.h

// if_tun.h
export const TUNSETIFF = 0x400454ca;
export const TUNGETIFF = 0x800454d2;
export const TUNSETPERSIST = 0x400454cb;
export const TUNGETFEATURES = 0x800454cf;
export const TUNSETOFFLOAD = 0x400454d0;
export const TUNSETVNETHDRSZ = 0x400454d8;
export const IFF_TUN = 0x0001;
export const IFF_TAP = 0x0002;
/** The queue stops when the ring is full, so that a qdisc on the device works (Linux 7.3). */
export const IFF_BACKPRESSURE = 0x0080;
export const IFF_MULTI_QUEUE = 0x0100;
export const IFF_NO_PI = 0x1000;
export const IFF_VNET_HDR = 0x4000;
export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;
export const TUN_F_TSO_ECN = 0x08;
export const TUN_F_USO4 = 0x20;
export const TUN_F_USO6 = 0x40;
