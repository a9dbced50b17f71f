/**
 * A datagram as it was on the wire loses its outer header and its shim, and it turns out whose it is: the
 * link that it belongs to, and whether a peer of that link has sent it. What cannot be told to belong to a
 * link is counted on the endpoint's first link.
 * @module
 */
import { ingressIndex } from '../../table/counters.ts';
import { Fault } from '../../wire/classify.ts';
import {
  getIpv4HeaderBytes,
  getIpv4Tos,
  getIpv4TotalBytes,
  IPV4_HEADER_BYTES,
} from '../../wire/ipv4.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import type { KeepAliveNews } from '../learn/keep-alives.ts';
import type { Arrival } from '../packet/arrival.ts';
import { blamed, linkByDestination, linkByVni, outsider, senderName } from './whose.ts';

const RECEIVED = ingressIndex('received');
const RECEIVED_BYTES = ingressIndex('receivedBytes');
const TRUNCATED = ingressIndex('drop.truncated');
const BAD_HEADER = ingressIndex('drop.bad_header');
const WRONG_VNI = ingressIndex('drop.wrong_vni');
const RUNT = ingressIndex('drop.runt');
const STALE = ingressIndex('drop.stale');

/** Counts a datagram of `length` bytes as received. */
function countReceived({ counters }: DataLink, length: number): void {
  counters[RECEIVED] = (counters[RECEIVED] as number) + 1;
  counters[RECEIVED_BYTES] = (counters[RECEIVED_BYTES] as number) + length;
}

export class Unwrap {
  readonly #view: DataView;
  readonly #arrival: Arrival;
  /** Drops what it is given: it waited too long (stale.ts). */
  sheds = false;
  keepAlives: KeepAliveNews | undefined;

  constructor(arena: Arena, arrival: Arrival) {
    this.#view = arena.view;
    this.#arrival = arrival;
  }

  /**
   * Takes the `length` bytes at `offset` in hand, received by `endpoint`, whose first link is `first`;
   * source and TOS of the arrival are set. Returns the link of the inner frame, undefined when the datagram
   * has ended at a counter.
   */
  datagram(
    endpoint: DataEndpoint,
    first: DataLink,
    offset: number,
    length: number,
  ): DataLink | undefined {
    const view = this.#view;
    const arrival = this.#arrival;
    let at = offset;
    let end = offset + length;
    if (endpoint.showsOuterHeader) {
      end = this.#takeOuter(first, offset, length);
      if (end === 0) return undefined;
      at += IPV4_HEADER_BYTES;
    }
    const { shim } = first;
    const fault = shim.checkShim(view, at, end - at);
    if (fault !== Fault.None) {
      const counter = fault === Fault.Truncated ? RUNT : BAD_HEADER;
      // A stranger's rubbish counts as a stranger's first of all.
      return this.#refuse(endpoint, first, length, counter);
    }
    const vni = shim.vniOf(view, at);
    const frame = at + first.shimBytes;
    let link = first;
    if (shim.hasVni) {
      const found = linkByVni(endpoint, vni, view, frame, end);
      if (found === undefined) return this.#refuse(endpoint, first, length, WRONG_VNI);
      link = found;
    } else if (endpoint.links.length > 1) {
      link = linkByDestination(endpoint, view, frame, end) ?? first;
    }
    const mayBeAlive = link.ways?.hasNat === true;
    if (mayBeAlive && this.#isKeepAlive(link, frame, end)) return undefined;
    countReceived(link, length);
    const name = senderName(link, endpoint, view, arrival.source);
    const refused = outsider(link, view, name, this.sheds ? STALE : -1);
    if (refused >= 0) {
      arrival.drop(link, refused);
      return undefined;
    }
    arrival.vni = vni;
    arrival.frame = frame;
    arrival.end = end;
    arrival.endpoint = endpoint;
    arrival.name = name;
    arrival.l3 = frame + link.innerHeaderBytes;
    return link;
  }

  /** A message of which only `length` bytes found room, or whose ancillary data did not: it is dropped. */
  truncated(endpoint: DataEndpoint, first: DataLink, length: number, source: number): void {
    this.#arrival.source = source;
    this.#refuse(endpoint, first, length, TRUNCATED);
  }

  /** Whether the frame is a word of a host behind a NAT that keeps its way open: that is taken. */
  #isKeepAlive(link: DataLink, frame: number, end: number): boolean {
    const { source, nowMs } = this.#arrival;
    return this.keepAlives?.take(link, this.#view, frame, end - frame, source, nowMs) === true;
  }

  /** Drops one that is wrong whoever sent it. */
  #refuse(endpoint: DataEndpoint, first: DataLink, length: number, counter: number): undefined {
    const arrival = this.#arrival;
    countReceived(first, length);
    arrival.drop(first, blamed(first, endpoint, this.#view, arrival.source, counter));
    return undefined;
  }

  /**
   * A raw socket of IPv4 shows the outer header, which the kernel has validated; options are refused.
   * Returns where the packet ends, 0 when it has ended at a counter.
   */
  #takeOuter(first: DataLink, at: number, length: number): number {
    const view = this.#view;
    const arrival = this.#arrival;
    if (length < IPV4_HEADER_BYTES || getIpv4HeaderBytes(view, at) !== IPV4_HEADER_BYTES) {
      countReceived(first, length);
      arrival.drop(first, BAD_HEADER);
      return 0;
    }
    arrival.outerTos = getIpv4Tos(view, at);
    return at + Math.min(length, getIpv4TotalBytes(view, at));
  }
}
