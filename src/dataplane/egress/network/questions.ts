/**
 * Who has an address? What ports of a layer-2 network ask by ARP (arp.ts) and Neighbour Discovery (nd.ts) is
 * answered at once where it is known, so that it never reaches the underlay. In this a bridge with
 * `neigh_suppress` was the model:
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
import { BumMode } from '../../../shm/network.ts';
import { egressIndex } from '../../../table/counters.ts';
import { EventKind, Snooped } from '../../../table/events.ts';
import { fdbPeer } from '../../../table/fdb.ts';
import { NeighbourFlag } from '../../../table/neighbours.ts';
import { ETHERNET_SOURCE_OFFSET } from '../../../wire/ethernet.ts';
import type { BindingAnswers } from '../../answer/bindings.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { Claims } from '../../learn/claims.ts';
import type { News } from '../../learn/news.ts';
import type { InHand } from '../../packet/in-hand.ts';
import type { Forward } from './forward.ts';

const TWO_32 = 0x1_0000_0000;

const LOCAL_DESTINATION = egressIndex('drop.local_destination');
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

  /**
   * Who has the address at `about`?
   * @param isProbe whoever asks would like to have it
   * @param at the ARP message, or that of Neighbour Discovery
   */
  ask(
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
      if (this.#isNeighbours(network, mac)) return this.hush(link, network);
      if (this.#answer(link, network, bytes, at)) {
        if (bytes === 4 && network.tellsAnswers) {
          news.tellAddress(link, EventKind.Answered, mac, about, bytes, 0);
        }
        return hand.drop(link, ANSWERED);
      }
    } else if (isProbe) {
      news.tellAddress(link, EventKind.Binding, mac, about, bytes, Snooped.Tentative);
      return this.hush(link, network);
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
  hush(link: DataLink, network: Network): void {
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
  isElsewhere(network: Network, mac: number): boolean {
    const { view } = this.#parts.arena;
    const { fdb } = network.tables;
    const entry = fdb.find(network.id, view.getUint16(mac), view.getUint32(mac + 2));
    return entry !== 0 && fdbPeer(entry) !== 0;
  }

  /** Whether the message names its frame's own source at `mac`. */
  isOwnMac(mac: number): boolean {
    const { arena, hand } = this.#parts;
    const { view } = arena;
    const own = hand.frame + ETHERNET_SOURCE_OFFSET;
    return (
      view.getUint16(mac) === view.getUint16(own) &&
      view.getUint32(mac + 2) === view.getUint32(own + 2)
    );
  }
}
