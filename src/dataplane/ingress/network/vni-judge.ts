/**
 * What a peer of a layer-2 network may send in an IP packet: from an address that nobody else is known to
 * have, no tunnel in the tunnel; answers of DHCP servers and word of routers from those that may be such.
 * @module
 */
import { BumMode } from '../../../shm/network.ts';
import { ingressIndex } from '../../../table/counters.ts';
import { FdbFlag, fdbFlags, fdbPeer } from '../../../table/fdb.ts';
import { SERVICE_HERE, Service } from '../../../table/flood.ts';
import { Fault, isTunnelProtocol } from '../../../wire/classify.ts';
import { ETHERNET_SOURCE_OFFSET } from '../../../wire/ethernet.ts';
import { IPV4_SOURCE_OFFSET, PROTOCOL_ICMPV6, PROTOCOL_UDP } from '../../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES, IPV6_SOURCE_OFFSET } from '../../../wire/ipv6.ts';
import {
  DHCP_ACK,
  DHCP_CLIENT_MAC_OFFSET,
  DHCP_SERVER_PORT,
  DHCP_YOUR_ADDRESS_OFFSET,
  DHCPV6_SERVER_PORT,
  getDhcpType,
  isDhcp,
} from '../../../wire/lan/dhcp.ts';
import {
  isNd,
  ND_NEIGHBOUR_ADVERT,
  ND_REDIRECT,
  ND_ROUTER_ADVERT,
  ND_ROUTER_SOLICIT,
  ndTarget,
} from '../../../wire/six/nd.ts';
import { checkNd, ndMacAt } from '../../../wire/six/nd-link.ts';
import { getUdpDestination, getUdpSource, UDP_HEADER_BYTES } from '../../../wire/udp.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { Claims } from '../../learn/claims.ts';
import type { Arrival } from '../../packet/arrival.ts';

const MALFORMED = ingressIndex('drop.malformed');
const FOREIGN_MAC = ingressIndex('drop.foreign_mac');
const FOREIGN_SOURCE = ingressIndex('drop.foreign_source');
const ROGUE_DHCP = ingressIndex('drop.rogue_dhcp');
const ROGUE_ROUTER = ingressIndex('drop.rogue_router');
const NESTED = ingressIndex('drop.nested');
/** No counter: the frame may go on. */
export const PASS = -1;

export class VniJudge {
  readonly #arena: Arena;
  readonly #claims: Claims;
  readonly #arrival: Arrival;
  /** What the FDB has of the sender of the frame in hand. */
  source = 0;
  /** It is a client's word to a service that is here, or a server's to one of our clients. */
  isService = false;

  constructor(arena: Arena, arrival: Arrival, claims: Claims) {
    this.#arena = arena;
    this.#arrival = arrival;
    this.#claims = claims;
  }

  /** The counter of an IP packet that its sender may not send, or PASS. */
  ip(link: DataLink, network: Network): number {
    const { view } = this.#arena;
    const { frame, l3, headerBytes, totalBytes, protocol } = this.#arrival;
    const isIpv6 = view.getUint8(l3) >>> 4 === 6;
    const bytes = isIpv6 ? 16 : 4;
    const from = l3 + (isIpv6 ? IPV6_SOURCE_OFFSET : IPV4_SOURCE_OFFSET);
    const mac = frame + ETHERNET_SOURCE_OFFSET;
    if (!this.#claims.isFree(network, mac, from, bytes)) return FOREIGN_SOURCE;
    if (isTunnelProtocol(protocol)) return NESTED;
    const l4 = l3 + headerBytes;
    const l4Bytes = totalBytes - headerBytes;
    if (protocol === PROTOCOL_UDP && l4Bytes >= UDP_HEADER_BYTES) {
      if (this.#arrival.isFragment) return PASS;
      return this.#judgeUdp(link, network, l4, l4Bytes, isIpv6);
    }
    if (isIpv6 && protocol === PROTOCOL_ICMPV6 && l4Bytes > 0 && isNd(view.getUint8(l4))) {
      if (headerBytes !== IPV6_HEADER_BYTES) return MALFORMED;
      return this.#judgeNd(network, l3, l4, l4Bytes);
    }
    return PASS;
  }

  #judgeUdp(link: DataLink, network: Network, udp: number, bytes: number, isIpv6: boolean): number {
    const { view } = this.#arena;
    const server = isIpv6 ? DHCPV6_SERVER_PORT : DHCP_SERVER_PORT;
    const to = getUdpDestination(view, udp);
    if (to === link.peerPort) return NESTED;
    if (to === server) {
      const where = network.tables.floods.service(network.id, Service.Dhcp);
      this.isService = where === SERVICE_HERE;
      return PASS;
    }
    if (getUdpSource(view, udp) !== server) return PASS;
    if ((fdbFlags(this.source) & FdbFlag.DhcpServer) === 0) return ROGUE_DHCP;
    const message = udp + UDP_HEADER_BYTES;
    const messageBytes = bytes - UDP_HEADER_BYTES;
    if (isIpv6 || !isDhcp(view, message, messageBytes)) return PASS;
    const client = message + DHCP_CLIENT_MAC_OFFSET;
    const { fdb } = network.tables;
    const entry = fdb.find(network.id, view.getUint16(client), view.getUint32(client + 2));
    // Answered by broadcast, for want of an address: it was carried to where its client is.
    this.isService = entry !== 0 && fdbPeer(entry) === 0;
    if (this.isService && getDhcpType(view, message, messageBytes) === DHCP_ACK) {
      this.#claims.given(link, network, client, message + DHCP_YOUR_ADDRESS_OFFSET);
    }
    return PASS;
  }

  #judgeNd(network: Network, l3: number, l4: number, bytes: number): number {
    const { view } = this.#arena;
    if (checkNd(view, l3, l4, bytes) !== Fault.None) return MALFORMED;
    const named = ndMacAt(view, l4, bytes);
    if (named >= 0 && !this.isSource(named)) return FOREIGN_MAC;
    const mac = this.#arrival.frame + ETHERNET_SOURCE_OFFSET;
    switch (view.getUint8(l4)) {
      case ND_ROUTER_ADVERT:
      case ND_REDIRECT:
        if ((fdbFlags(this.source) & FdbFlag.Router) === 0) return ROGUE_ROUTER;
        // Where nothing is flooded it came to us alone, and is for all of ours.
        this.isService = network.bum === BumMode.None;
        return PASS;
      case ND_NEIGHBOUR_ADVERT: {
        const isFree = this.#claims.isFree(network, mac, ndTarget(l4), 16);
        return isFree ? PASS : FOREIGN_SOURCE;
      }
      case ND_ROUTER_SOLICIT: {
        const where = network.tables.floods.service(network.id, Service.Router);
        this.isService = where === SERVICE_HERE;
        return PASS;
      }
      default:
        return PASS;
    }
  }

  /** Whether the frame in hand comes from the MAC at `mac`. */
  isSource(mac: number): boolean {
    const { view } = this.#arena;
    const own = this.#arrival.frame + ETHERNET_SOURCE_OFFSET;
    return (
      view.getUint16(mac) === view.getUint16(own) &&
      view.getUint32(mac + 2) === view.getUint32(own + 2)
    );
  }
}
