/**
 * Overlay → underlay. What a packet meets, in this order:
 *
 *   1. read from the device into a slot          readBurst
 *   2. frame and header checks, cheapest first   packet
 *   3. source check, destination → peer          (arithmetic on the address)
 *   4. MTU check, "too big" answered
 *   5. shim, TOS, source port; super-packets cut  source-ports.ts, segment.ts
 *   6. appended to a train, sent with the burst   trains.ts
 *
 * No packet throws, none allocates; each that ends here adds to exactly one drop counter.
 * @module
 */
import type { Layout } from '../../shm/layout.ts';
import { ErrorSite } from '../../shm/worker.ts';
import { EAGAIN, EINTR } from '../../sys/libc/constants.ts';
import { egressIndex, eventIndex } from '../../table/counters.ts';
import {
  ARP_BYTES,
  ARP_SENDER_ADDRESS_OFFSET,
  ARP_TARGET_ADDRESS_OFFSET,
  getArpSenderAddress,
  getArpTargetAddress,
} from '../../wire/arp.ts';
import { checkArp, checkVirtioNet, Fault, isTunnelProtocol } from '../../wire/classify.ts';
import { encapsulateTos } from '../../wire/ecn.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
  isGroupDestination,
} from '../../wire/ethernet.ts';
import { flowHash } from '../../wire/flow-hash.ts';
import {
  getIpVersion,
  getIpv4Destination,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Source,
  getIpv4Tos,
  getIpv4TotalBytes,
  IPV4_DESTINATION_OFFSET,
  IPV4_HEADER_BYTES,
  IPV4_SOURCE_OFFSET,
  isIpv4Fragment,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { getUdpDestination, UDP_HEADER_BYTES } from '../../wire/udp.ts';
import {
  getVirtioFlags,
  getVirtioGsoBytes,
  getVirtioGsoType,
  VIRTIO_GSO_ECN,
  VIRTIO_GSO_NONE,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../../wire/virtio-net.ts';
import { Neighbours } from '../answer/neighbours.ts';
import type { TooBig } from '../answer/too-big.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { NoPeer } from '../ground/route.ts';
import { l4HeaderBytes, Segmenter, segmentCount } from '../ground/segment.ts';
import { SourcePorts } from '../ground/source-ports.ts';
import { finishLeft } from '../ground/transport-sum.ts';
import type { PathMtu } from '../send/path-mtu.ts';
import type { Trains } from '../send/trains.ts';

/** Packets that one burst takes from a device before the other direction has its turn. */
const BURST_PACKETS = 64;
/** Room in front of each frame for the virtio-net header and, later, the shim in its place. */
const HEADROOM_BYTES = 64;
/** One slot: headroom, the largest super-packet, and a little slack. */
const SLOT_BYTES = HEADROOM_BYTES + 65536 + 512;
/** A burst is sent once this much payload waits, so that it is still in the processor's cache. */
const FLUSH_BYTES = 192 * 1024;
/** Segments of one super-packet; a guest may ask for one-byte ones, which no buffer would hold. */
const SEGMENTS_MAX = 2048;

const RECEIVED = egressIndex('received');
const RECEIVED_BYTES = egressIndex('receivedBytes');
const RUNT = egressIndex('drop.runt');
const MALFORMED = egressIndex('drop.malformed');
const UNKNOWN_ETHERTYPE = egressIndex('drop.unknown_ethertype');
const IPV6 = egressIndex('drop.ipv6');
const MULTICAST = egressIndex('drop.multicast');
const BROADCAST = egressIndex('drop.broadcast');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');
const OUTSIDE_OVERLAY = egressIndex('drop.outside_overlay');
const LOCAL_DESTINATION = egressIndex('drop.local_destination');
const NESTED = egressIndex('drop.nested');
const TOO_BIG = egressIndex('drop.too_big');
const SEND_PAUSED = egressIndex('drop.send_paused');
const STALE = egressIndex('drop.stale');
const UNSUPPORTED_OFFLOAD = egressIndex('drop.unsupported_offload');
const READ_ERRORS = eventIndex('device_read_errors');
const SUPER_PACKETS_IN = eventIndex('super_packets_in');

/** The drop counter of a packet that goes to no peer. */
function noPeerCounter(reason: number): number {
  if (reason === NoPeer.Outside) return OUTSIDE_OVERLAY;
  return reason === NoPeer.Here ? LOCAL_DESTINATION : BROADCAST;
}

export class Egress {
  readonly #arena: Arena;
  readonly #layout: Layout;
  readonly #trains: Trains;
  readonly #paths: PathMtu;
  readonly #tooBig: TooBig;
  readonly #neighbours: Neighbours;
  readonly #segmenter: Segmenter;
  readonly #slots: number;
  readonly #sourcePorts: SourcePorts;
  #nowMs = 0;
  /** The way that the last large packet took, and what fits it inside; none after each send. */
  #pathLink: DataLink | undefined;
  #pathPeer = 0;
  #pathMtu = 0;
  /** Drops what it reads: it waited too long (stale.ts). */
  sheds = false;

  constructor(
    arena: Arena,
    layout: Layout,
    trains: Trains,
    paths: PathMtu,
    tooBig: TooBig,
    neighbours: Neighbours = new Neighbours(arena),
  ) {
    this.#arena = arena;
    this.#layout = layout;
    this.#sourcePorts = new SourcePorts(layout.queues <= 1);
    this.#trains = trains;
    this.#paths = paths;
    this.#tooBig = tooBig;
    this.#neighbours = neighbours;
    this.#segmenter = new Segmenter(arena);
    this.#slots = arena.allocate(BURST_PACKETS * SLOT_BYTES);
  }

  /** Moves up to one burst from the link's device to the underlay; returns packets read. */
  readBurst(link: DataLink, nowMs: number): number {
    this.#nowMs = nowMs;
    this.#sourcePorts.nextBurst();
    this.#paths.peers.nextBurst(nowMs);
    const vnetBytes = link.vnetHeader ? VIRTIO_NET_BYTES : 0;
    let slot = 0;
    let reads = 0;
    while (reads < BURST_PACKETS) {
      const frame = this.#slots + slot * SLOT_BYTES + HEADROOM_BYTES;
      const length = link.device.read(frame - vnetBytes, SLOT_BYTES - HEADROOM_BYTES);
      if (length < 0) {
        if (length !== -EAGAIN && length !== -EINTR) this.#readFailed(link, -length);
        break;
      }
      link.readErrors = 0;
      reads++;
      this.packet(link, frame, length - vnetBytes);
      slot++;
      if (this.#trains.pendingBytes >= FLUSH_BYTES) {
        this.flush();
        slot = 0;
      }
    }
    this.flush();
    return reads;
  }

  #readFailed(link: DataLink, error: number): void {
    link.counters[READ_ERRORS] = (link.counters[READ_ERRORS] as number) + 1;
    this.#layout.recordError(ErrorSite.DeviceRead, error);
    link.readErrors++;
  }

  #drop(link: DataLink, counter: number, segments: number): void {
    link.counters[counter] = (link.counters[counter] as number) + segments;
  }

  /**
   * Decides about one frame (bridged) or packet (routed) of `byteCount` bytes at `frame`, with
   * its virtio-net header right before it where the device has one, and appends it to a train.
   * Exposed for tests; {@link flush} sends.
   */
  packet(link: DataLink, frame: number, byteCount: number): void {
    const { view } = this.#arena;
    const { counters } = link;
    const l3 = frame + link.innerHeaderBytes;
    const available = byteCount - link.innerHeaderBytes;
    let gsoType = VIRTIO_GSO_NONE as number;
    let gsoBytes = 0;
    let needsChecksum = false;
    let segments = 1;
    if (link.vnetHeader) {
      const header = frame - VIRTIO_NET_BYTES;
      gsoType = getVirtioGsoType(view, header) & ~VIRTIO_GSO_ECN;
      needsChecksum = (getVirtioFlags(view, header) & VIRTIO_NEEDS_CSUM) !== 0;
      if (gsoType !== VIRTIO_GSO_NONE) {
        gsoBytes = getVirtioGsoBytes(view, header);
        segments = segmentCount(view, link, l3, available, gsoType, gsoBytes);
        counters[SUPER_PACKETS_IN] = (counters[SUPER_PACKETS_IN] as number) + 1;
      }
    }
    counters[RECEIVED] = (counters[RECEIVED] as number) + segments;
    counters[RECEIVED_BYTES] = (counters[RECEIVED_BYTES] as number) + byteCount;
    if (this.sheds) return this.#drop(link, STALE, segments);

    if (link.innerHeaderBytes !== 0) {
      if (byteCount < ETHERNET_HEADER_BYTES) return this.#drop(link, RUNT, segments);
      const etherType = getEtherType(view, frame);
      if (etherType !== ETHERTYPE_IPV4) {
        if (etherType === ETHERTYPE_ARP) return this.#arp(link, frame, byteCount);
        if (etherType === ETHERTYPE_IPV6) return this.#drop(link, IPV6, segments);
        return this.#drop(link, UNKNOWN_ETHERTYPE, segments);
      }
    }
    if (available < IPV4_HEADER_BYTES) return this.#drop(link, RUNT, segments);
    const version = getIpVersion(view, l3);
    if (version === 6) return this.#drop(link, IPV6, segments);
    const headerBytes = getIpv4HeaderBytes(view, l3);
    const totalBytes = gsoType === VIRTIO_GSO_NONE ? getIpv4TotalBytes(view, l3) : available;
    if (
      version !== 4 ||
      headerBytes < IPV4_HEADER_BYTES ||
      totalBytes < headerBytes ||
      totalBytes > available
    ) {
      return this.#drop(link, MALFORMED, segments);
    }

    const destination = getIpv4Destination(view, l3);
    if (destination >>> 28 === 0xe) return this.#drop(link, MULTICAST, segments);
    if (destination === 0xffffffff) return this.#drop(link, BROADCAST, segments);
    if (link.innerHeaderBytes !== 0 && isGroupDestination(view, frame)) {
      return this.#drop(link, BROADCAST, segments);
    }
    const { route } = link;
    if (!route.isHere(view, l3 + IPV4_SOURCE_OFFSET)) {
      return this.#drop(link, FOREIGN_SOURCE, segments);
    }
    link.noteSender(view, frame, getIpv4Source(view, l3), this.#nowMs);
    const peer = route.to(view, l3 + IPV4_DESTINATION_OFFSET);
    if (peer < 0) return this.#drop(link, noPeerCounter(peer), segments);
    if (!route.isWorkload(view, l3 + IPV4_DESTINATION_OFFSET)) {
      return this.#drop(link, BROADCAST, segments);
    }
    const protocol = getIpv4Protocol(view, l3);
    if (isTunnelProtocol(protocol)) return this.#drop(link, NESTED, segments);
    const l4Available = totalBytes - headerBytes;
    if (protocol === PROTOCOL_UDP && l4Available >= UDP_HEADER_BYTES) {
      // A tunnel packet of this very link inside the tunnel: a routing loop, or somebody's attempt.
      if (
        link.peerPort !== 0 &&
        getUdpDestination(view, l3 + headerBytes) === link.peerPort &&
        !isIpv4Fragment(view, l3)
      ) {
        return this.#drop(link, NESTED, segments);
      }
    }

    if (
      link.vnetHeader &&
      checkVirtioNet(view, frame - VIRTIO_NET_BYTES, byteCount) !== Fault.None
    ) {
      return this.#drop(
        link,
        gsoType === VIRTIO_GSO_NONE ? MALFORMED : UNSUPPORTED_OFFLOAD,
        segments,
      );
    }
    let l4Bytes = 0;
    if (gsoType !== VIRTIO_GSO_NONE) {
      l4Bytes = l4HeaderBytes(view, l3 + headerBytes, l4Available, protocol, gsoType);
      if (l4Bytes === 0 || segments > SEGMENTS_MAX) {
        return this.#drop(link, UNSUPPORTED_OFFLOAD, segments);
      }
    }
    const segmentL3Bytes = l4Bytes === 0 ? totalBytes : headerBytes + l4Bytes + gsoBytes;
    if (segmentL3Bytes > link.sureBytes && totalBytes > link.sureBytes) {
      if (peer !== this.#pathPeer || link !== this.#pathLink) this.#findPath(link, peer);
      const mtu = this.#pathMtu;
      if (segmentL3Bytes > mtu && totalBytes > mtu) {
        this.#drop(link, TOO_BIG, segments);
        return this.#tooBig.answer(link, frame, l3, totalBytes, mtu, this.#nowMs);
      }
    }

    const { endpoint } = link;
    const { sockets } = endpoint;
    let socket = sockets[0] as number;
    if (sockets.length > 1) {
      // The first socket listens; the others are the pool of source ports.
      const count = sockets.length - 1;
      const isBulk = l4Bytes !== 0;
      const port = this.#sourcePorts.choose(flowHash(view, l3), count, isBulk, this.#nowMs);
      socket = sockets[1 + port] as number;
    }
    if (this.#trains.isPaused(socket, this.#nowMs)) return this.#drop(link, SEND_PAUSED, segments);
    const tos = encapsulateTos(link.dscpMode, getIpv4Tos(view, l3));
    // The shim takes the virtio-net header's place, so what that says is used first.
    if (needsChecksum && l4Bytes === 0 && !finishLeft(this.#arena, frame, l3 + totalBytes)) {
      return this.#drop(link, MALFORMED, segments);
    }
    const start = frame - link.shimBytes;
    link.shim.emitShim(view, start, link.vni);
    this.#trains.ensureRoom(segments, this.#nowMs);
    if (l4Bytes !== 0) {
      this.#segmenter.begin(start, l3, headerBytes, l4Bytes, totalBytes, gsoBytes, protocol);
      this.#cut(link, peer, socket, tos);
      return;
    }
    this.#trains.append(link, peer, socket, tos, start, l3 + totalBytes - start);
  }

  /** Appends the super-packet that the segmenter holds; room for all segments was ensured. */
  #cut(link: DataLink, peer: number, socket: number, tos: number): void {
    const segmenter = this.#segmenter;
    const trains = this.#trains;
    while (segmenter.remaining > 0) {
      const datagramBytes = segmenter.prefixBytes + segmenter.nextBytes;
      const room = trains.reserveRun(link, peer, socket, tos, datagramBytes);
      const count = Math.min(room, segmenter.remaining);
      const runBytes = segmenter.run(count, trains.takeScratch(count), trains.runIovec);
      const byteCount = count * segmenter.prefixBytes + runBytes;
      trains.commitRun(count, byteCount, byteCount < count * datagramBytes);
    }
  }

  /** Sends what {@link packet} appended. */
  flush(): void {
    this.#trains.flush(this.#nowMs);
    // A send that is refused tells what fits.
    this.#pathLink = undefined;
  }

  #findPath(link: DataLink, peer: number): void {
    this.#pathLink = link;
    this.#pathPeer = peer;
    this.#pathMtu = this.#paths.innerMtu(link, peer, this.#nowMs);
  }

  /** ARP goes to the host that owns its target address, as unicast (the kernel fan's rule). */
  #arp(link: DataLink, frame: number, byteCount: number): void {
    const { view } = this.#arena;
    const arp = frame + ETHERNET_HEADER_BYTES;
    if (byteCount < ETHERNET_HEADER_BYTES + ARP_BYTES) return this.#drop(link, RUNT, 1);
    if (checkArp(view, arp, ARP_BYTES) !== Fault.None) return this.#drop(link, MALFORMED, 1);
    const { route } = link;
    if (!route.isHere(view, arp + ARP_SENDER_ADDRESS_OFFSET)) {
      return this.#drop(link, FOREIGN_SOURCE, 1);
    }
    const sender = getArpSenderAddress(view, arp);
    link.noteSender(view, frame, sender, this.#nowMs);
    if (getArpTargetAddress(view, arp) === sender) {
      return this.#neighbours.tell(link, frame, this.#trains, this.#nowMs);
    }
    const peer = route.to(view, arp + ARP_TARGET_ADDRESS_OFFSET);
    if (peer < 0) return this.#drop(link, noPeerCounter(peer), 1);
    const start = frame - link.shimBytes;
    link.shim.emitShim(view, start, link.vni);
    this.#trains.ensureRoom(1, this.#nowMs);
    const socket = link.endpoint.sockets[0] as number;
    const bytes = link.shimBytes + ETHERNET_HEADER_BYTES + ARP_BYTES;
    this.#trains.append(link, peer, socket, 0, start, bytes);
  }
}
