/**
 * What a loop is warmed with (warm-up.ts): small datagrams of many flows, super-packets and trains of
 * one stream, and its acknowledgements, echoes, and questions for addresses, each way; among it flows that are
 * seldom heard, and a container that does not answer.
 * @module
 */
import type { Encap } from '../encap/encap.ts';
import { AF_UNIX } from '../sys/libc/constants.ts';
import { ARP_BYTES, ARP_REQUEST, emitArp, setArpTarget } from '../wire/arp.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  emitEthernet,
} from '../wire/ethernet.ts';
import { emitIcmpEcho, ICMP_ECHO, ICMP_ECHO_REPLY, ICMP_HEADER_BYTES } from '../wire/icmp.ts';
import {
  emitIpv4,
  IPV4_DF,
  IPV4_HEADER_BYTES,
  PROTOCOL_ICMP,
  PROTOCOL_IPIP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import { emitTcp, TCP_ACK, TCP_HEADER_BYTES } from '../wire/tcp.ts';
import { emitUdp, UDP_HEADER_BYTES } from '../wire/udp.ts';
import {
  emitVirtioNet,
  emitVirtioNetPlain,
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
/** What rounds take turns with; most are small packets. */
const ROUND_KINDS = 10;
const ECHO_BYTES = 56;
const CONTAINER = 10;
const SILENT_CONTAINER = 11;
/** The last 32 bits of some are above 2^31, those of others are not, as with MACs that are drawn by lot. */
const MACS_HERE = [0x02_00_00_00_00_01, 0x02_00_f0_00_00_01];
const MACS_THERE = [0x02_00_f0_00_00_02, 0x02_00_00_00_00_02];
const SILENT_MAC = 0x02_00_f0_00_00_03;
const BROADCAST_MAC = 0xffff_ffff_ffff;
/**
 * Rounds between two packets of flows that are seldom heard. On whichever machine one of them is heard more than
 * 40 ms and less than a second after its last (ground/source-ports.ts).
 */
const SELDOM_ROUNDS = [64, 192, 640] as const;
/** What a train's outer header says. */
const TOS = 0;
/** By how much its last segment is shorter. */
const ODD_BYTES = 100;
const ARP_FRAME_BYTES = ETHERNET_HEADER_BYTES + ARP_BYTES;

/** Where a frame lies in the arena. */
type Piece = { at: number; bytes: number };

/** What an inner packet is: `port` is the source's, which tells flows apart. */
type Inner = {
  protocol: number;
  payloadBytes: number;
  port: number;
  sequence?: number;
  /** Its end here is the container that never says a word after its first. */
  isSilent?: boolean;
};

export class WarmUpFrames {
  readonly #arena: Arena;
  readonly #encap: Encap;
  readonly #fan: WarmUpFan;
  readonly #here: number;
  readonly #there: number;
  readonly #smallOut: Piece[];
  readonly #smallIn: Piece[];
  readonly #superOut: Piece;
  readonly #acknowledgement: Piece;
  readonly #seldomOut: Piece[];
  readonly #echo: readonly [out: Piece, inward: Piece];
  /** Undefined where the link is routed: then nobody asks. */
  readonly #question: readonly [out: Piece, inward: Piece] | undefined;
  readonly #silent: readonly [out: Piece, inward: Piece];
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
    this.#here = (fan.overlay | ((fan.local & 0xffff) << 8)) >>> 0;
    this.#there = (fan.overlay | ((fan.remote & 0xffff) << 8) | CONTAINER) >>> 0;
    const small = (flow: number): Inner => ({
      ...{ protocol: PROTOCOL_UDP, payloadBytes: SMALL_BYTES, port: 4000 + flow },
    });
    const flows = Array.from({ length: FLOWS }, (_, flow) => small(flow));
    this.#smallOut = flows.map((inner) => this.#fromDevice(inner, 0));
    this.#smallIn = flows.map((inner) => this.#fromUnderlay(inner));
    this.#payloadBytes = innerMtu - IPV4_HEADER_BYTES - TCP_HEADER_BYTES;
    const stream = { protocol: PROTOCOL_TCP, port: 5000 };
    const bulk = { ...stream, payloadBytes: SUPER_BYTES };
    this.#superOut = this.#fromDevice(bulk, this.#payloadBytes);
    this.#acknowledgement = this.#fromDevice({ ...stream, payloadBytes: 0 }, 0);
    this.#seldomOut = SELDOM_ROUNDS.map((_, i) => this.#fromDevice(small(FLOWS + i), 0));
    const echo = { protocol: PROTOCOL_ICMP, payloadBytes: ECHO_BYTES, port: 0 };
    this.#echo = [this.#fromDevice(echo, 0), this.#fromUnderlay(echo)];
    const silent = { ...small(0), isSilent: true };
    this.#silent = [this.#fromDevice(silent, 0), this.#fromUnderlay(silent)];
    this.#question =
      encap.innerHeaderBytes === 0 ? undefined : [this.#asksFromDevice(), this.#asksFromUnderlay()];
    this.#segmentBytes = this.#bytesOf({ ...stream, payloadBytes: this.#payloadBytes });
    this.#train = arena.allocate(TRAIN_SEGMENTS * this.#segmentBytes);
  }

  /**
   * Puts one round's frames before the loop.
   * @param round turns through the kinds
   * @param host the device's other end
   * @param peer the underlay's other end
   */
  feed(round: number, host: Device, peer: Device, loop: Loop): void {
    if (round === 0) this.#write(host, this.#silent[0]);
    for (let i = 0; i < SELDOM_ROUNDS.length; i++) {
      if (round % (SELDOM_ROUNDS[i] ?? 1) === 0) this.#write(host, this.#seldomOut[i]);
    }
    switch (round % ROUND_KINDS) {
      case 0:
        this.#write(host, this.#superOut);
        this.#write(host, this.#superOut);
        this.#write(peer, this.#smallIn[round % FLOWS]);
        break;
      case 1:
        this.#write(host, this.#acknowledgement);
        this.#layTrain(loop);
        break;
      case 2:
        this.#write(host, this.#echo[0]);
        this.#write(peer, this.#echo[1]);
        break;
      case 3:
        this.#write(host, this.#question?.[0]);
        this.#write(peer, this.#question?.[1]);
        this.#write(peer, this.#silent[1]);
        break;
      case 4:
        this.#layAlike(loop);
        break;
      default:
        for (let i = 0; i < SMALL_OUT; i++) this.#write(host, this.#smallOut[(round + i) % FLOWS]);
        for (let i = 0; i < SMALL_IN; i++) this.#write(peer, this.#smallIn[(round + i) % FLOWS]);
    }
  }

  #write(end: Device, piece: Piece | undefined): void {
    if (piece !== undefined) end.writePiece(piece.at, piece.bytes);
  }

  /**
   * A train as the kernel joins one, its last segment a shorter one; where it joins none, as many messages.
   * Headers that the device takes in one piece were edited in place: each is laid anew.
   */
  #layTrain(loop: Loop): void {
    const [segmentBytes, payloadBytes] = [this.#segmentBytes, this.#payloadBytes];
    const inner = { protocol: PROTOCOL_TCP, payloadBytes, port: 5000 };
    let bytes = 0;
    for (let i = 0; i < TRAIN_SEGMENTS; i++) {
      const isLast = i === TRAIN_SEGMENTS - 1;
      const at = this.#train + i * segmentBytes;
      const piece = { ...inner, sequence: i * payloadBytes };
      if (isLast) piece.payloadBytes -= ODD_BYTES;
      const length = this.#emitUnderlay(at, piece);
      bytes += length;
      if (!this.#encap.udp) loop.receiver.messages.lay(i, at, length, this.#source, TOS, 0);
    }
    if (!this.#encap.udp) return loop.takeLaid(TRAIN_SEGMENTS);
    loop.receiver.messages.lay(0, this.#train, bytes, this.#source, TOS, segmentBytes);
    loop.takeLaid(1);
  }

  /** Small datagrams of one flow that nobody has joined on the way. */
  #layAlike(loop: Loop): void {
    const [piece] = this.#smallIn;
    if (piece === undefined) return;
    for (let i = 0; i < SMALL_IN; i++) {
      loop.receiver.messages.lay(i, piece.at, piece.bytes, this.#source, TOS, 0);
    }
    loop.takeLaid(SMALL_IN);
  }

  /** A frame as the device gives it, its checksum left to us; `gsoBytes` for a super-packet. */
  #fromDevice(inner: Inner, gsoBytes: number): Piece {
    const { view } = this.#arena;
    const { protocol } = inner;
    const linkBytes = VIRTIO_NET_BYTES + this.#encap.innerHeaderBytes;
    const ipBytes = totalBytes(inner);
    const at = this.#arena.allocate(linkBytes + ipBytes);
    const l3 = at + linkBytes;
    if (protocol === PROTOCOL_ICMP) emitVirtioNetPlain(view, at);
    else {
      const start = this.#encap.innerHeaderBytes + IPV4_HEADER_BYTES;
      const type = gsoBytes === 0 ? VIRTIO_GSO_NONE : VIRTIO_GSO_TCPV4;
      const headerBytes = gsoBytes === 0 ? 0 : start + l4Bytes(protocol);
      emitVirtioNet(view, at, VIRTIO_NEEDS_CSUM, start, checksumOffset(protocol));
      setVirtioGso(view, at, type, headerBytes, gsoBytes);
    }
    this.#emitInner(l3, inner, true);
    return { at, bytes: linkBytes + ipBytes };
  }

  #fromUnderlay(inner: Inner): Piece {
    const at = this.#arena.allocate(this.#bytesOf(inner));
    return { at, bytes: this.#emitUnderlay(at, inner) };
  }

  #bytesOf(inner: Inner): number {
    return this.#shimOffset + this.#encap.shimBytes + this.#innerBytes(totalBytes(inner));
  }

  #innerBytes(packetBytes: number): number {
    return this.#encap.innerHeaderBytes + packetBytes;
  }

  /** A raw socket shows the outer header too. */
  get #shimOffset(): number {
    return this.#encap.udp ? 0 : IPV4_HEADER_BYTES;
  }

  /** Outer header, if it is seen, and shim; returns where what is inside begins. */
  #emitOuter(at: number, innerBytes: number): number {
    const { view } = this.#arena;
    const shim = at + this.#shimOffset;
    if (shim !== at) {
      const { remote: source, local: destination } = this.#fan;
      const fields = { source, destination, protocol: PROTOCOL_IPIP, fragment: IPV4_DF };
      emitIpv4(view, at, { ...fields, totalBytes: IPV4_HEADER_BYTES + innerBytes });
    }
    this.#encap.emitShim(view, shim, this.#fan.overlay >>> 8);
    return shim + this.#encap.shimBytes;
  }

  /** A datagram as the peer sends it, whole; returns its length. */
  #emitUnderlay(at: number, inner: Inner): number {
    const inside = this.#emitOuter(at, this.#innerBytes(totalBytes(inner)));
    const l3 = inside + this.#encap.innerHeaderBytes;
    this.#emitInner(l3, inner, false);
    const { protocol } = inner;
    if (protocol !== PROTOCOL_ICMP) {
      const l4 = l3 + IPV4_HEADER_BYTES;
      finishTransport(this.#arena, l4, l3 + totalBytes(inner), protocol);
    }
    return this.#bytesOf(inner);
  }

  /** An Ethernet header, if there is one, and the packet, whose transport checksum is left to be finished. */
  #emitInner(l3: number, inner: Inner, isOut: boolean): void {
    const { view } = this.#arena;
    const { protocol, payloadBytes, port, sequence = 0, isSilent = false } = inner;
    const here = this.#here + (isSilent ? SILENT_CONTAINER : CONTAINER);
    const macHere = isSilent ? SILENT_MAC : (MACS_HERE[port & 1] ?? 0);
    const macThere = MACS_THERE[port & 1] ?? 0;
    const l4 = l3 + IPV4_HEADER_BYTES;
    if (this.#encap.innerHeaderBytes !== 0) {
      const [to, from] = isOut ? [macThere, macHere] : [macHere, macThere];
      emitEthernet(view, l3 - this.#encap.innerHeaderBytes, to, from, ETHERTYPE_IPV4);
    }
    const [source, destination] = isOut ? [here, this.#there] : [this.#there, here];
    const whole = totalBytes(inner);
    const fields = { source, destination, protocol, totalBytes: whole, fragment: IPV4_DF };
    emitIpv4(view, l3, fields);
    if (protocol === PROTOCOL_ICMP) {
      return emitIcmpEcho(view, l4, isOut ? ICMP_ECHO : ICMP_ECHO_REPLY, 1, 1, payloadBytes);
    }
    const l4Total = whole - IPV4_HEADER_BYTES;
    const ends = { source: port, destination: 5001, flags: TCP_ACK, window: 0xffff };
    if (protocol === PROTOCOL_UDP) emitUdp(view, l4, port, 5001, l4Total, 0);
    else emitTcp(view, l4, { ...ends, sequence, acknowledge: 0 });
    view.setUint16(l4 + checksumOffset(protocol), pseudoSum(view, l3, protocol + l4Total));
  }

  #asksFromDevice(): Piece {
    const at = this.#arena.allocate(VIRTIO_NET_BYTES + ARP_FRAME_BYTES);
    emitVirtioNetPlain(this.#arena.view, at);
    const [here = 0] = MACS_HERE;
    this.#emitQuestion(at + VIRTIO_NET_BYTES, here, this.#here + CONTAINER, this.#there);
    return { at, bytes: VIRTIO_NET_BYTES + ARP_FRAME_BYTES };
  }

  #asksFromUnderlay(): Piece {
    const headBytes = this.#shimOffset + this.#encap.shimBytes;
    const at = this.#arena.allocate(headBytes + ARP_FRAME_BYTES);
    const inside = this.#emitOuter(at, ARP_FRAME_BYTES);
    const [there = 0] = MACS_THERE;
    this.#emitQuestion(inside, there, this.#there, this.#here + CONTAINER);
    return { at, bytes: headBytes + ARP_FRAME_BYTES };
  }

  #emitQuestion(frame: number, mac: number, address: number, target: number): void {
    const { view } = this.#arena;
    emitEthernet(view, frame, BROADCAST_MAC, mac, ETHERTYPE_ARP);
    emitArp(view, frame + ETHERNET_HEADER_BYTES, ARP_REQUEST, mac, address);
    setArpTarget(view, frame + ETHERNET_HEADER_BYTES, 0, target);
  }
}

function l4Bytes(protocol: number): number {
  if (protocol === PROTOCOL_TCP) return TCP_HEADER_BYTES;
  return protocol === PROTOCOL_UDP ? UDP_HEADER_BYTES : ICMP_HEADER_BYTES;
}

/** Length of the IPv4 packet. */
function totalBytes({ protocol, payloadBytes }: Inner): number {
  return IPV4_HEADER_BYTES + l4Bytes(protocol) + payloadBytes;
}
