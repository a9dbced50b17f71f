/**
 * What a loop is warmed with (warm-up.ts): small datagrams of many flows, super-packets and trains of
 * one stream, and its acknowledgements, each way.
 * @module
 */
import type { Encap } from '../encap/encap.ts';
import { AF_UNIX } from '../sys/libc/constants.ts';
import { ETHERTYPE_IPV4, emitEthernet } from '../wire/ethernet.ts';
import {
  emitIpv4,
  IPV4_DF,
  IPV4_HEADER_BYTES,
  PROTOCOL_IPIP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import { emitTcp, setTcpSequence, TCP_ACK, TCP_HEADER_BYTES } from '../wire/tcp.ts';
import { emitUdp, UDP_HEADER_BYTES } from '../wire/udp.ts';
import {
  emitVirtioNet,
  setVirtioGso,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_TCPV4,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../wire/virtio-net.ts';
import type { Arena } from './ground/arena.ts';
import type { Device } from './ground/ports.ts';
import { emitSockaddr, SOCKADDR_BYTES } from './ground/sockaddr.ts';
import { checksumOffset, finishTransport, pseudoSum } from './ground/transport-sum.ts';
import type { Loop } from './loop.ts';

/** The fan of a warm-up, one /16 of hosts in a /8: addresses are u32, the port is the peer's. */
export type WarmUpFan = { overlay: number; local: number; remote: number; port: number };

const FLOWS = 64;
const SMALL_BYTES = 64;
/** Small packets a round each way; a Unix socket holds ten datagrams where nobody set it otherwise. */
const SMALL_OUT = 24;
const SMALL_IN = 8;
/** Payload of a super-packet from the device, segments of a train to it. */
const SUPER_BYTES = 24_000;
const TRAIN_SEGMENTS = 16;
const CONTAINER = 10;
const MAC_HERE = 0x02_00_00_00_00_01;
const MAC_THERE = 0x02_00_00_00_00_02;

/** Where a frame lies in the arena. */
type Piece = { at: number; bytes: number };

export class WarmUpFrames {
  readonly #arena: Arena;
  readonly #encap: Encap;
  readonly #fan: WarmUpFan;
  readonly #here: number;
  readonly #there: number;
  readonly #smallOut: Piece[] = [];
  readonly #smallIn: Piece[] = [];
  readonly #superOut: Piece;
  readonly #acknowledgement: Piece;
  readonly #train: number;
  /** The peer's socket address. */
  readonly #source: number;
  readonly #segmentBytes: number;
  readonly #payloadBytes: number;

  /** @param innerMtu bytes of an inner IP packet */
  constructor(arena: Arena, encap: Encap, fan: WarmUpFan, innerMtu: number) {
    this.#arena = arena;
    this.#encap = encap;
    this.#fan = fan;
    this.#source = arena.allocate(SOCKADDR_BYTES);
    emitSockaddr(arena.view, this.#source, fan.remote, fan.port, AF_UNIX);
    this.#here = (fan.overlay | ((fan.local & 0xffff) << 8) | CONTAINER) >>> 0;
    this.#there = (fan.overlay | ((fan.remote & 0xffff) << 8) | CONTAINER) >>> 0;
    for (let flow = 0; flow < FLOWS; flow++) {
      this.#smallOut.push(this.#fromDevice(PROTOCOL_UDP, SMALL_BYTES, 4000 + flow, 0));
      this.#smallIn.push(this.#fromUnderlay(PROTOCOL_UDP, SMALL_BYTES, 4000 + flow));
    }
    this.#payloadBytes = innerMtu - IPV4_HEADER_BYTES - TCP_HEADER_BYTES;
    this.#superOut = this.#fromDevice(PROTOCOL_TCP, SUPER_BYTES, 5000, this.#payloadBytes);
    this.#acknowledgement = this.#fromDevice(PROTOCOL_TCP, 0, 5000, 0);
    const segment = this.#fromUnderlay(PROTOCOL_TCP, this.#payloadBytes, 5000);
    this.#segmentBytes = segment.bytes;
    this.#train = arena.allocate(TRAIN_SEGMENTS * this.#segmentBytes);
    arena.bytes.copyWithin(this.#train, segment.at, segment.at + segment.bytes);
  }

  /**
   * Puts one round's frames before the loop.
   * @param round turns through the kinds
   * @param host the device's other end
   * @param peer the underlay's other end
   */
  feed(round: number, host: Device, peer: Device, loop: Loop): void {
    const kind = round & 3;
    if (kind < 2) {
      for (let i = 0; i < SMALL_OUT; i++) this.#write(host, this.#smallOut[(round + i) % FLOWS]);
      for (let i = 0; i < SMALL_IN; i++) this.#write(peer, this.#smallIn[(round + i) % FLOWS]);
    } else if (kind === 2) {
      this.#write(host, this.#superOut);
      this.#write(host, this.#superOut);
      this.#write(peer, this.#smallIn[round % FLOWS]);
    } else {
      this.#write(host, this.#acknowledgement);
      this.#layTrain();
      const bytes = TRAIN_SEGMENTS * this.#segmentBytes;
      loop.takeTrain(this.#train, bytes, this.#source, this.#segmentBytes);
    }
  }

  #write(end: Device, piece: Piece | undefined): void {
    if (piece !== undefined) end.writePiece(piece.at, piece.bytes);
  }

  /** Headers that the device takes in one piece were edited in place: each train is laid anew. */
  #layTrain(): void {
    const segmentBytes = this.#segmentBytes;
    for (let i = 0; i < TRAIN_SEGMENTS; i++) {
      const at = this.#train + i * segmentBytes;
      this.#emitUnderlay(at, PROTOCOL_TCP, this.#payloadBytes, 5000, i * this.#payloadBytes);
    }
  }

  /** A frame as the device gives it, its checksum left to us; `gsoBytes` for a super-packet. */
  #fromDevice(protocol: number, payloadBytes: number, port: number, gsoBytes: number): Piece {
    const { view } = this.#arena;
    const linkBytes = VIRTIO_NET_BYTES + this.#encap.innerHeaderBytes;
    const l4Bytes = protocol === PROTOCOL_TCP ? TCP_HEADER_BYTES : UDP_HEADER_BYTES;
    const bytes = linkBytes + IPV4_HEADER_BYTES + l4Bytes + payloadBytes;
    const at = this.#arena.allocate(bytes);
    const l3 = at + linkBytes;
    const l4 = l3 + IPV4_HEADER_BYTES;
    const start = this.#encap.innerHeaderBytes + IPV4_HEADER_BYTES;
    const type = gsoBytes === 0 ? VIRTIO_GSO_NONE : VIRTIO_GSO_TCPV4;
    const headerBytes = gsoBytes === 0 ? 0 : start + l4Bytes;
    const field = checksumOffset(protocol);
    emitVirtioNet(view, at, VIRTIO_NEEDS_CSUM, start, field);
    setVirtioGso(view, at, type, headerBytes, gsoBytes);
    this.#emitInner(l3, this.#here, this.#there, protocol, payloadBytes, port);
    view.setUint16(l4 + field, pseudoSum(view, l3, protocol + l4Bytes + payloadBytes));
    return { at, bytes };
  }

  #fromUnderlay(protocol: number, payloadBytes: number, port: number): Piece {
    const at = this.#arena.allocate(this.#encap.overheadBytes + payloadBytes + 64);
    return { at, bytes: this.#emitUnderlay(at, protocol, payloadBytes, port, 0) };
  }

  /** A datagram as the peer sends it, whole; returns its length. */
  #emitUnderlay(
    at: number,
    protocol: number,
    payloadBytes: number,
    port: number,
    sequence: number,
  ): number {
    const { view } = this.#arena;
    const { udp, shimBytes, innerHeaderBytes } = this.#encap;
    const l4Bytes = protocol === PROTOCOL_TCP ? TCP_HEADER_BYTES : UDP_HEADER_BYTES;
    const innerBytes = innerHeaderBytes + IPV4_HEADER_BYTES + l4Bytes + payloadBytes;
    let shim = at;
    if (!udp) {
      // A raw socket shows the outer header too.
      const total = IPV4_HEADER_BYTES + innerBytes;
      const { remote: source, local: destination } = this.#fan;
      const fields = { source, destination, protocol: PROTOCOL_IPIP, totalBytes: total };
      emitIpv4(view, at, { ...fields, fragment: IPV4_DF });
      shim += IPV4_HEADER_BYTES;
    }
    this.#encap.emitShim(view, shim, this.#fan.overlay >>> 8);
    const l3 = shim + shimBytes + innerHeaderBytes;
    const l4 = l3 + IPV4_HEADER_BYTES;
    this.#emitInner(l3, this.#there, this.#here, protocol, payloadBytes, port);
    if (protocol === PROTOCOL_TCP) setTcpSequence(view, l4, sequence);
    view.setUint16(
      l4 + checksumOffset(protocol),
      pseudoSum(view, l3, protocol + l4Bytes + payloadBytes),
    );
    finishTransport(this.#arena, l4, l4 + l4Bytes + payloadBytes, protocol);
    return shim + shimBytes + innerBytes - at;
  }

  #emitInner(
    l3: number,
    source: number,
    destination: number,
    protocol: number,
    payloadBytes: number,
    port: number,
  ): void {
    const { view } = this.#arena;
    const isTcp = protocol === PROTOCOL_TCP;
    const l4 = l3 + IPV4_HEADER_BYTES;
    const l4Total = (isTcp ? TCP_HEADER_BYTES : UDP_HEADER_BYTES) + payloadBytes;
    if (this.#encap.innerHeaderBytes !== 0) {
      const [to, from] = source === this.#here ? [MAC_THERE, MAC_HERE] : [MAC_HERE, MAC_THERE];
      emitEthernet(view, l3 - this.#encap.innerHeaderBytes, to, from, ETHERTYPE_IPV4);
    }
    const totalBytes = IPV4_HEADER_BYTES + l4Total;
    emitIpv4(view, l3, { source, destination, protocol, totalBytes, fragment: IPV4_DF });
    if (!isTcp) return emitUdp(view, l4, port, 5001, l4Total, 0);
    const ends = { source: port, destination: 5001 };
    emitTcp(view, l4, { ...ends, sequence: 0, acknowledge: 0, flags: TCP_ACK, window: 0xffff });
  }
}
