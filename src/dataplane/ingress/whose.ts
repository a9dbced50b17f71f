/**
 * Whose a datagram is: of a peer or an outsider, and the link that it belongs to, by the network that its shim names or by where the
 * packet inside wants to go.
 * @module
 */
import { ingressIndex } from '../../table/counters.ts';
import { ARP_BYTES, ARP_TARGET_ADDRESS_OFFSET } from '../../wire/arp.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
} from '../../wire/ethernet.ts';
import {
  getIpVersion,
  IPV4_DESTINATION_OFFSET,
  IPV4_HEADER_BYTES,
  IPV4_SOURCE_OFFSET,
} from '../../wire/ipv4.ts';
import { IPV6_DESTINATION_OFFSET, IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';
import { type DataEndpoint, type DataLink, ownerOf, ownerOf6 } from '../ground/link.ts';
import { Sender } from '../ground/route.ts';

const STRANGER = ingressIndex('drop.stranger');
const OWN_SOURCE = ingressIndex('drop.own_source');
const WRONG_UNDERLAY = ingressIndex('drop.wrong_underlay');

/**
 * The name that the host at `source` goes by, where a datagram of its came by `endpoint`: that of its
 * address on the link's first underlay; 0 where its address is of another underlay than it came by.
 */
export function senderName(
  link: DataLink,
  endpoint: DataEndpoint,
  view: DataView,
  source: number,
): number {
  return link.ways === undefined ? source : link.ways.nameOf(endpoint, view, source);
}

/**
 * The counter of a datagram whose outer source, at `name` (see {@link senderName}), is no peer of the
 * link; else `otherwise`.
 */
export function outsider(link: DataLink, view: DataView, name: number, otherwise: number): number {
  if (name === 0) return WRONG_UNDERLAY;
  const sender = link.route.sender(view, name);
  if (sender === Sender.Peer) return otherwise;
  return sender === Sender.Ourselves ? OWN_SOURCE : STRANGER;
}

/** The same for a datagram from `source` that came by `endpoint` and is wrong whoever sent it. */
export function blamed(
  link: DataLink,
  endpoint: DataEndpoint,
  view: DataView,
  source: number,
  otherwise: number,
): number {
  return outsider(link, view, senderName(link, endpoint, view, source), otherwise);
}

/** The link of a frame at `frame` in the network `vni`, undefined when no link has it. */
export function linkByVni(
  endpoint: DataEndpoint,
  vni: number,
  view: DataView,
  frame: number,
  end: number,
): DataLink | undefined {
  const only = endpoint.links[0];
  if (endpoint.links.length === 1) {
    if (only?.vni === vni) return only;
    return only?.six !== undefined && only.vni6 === vni ? only : undefined;
  }
  const links = endpoint.linksOf(vni);
  if (links === undefined || links.length === 1) return links?.[0];
  // Overlays such as 10.0.0.0/8 and 10.0.0.0/16 share a VNI: the longest prefix decides.
  const l3 = frame + ETHERNET_HEADER_BYTES;
  if (end - l3 >= IPV6_HEADER_BYTES && getEtherType(view, frame) === ETHERTYPE_IPV6) {
    return ownerOf6(links, view, l3 + IPV6_DESTINATION_OFFSET) ?? links[0];
  }
  const address = frameDestination(view, frame, end);
  return (address < 0 ? undefined : ownerOf(links, view, address)) ?? links[0];
}

/** Where in a frame it says where it wants to go: IPv4 destination, ARP target, −1 otherwise. */
function frameDestination(view: DataView, frame: number, end: number): number {
  const l3 = frame + ETHERNET_HEADER_BYTES;
  if (end - l3 < IPV4_HEADER_BYTES) return -1;
  const etherType = getEtherType(view, frame);
  if (etherType === ETHERTYPE_IPV4) return l3 + IPV4_DESTINATION_OFFSET;
  if (etherType === ETHERTYPE_ARP && end - l3 >= ARP_BYTES) {
    return l3 + ARP_TARGET_ADDRESS_OFFSET;
  }
  return -1;
}

/** The link of a packet at `l3` without any shim, undefined when no overlay has its destination. */
export function linkByDestination(
  endpoint: DataEndpoint,
  view: DataView,
  l3: number,
  end: number,
): DataLink | undefined {
  if (end - l3 < IPV4_HEADER_BYTES) return undefined;
  if (getIpVersion(view, l3) === 6) {
    if (end - l3 < IPV6_HEADER_BYTES) return undefined;
    return ownerOf6(endpoint.links, view, l3 + IPV6_DESTINATION_OFFSET);
  }
  return ownerOf(endpoint.links, view, l3 + IPV4_DESTINATION_OFFSET);
}

/** Whether the IPv4 packet at `l3` would be honest on a link of another encapsulation. */
export function isMismatch(
  link: DataLink,
  links: readonly DataLink[],
  view: DataView,
  l3: number,
  source: number,
): boolean {
  for (let i = 0; i < links.length; i++) {
    const other = links[i] as DataLink;
    if (other.encap === link.encap) continue;
    const [from, to] = [l3 + IPV4_SOURCE_OFFSET, l3 + IPV4_DESTINATION_OFFSET];
    if (other.route.couldBe(view, from, to, source)) return true;
  }
  return false;
}
