/**
 * Into a port of a layer-2 network, from a peer that control has admitted. What a frame meets, in this order:
 *
 *   1. its source MAC is that peer's, by the FDB         #judgeSource
 *   2. what speaks to the next switch only               wire/lan/control-frames.ts
 *   3. ARP, ND and IP: honest headers, and nobody else
 *      is known to have the source address
 *   4. routers and DHCP servers that may be such
 *   5. its destination is here, or the network carries
 *      what is for everybody                             #judgeDestination
 *   6. the network's rules                             policy/policy.ts
 *   7. ECN and DSCP combined, to the device
 *
 * Frames from peers teach nothing, except on a network that learns: there control is told who sends what.
 * @module
 */
import { BumMode } from '../../shm/network.ts';
import { ECN_BASE, ingressIndex } from '../../table/counters.ts';
import { EventKind, MovedTo } from '../../table/events.ts';
import { FdbFlag, fdbFlags, fdbPeer } from '../../table/fdb.ts';
import { VtepFlag, vtepFlags, vtepPeer } from '../../table/vteps.ts';
import { ARP_BYTES, ARP_SENDER_ADDRESS_OFFSET, ARP_SENDER_MAC_OFFSET } from '../../wire/arp.ts';
import {
  checkArp,
  checkIpv4,
  checkIpv4Fragment,
  checkIpv4Options,
  checkIpv4Sum,
  checkIpv6,
  Fault,
  walkIpv6,
} from '../../wire/classify.ts';
import { decapsulateTos, ecnCell, isEcnDrop } from '../../wire/ecn.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERNET_SOURCE_OFFSET,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
  isBroadcastDestination,
  isGroupDestination,
  isGroupSource,
} from '../../wire/ethernet.ts';
import {
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Tos,
  getIpv4TotalBytes,
  IPV4_HEADER_BYTES,
  isIpv4Fragment,
  PROTOCOL_TCP,
  replaceIpv4Tos,
} from '../../wire/ipv4.ts';
import {
  getIpv6PayloadBytes,
  getIpv6TrafficClass,
  IPV6_HEADER_BYTES,
  NEXT_FRAGMENT,
  replaceIpv6TrafficClass,
} from '../../wire/ipv6.ts';
import { isControlFrame, isTagged } from '../../wire/lan/control-frames.ts';
import { checkExtensions, isIpv6Fragment } from '../../wire/six/extensions.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import type { Network } from '../ground/network.ts';
import type { Claims } from '../learn/claims.ts';
import type { News } from '../learn/news.ts';
import type { Policy } from '../policy/policy.ts';
import type { Coalescer } from './coalesce.ts';
import type { DeviceWriter } from './device-writer.ts';
import type { Replicator } from './replicator.ts';
import { PASS, VniJudge } from './vni-judge.ts';

/** A MAC that was learned is told again so often while it talks, ms. */
const LEARN_AGAIN_MS = 60_000;

const RUNT = ingressIndex('drop.runt');
const MALFORMED = ingressIndex('drop.malformed');
const BAD_MAC = ingressIndex('drop.bad_mac');
const FOREIGN_MAC = ingressIndex('drop.foreign_mac');
const UNKNOWN_ETHERTYPE = ingressIndex('drop.unknown_ethertype');
const CONTROL_PROTOCOL = ingressIndex('drop.control_protocol');
const FOREIGN_SOURCE = ingressIndex('drop.foreign_source');
const FOREIGN_DESTINATION = ingressIndex('drop.foreign_destination');
const UNKNOWN_UNICAST = ingressIndex('drop.unknown_unicast');
const BROADCAST = ingressIndex('drop.broadcast');
const MULTICAST = ingressIndex('drop.multicast');
const FLOOD_LIMITED = ingressIndex('drop.flood_limited');
const TOO_BIG = ingressIndex('drop.too_big');
const POLICY = ingressIndex('drop.policy');
const ECN_NOT_CAPABLE = ingressIndex('drop.ecn_not_capable');

