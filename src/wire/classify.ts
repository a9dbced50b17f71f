/**
 * Strict checks, one per header: is what stands at `offset` a whole and honest header, given that
 * `length` bytes may be read? Each returns a {@link Fault}; 0 means that the accessors of that
 * header cannot read outside the window. Nothing here decides what becomes of a packet.
 * @module
 */
import { ARP_BYTES, ARP_ETHERNET_IPV4_WORD, ARP_LENGTHS_WORD, ARP_REPLY } from './arp.ts';
import { ETHERNET_HEADER_BYTES, isGroupSource } from './ethernet.ts';
import { ICMP_HEADER_BYTES } from './icmp.ts';
import {
  getIpv4Fragment,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4TotalBytes,
  IPV4_FRAGMENT_MASK,
  IPV4_HEADER_BYTES,
  IPV4_MF,
  IPV4_PACKET_BYTES_MAX,
  isIpv4ChecksumRight,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from './ipv4.ts';
import {
  getIpv6NextHeader,
  getIpv6PayloadBytes,
  IPV6_HEADER_BYTES,
  NEXT_AUTHENTICATION,
  NEXT_DESTINATION_OPTIONS,
  NEXT_FRAGMENT,
  NEXT_HOP_BY_HOP,
  NEXT_ROUTING,
} from './ipv6.ts';
import { getTcpHeaderBytes, TCP_HEADER_BYTES } from './tcp.ts';
import { getUdpBytes, UDP_HEADER_BYTES } from './udp.ts';
import {
  getVirtioCsumOffset,
  getVirtioCsumStart,
  getVirtioFlags,
  getVirtioGsoBytes,
  getVirtioGsoType,
  VIRTIO_GSO_ECN_BITS,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
} from './virtio-net.ts';
import {
  getVxlanFlags,
  getVxlanFlagsWord,
  getVxlanReserved,
  VXLAN_FLAG_VNI,
  VXLAN_FLAGS_WORD,
  VXLAN_HEADER_BYTES,
} from './vxlan.ts';

/** What is wrong with a header. Numbers are append-only. */
export const Fault = {
  None: 0,
  /** Fewer bytes than the header needs. */
  Truncated: 1,
  /** The version nibble is not the one expected. */
  Version: 2,
  /** Header length below the minimum or beyond the packet. */
  HeaderLength: 3,
  /** Total, payload or datagram length shorter than its header or beyond the packet. */
  TotalLength: 4,
  /** Bytes behind the claimed end, where padding has no place. */
  Trailing: 5,
  /** IPv4 header checksum. */
  Checksum: 6,
  /** Options whose lengths do not add up. */
  OptionsMalformed: 7,
  /** Loose or strict source route. */
  SourceRoute: 8,
  /** A fragment that only an attacker cuts so: tiny, overlapping the header, or past 65,535. */
  FragmentForged: 9,
  /** VXLAN flags other than exactly I. */
  VxlanFlags: 10,
  /** VXLAN reserved bits that are not zero. */
  VxlanReserved: 11,
  /** Group bit set in an Ethernet source. */
  SourceGroup: 12,
  /** ARP for something other than IPv4 over Ethernet. */
  ArpKind: 13,
  /** ARP operation that is neither request nor reply. */
  ArpOperation: 14,
  /** A virtio-net header that points outside its packet or names an unknown GSO type. */
  Virtio: 15,
  /** IPv6 extension headers: too many, cut off, or a jumbogram. */
  Extension: 16,
} as const;
export type Fault = (typeof Fault)[keyof typeof Fault];

/** An Ethernet header: whole, and sent by a single station. */
export function checkEthernet(view: DataView, offset: number, length: number): Fault {
  if (length < ETHERNET_HEADER_BYTES) return Fault.Truncated;
  if (isGroupSource(view, offset)) return Fault.SourceGroup;
  return Fault.None;
}

/**
 * A VXLAN header with exactly the I flag. RFC 7348 §5 would have us ignore the rest on receipt;
 * we are stricter, as Linux is by default, since reserved bits carry extensions that change the
 * meaning of what follows (GPE, GBP).
 */
export function checkVxlan(view: DataView, offset: number, length: number): Fault {
  if (length < VXLAN_HEADER_BYTES) return Fault.Truncated;
  if (getVxlanFlags(view, offset) !== VXLAN_FLAG_VNI) return Fault.VxlanFlags;
  if (getVxlanFlagsWord(view, offset) !== VXLAN_FLAGS_WORD) return Fault.VxlanReserved;
  return getVxlanReserved(view, offset) === 0 ? Fault.None : Fault.VxlanReserved;
}

/**
 * An IPv4 header and the lengths it claims. Bytes behind the total length are allowed, because
 * short Ethernet frames are padded; use {@link checkIpv4Exact} where there is no padding.
 */
export function checkIpv4(view: DataView, offset: number, length: number): Fault {
  if (length < IPV4_HEADER_BYTES) return Fault.Truncated;
  const first = view.getUint8(offset);
  if (first >>> 4 !== 4) return Fault.Version;
  const headerBytes = (first & 15) << 2;
  if (headerBytes < IPV4_HEADER_BYTES || headerBytes > length) return Fault.HeaderLength;
  const totalBytes = getIpv4TotalBytes(view, offset);
  if (totalBytes < headerBytes || totalBytes > length) return Fault.TotalLength;
  return Fault.None;
}

/** {@link checkIpv4}, and the packet ends where the window ends. */
export function checkIpv4Exact(view: DataView, offset: number, length: number): Fault {
  const fault = checkIpv4(view, offset, length);
  if (fault !== Fault.None) return fault;
  return getIpv4TotalBytes(view, offset) === length ? Fault.None : Fault.Trailing;
}

/** The header checksum (RFC 791 §3.1). Needs a header that {@link checkIpv4} has passed. */
export function checkIpv4Sum(view: DataView, offset: number): Fault {
  return isIpv4ChecksumRight(view, offset) ? Fault.None : Fault.Checksum;
}

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_LOOSE_ROUTE = 131;
const OPTION_STRICT_ROUTE = 137;

/**
 * The options of a checked IPv4 header: a source route leads a packet past our checks on its
 * destination (RFC 7126 §4.3), and malformed ones have crashed hosts; anything else passes.
 */
export function checkIpv4Options(view: DataView, offset: number): Fault {
  const end = offset + getIpv4HeaderBytes(view, offset);
  let at = offset + IPV4_HEADER_BYTES;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return Fault.None;
    if (kind === OPTION_LOOSE_ROUTE || kind === OPTION_STRICT_ROUTE) return Fault.SourceRoute;
    if (kind === OPTION_NOP) {
      at += 1;
      continue;
    }
    if (at + 1 >= end) return Fault.OptionsMalformed;
    const bytes = view.getUint8(at + 1);
    if (bytes < 2 || at + bytes > end) return Fault.OptionsMalformed;
    at += bytes;
  }
  return Fault.None;
}

