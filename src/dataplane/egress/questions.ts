/**
 * ARP and Neighbour Discovery out of a port of a layer-2 network: what they say of the sender is heard, and
 * what they ask is answered at once where it is known, so that it never reaches the underlay. In this a
 * bridge with `neigh_suppress` was the model:
 *
 * - an answer is given for an address whose MAC is known to be at a peer, never for one at our own bridge
 *   (that answers itself), never to the one that has it;
 * - announcements (gratuitous ARP, probes, duplicate address detection, unsolicited advertisements) are
 *   for control: who is elsewhere hears of them through it;
 * - what one station asks another by unicast, to see whether it is there still, is carried.
 *
 * On a network that learns from frames there is no control plane to tell: announcements are flooded.
 * @module
 */
import { BumMode } from '../../shm/network.ts';
import { egressIndex } from '../../table/counters.ts';
import { EventKind, Snooped } from '../../table/events.ts';
import { FdbFlag, fdbFlags, fdbPeer } from '../../table/fdb.ts';
import { Service } from '../../table/flood.ts';
import { NeighbourFlag } from '../../table/neighbours.ts';
import {
  ARP_BYTES,
  ARP_REPLY,
  ARP_SENDER_ADDRESS_OFFSET,
  ARP_SENDER_MAC_OFFSET,
  ARP_TARGET_ADDRESS_OFFSET,
  getArpOperation,
  getArpSenderAddress,
  getArpTargetAddress,
} from '../../wire/arp.ts';
import { checkArp, Fault } from '../../wire/classify.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERNET_SOURCE_OFFSET,
  isGroupDestination,
} from '../../wire/ethernet.ts';
import { IPV6_SOURCE_OFFSET, isIpv6SourceUnspecified } from '../../wire/ipv6.ts';
import {
  ND_NEIGHBOUR_ADVERT,
  ND_NEIGHBOUR_SOLICIT,
  ND_REDIRECT,
  ND_ROUTER_ADVERT,
  ndTarget,
} from '../../wire/six/nd.ts';
import { checkNd, ndMacAt } from '../../wire/six/nd-link.ts';
import type { BindingAnswers } from '../answer/bindings.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import type { Network } from '../ground/network.ts';
import type { Claims } from '../learn/claims.ts';
import type { News } from '../learn/news.ts';
import type { Forward } from './forward.ts';
import type { InHand } from './in-hand.ts';

const TWO_32 = 0x1_0000_0000;

const RUNT = egressIndex('drop.runt');
const MALFORMED = egressIndex('drop.malformed');
const BAD_MAC = egressIndex('drop.bad_mac');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');
const LOCAL_DESTINATION = egressIndex('drop.local_destination');
const ROGUE_ROUTER = egressIndex('drop.rogue_router');
const ANSWERED = egressIndex('drop.answered');
const SUPPRESSED = egressIndex('drop.suppressed');
const UNKNOWN_NEIGHBOUR = egressIndex('drop.unknown_neighbour');

/** What the questions need of the loop. */
export type QuestionParts = {
  arena: Arena;
  hand: InHand;
  forward: Forward;
  claims: Claims;
  news: News;
  answers: BindingAnswers;
};

export class Questions {
  readonly #parts: QuestionParts;

  constructor(parts: QuestionParts) {
    this.#parts = parts;
  }

  /** The ARP message in hand. */
  arp(link: DataLink, network: Network): void {
    const { hand, claims, arena } = this.#parts;
    const { view } = arena;
    const arp = hand.frame + ETHERNET_HEADER_BYTES;
    if (hand.byteCount < ETHERNET_HEADER_BYTES + ARP_BYTES) return hand.drop(link, RUNT);
    if (checkArp(view, arp, ARP_BYTES) !== Fault.None) return hand.drop(link, MALFORMED);
    if (!this.#isOwnMac(arp + ARP_SENDER_MAC_OFFSET)) return hand.drop(link, BAD_MAC);
    hand.plainBytes = ETHERNET_HEADER_BYTES + ARP_BYTES;
    const mac = hand.frame + ETHERNET_SOURCE_OFFSET;
    const from = arp + ARP_SENDER_ADDRESS_OFFSET;
    const about = arp + ARP_TARGET_ADDRESS_OFFSET;
    const sender = getArpSenderAddress(view, arp);
    const isProbe = sender === 0;
    if (!isProbe && !claims.claim(link, network, mac, from, 4, Snooped.Arp)) {
      return hand.drop(link, FOREIGN_SOURCE);
    }
    if (!isGroupDestination(view, hand.frame) && this.#isElsewhere(network, hand.frame)) {
      return this.#parts.forward.byDestination(link, network);
    }
    const isAnnouncement =
      getArpOperation(view, arp) === ARP_REPLY || sender === getArpTargetAddress(view, arp);
    if (isAnnouncement) return this.#hush(link, network);
    this.#ask(link, network, about, 4, isProbe, arp);
  }

  /**
   * The message of Neighbour Discovery, `bytes` long at `l4`, in the packet in hand.
   * @param source what the FDB has of its sender
   */
  nd(link: DataLink, network: Network, l4: number, bytes: number, source: number): void {
    const { hand, forward, arena } = this.#parts;
    const { view } = arena;
    const l3 = hand.frame + ETHERNET_HEADER_BYTES;
    if (checkNd(view, l3, l4, bytes) !== Fault.None) return hand.drop(link, MALFORMED);
    const named = ndMacAt(view, l4, bytes);
    if (named >= 0 && !this.#isOwnMac(named)) return hand.drop(link, BAD_MAC);
    switch (view.getUint8(l4)) {
      case ND_ROUTER_ADVERT:
      case ND_REDIRECT:
        if ((fdbFlags(source) & FdbFlag.Router) === 0) return hand.drop(link, ROGUE_ROUTER);
        return forward.ofRouter(link, network);
      case ND_NEIGHBOUR_SOLICIT:
        return this.#solicitation(link, network, l3, l4);
      case ND_NEIGHBOUR_ADVERT:
        return this.#advertisement(link, network, l4);
      default:
        if (!isGroupDestination(view, hand.frame)) return forward.byDestination(link, network);
        return forward.toService(link, network, Service.Router);
    }
  }

  #solicitation(link: DataLink, network: Network, l3: number, l4: number): void {
    const { hand, claims, arena } = this.#parts;
    const { view } = arena;
    const isProbe = isIpv6SourceUnspecified(view, l3);
    const mac = hand.frame + ETHERNET_SOURCE_OFFSET;
    const from = l3 + IPV6_SOURCE_OFFSET;
    if (!isProbe && !claims.claim(link, network, mac, from, 16, Snooped.Nd)) {
      return hand.drop(link, FOREIGN_SOURCE);
    }
    if (!isGroupDestination(view, hand.frame) && this.#isElsewhere(network, hand.frame)) {
      return this.#parts.forward.byDestination(link, network);
    }
    this.#ask(link, network, ndTarget(l4), 16, isProbe, l4);
  }

  #advertisement(link: DataLink, network: Network, l4: number): void {
    const { hand, claims, arena } = this.#parts;
    const mac = hand.frame + ETHERNET_SOURCE_OFFSET;
    if (!claims.claim(link, network, mac, ndTarget(l4), 16, Snooped.Nd)) {
      return hand.drop(link, FOREIGN_SOURCE);
    }
    // An answer to a question of control's own comes here too: it was heard.
    if (isGroupDestination(arena.view, hand.frame) || !this.#isElsewhere(network, hand.frame)) {
      return this.#hush(link, network);
    }
    this.#parts.forward.byDestination(link, network);
  }

