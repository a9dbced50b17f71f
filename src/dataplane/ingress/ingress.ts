/**
 * Underlay → overlay. What a datagram meets, in this order:
 *
 *   1. received in a batch, perhaps as a train    receive.ts
 *   2. outer source inside the underlay?          datagram
 *   3. tunnel header exactly right, which link?   (VNI, longest overlay prefix)
 *   4. inner header checks, cheapest first        four.ts, six.ts
 *   5. inner source inside the outer source's slice, inner destination inside ours
 *   6. ECN and DSCP combined (RFC 6040, RFC 2983)
 *   7. coalesced with its flow, written to the device   coalesce.ts
 *
 * Nothing here ever sends to the underlay: what was decapsulated goes to the device or is dropped,
 * and a stranger hears nothing. The exceptions are a layer-2 network's service node (replicator.ts) and
 * the answer to a peer's question whether it is heard (path-probes.ts).
 * @module
 */
import { ECN_BASE, eventIndex, ingressIndex } from '../../table/counters.ts';
import { ARP_BYTES } from '../../wire/arp.ts';
import { Fault } from '../../wire/classify.ts';
import { decapsulateTos, ecnCell, isEcnDrop } from '../../wire/ecn.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
  isGroupSource,
} from '../../wire/ethernet.ts';
import {
  fillsIpv4,
  getIpVersion,
  getIpv4Destination,
  getIpv4HeaderBytes,
  getIpv4Source,
  getIpv4Tos,
  getIpv4TotalBytes,
  IPV4_HEADER_BYTES,
  PROTOCOL_UDP,
  replaceIpv4Tos,
} from '../../wire/ipv4.ts';
import { getIpv6TrafficClass, replaceIpv6TrafficClass } from '../../wire/ipv6.ts';
import { ETHERTYPE_PATH_PROBE, isProbeFrame } from '../../wire/lan/path-probe.ts';
import { NeighbourDiscovery } from '../answer/nd.ts';
import { Neighbours } from '../answer/neighbours.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import type { KeepAliveNews } from '../learn/keep-alives.ts';
import type { TrainTests } from '../learn/train-tests.ts';
import { judgeArp } from './arp.ts';
import type { Coalescer } from './coalesce.ts';
import { FourIngress } from './four.ts';
import { PathProbes } from './path-probes.ts';
import { Fate, SixIngress } from './six.ts';
import type { VniIngress } from './vni.ts';
import { blamed, linkByDestination, linkByVni, outsider, senderName } from './whose.ts';

const RECEIVED = ingressIndex('received');
const RECEIVED_BYTES = ingressIndex('receivedBytes');
const TRUNCATED = ingressIndex('drop.truncated');
const BAD_HEADER = ingressIndex('drop.bad_header');
const WRONG_VNI = ingressIndex('drop.wrong_vni');
const RUNT = ingressIndex('drop.runt');
const UNKNOWN_ETHERTYPE = ingressIndex('drop.unknown_ethertype');
const IPV6 = ingressIndex('drop.ipv6');
const BAD_MAC = ingressIndex('drop.bad_mac');
const ECN_NOT_CAPABLE = ingressIndex('drop.ecn_not_capable');
const STALE = ingressIndex('drop.stale');
const TRAINS_RECEIVED = eventIndex('trains_received');

export class Ingress {
  readonly #arena: Arena;
  readonly #coalescer: Coalescer;
  readonly #neighbours: Neighbours;
  readonly #four: FourIngress;
  readonly #six: SixIngress;
  readonly #probes: PathProbes;
  /** Link of the datagram just pushed, where an equal one may follow by the short way. */
  #joinable: DataLink | undefined;
  #ecnCell = 0;
  /** The network of the datagram in hand, what it came by, and its source's name as it came. */
  #vni = 0;
  #endpoint: DataEndpoint | undefined;
  #source = 0;
  /** For links that are layer-2 networks. */
  networks: VniIngress | undefined;
  trainTests: TrainTests | undefined;
  keepAlives: KeepAliveNews | undefined;
  /** Time of the batch in hand, ms on the loop's clock. */
  nowMs = 0;
  /** Of raw sockets: what the outer protocol says that is inside, 4 or 6; 0 = it says nothing. */
  versionInside = 0;
  /** Drops what it is given: it waited too long (stale.ts). */
  sheds = false;

