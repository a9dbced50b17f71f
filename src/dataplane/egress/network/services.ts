/**
 * Services that clients of a layer-2 network look for by broadcast: their questions go to the one that has
 * the service, and only those that may be servers answer.
 * @module
 */
import { egressIndex } from '../../../table/counters.ts';
import { FdbFlag, fdbFlags } from '../../../table/fdb.ts';
import { Service } from '../../../table/flood.ts';
import { ETHERNET_HEADER_BYTES, isGroupDestination } from '../../../wire/ethernet.ts';
import {
  DHCP_CLIENT_MAC_OFFSET,
  DHCP_SERVER_PORT,
  DHCPV6_SERVER_PORT,
  isDhcp,
} from '../../../wire/lan/dhcp.ts';
import { getUdpDestination, getUdpSource, UDP_HEADER_BYTES } from '../../../wire/udp.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { InHand } from '../../packet/in-hand.ts';
import type { Forward } from './forward.ts';

const ROGUE_DHCP = egressIndex('drop.rogue_dhcp');

export class Services {
  readonly #arena: Arena;
  readonly #hand: InHand;
  readonly #forward: Forward;

  constructor(arena: Arena, hand: InHand, forward: Forward) {
    this.#arena = arena;
    this.#hand = hand;
    this.#forward = forward;
  }

  /**
   * The whole UDP datagram in hand.
   * @param bytes of an address of its family
   * @param source what the FDB has of its sender
   */
  udp(link: DataLink, network: Network, bytes: 4 | 16, source: number): void {
    const { view } = this.#arena;
    const hand = this.#hand;
    const server = bytes === 4 ? DHCP_SERVER_PORT : DHCPV6_SERVER_PORT;
    const udp = hand.frame + ETHERNET_HEADER_BYTES + hand.headerBytes;
    const to = getUdpDestination(view, udp);
    const isForAll = isGroupDestination(view, hand.frame);
    if (getUdpSource(view, udp) === server && to !== server) {
      if ((fdbFlags(source) & FdbFlag.DhcpServer) === 0) return hand.drop(link, ROGUE_DHCP);
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
