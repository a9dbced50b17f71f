/**
 * ARP out of a port of a layer-2 network: what it says of its sender is heard, what it asks is for
 * questions.ts.
 * @module
 */
import { egressIndex } from '../../../table/counters.ts';
import { Snooped } from '../../../table/events.ts';
import {
  ARP_BYTES,
  ARP_REPLY,
  ARP_SENDER_ADDRESS_OFFSET,
  ARP_SENDER_MAC_OFFSET,
  ARP_TARGET_ADDRESS_OFFSET,
  getArpOperation,
  getArpSenderAddress,
  getArpTargetAddress,
} from '../../../wire/arp.ts';
import { checkArp, Fault } from '../../../wire/classify.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERNET_SOURCE_OFFSET,
  isGroupDestination,
} from '../../../wire/ethernet.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { QuestionParts, Questions } from './questions.ts';

const RUNT = egressIndex('drop.runt');
const MALFORMED = egressIndex('drop.malformed');
const BAD_MAC = egressIndex('drop.bad_mac');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');

export class VniArp {
  readonly #parts: QuestionParts;
  readonly #questions: Questions;

  constructor(parts: QuestionParts, questions: Questions) {
    this.#parts = parts;
    this.#questions = questions;
  }

  /** The ARP message in hand. */
  packet(link: DataLink, network: Network): void {
    const { hand, claims, arena } = this.#parts;
    const questions = this.#questions;
    const { view } = arena;
    const arp = hand.frame + ETHERNET_HEADER_BYTES;
    if (hand.byteCount < ETHERNET_HEADER_BYTES + ARP_BYTES) return hand.drop(link, RUNT);
    if (checkArp(view, arp, ARP_BYTES) !== Fault.None) return hand.drop(link, MALFORMED);
    if (!questions.isOwnMac(arp + ARP_SENDER_MAC_OFFSET)) return hand.drop(link, BAD_MAC);
    hand.plainBytes = ETHERNET_HEADER_BYTES + ARP_BYTES;
    const mac = hand.frame + ETHERNET_SOURCE_OFFSET;
    const from = arp + ARP_SENDER_ADDRESS_OFFSET;
    const about = arp + ARP_TARGET_ADDRESS_OFFSET;
    const sender = getArpSenderAddress(view, arp);
    const isProbe = sender === 0;
    if (!isProbe && !claims.claim(link, network, mac, from, 4, Snooped.Arp)) {
      return hand.drop(link, FOREIGN_SOURCE);
    }
    if (!isGroupDestination(view, hand.frame) && questions.isElsewhere(network, hand.frame)) {
      return this.#parts.forward.byDestination(link, network);
    }
    const isAnnouncement =
      getArpOperation(view, arp) === ARP_REPLY || sender === getArpTargetAddress(view, arp);
    if (isAnnouncement) return questions.hush(link, network);
    questions.ask(link, network, about, 4, isProbe, arp);
  }
}
