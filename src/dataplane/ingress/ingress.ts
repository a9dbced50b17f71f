/**
 * Underlay → overlay. What a datagram meets, in this order:
 *
 *   1. received in a batch, perhaps as a train    receive.ts
 *   2. the train taken apart; what continues a
 *      checked one goes by the short way          message, datagrams.ts
 *   3. tunnel header exactly right, which link,
 *      outer source inside the underlay?          unwrap.ts, whose.ts
 *   4. inner header checks, cheapest first;
 *      inner source inside the outer source's
 *      slice, inner destination inside ours       admit.ts, four.ts, six.ts, or network/
 *   5. ECN and DSCP combined (RFC 6040, RFC 2983) deliver/combine.ts
 *   6. coalesced with its flow                    deliver/coalesce.ts
 *   7. written to the device                      deliver/device-writer.ts
 *
 * Nothing here ever sends to the underlay: what was decapsulated goes to the device or is dropped,
 * and a stranger hears nothing. The exceptions are a layer-2 network's service node
 * (network/replicator.ts) and the answer to a peer's question whether it is heard (path-probes.ts).
 * @module
 */
import { eventIndex } from '../../table/counters.ts';
import { fillsIpv4, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import { NeighbourDiscovery } from '../answer/nd.ts';
import { Neighbours } from '../answer/neighbours.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import type { KeepAliveNews } from '../learn/keep-alives.ts';
import type { TrainTests } from '../learn/train-tests.ts';
import { Arrival } from '../packet/arrival.ts';
import { Datagrams } from './datagrams.ts';
import type { Coalescer } from './deliver/coalesce.ts';
import { FourIngress } from './four.ts';
import type { VniIngress } from './network/vni.ts';
import { PathProbes } from './path-probes.ts';
import { SixIngress } from './six.ts';

const TRAINS_RECEIVED = eventIndex('trains_received');

export class Ingress {
  readonly #arena: Arena;
  readonly #coalescer: Coalescer;
  readonly #datagrams: Datagrams;
  /** The datagram in hand; layer-2 networks look at it too. */
  readonly arrival = new Arrival();

  constructor(
    arena: Arena,
    coalescer: Coalescer,
    allLinks: readonly DataLink[],
    neighbours: Neighbours = new Neighbours(arena),
    discovery: NeighbourDiscovery = new NeighbourDiscovery(arena),
  ) {
    const { arrival } = this;
    const four = new FourIngress(arena, allLinks);
    const six = new SixIngress(arena, discovery, allLinks);
    const probes = new PathProbes(arena);
    const parts = { arena, arrival, coalescer, neighbours, four, six, probes };
    this.#arena = arena;
    this.#coalescer = coalescer;
    this.#datagrams = new Datagrams(parts);
  }

  /** Serves links that are layer-2 networks too, and takes what members send to test and to keep a way. */
  serveNetworks(networks: VniIngress, tests: TrainTests, keepAlives: KeepAliveNews): void {
    this.#datagrams.networks = networks;
    this.#datagrams.unwrap.keepAlives = keepAlives;
    this.#datagrams.probes.trainTests = tests;
  }

  /** Drops what it is given: it waited too long (stale.ts). */
  get sheds(): boolean {
    return this.#datagrams.unwrap.sheds;
  }

  set sheds(sheds: boolean) {
    this.#datagrams.unwrap.sheds = sheds;
  }

  /**
   * A batch begins.
   * @param versionInside of raw sockets: what the outer protocol says that is inside, 4 or 6; 0 = nothing
   */
  begin(nowMs: number, versionInside: number): void {
    this.arrival.nowMs = nowMs;
    this.arrival.versionInside = versionInside;
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
    this.arrival.source = source;
    if (segmentBytes <= 0 || segmentBytes >= length) {
      return this.#datagrams.take(endpoint, first, offset, length, tos);
    }
    const headBytes = first.shimBytes + first.innerHeaderBytes;
    if (fillsIpv4(this.#arena.view, offset + headBytes, length - headBytes, PROTOCOL_UDP)) {
      // One datagram with a train inside: a kernel endpoint on this machine puts the super-packets
      // of its guests on the wire uncut, and the size that the socket tells is their segments'.
      this.#coalescer.innerSegmentBytes = segmentBytes;
      this.#datagrams.take(endpoint, first, offset, length, tos);
      this.#coalescer.innerSegmentBytes = 0;
      return;
    }
    first.counters[TRAINS_RECEIVED] = (first.counters[TRAINS_RECEIVED] as number) + 1;
    const end = offset + length;
    let at = offset;
    while (at < end) {
      const bytes = at + segmentBytes < end ? segmentBytes : end - at;
      this.#datagrams.take(endpoint, first, at, bytes, tos);
      at += bytes;
      const more = Math.floor((end - at) / segmentBytes);
      if (more > 0)
        at += this.#datagrams.joinRun(at, segmentBytes, segmentBytes, more) * segmentBytes;
    }
  }

  /** A message of which only `length` bytes found room, or whose ancillary data did not: it is dropped. */
  truncated(endpoint: DataEndpoint, length: number, source: number): void {
    const first = endpoint.links[0];
    if (first !== undefined) this.#datagrams.truncated(endpoint, first, length, source);
  }

  /**
   * Takes more like the datagram of the last {@link message}, as far as they continue its flow: up
   * to `count` of its `length`, source and TOS, whole, `stride` bytes apart. Returns how many.
   */
  more(endpoint: DataEndpoint, at: number, length: number, stride: number, count: number): number {
    // Some have an outer header each, which nobody has looked at yet.
    return endpoint.showsOuterHeader ? 0 : this.#datagrams.joinRun(at, length, stride, count);
  }

  /** Hands everything that waits to the devices: the batch is over. */
  flush(): void {
    // First: what the device gets may be written over.
    this.#datagrams.networks?.flush(this.arrival.nowMs);
    this.#coalescer.flush();
  }
}