export type VniIngressParts = {
  arena: Arena;
  coalescer: Coalescer;
  writer: DeviceWriter;
  claims: Claims;
  news: News;
  replicator: Replicator;
  policy: Policy;
};

export class VniIngress {
  readonly #parts: VniIngressParts;
  readonly #arena: Arena;
  readonly #judge: VniJudge;
  // The frame in hand: where it begins and ends.
  #frame = 0;
  #end = 0;
  #outerTos = 0;

  constructor(parts: VniIngressParts) {
    this.#parts = parts;
    this.#arena = parts.arena;
    this.#judge = new VniJudge(parts.arena, parts.claims);
  }

  /**
   * The frame of `length` bytes at `frame` from the peer that the network was asked about last. Returns
   * the cell of the ECN table where frames with the same headers may follow by the short way, else −1.
   */
  frame(link: DataLink, frame: number, length: number, outerTos: number, nowMs: number): number {
    const { view } = this.#arena;
    const { network } = link;
    if (network === undefined) throw new TypeError(`link ${link.id} is no network`);
    this.#parts.news.nowMs = nowMs;
    this.#frame = frame;
    this.#judge.frame = frame;
    this.#end = frame + length;
    this.#outerTos = outerTos;
    this.#judge.isService = false;
    if (length < ETHERNET_HEADER_BYTES) return this.#drop(link, RUNT);
    const etherType = getEtherType(view, frame);
    const fault = this.#judgeSource(link, network, etherType);
    if (fault !== PASS) return this.#drop(link, fault);
    switch (etherType) {
      case ETHERTYPE_IPV4:
        return this.#ipv4(link, network);
      case ETHERTYPE_IPV6:
        return this.#ipv6(link, network);
      case ETHERTYPE_ARP:
        return this.#arp(link, network);
      default:
        return this.#plain(link, network, length);
    }
  }

  /** The batch is over: sends what goes on to others. */
  flush(nowMs: number): void {
    this.#parts.replicator.flush(nowMs);
  }

