/**
 * IP out of a port of a layer-2 network: honest headers, a source that the port may have, what the network's
 * rules let pass. Services that clients look for are found (services.ts), Neighbour Discovery is heard
 * (nd.ts), the rest goes where its destination is.
 * @module
 */
import { egressIndex } from '../../../table/counters.ts';
import { isTunnelProtocol } from '../../../wire/classify.ts';
import { ETHERNET_HEADER_BYTES, ETHERNET_SOURCE_OFFSET } from '../../../wire/ethernet.ts';
import {
  IPV4_HEADER_BYTES,
  IPV4_SOURCE_OFFSET,
  PROTOCOL_ICMPV6,
  PROTOCOL_UDP,
} from '../../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES, IPV6_SOURCE_OFFSET } from '../../../wire/ipv6.ts';
import { isNd } from '../../../wire/six/nd.ts';
import { UDP_HEADER_BYTES } from '../../../wire/udp.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { Policy } from '../../policy/policy.ts';
import type { VniNd } from './nd.ts';
import type { QuestionParts } from './questions.ts';
import { Services } from './services.ts';

const RUNT = egressIndex('drop.runt');
const MALFORMED = egressIndex('drop.malformed');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');
const NESTED = egressIndex('drop.nested');
const POLICY = egressIndex('drop.policy');

export class VniIp {
  readonly #parts: QuestionParts;
  readonly #policy: Policy;
  readonly #nd: VniNd;
  readonly #services: Services;

  constructor(parts: QuestionParts, policy: Policy, nd: VniNd) {
    this.#parts = parts;
    this.#policy = policy;
    this.#nd = nd;
    this.#services = new Services(parts.arena, parts.hand, parts.forward);
  }

  /**
   * The IPv4 packet in hand.
   * @param source what the FDB has of its sender, here as below
   */
  four(link: DataLink, network: Network, source: number): void {
    const { arena, hand } = this.#parts;
    const { view } = arena;
    const l3 = hand.frame + ETHERNET_HEADER_BYTES;
    const available = hand.byteCount - ETHERNET_HEADER_BYTES;
    if (available < IPV4_HEADER_BYTES) return hand.drop(link, RUNT);
    if (!hand.takeIpv4(view, available)) return hand.drop(link, MALFORMED);
    this.#admit(link, network, l3 + IPV4_SOURCE_OFFSET, 4, source);
  }

  /** The IPv6 packet in hand. */
  six(link: DataLink, network: Network, source: number): void {
    const { arena, hand } = this.#parts;
    const { view } = arena;
    const l3 = hand.frame + ETHERNET_HEADER_BYTES;
    const available = hand.byteCount - ETHERNET_HEADER_BYTES;
    if (available < IPV6_HEADER_BYTES) return hand.drop(link, RUNT);
    if (!hand.takeIpv6(view, available)) return hand.drop(link, MALFORMED);
    const bytes = hand.totalBytes - hand.headerBytes;
    const l4 = l3 + hand.headerBytes;
    if (hand.protocol === PROTOCOL_ICMPV6 && bytes > 0 && isNd(view.getUint8(l4))) {
      // RFC 6980 §5: never in fragments; and nobody honest hides it behind other headers.
      if (hand.headerBytes !== IPV6_HEADER_BYTES) return hand.drop(link, MALFORMED);
      return this.#nd.packet(link, network, l4, bytes, source);
    }
    this.#admit(link, network, l3 + IPV6_SOURCE_OFFSET, 16, source);
  }

  /** An IP packet whose header is honest, from the address at `from`. */
  #admit(link: DataLink, network: Network, from: number, bytes: 4 | 16, source: number): void {
    const { hand, claims, forward } = this.#parts;
    const mac = hand.frame + ETHERNET_SOURCE_OFFSET;
    if (!claims.maySendFrom(link, network, mac, from, bytes, source)) {
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
      return this.#services.udp(link, network, bytes, source);
    }
    forward.byDestination(link, network);
  }
}
