/**
 * What a captured packet holds: where its headers begin, outside and inside of a tunnel. Reads what may
 * be anything, and never beyond its end.
 * @module
 */
import { ENCAPS } from '../../encap/encap.ts';
import { hostOfBytes, type UnderlayAddress } from '../../net/underlay-address.ts';
import { Fault } from '../../wire/classify.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../../wire/ethernet.ts';
import {
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4TotalBytes,
  IPV4_HEADER_BYTES,
  isIpv4Fragment,
  PROTOCOL_IPIP,
  PROTOCOL_IPV6,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { getIpv6NextHeader, IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';
import { getUdpDestination, UDP_HEADER_BYTES } from '../../wire/udp.ts';
import type { LinkSpec } from '../store/link-spec.ts';

/** Offsets into the packet; −1 where there is no such header. */
export type Sight = {
  view: DataView;
  /** IP header of the packet that crosses the underlay. */
  outer: number;
  /** What the encapsulation puts behind UDP, or the outer IP header. */
  shim: number;
  /** Ethernet header and IP header of what crosses the overlay. */
  frame: number;
  inner: number;
  /** −1 where there is none. */
  vni: number;
};

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Where the IP header behind an Ethernet header at `frame` begins, or −1. */
function behindEthernet(view: DataView, frame: number): number {
  if (frame + ETHERNET_HEADER_BYTES + 1 > view.byteLength) return -1;
  const type = view.getUint16(frame + 12);
  return type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6 ? frame + ETHERNET_HEADER_BYTES : -1;
}

/** A packet as it crosses the device of a link. */
export function innerSight(bytes: Uint8Array, ethernet: boolean): Sight {
  const view = viewOf(bytes);
  const inner = ethernet ? behindEthernet(view, 0) : view.byteLength > 0 ? 0 : -1;
  return { view, outer: -1, shim: -1, frame: ethernet ? 0 : -1, inner, vni: -1 };
}

type Tunnel = Pick<LinkSpec, 'encap' | 'port'>;

/** Protocol and end of the outer IP header at `outer`; undefined where there is none to go on from. */
function outerHeader(view: DataView, outer: number): { protocol: number; end: number } | undefined {
  const version = view.getUint8(outer) >>> 4;
  if (version === 4 && outer + IPV4_HEADER_BYTES <= view.byteLength) {
    if (isIpv4Fragment(view, outer)) return undefined;
    return { protocol: getIpv4Protocol(view, outer), end: outer + getIpv4HeaderBytes(view, outer) };
  }
  if (version === 6 && outer + IPV6_HEADER_BYTES <= view.byteLength) {
    // No tunnel of ours has extension headers.
    return { protocol: getIpv6NextHeader(view, outer), end: outer + IPV6_HEADER_BYTES };
  }
  return undefined;
}

/** A packet as it crosses an underlay device; what is inside only where it is one of this tunnel's. */
export function outerSight(bytes: Uint8Array, ethernet: boolean, tunnel: Tunnel): Sight {
  const view = viewOf(bytes);
  const outer = ethernet ? behindEthernet(view, 0) : view.byteLength > 0 ? 0 : -1;
  const sight = { view, outer, shim: -1, frame: -1, inner: -1, vni: -1 };
  const header = outer < 0 ? undefined : outerHeader(view, outer);
  if (header === undefined) return sight;
  const { udp, shimBytes, innerHeaderBytes, hasVni, checkShim, vniOf } = ENCAPS[tunnel.encap];
  let shim = header.end;
  if (udp) {
    if (header.protocol !== PROTOCOL_UDP || shim + UDP_HEADER_BYTES > view.byteLength) return sight;
    if (getUdpDestination(view, shim) !== tunnel.port) return sight;
    shim += UDP_HEADER_BYTES;
  } else if (header.protocol !== PROTOCOL_IPIP && header.protocol !== PROTOCOL_IPV6) return sight;
  const shimEnd = shim + shimBytes;
  if (shimEnd > view.byteLength) return sight;
  if (checkShim(view, shim, view.byteLength - shim) !== Fault.None) return sight;
  const frame = innerHeaderBytes > 0 ? shimEnd : -1;
  const inner = frame >= 0 ? behindEthernet(view, frame) : shimEnd < view.byteLength ? shimEnd : -1;
  return { view, outer, shim, frame, inner, vni: hasVni ? vniOf(view, shim) : -1 };
}

/**
 * The packets of a train, which is one datagram to whoever looks at the sender's device: as it was first,
 * then as each of the others would be. Ends at what has no IPv4 packet inside.
 */
export function* trainOf(sight: Sight, { encap }: Tunnel): Generator<Sight> {
  const { shimBytes, innerHeaderBytes } = ENCAPS[encap];
  const { view } = sight;
  for (let each = sight; ; ) {
    yield each;
    const { inner } = each;
    if (inner < 0 || inner + IPV4_HEADER_BYTES > view.byteLength) return;
    if (view.getUint8(inner) >>> 4 !== 4) return;
    const shim = inner + getIpv4TotalBytes(view, inner);
    const next = shim + shimBytes + innerHeaderBytes;
    if (shim <= each.shim || next >= view.byteLength) return;
    const frame = innerHeaderBytes > 0 ? shim + shimBytes : -1;
    const behind = frame >= 0 ? behindEthernet(view, frame) : next;
    each = { ...each, shim, frame, inner: behind };
  }
}

/** An outer address of a packet that {@link outerSight} has found an inside in. */
export function outerEnd({ view, outer }: Sight, end: 'source' | 'destination'): UnderlayAddress {
  const isSix = view.getUint8(outer) >>> 4 === 6;
  const bytes = isSix ? 16 : 4;
  const at = outer + (isSix ? 8 : 12) + (end === 'source' ? 0 : bytes);
  return hostOfBytes(new Uint8Array(view.buffer, view.byteOffset + at, bytes));
}