  constructor(
    arena: Arena,
    coalescer: Coalescer,
    allLinks: readonly DataLink[],
    neighbours: Neighbours = new Neighbours(arena),
    discovery: NeighbourDiscovery = new NeighbourDiscovery(arena),
  ) {
    this.#arena = arena;
    this.#coalescer = coalescer;
    this.#neighbours = neighbours;
    this.#probes = new PathProbes(arena);
    this.#four = new FourIngress(arena, allLinks);
    this.#six = new SixIngress(arena, discovery, allLinks);
  }

  /**
   * One received message: `length` bytes at `offset` from the socket address at `source`, a train of `segmentBytes`
   * pieces when that is not zero. {@link flush} delivers what still waits to be joined.
   * One that was cut off has {@link truncated} to itself.
   */
  message(
    endpoint: DataEndpoint,
    offset: number,
    length: number,
    source: number,
    tos: number,
    segmentBytes: number,
  ): void {
    const first = endpoint.links[0];
    if (first === undefined) return;
    this.#joinable = undefined;
    if (segmentBytes <= 0 || segmentBytes >= length) {
      this.#datagram(endpoint, first, offset, length, source, tos);
      return;
    }
    const headBytes = first.shimBytes + first.innerHeaderBytes;
    if (fillsIpv4(this.#arena.view, offset + headBytes, length - headBytes, PROTOCOL_UDP)) {
      // One datagram with a train inside: a kernel endpoint on this machine puts the super-packets
      // of its guests on the wire uncut, and the size that the socket tells is their segments'.
      this.#coalescer.innerSegmentBytes = segmentBytes;
      this.#datagram(endpoint, first, offset, length, source, tos);
      this.#coalescer.innerSegmentBytes = 0;
      return;
    }
    first.counters[TRAINS_RECEIVED] = (first.counters[TRAINS_RECEIVED] as number) + 1;
    const end = offset + length;
    let at = offset;
    while (at < end) {
      const bytes = at + segmentBytes < end ? segmentBytes : end - at;
      this.#joinable = undefined;
      this.#datagram(endpoint, first, at, bytes, source, tos);
      at += bytes;
      const more = Math.floor((end - at) / segmentBytes);
      if (more > 0) at += this.#joinRun(at, segmentBytes, segmentBytes, more) * segmentBytes;
    }
  }

  /** A message of which only `length` bytes found room, or whose ancillary data did not: it is dropped. */
  truncated(endpoint: DataEndpoint, length: number, source: number): void {
    const first = endpoint.links[0];
    this.#joinable = undefined;
    if (first === undefined) return;
    this.#received(first, length);
    this.#drop(first, blamed(first, endpoint, this.#arena.view, source, TRUNCATED));
  }

  /**
   * Takes more like the datagram of the last {@link message}, as far as they continue its flow: up
   * to `count` of its `length`, source and TOS, whole, `stride` bytes apart. Returns how many.
   */
  more(endpoint: DataEndpoint, at: number, length: number, stride: number, count: number): number {
    // Some have an outer header each, which nobody has looked at yet.
    return endpoint.showsOuterHeader ? 0 : this.#joinRun(at, length, stride, count);
  }

  /** What follows a checked segment with the same headers has passed the same checks. */
  #joinRun(at: number, segmentBytes: number, stride: number, more: number): number {
    const link = this.#joinable;
    if (link === undefined) return 0;
    const joined = this.#coalescer.joinRun(at, segmentBytes, stride, more);
    const { counters } = link;
    const cell = ECN_BASE + this.#ecnCell;
    counters[RECEIVED] = (counters[RECEIVED] as number) + joined;
    counters[RECEIVED_BYTES] = (counters[RECEIVED_BYTES] as number) + joined * segmentBytes;
    counters[cell] = (counters[cell] as number) + joined;
    return joined;
  }

  /** Hands everything that waits to the devices: the batch is over. */
  flush(): void {
    // First: what the device gets may be written over.
    this.networks?.flush(this.nowMs);
    this.#coalescer.flush();
  }

