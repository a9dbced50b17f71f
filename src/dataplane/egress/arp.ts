/**
 * ARP out of our own device: it goes to the host that owns its target address, as unicast (the kernel
 * fan's rule); word of an address of ours goes to those that have asked for it.
 * @module
 */
import { egressIndex } from '../../table/counters.ts';
import {
  ARP_BYTES,
  ARP_SENDER_ADDRESS_OFFSET,
  ARP_TARGET_ADDRESS_OFFSET,
  getArpSenderAddress,
  getArpTargetAddress,
} from '../../wire/arp.ts';
import { checkArp, Fault } from '../../wire/classify.ts';
import { ETHERNET_HEADER_BYTES } from '../../wire/ethernet.ts';
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

export class ArpEgress {
  readonly #arena: Arena;
  readonly #neighbours: Neighbours;
  readonly #trains: Trains;
  readonly #wrap: Wrap;

  constructor(arena: Arena, neighbours: Neighbours, trains: Trains, wrap: Wrap) {
    this.#arena = arena;
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
    this.#wrap.sendPlain(link, frame, ETHERNET_HEADER_BYTES + ARP_BYTES, peer, link.vni);
  }
}
