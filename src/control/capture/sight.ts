/**
 * What a captured packet holds: where its headers begin, outside and inside of a tunnel. Reads what may
 * be anything, and never beyond its end.
 * @module
 */
import { ENCAPS } from '../../encap/encap.ts';
import { Fault } from '../../wire/classify.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../../wire/ethernet.ts';
import {
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Source,
  IPV4_HEADER_BYTES,
  isIpv4Fragment,
  PROTOCOL_IPIP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { getUdpDestination, UDP_HEADER_BYTES } from '../../wire/udp.ts';
import type { LinkSpec } from '../store/link-spec.ts';

/** Offsets into the packet; −1 where there is no such header. */
export type Sight = {
  view: DataView;
  /** IP header of the packet that crosses the underlay. */
  outer: number;
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
  return { view, outer: -1, frame: ethernet ? 0 : -1, inner, vni: -1 };
}

type Tunnel = Pick<LinkSpec, 'encap' | 'port' | 'local'>;

/** A packet as it crosses an underlay device; what is inside only where it is one of this tunnel's. */
export function outerSight(bytes: Uint8Array, ethernet: boolean, tunnel: Tunnel): Sight {
  const view = viewOf(bytes);
  const outer = ethernet ? behindEthernet(view, 0) : view.byteLength > 0 ? 0 : -1;
  const sight = { view, outer, frame: -1, inner: -1, vni: -1 };
  if (outer < 0 || outer + IPV4_HEADER_BYTES > view.byteLength) return sight;
  if (view.getUint8(outer) >>> 4 !== 4) return sight;
  const { udp, shimBytes, innerHeaderBytes, hasVni, checkShim, vniOf } = ENCAPS[tunnel.encap];
  let at = outer + getIpv4HeaderBytes(view, outer);
  if (getIpv4Protocol(view, outer) !== (udp ? PROTOCOL_UDP : PROTOCOL_IPIP)) return sight;
  if (udp) {
    if (isIpv4Fragment(view, outer) || at + UDP_HEADER_BYTES > view.byteLength) return sight;
    if (getUdpDestination(view, at) !== tunnel.port) return sight;
    at += UDP_HEADER_BYTES;
  }
  const shimEnd = at + shimBytes;
  if (shimEnd > view.byteLength) return sight;
  if (checkShim(view, at, view.byteLength - at) !== Fault.None) return sight;
  const frame = innerHeaderBytes > 0 ? shimEnd : -1;
  const inner = frame >= 0 ? behindEthernet(view, frame) : shimEnd < view.byteLength ? shimEnd : -1;
  return { view, outer, frame, inner, vni: hasVni ? vniOf(view, at) : -1 };
}

/** Outer source address of a packet, u32; needs one that has an outer IPv4 header. */
export function outerSource({ view, outer }: Sight): number {
  return getIpv4Source(view, outer);
}
