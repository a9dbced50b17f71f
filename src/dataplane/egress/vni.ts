/**
 * Out of a port of a layer-2 network. What a frame meets, in this order:
 *
 *   1. Ethernet: who sends, and may it have that MAC?    packet
 *   2. what speaks to the next switch only               wire/lan/control-frames.ts
 *   3. ARP and Neighbour Discovery: heard, and answered  questions.ts
 *   4. IP: honest headers, a source of this port's       #ip
 *   5. the network's rules                               policy/policy.ts
 *   6. services that clients look for by broadcast       #udp
 *   7. the FDB, or the network's policy for floods       forward.ts
 *
 * @module
 */
import { egressIndex } from '../../table/counters.ts';
import { FdbFlag, fdbFlags } from '../../table/fdb.ts';
import { Service } from '../../table/flood.ts';
import { checkIpv6, Fault, isTunnelProtocol, walkIpv6 } from '../../wire/classify.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERNET_SOURCE_OFFSET,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
  isGroupDestination,
  isGroupSource,
} from '../../wire/ethernet.ts';
import {
  getIpVersion,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Tos,
  getIpv4TotalBytes,
  IPV4_HEADER_BYTES,
  IPV4_SOURCE_OFFSET,
  isIpv4Fragment,
  PROTOCOL_ICMPV6,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import {
  getIpv6PayloadBytes,
  getIpv6TrafficClass,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE_OFFSET,
  NEXT_FRAGMENT,
} from '../../wire/ipv6.ts';
import { isControlFrame, isTagged } from '../../wire/lan/control-frames.ts';
import {
  DHCP_CLIENT_MAC_OFFSET,
  DHCP_SERVER_PORT,
  DHCPV6_SERVER_PORT,
  isDhcp,
} from '../../wire/lan/dhcp.ts';
import { checkExtensions, isIpv6Fragment } from '../../wire/six/extensions.ts';
import { isNd } from '../../wire/six/nd.ts';
import { getUdpDestination, getUdpSource, UDP_HEADER_BYTES } from '../../wire/udp.ts';
import { VIRTIO_GSO_NONE } from '../../wire/virtio-net.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import type { Network } from '../ground/network.ts';
import type { Claims } from '../learn/claims.ts';
import type { Policy } from '../policy/policy.ts';
import type { Forward } from './forward.ts';
import type { InHand } from './in-hand.ts';
import type { Questions } from './questions.ts';

const RUNT = egressIndex('drop.runt');
const MALFORMED = egressIndex('drop.malformed');
const BAD_MAC = egressIndex('drop.bad_mac');
const UNKNOWN_ETHERTYPE = egressIndex('drop.unknown_ethertype');
const CONTROL_PROTOCOL = egressIndex('drop.control_protocol');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');
const ROGUE_DHCP = egressIndex('drop.rogue_dhcp');
const NESTED = egressIndex('drop.nested');
const TOO_BIG = egressIndex('drop.too_big');
const POLICY = egressIndex('drop.policy');
const UNSUPPORTED_OFFLOAD = egressIndex('drop.unsupported_offload');

export type VniEgressParts = {
  claims: Claims;
  policy: Policy;
  forward: Forward;
  questions: Questions;
};

export class VniEgress {
  readonly #arena: Arena;
  readonly #hand: InHand;
  readonly #claims: Claims;
  readonly #policy: Policy;
  readonly #forward: Forward;
  readonly #questions: Questions;
  /** What the FDB has of the sender of the frame in hand. */
  #source = 0;

  constructor(arena: Arena, hand: InHand, parts: VniEgressParts) {
    this.#arena = arena;
    this.#hand = hand;
    this.#claims = parts.claims;
    this.#policy = parts.policy;
    this.#forward = parts.forward;
    this.#questions = parts.questions;
  }

  /** Decides about the frame in hand. */
  packet(link: DataLink, network: Network): void {
    const { view } = this.#arena;
    const hand = this.#hand;
    const { frame, byteCount } = hand;
    if (byteCount < ETHERNET_HEADER_BYTES) return hand.drop(link, RUNT);
    if (isGroupSource(view, frame)) return hand.drop(link, BAD_MAC);
    const etherType = getEtherType(view, frame);
    if (isControlFrame(view, frame, etherType)) return hand.drop(link, CONTROL_PROTOCOL);
    if (isTagged(etherType)) return hand.drop(link, UNKNOWN_ETHERTYPE);
    const mac = frame + ETHERNET_SOURCE_OFFSET;
    const { fdb } = network.tables;
    this.#source = fdb.find(network.id, view.getUint16(mac), view.getUint32(mac + 2));
    if (!this.#claims.mayHaveMac(link, network, frame, this.#source)) {
      return hand.drop(link, BAD_MAC);
    }
    switch (etherType) {
      case ETHERTYPE_IPV4:
        return this.#ipv4(link, network);
      case ETHERTYPE_IPV6:
        return this.#ipv6(link, network);
      case ETHERTYPE_ARP:
        return this.#questions.arp(link, network);
      default:
        return this.#other(link, network);
    }
  }

  /** A frame that is neither ARP nor IP: nothing in it is ours to look at, or to finish. */
  #other(link: DataLink, network: Network): void {
    const hand = this.#hand;
    if (hand.gsoType !== VIRTIO_GSO_NONE || hand.needsChecksum) {
      return hand.drop(link, UNSUPPORTED_OFFLOAD);
    }
    if (hand.byteCount - ETHERNET_HEADER_BYTES > link.innerMtu) return hand.drop(link, TOO_BIG);
    hand.plainBytes = hand.byteCount;
    this.#forward.byDestination(link, network);
  }

  #ipv4(link: DataLink, network: Network): void {
    const { view } = this.#arena;
    const hand = this.#hand;
    const l3 = hand.frame + ETHERNET_HEADER_BYTES;
    const available = hand.byteCount - ETHERNET_HEADER_BYTES;
    if (available < IPV4_HEADER_BYTES) return hand.drop(link, RUNT);
    const headerBytes = getIpv4HeaderBytes(view, l3);
    const totalBytes = hand.gsoType !== VIRTIO_GSO_NONE ? available : getIpv4TotalBytes(view, l3);
    if (
      getIpVersion(view, l3) !== 4 ||
      headerBytes < IPV4_HEADER_BYTES ||
      totalBytes < headerBytes ||
      totalBytes > available
    ) {
      return hand.drop(link, MALFORMED);
    }
    hand.headerBytes = headerBytes;
    hand.totalBytes = totalBytes;
    hand.protocol = getIpv4Protocol(view, l3);
    hand.tos = getIpv4Tos(view, l3);
    hand.isFragment = isIpv4Fragment(view, l3);
    this.#ip(link, network, l3 + IPV4_SOURCE_OFFSET, 4);
  }

  #ipv6(link: DataLink, network: Network): void {
    const { view } = this.#arena;
    const hand = this.#hand;
    const l3 = hand.frame + ETHERNET_HEADER_BYTES;
    const available = hand.byteCount - ETHERNET_HEADER_BYTES;
    if (available < IPV6_HEADER_BYTES) return hand.drop(link, RUNT);
    if (checkIpv6(view, l3, available) !== Fault.None) return hand.drop(link, MALFORMED);
    const walked = walkIpv6(view, l3);
    if (walked < 0) return hand.drop(link, MALFORMED);
    hand.headerBytes = walked & 0xffff;
    const saidBytes = IPV6_HEADER_BYTES + getIpv6PayloadBytes(view, l3);
    hand.totalBytes = hand.gsoType === VIRTIO_GSO_NONE ? saidBytes : available;
    hand.protocol = walked >>> 16;
    hand.isFragment = false;
    if (hand.headerBytes !== IPV6_HEADER_BYTES || hand.protocol === NEXT_FRAGMENT) {
      if (checkExtensions(view, l3, walked) !== Fault.None) return hand.drop(link, MALFORMED);
      hand.isFragment = isIpv6Fragment(view, l3, hand.headerBytes);
    }
    hand.tos = getIpv6TrafficClass(view, l3);
    const bytes = hand.totalBytes - hand.headerBytes;
    const l4 = l3 + hand.headerBytes;
    if (hand.protocol === PROTOCOL_ICMPV6 && bytes > 0 && isNd(view.getUint8(l4))) {
      // RFC 6980 §5: never in fragments; and nobody honest hides it behind other headers.
      if (hand.headerBytes !== IPV6_HEADER_BYTES) return hand.drop(link, MALFORMED);
      return this.#questions.nd(link, network, l4, bytes, this.#source);
    }
    this.#ip(link, network, l3 + IPV6_SOURCE_OFFSET, 16);
  }

  /** An IP packet whose header is honest, from the address at `from`. */
  #ip(link: DataLink, network: Network, from: number, bytes: 4 | 16): void {
    const hand = this.#hand;
    const mac = hand.frame + ETHERNET_SOURCE_OFFSET;
    if (!this.#claims.maySendFrom(link, network, mac, from, bytes, this.#source)) {
      return hand.drop(link, FOREIGN_SOURCE);
    }
    if (isTunnelProtocol(hand.protocol)) return hand.drop(link, NESTED);
    const { frame, headerBytes, totalBytes, protocol, isFragment } = hand;
    const policy = this.#policy;
    if (!policy.mayPass(network, frame, headerBytes, totalBytes, protocol, isFragment)) {
      return hand.drop(link, POLICY);
    }
    const l4Bytes = hand.totalBytes - hand.headerBytes;
    if (hand.protocol === PROTOCOL_UDP && !hand.isFragment && l4Bytes >= UDP_HEADER_BYTES) {
      return this.#udp(link, network, bytes === 4 ? DHCP_SERVER_PORT : DHCPV6_SERVER_PORT);
    }
    this.#forward.byDestination(link, network);
  }

  /** @param server port of DHCP servers in this family */
  #udp(link: DataLink, network: Network, server: number): void {
    const { view } = this.#arena;
    const hand = this.#hand;
    const udp = hand.frame + ETHERNET_HEADER_BYTES + hand.headerBytes;
    const to = getUdpDestination(view, udp);
    const isForAll = isGroupDestination(view, hand.frame);
    if (getUdpSource(view, udp) === server && to !== server) {
      if ((fdbFlags(this.#source) & FdbFlag.DhcpServer) === 0) return hand.drop(link, ROGUE_DHCP);
      const message = udp + UDP_HEADER_BYTES;
      const end = hand.frame + ETHERNET_HEADER_BYTES + hand.totalBytes;
      // A client without an address yet is answered by broadcast: but it has a MAC.
      if (isForAll && isDhcp(view, message, end - message)) {
        return this.#forward.byMac(link, network, message + DHCP_CLIENT_MAC_OFFSET);
      }
    } else if (isForAll && to === server) {
      return this.#forward.toService(link, network, Service.Dhcp);
    }
    this.#forward.byDestination(link, network);
  }
}
