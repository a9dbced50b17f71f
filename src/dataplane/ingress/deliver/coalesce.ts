/**
 * Coalescing: consecutive segments of one inner flow become one super-packet that a single write
 * hands to the device (TCP: GSO_TCPV4; UDP datagrams of one size: GSO_UDP_L4). It is what the
 * kernel's GRO does for a NIC, with the same rules: all headers equal but for what counts up, each
 * checksum verified before. The headers of the first segment are edited in place, payloads stay in
 * the receive buffer, and the write gathers them.
 *
 * Order within a flow is kept: a flow has one slot, and whatever cannot join what is open there
 * pushes it out first.
 * @module
 */
import { ingressIndex } from '../../../table/counters.ts';
import { flowHash } from '../../../wire/flow-hash.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import { Checksum, verifyTransport } from '../../ground/transport-sum.ts';
import { InnerPacket } from '../../packet/inner-packet.ts';
import { continuesFlow, mayJoin } from './continues.ts';
import type { DeviceWriter } from './device-writer.ts';
import { Giants } from './giants.ts';
import { FLOW_SLOTS, OpenFlows } from './open-flows.ts';
import { Runs } from './runs.ts';
import { SuperPackets } from './super-packets.ts';

const BAD_CHECKSUM = ingressIndex('drop.bad_checksum');

export class Coalescer {
  readonly #arena: Arena;
  readonly #writer: DeviceWriter;
  readonly #giants: Giants;
  readonly #flows: OpenFlows;
  readonly #runs: Runs;
  readonly #superPackets: SuperPackets;
  readonly #packet = new InnerPacket();
  /** Payload of each datagram when what is pushed is a train of inner UDP datagrams, 0 otherwise. */
  innerSegmentBytes = 0;
  /** Where the last pushed packet waits as a full segment, so that more may join; −1 if nowhere. */
  #lastSlot = -1;

  constructor(arena: Arena, writer: DeviceWriter) {
    const flows = new OpenFlows(arena);
    this.#arena = arena;
    this.#writer = writer;
    this.#giants = new Giants(arena, writer);
    this.#flows = flows;
    this.#runs = new Runs(arena, flows);
    this.#superPackets = new SuperPackets(arena, writer, flows);
  }

  /**
   * Takes one verified inner frame of `frameBytes` bytes at `frame` with IP header at `l3`; it
   * reaches the device now or at the next {@link flush}.
   * `borrowed:` the bytes must stay untouched until then.
   */
  push(link: DataLink, frame: number, frameBytes: number, l3: number, headerBytes: number): void {
    const { view } = this.#arena;
    const flows = this.#flows;
    const packet = this.#packet;
    this.#lastSlot = -1;
    packet.find(view, frame, frameBytes, l3, headerBytes);
    if (packet.isPiece) {
      // Fragments, and what stands behind extension headers, show no ports to find their flow by:
      // nothing may overtake them.
      this.flush();
      return this.#writer.writePlain(link, frame, frameBytes);
    }
    const slot = flowHash(view, l3) & (FLOW_SLOTS - 1);
    if (!packet.isTcp && !packet.isUdp) {
      // A cut-off TCP header still belongs to a flow that it must not overtake.
      if (flows.link[slot] !== undefined) this.#superPackets.write(slot);
      return this.#writer.writePlain(link, frame, frameBytes);
    }
    packet.findPayload(view);
    packet.state = verifyTransport(this.#arena, l3, packet.l4, packet.end, packet.protocol);
    if (packet.state === Checksum.Wrong) {
      link.counters[BAD_CHECKSUM] = (link.counters[BAD_CHECKSUM] as number) + 1;
      return;
    }
    const { innerSegmentBytes } = this;
    const isTrain = innerSegmentBytes > 0 && packet.payloadBytes > innerSegmentBytes;
    const isGiant = isTrain || packet.end - l3 > link.innerMtu;
    if (isGiant || !mayJoin(view, link, packet)) {
      if (flows.link[slot] !== undefined) this.#superPackets.write(slot);
      if (isGiant) return this.#giants.write(link, packet, innerSegmentBytes);
      // SYN, FIN, pure ACK, UDP that must stay as it is.
      return this.#writer.writeTransport(link, packet);
    }
    if (flows.link[slot] !== undefined) {
      if (continuesFlow(view, flows, slot, link, packet)) return this.#join(slot, packet);
      this.#superPackets.write(slot);
    }
    flows.open(slot, link, packet);
    this.#lastSlot = slot;
  }

  #join(slot: number, packet: InnerPacket): void {
    if (this.#flows.join(slot, packet)) this.#lastSlot = slot;
    else this.#superPackets.write(slot);
  }

  /**
   * Joins, all in one go, up to `countMax` datagrams of `datagramBytes` (shim included), the first
   * at `at` and each `stride` bytes behind the one before, to the packet pushed last, as far as they
   * continue its flow exactly. Returns how many; the caller sends the others the careful way.
   */
  joinRun(at: number, datagramBytes: number, stride: number, countMax: number): number {
    const slot = this.#lastSlot;
    return slot < 0 ? 0 : this.#runs.join(slot, at, datagramBytes, stride, countMax);
  }

  /** Writes one frame that never waits (ARP); for frames without IPv4 inside. */
  pushPlain(link: DataLink, frame: number, frameBytes: number): void {
    this.#writer.writePlain(link, frame, frameBytes);
  }

  /** Writes every open super-packet to its device. */
  flush(): void {
    const flows = this.#flows;
    for (let slot = 0; slot < FLOW_SLOTS && flows.count > 0; slot++) {
      if (flows.link[slot] !== undefined) this.#superPackets.write(slot);
    }
  }
}
