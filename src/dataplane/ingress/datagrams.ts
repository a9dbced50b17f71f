/**
 * The walk of one datagram: unwrapped, admitted by the rules of its link, handed on. Those of a train that
 * continue its flow exactly have been checked with it, and take a short way.
 * @module
 */
import { ECN_BASE, ingressIndex } from '../../table/counters.ts';
import { isLinkProbe } from '../../wire/lan/path-probe.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import { type Arrival, NO_CELL } from '../packet/arrival.ts';
import { Admit, type AdmitParts } from './admit.ts';
import type { Coalescer } from './deliver/coalesce.ts';
import type { VniIngress } from './network/vni.ts';
import type { PathProbes } from './path-probes.ts';
import { Unwrap } from './unwrap.ts';

const RECEIVED = ingressIndex('received');
const RECEIVED_BYTES = ingressIndex('receivedBytes');

export class Datagrams {
  readonly #view: DataView;
  readonly #arrival: Arrival;
  readonly #coalescer: Coalescer;
  readonly #admit: Admit;
  readonly unwrap: Unwrap;
  readonly probes: PathProbes;
  /** For links that are layer-2 networks. */
  networks: VniIngress | undefined;
  /** Link of the datagram just pushed, where an equal one may follow by the short way. */
  #joinable: DataLink | undefined;

  constructor(parts: AdmitParts) {
    this.#view = parts.arena.view;
    this.#arrival = parts.arrival;
    this.#coalescer = parts.coalescer;
    this.#admit = new Admit(parts);
    this.unwrap = new Unwrap(parts.arena, parts.arrival);
    this.probes = parts.probes;
  }

  /** One datagram as it was on the wire: it goes to a device, or ends at a counter. */
  take(endpoint: DataEndpoint, first: DataLink, offset: number, length: number, tos: number): void {
    const arrival = this.#arrival;
    arrival.outerTos = tos;
    arrival.cell = NO_CELL;
    const link = this.unwrap.datagram(endpoint, first, offset, length);
    if (link !== undefined) {
      if (link.network !== undefined && this.networks !== undefined) {
        const { frame, end } = arrival;
        if (isLinkProbe(this.#view, frame, end - frame)) this.probes.take(link, arrival);
        else this.networks.frame(link, link.network);
      } else this.#admit.frame(link);
    }
    this.#joinable = arrival.cell === NO_CELL ? undefined : link;
  }

  /**
   * Takes more like the datagram just taken, as far as they continue its flow: up to `more` of `segmentBytes`,
   * `stride` bytes apart. Returns how many. What follows a checked segment with the same headers has passed
   * the same checks.
   */
  joinRun(at: number, segmentBytes: number, stride: number, more: number): number {
    const link = this.#joinable;
    if (link === undefined) return 0;
    const joined = this.#coalescer.joinRun(at, segmentBytes, stride, more);
    const { counters } = link;
    const cell = ECN_BASE + this.#arrival.cell;
    counters[RECEIVED] = (counters[RECEIVED] as number) + joined;
    counters[RECEIVED_BYTES] = (counters[RECEIVED_BYTES] as number) + joined * segmentBytes;
    counters[cell] = (counters[cell] as number) + joined;
    return joined;
  }

  /** One that was cut off when it was received: it is dropped, and none follows it by the short way. */
  truncated(endpoint: DataEndpoint, first: DataLink, length: number, source: number): void {
    this.#joinable = undefined;
    this.unwrap.truncated(endpoint, first, length, source);
  }
}
