/**
 * Out of a port of a layer-2 network. What a frame meets, in this order:
 *
 *   1. Ethernet: who sends, and may it have that MAC?    packet
 *   2. what speaks to the next switch only               wire/lan/control-frames.ts
 *   3. ARP and Neighbour Discovery: heard, and answered  arp.ts, nd.ts, questions.ts
 *   4. IP: honest headers, a source of this port's       ip.ts
 *   5. the network's rules                               policy/policy.ts
 *   6. services that clients look for by broadcast       services.ts
 *   7. the FDB, or the network's policy for floods       forward.ts
 *
 * @module
 */
import { egressIndex } from '../../../table/counters.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERNET_SOURCE_OFFSET,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
  isGroupSource,
} from '../../../wire/ethernet.ts';
import { isControlFrame, isTagged } from '../../../wire/lan/control-frames.ts';
import { VIRTIO_GSO_NONE } from '../../../wire/virtio-net.ts';
import { BindingAnswers } from '../../answer/bindings.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { Claims } from '../../learn/claims.ts';
import type { News } from '../../learn/news.ts';
import type { InHand } from '../../packet/in-hand.ts';
import type { Policy } from '../../policy/policy.ts';
import type { Wrap } from '../wrap/wrap.ts';
import { VniArp } from './arp.ts';
import { Forward } from './forward.ts';
import { VniIp } from './ip.ts';
import { VniNd } from './nd.ts';
import { Questions } from './questions.ts';

const RUNT = egressIndex('drop.runt');
const BAD_MAC = egressIndex('drop.bad_mac');
const UNKNOWN_ETHERTYPE = egressIndex('drop.unknown_ethertype');
const CONTROL_PROTOCOL = egressIndex('drop.control_protocol');
const TOO_BIG = egressIndex('drop.too_big');
const UNSUPPORTED_OFFLOAD = egressIndex('drop.unsupported_offload');

/** What the ports of layer-2 networks need beside what a fan has. */
export type VniEgressParts = {
  arena: Arena;
  hand: InHand;
  wrap: Wrap;
  claims: Claims;
  news: News;
  policy: Policy;
};

export class VniEgress {
  readonly #arena: Arena;
  readonly #hand: InHand;
  readonly #claims: Claims;
  readonly #forward: Forward;
  readonly #arp: VniArp;
  readonly #ip: VniIp;

  constructor({ arena, hand, wrap, claims, news, policy }: VniEgressParts) {
    const forward = new Forward(arena, hand, wrap, news);
    const answers = new BindingAnswers(arena);
    this.#arena = arena;
    this.#hand = hand;
    this.#claims = claims;
    this.#forward = forward;
    const parts = { arena, hand, forward, claims, news, answers };
    const questions = new Questions(parts);
    this.#arp = new VniArp(parts, questions);
    this.#ip = new VniIp(parts, policy, new VniNd(parts, questions));
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
    const source = fdb.find(network.id, view.getUint16(mac), view.getUint32(mac + 2));
    if (!this.#claims.mayHaveMac(link, network, frame, source)) {
      return hand.drop(link, BAD_MAC);
    }
    switch (etherType) {
      case ETHERTYPE_IPV4:
        return this.#ip.four(link, network, source);
      case ETHERTYPE_IPV6:
        return this.#ip.six(link, network, source);
      case ETHERTYPE_ARP:
        return this.#arp.packet(link, network);
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
}