  /**
   * Who has the address at `about`?
   * @param isProbe whoever asks would like to have it
   * @param at the ARP message, or that of Neighbour Discovery
   */
  #ask(
    link: DataLink,
    network: Network,
    about: number,
    bytes: 4 | 16,
    isProbe: boolean,
    at: number,
  ): void {
    const { hand, news, forward } = this.#parts;
    const mac = hand.frame + ETHERNET_SOURCE_OFFSET;
    const { neighbours } = network.tables;
    if (this.#isKnown(network, about, bytes)) {
      if ((neighbours.flags & NeighbourFlag.Local) !== 0) return hand.drop(link, LOCAL_DESTINATION);
      if (this.#isNeighbours(network, mac)) return this.#hush(link, network);
      if (this.#answer(link, network, bytes, at)) return hand.drop(link, ANSWERED);
    } else if (isProbe) {
      news.tellAddress(link, EventKind.Binding, mac, about, bytes, Snooped.Tentative);
      return this.#hush(link, network);
    } else {
      news.tellAddress(link, EventKind.Miss, mac, about, bytes, 0);
    }
    if (network.bum === BumMode.None) return hand.drop(link, UNKNOWN_NEIGHBOUR);
    forward.byDestination(link, network);
  }

  /** Answers for the neighbour that was just found, if it is at a peer. */
  #answer(link: DataLink, network: Network, bytes: 4 | 16, at: number): boolean {
    const { hand, answers, news } = this.#parts;
    const { fdb, neighbours } = network.tables;
    const { macHigh, macLow, flags } = neighbours;
    const entry = fdb.find(network.id, macHigh, macLow);
    if (entry === 0 || fdbPeer(entry) === 0) return false;
    const mac = macHigh * TWO_32 + macLow;
    if (bytes === 4) return answers.arp(link, at, mac, news.nowMs);
    const isRouter = (flags & NeighbourFlag.Router) !== 0;
    return answers.nd(link, hand.frame, at, mac, isRouter, news.nowMs);
  }

  /** What is for all to hear: control has heard it, and tells those who are elsewhere. */
  #hush(link: DataLink, network: Network): void {
    if (network.bum === BumMode.Learn) return this.#parts.forward.byDestination(link, network);
    this.#parts.hand.drop(link, SUPPRESSED);
  }

  #isKnown(network: Network, address: number, bytes: 4 | 16): boolean {
    const { view } = this.#parts.arena;
    const { neighbours } = network.tables;
    if (bytes === 4) return neighbours.findIpv4(network.id, view.getUint32(address));
    return neighbours.findIpv6(network.id, view, address);
  }

  /** Whether the neighbour that was just found has the MAC at `mac`. */
  #isNeighbours(network: Network, mac: number): boolean {
    const { view } = this.#parts.arena;
    const { macHigh, macLow } = network.tables.neighbours;
    return macLow === view.getUint32(mac + 2) && macHigh === view.getUint16(mac);
  }

  /** Whether the MAC at `mac` is at a peer. */
  #isElsewhere(network: Network, mac: number): boolean {
    const { view } = this.#parts.arena;
    const { fdb } = network.tables;
    const entry = fdb.find(network.id, view.getUint16(mac), view.getUint32(mac + 2));
    return entry !== 0 && fdbPeer(entry) !== 0;
  }

  /** Whether the message names its frame's own source at `mac`. */
  #isOwnMac(mac: number): boolean {
    const { arena, hand } = this.#parts;
    const { view } = arena;
    const own = hand.frame + ETHERNET_SOURCE_OFFSET;
    return (
      view.getUint16(mac) === view.getUint16(own) &&
      view.getUint32(mac + 2) === view.getUint32(own + 2)
    );
  }
}
