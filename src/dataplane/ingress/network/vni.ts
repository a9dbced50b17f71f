/**
 * Into a port of a layer-2 network, from a peer that control has admitted. What a frame meets, in this order:
 *
 *   1. its source MAC is that peer's, by the FDB         #judgeSource
 *   2. what speaks to the next switch only               wire/lan/control-frames.ts
 *   3. ARP, ND and IP: honest headers, and nobody else
 *      is known to have the source address             ip.ts, vni-judge.ts
 *   4. routers and DHCP servers that may be such
 *   5. its destination is here, or the network carries
 *      what is for everybody                             destination.ts
 *   6. the network's rules                             policy/policy.ts
 *   7. ECN and DSCP combined, to the device
 *
 * Frames from peers teach nothing, except on a network that learns: there control is told who sends what.
 * @module
 */
import { ingressIndex } from '../../../table/counters.ts';
import { ARP_BYTES, ARP_SENDER_ADDRESS_OFFSET, ARP_SENDER_MAC_OFFSET } from '../../../wire/arp.ts';
import { checkArp, Fault } from '../../../wire/classify.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
} from '../../../wire/ethernet.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { Claims } from '../../learn/claims.ts';
import type { News } from '../../learn/news.ts';
import { type Arrival, NO_CELL } from '../../packet/arrival.ts';
import type { Policy } from '../../policy/policy.ts';
import type { Coalescer } from '../deliver/coalesce.ts';
import type { DeviceWriter } from '../deliver/device-writer.ts';
import { VniDestination } from './destination.ts';
import { VniIpIngress } from './ip.ts';
import type { Replicator } from './replicator.ts';
import { VniSource } from './source.ts';
import { PASS, VniJudge } from './vni-judge.ts';

const RUNT = ingressIndex('drop.runt');
const MALFORMED = ingressIndex('drop.malformed');
const FOREIGN_MAC = ingressIndex('drop.foreign_mac');
const FOREIGN_SOURCE = ingressIndex('drop.foreign_source');
const TOO_BIG = ingressIndex('drop.too_big');

/** What the ports of layer-2 networks need beside what a fan has. */
export type VniIngressParts = {
  arena: Arena;
  /** The datagram that ingress has in hand. */
  arrival: Arrival;
  coalescer: Coalescer;
  writer: DeviceWriter;
  claims: Claims;
  news: News;
  replicator: Replicator;
  policy: Policy;
};

export class VniIngress {
  readonly #parts: VniIngressParts;
  readonly #arena: Arena;
  readonly #arrival: Arrival;
  readonly #source: VniSource;
  readonly #judge: VniJudge;
  readonly #destination: VniDestination;
  readonly #ip: VniIpIngress;

  constructor(parts: VniIngressParts) {
    const { arena, arrival, claims, news, replicator } = parts;
    const judge = new VniJudge(arena, arrival, claims);
    const destination = new VniDestination(arena, arrival, news, replicator);
    this.#parts = parts;
    this.#arena = arena;
    this.#arrival = arrival;
    this.#source = new VniSource(arena, arrival, news);
    this.#judge = judge;
    this.#destination = destination;
    this.#ip = new VniIpIngress({ ...parts, judge, destination });
  }

  /** Decides about the frame in hand, from the peer that the network was asked about last. */
  frame(link: DataLink, network: Network): void {
    const { view } = this.#arena;
    const arrival = this.#arrival;
    this.#parts.news.nowMs = arrival.nowMs;
    if (arrival.end - arrival.frame < ETHERNET_HEADER_BYTES) return arrival.drop(link, RUNT);
    const etherType = getEtherType(view, arrival.frame);
    const fault = this.#source.judge(link, network, etherType);
    if (fault !== PASS) return arrival.drop(link, fault);
    this.#judge.source = this.#source.source;
    this.#judge.isService = false;
    switch (etherType) {
      case ETHERTYPE_IPV4:
        return this.#ip.four(link, network);
      case ETHERTYPE_IPV6:
        return this.#ip.six(link, network);
      case ETHERTYPE_ARP:
        return this.#arp(link, network);
      default:
        return this.#other(link, network);
    }
  }

  /** The batch is over: sends what goes on to others. */
  flush(nowMs: number): void {
    this.#parts.replicator.flush(nowMs);
  }

  /** A frame that is neither ARP nor IP. */
  #other(link: DataLink, network: Network): void {
    const { frame, end } = this.#arrival;
    if (end - frame - ETHERNET_HEADER_BYTES > link.innerMtu) {
      return this.#arrival.drop(link, TOO_BIG);
    }
    this.#plain(link, network, end - frame);
  }

  #arp(link: DataLink, network: Network): void {
    const { view } = this.#arena;
    const arrival = this.#arrival;
    const arp = arrival.l3;
    if (arrival.end - arp < ARP_BYTES) return arrival.drop(link, RUNT);
    if (checkArp(view, arp, ARP_BYTES) !== Fault.None) return arrival.drop(link, MALFORMED);
    const named = arp + ARP_SENDER_MAC_OFFSET;
    if (!this.#judge.isSource(named)) return arrival.drop(link, FOREIGN_MAC);
    if (!this.#parts.claims.isFree(network, named, arp + ARP_SENDER_ADDRESS_OFFSET, 4)) {
      return arrival.drop(link, FOREIGN_SOURCE);
    }
    this.#plain(link, network, ETHERNET_HEADER_BYTES + ARP_BYTES);
  }

  /** Hands `byteCount` bytes that are for us to the device as they are: nothing is joined to them. */
  #plain(link: DataLink, network: Network, byteCount: number): void {
    const arrival = this.#arrival;
    const fault = this.#destination.judge(link, network, false);
    if (fault !== PASS) return arrival.drop(link, fault);
    arrival.cell = NO_CELL;
    this.#parts.coalescer.pushPlain(link, arrival.frame, byteCount);
  }
}