/**
 * A checked IPv4 packet as a fragment: cut on 8-byte borders (RFC 791 §3.2), ending below 65,536,
 * the first one holding the whole transport header and no second one at offset 8 that could
 * overwrite TCP flags (RFC 1858 §3, RFC 3128). A packet that is no fragment is sound.
 */
export function checkIpv4Fragment(view: DataView, offset: number): Fault {
  const word = getIpv4Fragment(view, offset);
  const at = (word & IPV4_FRAGMENT_MASK) << 3;
  const more = (word & IPV4_MF) !== 0;
  if (at === 0 && !more) return Fault.None;
  const bytes = getIpv4TotalBytes(view, offset) - getIpv4HeaderBytes(view, offset);
  if (bytes === 0 || (more && (bytes & 7) !== 0)) return Fault.FragmentForged;
  if (at + bytes > IPV4_PACKET_BYTES_MAX - IPV4_HEADER_BYTES) return Fault.FragmentForged;
  const protocol = getIpv4Protocol(view, offset);
  if (protocol === PROTOCOL_TCP) {
    if (at === 8 || (at === 0 && bytes < TCP_HEADER_BYTES)) return Fault.FragmentForged;
  }
  return Fault.None;
}

/** An IPv6 header and the payload length it claims; jumbograms are refused. */
export function checkIpv6(view: DataView, offset: number, length: number): Fault {
  if (length < IPV6_HEADER_BYTES) return Fault.Truncated;
  if (view.getUint8(offset) >>> 4 !== 6) return Fault.Version;
  const payloadBytes = getIpv6PayloadBytes(view, offset);
  // RFC 2675 §2: payload length 0 with hop-by-hop options announces a jumbogram.
  if (payloadBytes === 0 && getIpv6NextHeader(view, offset) === NEXT_HOP_BY_HOP) {
    return Fault.Extension;
  }
  return IPV6_HEADER_BYTES + payloadBytes > length ? Fault.TotalLength : Fault.None;
}

/** More extension headers than any honest packet has. */
export const IPV6_EXTENSIONS_MAX = 8;

/**
 * Walks the extension headers of a checked IPv6 packet (RFC 8200 §4).
 * @returns protocol << 16 | bytes from `offset` to the transport header; for a later fragment the
 *   protocol is {@link NEXT_FRAGMENT}; -1 for a chain that is cut off or too long
 */
