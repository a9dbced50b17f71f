/**
 * ARP out of our own device: it goes to the host that owns its target address, as unicast (the kernel
 * fan's rule); word of an address of ours goes to those that have asked for it. Where MACs follow from
 * addresses (net/mac.ts), the question is answered here.
 * @module
 */
import { macFromIpv4 } from '../../net/mac.ts';
import { egressIndex } from '../../table/counters.ts';
import {
  ARP_BYTES,
  ARP_REQUEST,
  ARP_SENDER_ADDRESS_OFFSET,
  ARP_TARGET_ADDRESS_OFFSET,
  getArpOperation,
  getArpSenderAddress,
  getArpTargetAddress,
} from '../../wire/arp.ts';
import { checkArp, Fault } from '../../wire/classify.ts';
import { ETHERNET_HEADER_BYTES, isGroupDestination } from '../../wire/ethernet.ts';
import { BindingAnswers } from '../answer/bindings.ts';
import type { Neighbours } from '../answer/neighbours.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { noPeerCounter } from '../ground/route.ts';
import type { InHand } from '../packet/in-hand.ts';
import type { Trains } from '../send/trains.ts';
import type { Wrap } from './wrap/wrap.ts';

const RUNT = egressIndex('drop.runt');
const MALFORMED = egressIndex('drop.malformed');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');
const ANSWERED = egressIndex('drop.answered');

export class ArpEgress {
  readonly #arena: Arena;
  readonly #answers: BindingAnswers;
  readonly #neighbours: Neighbours;
  readonly #trains: Trains;
  readonly #wrap: Wrap;

  constructor(arena: Arena, neighbours: Neighbours, trains: Trains, wrap: Wrap) {
    this.#arena = arena;
    this.#answers = new BindingAnswers(arena);
    this.#neighbours = neighbours;
    this.#trains = trains;
    this.#wrap = wrap;
  }

  /** Decides about the message in hand. */
  packet(link: DataLink, hand: InHand, nowMs: number): void {
    const { view } = this.#arena;
    const { frame } = hand;
    const arp = frame + ETHERNET_HEADER_BYTES;
    if (hand.byteCount < ETHERNET_HEADER_BYTES + ARP_BYTES) return hand.dropOne(link, RUNT);
    if (checkArp(view, arp, ARP_BYTES) !== Fault.None) return hand.dropOne(link, MALFORMED);
    const { route } = link;
    if (!route.isHere(view, arp + ARP_SENDER_ADDRESS_OFFSET)) {
      return hand.dropOne(link, FOREIGN_SOURCE);
    }
    const sender = getArpSenderAddress(view, arp);
    link.noteSender(view, frame, sender, nowMs);
    if (getArpTargetAddress(view, arp) === sender) {
      return this.#neighbours.tell(link, frame, this.#trains, nowMs);
    }
    const peer = route.to(view, arp + ARP_TARGET_ADDRESS_OFFSET);
    if (peer < 0) return hand.dropOne(link, noPeerCounter(peer));
    if (link.derivesMacs && this.#answer(link, frame, nowMs)) return hand.dropOne(link, ANSWERED);
    this.#wrap.sendPlain(link, frame, ETHERNET_HEADER_BYTES + ARP_BYTES, peer, link.vni);
  }
  /**
   * Answers a question to all in the name of the one that has the address. A host's own address is its bridge's,
   * whose MAC is another; and what is asked by unicast is whether somebody is there still.
   */
  #answer(link: DataLink, frame: number, nowMs: number): boolean {
    const { view } = this.#arena;
    const arp = frame + ETHERNET_HEADER_BYTES;
    if (getArpOperation(view, arp) !== ARP_REQUEST || !isGroupDestination(view, frame))
      return false;
    const target = getArpTargetAddress(view, arp);
    if (target === link.route.farGateway(view, arp + ARP_TARGET_ADDRESS_OFFSET)) return false;
    return this.#answers.arp(link, arp, macFromIpv4(target), nowMs);
  }
}