  #drop(link: DataLink, counter: number): void {
    link.counters[counter] = (link.counters[counter] as number) + 1;
  }

  #received(link: DataLink, length: number): void {
    link.counters[RECEIVED] = (link.counters[RECEIVED] as number) + 1;
    link.counters[RECEIVED_BYTES] = (link.counters[RECEIVED_BYTES] as number) + length;
  }

  /**
   * One datagram as it was on the wire. What cannot be told to belong to a link is counted on the
   * endpoint's first link.
   */
  #datagram(
    endpoint: DataEndpoint,
    first: DataLink,
    offset: number,
    length: number,
    source: number,
    tos: number,
  ): void {
    const { view } = this.#arena;
    let at = offset;
    let end = offset + length;
    let outerTos = tos;
    if (endpoint.showsOuterHeader) {
      // A raw socket of IPv4 shows the outer header, which the kernel has validated; options are refused.
      if (length < IPV4_HEADER_BYTES || getIpv4HeaderBytes(view, at) !== IPV4_HEADER_BYTES) {
        this.#received(first, length);
        return this.#drop(first, BAD_HEADER);
      }
      outerTos = getIpv4Tos(view, at);
      end = Math.min(end, at + getIpv4TotalBytes(view, at));
      at += IPV4_HEADER_BYTES;
    }
    let link = first;
    const fault = first.shim.checkShim(view, at, end - at);
    if (fault !== Fault.None) {
      const counter = fault === Fault.Truncated ? RUNT : BAD_HEADER;
      this.#received(first, length);
      // A stranger's rubbish counts as a stranger's first of all.
      return this.#drop(first, blamed(first, endpoint, view, source, counter));
    }
    const vni = first.shim.vniOf(view, at);
    this.#vni = vni;
    at += first.shimBytes;
    if (first.shim.hasVni) {
      const found = linkByVni(endpoint, vni, view, at, end);
      if (found === undefined) {
        this.#received(first, length);
        return this.#drop(first, blamed(first, endpoint, view, source, WRONG_VNI));
      }
      link = found;
    } else if (endpoint.links.length > 1) {
      link = linkByDestination(endpoint, view, at, end) ?? first;
    }
    const mayBeAlive = link.ways?.hasNat === true;
    if (mayBeAlive && this.keepAlives?.take(link, view, at, end - at, source, this.nowMs)) return;
    this.#received(link, length);
    const name = senderName(link, endpoint, view, source);
    const refused = outsider(link, view, name, this.sheds ? STALE : -1);
    if (refused >= 0) return this.#drop(link, refused);
    this.#endpoint = endpoint;
    this.#source = source;
    this.#inner(link, at, end - at, name, outerTos);
  }

  /** The inner frame (bridged) or packet (routed) of a peer: `length` bytes at `frame`. */
  #inner(link: DataLink, frame: number, length: number, source: number, outerTos: number): void {
    const { view } = this.#arena;
    const l3 = frame + link.innerHeaderBytes;
    const available = length - link.innerHeaderBytes;
    if (link.network !== undefined && this.networks !== undefined) {
      this.#ecnCell = this.networks.frame(link, frame, length, outerTos, this.nowMs);
      this.#joinable = this.#ecnCell < 0 ? undefined : link;
      return;
    }
    if (link.innerHeaderBytes !== 0) {
      if (length < ETHERNET_HEADER_BYTES) return this.#drop(link, RUNT);
      if (isGroupSource(view, frame) || link.claimsLocalMac(view, frame, this.nowMs)) {
        return this.#drop(link, BAD_MAC);
      }
      const etherType = getEtherType(view, frame);
      if (etherType !== ETHERTYPE_IPV4) {
        if (etherType === ETHERTYPE_IPV6) {
          return this.#inner6(link, frame, l3, available, source, outerTos);
        }
        if (link.shim.hasVni && this.#vni !== link.vni) return this.#drop(link, WRONG_VNI);
        if (etherType === ETHERTYPE_ARP) return this.#arp(link, frame, available, source);
        if (etherType === ETHERTYPE_PATH_PROBE) return this.#probe(link, frame, length);
        return this.#drop(link, UNKNOWN_ETHERTYPE);
      }
    }
    if (available < IPV4_HEADER_BYTES) return this.#drop(link, RUNT);
    if (getIpVersion(view, l3) === 6) {
      // What says that it is IPv4 must not carry it.
      if (link.innerHeaderBytes !== 0 || this.versionInside === 4) return this.#drop(link, IPV6);
      return this.#inner6(link, frame, l3, available, source, outerTos);
    }
    if (link.innerHeaderBytes === 0 && isProbeFrame(view, frame, length)) {
      return this.#probe(link, frame, length);
    }
    if (this.versionInside === 6) return this.#drop(link, BAD_HEADER);
    if (link.shim.hasVni && this.#vni !== link.vni) return this.#drop(link, WRONG_VNI);
    const mayCut = this.#coalescer.innerSegmentBytes > 0;
    const refused = this.#four.judge(link, frame, available, source, mayCut);
    if (refused >= 0) return this.#drop(link, refused);
    const destination = getIpv4Destination(view, l3);
    const headerBytes = getIpv4HeaderBytes(view, l3);
    const totalBytes = getIpv4TotalBytes(view, l3);
    const innerTos = getIpv4Tos(view, l3);
    const cell = ecnCell(innerTos, outerTos);
    link.counters[ECN_BASE + cell] = (link.counters[ECN_BASE + cell] as number) + 1;
    if (isEcnDrop(cell)) return this.#drop(link, ECN_NOT_CAPABLE);
    const tos = decapsulateTos(link.dscpMode, innerTos, outerTos);
    if (tos !== innerTos) replaceIpv4Tos(view, l3, tos);
    this.#neighbours.noteFrame(link, frame, getIpv4Source(view, l3), destination, this.nowMs);
    // Padding behind the packet (short Ethernet frames) is left off.
    this.#coalescer.push(link, frame, l3 + totalBytes - frame, l3, headerBytes);
    // With the TOS rewritten, the next header as it arrived will not equal this one.
    if (tos === innerTos) {
      this.#joinable = link;
      this.#ecnCell = cell;
    }
  }

  /** The same for the IPv6 packet at `l3`. */
  #inner6(
    link: DataLink,
    frame: number,
    l3: number,
    available: number,
    source: number,
    outerTos: number,
  ): void {
    const { view } = this.#arena;
    const six = this.#six;
    if (link.six !== undefined && link.shim.hasVni && this.#vni !== link.vni6) {
      return this.#drop(link, WRONG_VNI);
    }
    const mayCut = this.#coalescer.innerSegmentBytes > 0;
    const fate = six.judge(link, frame, available, source, mayCut, this.nowMs);
    if (fate >= 0) return this.#drop(link, fate);
    const end = l3 + six.totalBytes;
    const innerTos = getIpv6TrafficClass(view, l3);
    const cell = ecnCell(innerTos, outerTos);
    link.counters[ECN_BASE + cell] = (link.counters[ECN_BASE + cell] as number) + 1;
    if (isEcnDrop(cell)) return this.#drop(link, ECN_NOT_CAPABLE);
    const tos = decapsulateTos(link.dscpMode, innerTos, outerTos);
    if (tos !== innerTos) replaceIpv6TrafficClass(view, l3, tos);
    if (fate === Fate.Pass) return this.#coalescer.pushPlain(link, frame, end - frame);
    this.#coalescer.push(link, frame, end - frame, l3, six.headerBytes);
    if (tos === innerTos) {
      this.#joinable = link;
      this.#ecnCell = cell;
    }
  }

  #probe(link: DataLink, frame: number, length: number): void {
    const { view } = this.#arena;
    const endpoint = this.#endpoint ?? link.endpoint;
    if (
      !endpoint.isRaw &&
      this.trainTests?.take(link, view, frame, length, this.#source, this.nowMs)
    ) {
      return;
    }
    this.#probes.take(link, endpoint, frame, length, this.#source, this.nowMs);
  }

  #arp(link: DataLink, frame: number, available: number, source: number): void {
    const arp = frame + ETHERNET_HEADER_BYTES;
    const counter = judgeArp(link, this.#arena.view, arp, available, source);
    if (counter >= 0) return this.#drop(link, counter);
    this.#neighbours.noteTalker(link, arp, this.nowMs);
    this.#coalescer.pushPlain(link, frame, ETHERNET_HEADER_BYTES + ARP_BYTES);
  }
}