  #drop(link: DataLink, counter: number): number {
    link.counters[counter] = (link.counters[counter] as number) + 1;
    return PASS;
  }

  /** The counter of a frame whose sender may not send it, or PASS. */
  #judgeSource(link: DataLink, network: Network, etherType: number): number {
    const { view } = this.#arena;
    const frame = this.#frame;
    if (isGroupSource(view, frame)) return BAD_MAC;
    if (isControlFrame(view, frame, etherType)) return CONTROL_PROTOCOL;
    if (isTagged(etherType)) return UNKNOWN_ETHERTYPE;
    const { fdb } = network.tables;
    const { news } = this.#parts;
    const mac = frame + ETHERNET_SOURCE_OFFSET;
    const sender = vtepPeer(network.vtep);
    const source = fdb.find(network.id, view.getUint16(mac), view.getUint32(mac + 2));
    this.#judge.source = source;
    if (source !== 0) {
      const owner = fdbPeer(source);
      if (owner === 0) {
        // The bridge would believe that our container has moved to the tunnel; perhaps it has.
        news.tell(link, EventKind.Moved, mac, sender, MovedTo.Peer);
        return BAD_MAC;
      }
      if (owner === sender || network.tables.peers.plainOf(owner) === sender) {
        if (network.bum === BumMode.Learn && (fdbFlags(source) & FdbFlag.Learned) !== 0) {
          news.tell(link, EventKind.RemoteMac, mac, sender, 0, LEARN_AGAIN_MS);
        }
        return PASS;
      }
      const isFloodOfOthers =
        (vtepFlags(network.vtep) & VtepFlag.Replicator) !== 0 && isGroupDestination(view, frame);
      if (isFloodOfOthers) return PASS;
      if ((fdbFlags(source) & FdbFlag.Learned) === 0) return FOREIGN_MAC;
    }
    if (network.bum !== BumMode.Learn) return FOREIGN_MAC;
    news.tell(link, EventKind.RemoteMac, mac, sender, 0);
    return PASS;
  }

  /** The counter of a frame that is not for us, or PASS. */
  #judgeDestination(link: DataLink, network: Network): number {
    const { view } = this.#arena;
    const frame = this.#frame;
    if (!isGroupDestination(view, frame)) {
      const { fdb } = network.tables;
      const entry = fdb.find(network.id, view.getUint16(frame), view.getUint32(frame + 2));
      if (entry === 0) return network.bum === BumMode.None ? UNKNOWN_UNICAST : PASS;
      return fdbPeer(entry) === 0 ? PASS : FOREIGN_DESTINATION;
    }
    if (network.bum === BumMode.None && !this.#judge.isService) {
      return isBroadcastDestination(view, frame) ? BROADCAST : MULTICAST;
    }
    const { news, replicator } = this.#parts;
    if (!network.floodsIn.take(news.nowMs)) return FLOOD_LIMITED;
    if (network.isReplicator && !this.#judge.isService) {
      replicator.copy(link, network, frame, this.#end - frame, news.nowMs);
    }
    return PASS;
  }

  /** Whether the network's rules let the IP packet in hand pass. */
  #isAllowed(network: Network, protocol: number): boolean {
    const { headerBytes, totalBytes, isFragment } = this.#judge;
    const { policy } = this.#parts;
    return policy.mayPass(network, this.#frame, headerBytes, totalBytes, protocol, isFragment);
  }

  /** A frame that is neither ARP nor IP. */
  #plain(link: DataLink, network: Network, length: number): number {
    if (length - ETHERNET_HEADER_BYTES > link.innerMtu) return this.#drop(link, TOO_BIG);
    const fault = this.#judgeDestination(link, network);
    if (fault !== PASS) return this.#drop(link, fault);
    this.#parts.coalescer.pushPlain(link, this.#frame, length);
    return PASS;
  }

  #arp(link: DataLink, network: Network): number {
    const { view } = this.#arena;
    const arp = this.#frame + ETHERNET_HEADER_BYTES;
    if (this.#end - arp < ARP_BYTES) return this.#drop(link, RUNT);
    if (checkArp(view, arp, ARP_BYTES) !== Fault.None) return this.#drop(link, MALFORMED);
    const named = arp + ARP_SENDER_MAC_OFFSET;
    if (!this.#judge.isSource(named)) return this.#drop(link, FOREIGN_MAC);
    if (!this.#parts.claims.isFree(network, named, arp + ARP_SENDER_ADDRESS_OFFSET, 4)) {
      return this.#drop(link, FOREIGN_SOURCE);
    }
    const fault = this.#judgeDestination(link, network);
    if (fault !== PASS) return this.#drop(link, fault);
    this.#parts.coalescer.pushPlain(link, this.#frame, ETHERNET_HEADER_BYTES + ARP_BYTES);
    return PASS;
  }

  #ipv4(link: DataLink, network: Network): number {
    const { view } = this.#arena;
    const l3 = this.#frame + ETHERNET_HEADER_BYTES;
    const available = this.#end - l3;
    if (available < IPV4_HEADER_BYTES) return this.#drop(link, RUNT);
    const isFragment = isIpv4Fragment(view, l3);
    if (
      checkIpv4(view, l3, available) !== Fault.None ||
      checkIpv4Sum(view, l3) !== Fault.None ||
      (getIpv4HeaderBytes(view, l3) !== IPV4_HEADER_BYTES &&
        checkIpv4Options(view, l3) !== Fault.None) ||
      (isFragment && checkIpv4Fragment(view, l3) !== Fault.None)
    ) {
      return this.#drop(link, MALFORMED);
    }
    const headerBytes = getIpv4HeaderBytes(view, l3);
    const totalBytes = getIpv4TotalBytes(view, l3);
    const protocol = getIpv4Protocol(view, l3);
    const judge = this.#judge;
    judge.headerBytes = headerBytes;
    judge.totalBytes = totalBytes;
    judge.isFragment = isFragment;
    const fault = judge.ip(link, network, l3, protocol);
    if (fault !== PASS) return this.#drop(link, fault);
    const { coalescer } = this.#parts;
    const mayCut = protocol === PROTOCOL_TCP || coalescer.innerSegmentBytes > 0;
    if (totalBytes > link.innerMtu && (!mayCut || isFragment)) return this.#drop(link, TOO_BIG);
    const innerTos = getIpv4Tos(view, l3);
    const cell = ecnCell(innerTos, this.#outerTos);
    link.counters[ECN_BASE + cell] = (link.counters[ECN_BASE + cell] as number) + 1;
    if (isEcnDrop(cell)) return this.#drop(link, ECN_NOT_CAPABLE);
    const destination = this.#judgeDestination(link, network);
    if (destination !== PASS) return this.#drop(link, destination);
    if (!this.#isAllowed(network, protocol)) return this.#drop(link, POLICY);
    const tos = decapsulateTos(link.dscpMode, innerTos, this.#outerTos);
    if (tos !== innerTos) replaceIpv4Tos(view, l3, tos);
    const frameBytes = l3 + totalBytes - this.#frame;
    if (isGroupDestination(view, this.#frame)) {
      this.#parts.writer.writeAlone(link, this.#frame, frameBytes, l3, headerBytes);
      return PASS;
    }
    // Padding behind the packet (short Ethernet frames) is left off.
    coalescer.push(link, this.#frame, frameBytes, l3, headerBytes);
    // With the TOS rewritten, the next header as it arrived will not equal this one.
    return tos === innerTos ? cell : PASS;
  }

  #ipv6(link: DataLink, network: Network): number {
    const { view } = this.#arena;
    const l3 = this.#frame + ETHERNET_HEADER_BYTES;
    const { coalescer } = this.#parts;
    const available = this.#end - l3;
    if (available < IPV6_HEADER_BYTES) return this.#drop(link, RUNT);
    if (checkIpv6(view, l3, available) !== Fault.None) return this.#drop(link, MALFORMED);
    const chain = walkIpv6(view, l3);
    if (chain < 0) return this.#drop(link, MALFORMED);
    const protocol = chain >>> 16;
    const headerBytes = chain & 0xffff;
    const totalBytes = IPV6_HEADER_BYTES + getIpv6PayloadBytes(view, l3);
    const hasMore = headerBytes !== IPV6_HEADER_BYTES || protocol === NEXT_FRAGMENT;
    if (hasMore && checkExtensions(view, l3, chain) !== Fault.None) {
      return this.#drop(link, MALFORMED);
    }
    const isFragment = hasMore && isIpv6Fragment(view, l3, headerBytes);
    const judge = this.#judge;
    judge.headerBytes = headerBytes;
    judge.totalBytes = totalBytes;
    judge.isFragment = isFragment;
    const fault = judge.ip(link, network, l3, protocol);
    if (fault !== PASS) return this.#drop(link, fault);
    const mayCut = !hasMore && (protocol === PROTOCOL_TCP || coalescer.innerSegmentBytes > 0);
    if (totalBytes > link.innerMtu && !mayCut) return this.#drop(link, TOO_BIG);
    const inner = getIpv6TrafficClass(view, l3);
    const cell = ecnCell(inner, this.#outerTos);
    link.counters[ECN_BASE + cell] = (link.counters[ECN_BASE + cell] as number) + 1;
    if (isEcnDrop(cell)) return this.#drop(link, ECN_NOT_CAPABLE);
    const destination = this.#judgeDestination(link, network);
    if (destination !== PASS) return this.#drop(link, destination);
    if (!this.#isAllowed(network, protocol)) return this.#drop(link, POLICY);
    const tos = decapsulateTos(link.dscpMode, inner, this.#outerTos);
    if (tos !== inner) replaceIpv6TrafficClass(view, l3, tos);
    const frameBytes = l3 + totalBytes - this.#frame;
    if (isGroupDestination(view, this.#frame)) {
      this.#parts.writer.writeAlone(link, this.#frame, frameBytes, l3, headerBytes);
      return PASS;
    }
    coalescer.push(link, this.#frame, frameBytes, l3, headerBytes);
    return tos === inner ? cell : PASS;
  }
}