export function walkIpv6(view: DataView, offset: number): number {
  const end = IPV6_HEADER_BYTES + getIpv6PayloadBytes(view, offset);
  let next = getIpv6NextHeader(view, offset);
  let at = IPV6_HEADER_BYTES;
  for (let count = 0; count <= IPV6_EXTENSIONS_MAX; count++) {
    const fragment = next === NEXT_FRAGMENT;
    const plain =
      next === NEXT_HOP_BY_HOP || next === NEXT_ROUTING || next === NEXT_DESTINATION_OPTIONS;
    if (!fragment && !plain && next !== NEXT_AUTHENTICATION) return (next << 16) | at;
    if (at + 8 > end) return -1;
    if (fragment && (view.getUint16(offset + at + 2) & 0xfff8) !== 0) return (next << 16) | at;
    const units = view.getUint8(offset + at + 1);
    next = view.getUint8(offset + at);
    // RFC 4302 §2.2 counts in 4-byte units minus 2, RFC 8200 in 8-byte units minus 1.
    if (fragment) at += 8;
    else at += plain ? (units + 1) << 3 : (units + 2) << 2;
    if (at > end) return -1;
  }
  return -1;
}

/** An ARP message for IPv4 over Ethernet, request or reply. */
export function checkArp(view: DataView, offset: number, length: number): Fault {
  if (length < ARP_BYTES) return Fault.Truncated;
  if (view.getUint32(offset) !== ARP_ETHERNET_IPV4_WORD) return Fault.ArpKind;
  if (view.getUint16(offset + 4) !== ARP_LENGTHS_WORD) return Fault.ArpKind;
  const operation = view.getUint16(offset + 6);
  return operation === 0 || operation > ARP_REPLY ? Fault.ArpOperation : Fault.None;
}

/**
 * The transport header at `offset`, of an unfragmented packet or a first fragment's honest rest.
 * @param bytes length of transport header and payload, from the IP header
 */
export function checkTransport(
  view: DataView,
  offset: number,
  bytes: number,
  protocol: number,
): Fault {
  if (protocol === PROTOCOL_TCP) {
    if (bytes < TCP_HEADER_BYTES) return Fault.Truncated;
    const headerBytes = getTcpHeaderBytes(view, offset);
    const honest = headerBytes >= TCP_HEADER_BYTES && headerBytes <= bytes;
    return honest ? Fault.None : Fault.HeaderLength;
  }
  if (protocol === PROTOCOL_UDP) {
    if (bytes < UDP_HEADER_BYTES) return Fault.Truncated;
    const udpBytes = getUdpBytes(view, offset);
    const honest = udpBytes >= UDP_HEADER_BYTES && udpBytes <= bytes;
    return honest ? Fault.None : Fault.TotalLength;
  }
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) {
    return bytes < ICMP_HEADER_BYTES ? Fault.Truncated : Fault.None;
  }
  if (protocol === PROTOCOL_UDPLITE) {
    return bytes < UDP_HEADER_BYTES ? Fault.Truncated : Fault.None;
  }
  return Fault.None;
}

/** EtherIP, L2TP and MPLS in IP beside the tunnels named in ipv4.ts (IANA, 2025-09). */
const PROTOCOL_ETHERIP = 97;
const PROTOCOL_L2TP = 115;
const PROTOCOL_MPLS = 137;

/** True for protocols that carry another packet in the clear: never allowed inside a tunnel. */
export function isTunnelProtocol(protocol: number): boolean {
  switch (protocol) {
    case 4:
    case 41:
    case 47:
    case PROTOCOL_ETHERIP:
    case PROTOCOL_L2TP:
    case PROTOCOL_MPLS:
      return true;
    default:
      return false;
  }
}

/**
 * A virtio-net header read from a device, against the `packetBytes` that follow it.
 * Ten bytes at `offset` must be readable.
 */
export function checkVirtioNet(view: DataView, offset: number, packetBytes: number): Fault {
  if ((getVirtioFlags(view, offset) & VIRTIO_NEEDS_CSUM) !== 0) {
    const field = getVirtioCsumStart(view, offset) + getVirtioCsumOffset(view, offset);
    if (field + 2 > packetBytes) return Fault.Virtio;
  }
  const type = getVirtioGsoType(view, offset) & ~VIRTIO_GSO_ECN_BITS;
  if (type === VIRTIO_GSO_NONE) return Fault.None;
  const known =
    type === VIRTIO_GSO_TCPV4 || type === VIRTIO_GSO_TCPV6 || type === VIRTIO_GSO_UDP_L4;
  return known && getVirtioGsoBytes(view, offset) > 0 ? Fault.None : Fault.Virtio;
}
