/**
 * IP packets of a peer of a fan: what passes the checks of its family (four.ts, six.ts) gets what the outer
 * header was marked with, and goes on to be joined with its flow.
 * @module
 */
import { ingressIndex } from '../../table/counters.ts';
import { getIpv4Destination, getIpv4Source, getIpv4Tos } from '../../wire/ipv4.ts';
import { getIpv6TrafficClass } from '../../wire/ipv6.ts';
import type { Neighbours } from '../answer/neighbours.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { type Arrival, NO_CELL } from '../packet/arrival.ts';
import type { Coalescer } from './deliver/coalesce.ts';
import { combineClass, combineTos, countMark } from './deliver/combine.ts';
import type { FourIngress } from './four.ts';
import { Fate, type SixIngress } from './six.ts';

const WRONG_VNI = ingressIndex('drop.wrong_vni');

/** What IP packets go to. */
export type IpIngressParts = {
  arena: Arena;
  arrival: Arrival;
  coalescer: Coalescer;
  neighbours: Neighbours;
  four: FourIngress;
  six: SixIngress;
};

export class IpIngress {
  readonly #view: DataView;
  readonly #arrival: Arrival;
  readonly #coalescer: Coalescer;
  readonly #neighbours: Neighbours;
  readonly #four: FourIngress;
  readonly #six: SixIngress;

  constructor({ arena, arrival, coalescer, neighbours, four, six }: IpIngressParts) {
    this.#view = arena.view;
    this.#arrival = arrival;
    this.#coalescer = coalescer;
    this.#neighbours = neighbours;
    this.#four = four;
    this.#six = six;
  }

  /** Decides about the IPv4 packet in hand, of which a fixed header is there. */
  four(link: DataLink): void {
    const view = this.#view;
    const arrival = this.#arrival;
    const mayCut = this.#coalescer.innerSegmentBytes > 0;
    const refused = this.#four.judge(link, arrival, mayCut);
    if (refused >= 0) return arrival.drop(link, refused);
    const { frame, l3 } = arrival;
    const innerTos = getIpv4Tos(view, l3);
    if (!countMark(link, arrival, innerTos)) return;
    combineTos(view, link, arrival, innerTos);
    const from = getIpv4Source(view, l3);
    const to = getIpv4Destination(view, l3);
    this.#neighbours.noteFrame(link, frame, from, to, arrival.nowMs);
    // Padding behind the packet (short Ethernet frames) is left off.
    const bytes = l3 + arrival.totalBytes - frame;
    this.#coalescer.push(link, frame, bytes, l3, arrival.headerBytes);
  }

  /** Decides about the IPv6 packet in hand. */
  six(link: DataLink): void {
    const view = this.#view;
    const arrival = this.#arrival;
    if (link.six !== undefined && link.shim.hasVni && arrival.vni !== link.vni6) {
      return arrival.drop(link, WRONG_VNI);
    }
    const mayCut = this.#coalescer.innerSegmentBytes > 0;
    const fate = this.#six.judge(link, arrival, mayCut);
    if (fate >= 0) return arrival.drop(link, fate);
    const { frame, l3 } = arrival;
    const inner = getIpv6TrafficClass(view, l3);
    if (!countMark(link, arrival, inner)) return;
    combineClass(view, link, arrival, inner);
    const bytes = l3 + arrival.totalBytes - frame;
    if (fate === Fate.Pass) {
      arrival.cell = NO_CELL;
      return this.#coalescer.pushPlain(link, frame, bytes);
    }
    this.#coalescer.push(link, frame, bytes, l3, arrival.headerBytes);
  }
}
