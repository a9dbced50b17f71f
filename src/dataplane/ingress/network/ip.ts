/**
 * IP into a port of a layer-2 network: honest headers, a source that nobody else is known to have, services
 * only from those that may be such, a destination that is here, what the network's rules let pass.
 * @module
 */
import { ingressIndex } from '../../../table/counters.ts';
import { isGroupDestination } from '../../../wire/ethernet.ts';
import { getIpv4Tos, IPV4_HEADER_BYTES, PROTOCOL_TCP } from '../../../wire/ipv4.ts';
import { getIpv6TrafficClass, IPV6_HEADER_BYTES, NEXT_FRAGMENT } from '../../../wire/ipv6.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import { type Arrival, NO_CELL } from '../../packet/arrival.ts';
import type { Policy } from '../../policy/policy.ts';
import type { Coalescer } from '../deliver/coalesce.ts';
import { combineClass, combineTos, countMark } from '../deliver/combine.ts';
import type { DeviceWriter } from '../deliver/device-writer.ts';
import type { VniDestination } from './destination.ts';
import { PASS, type VniJudge } from './vni-judge.ts';

const RUNT = ingressIndex('drop.runt');
const MALFORMED = ingressIndex('drop.malformed');
const TOO_BIG = ingressIndex('drop.too_big');
const POLICY = ingressIndex('drop.policy');

/** What the IP packets of layer-2 networks go to. */
export type VniIpIngressParts = {
  arena: Arena;
  arrival: Arrival;
  judge: VniJudge;
  destination: VniDestination;
  policy: Policy;
  coalescer: Coalescer;
  writer: DeviceWriter;
};

export class VniIpIngress {
  readonly #parts: VniIpIngressParts;
  readonly #arena: Arena;
  readonly #arrival: Arrival;

  constructor(parts: VniIpIngressParts) {
    this.#parts = parts;
    this.#arena = parts.arena;
    this.#arrival = parts.arrival;
  }

  /** Decides about the IPv4 packet in hand. */
  four(link: DataLink, network: Network): void {
    const { view } = this.#arena;
    const arrival = this.#arrival;
    if (arrival.end - arrival.l3 < IPV4_HEADER_BYTES) return arrival.drop(link, RUNT);
    if (!arrival.takeIpv4(view)) return arrival.drop(link, MALFORMED);
    const innerTos = getIpv4Tos(view, arrival.l3);
    const mayCut = this.#mayCut(arrival.protocol) && !arrival.isFragment;
    if (!this.#passes(link, network, innerTos, mayCut)) return;
    combineTos(view, link, arrival, innerTos);
    this.#deliver(link);
  }

  /** Decides about the IPv6 packet in hand. */
  six(link: DataLink, network: Network): void {
    const { view } = this.#arena;
    const arrival = this.#arrival;
    if (arrival.end - arrival.l3 < IPV6_HEADER_BYTES) return arrival.drop(link, RUNT);
    if (!arrival.takeIpv6(view)) return arrival.drop(link, MALFORMED);
    const { headerBytes, protocol } = arrival;
    const inner = getIpv6TrafficClass(view, arrival.l3);
    const hasMore = headerBytes !== IPV6_HEADER_BYTES || protocol === NEXT_FRAGMENT;
    if (!this.#passes(link, network, inner, !hasMore && this.#mayCut(protocol))) return;
    combineClass(view, link, arrival, inner);
    this.#deliver(link);
  }

  /** Only TCP and known trains can be cut to size again. */
  #mayCut(protocol: number): boolean {
    return protocol === PROTOCOL_TCP || this.#parts.coalescer.innerSegmentBytes > 0;
  }

  /** Whether the packet in hand, its headers honest, may go on; else it has ended at a counter. */
  #passes(link: DataLink, network: Network, innerTos: number, mayCut: boolean): boolean {
    const arrival = this.#arrival;
    const { judge, destination } = this.#parts;
    let counter = judge.ip(link, network);
    if (counter === PASS && arrival.totalBytes > link.innerMtu && !mayCut) counter = TOO_BIG;
    if (counter === PASS) {
      if (!countMark(link, arrival, innerTos)) return false;
      counter = destination.judge(link, network, judge.isService);
      if (counter === PASS && !this.#isAllowed(network)) counter = POLICY;
    }
    if (counter !== PASS) arrival.drop(link, counter);
    return counter === PASS;
  }

  /** Whether the network's rules let the packet in hand pass. */
  #isAllowed(network: Network): boolean {
    const { frame, headerBytes, totalBytes, protocol, isFragment } = this.#arrival;
    const { policy } = this.#parts;
    return policy.mayPass(network, frame, headerBytes, totalBytes, protocol, isFragment);
  }

  /** Hands the packet in hand to the device; padding behind it (short Ethernet frames) is left off. */
  #deliver(link: DataLink): void {
    const arrival = this.#arrival;
    const { frame, l3, headerBytes } = arrival;
    const frameBytes = l3 + arrival.totalBytes - frame;
    if (!isGroupDestination(this.#arena.view, frame)) {
      return this.#parts.coalescer.push(link, frame, frameBytes, l3, headerBytes);
    }
    arrival.cell = NO_CELL;
    this.#parts.writer.writeAlone(link, frame, frameBytes, l3, headerBytes);
  }
}
