/**
 * Neighbour Discovery out of a port of a layer-2 network: what it says of its sender is heard, routers speak
 * only where they may, what it asks is for questions.ts.
 * @module
 */
import { egressIndex } from '../../../table/counters.ts';
import { Snooped } from '../../../table/events.ts';
import { FdbFlag, fdbFlags } from '../../../table/fdb.ts';
import { Service } from '../../../table/flood.ts';
import { Fault } from '../../../wire/classify.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERNET_SOURCE_OFFSET,
  isGroupDestination,
} from '../../../wire/ethernet.ts';
import { IPV6_SOURCE_OFFSET, isIpv6SourceUnspecified } from '../../../wire/ipv6.ts';
import {
  ND_NEIGHBOUR_ADVERT,
  ND_NEIGHBOUR_SOLICIT,
  ND_REDIRECT,
  ND_ROUTER_ADVERT,
  ndTarget,
} from '../../../wire/six/nd.ts';
import { checkNd, ndMacAt } from '../../../wire/six/nd-link.ts';
import type { DataLink } from '../../ground/link.ts';
import type { Network } from '../../ground/network.ts';
import type { QuestionParts, Questions } from './questions.ts';

const MALFORMED = egressIndex('drop.malformed');
const BAD_MAC = egressIndex('drop.bad_mac');
const FOREIGN_SOURCE = egressIndex('drop.foreign_source');
const ROGUE_ROUTER = egressIndex('drop.rogue_router');

export class VniNd {
  readonly #parts: QuestionParts;
  readonly #questions: Questions;

  constructor(parts: QuestionParts, questions: Questions) {
    this.#parts = parts;
    this.#questions = questions;
  }

  /**
   * The message of Neighbour Discovery, `bytes` long at `l4`, in the packet in hand.
   * @param source what the FDB has of its sender
   */
  packet(link: DataLink, network: Network, l4: number, bytes: number, source: number): void {
    const { hand, forward, arena } = this.#parts;
    const questions = this.#questions;
    const { view } = arena;
    const l3 = hand.frame + ETHERNET_HEADER_BYTES;
    if (checkNd(view, l3, l4, bytes) !== Fault.None) return hand.drop(link, MALFORMED);
    const named = ndMacAt(view, l4, bytes);
    if (named >= 0 && !questions.isOwnMac(named)) return hand.drop(link, BAD_MAC);
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
    const questions = this.#questions;
    const { view } = arena;
    const isProbe = isIpv6SourceUnspecified(view, l3);
    const mac = hand.frame + ETHERNET_SOURCE_OFFSET;
    const from = l3 + IPV6_SOURCE_OFFSET;
    if (!isProbe && !claims.claim(link, network, mac, from, 16, Snooped.Nd)) {
      return hand.drop(link, FOREIGN_SOURCE);
    }
    if (!isGroupDestination(view, hand.frame) && questions.isElsewhere(network, hand.frame)) {
      return this.#parts.forward.byDestination(link, network);
    }
    questions.ask(link, network, ndTarget(l4), 16, isProbe, l4);
  }

  #advertisement(link: DataLink, network: Network, l4: number): void {
    const { hand, claims, arena } = this.#parts;
    const questions = this.#questions;
    const mac = hand.frame + ETHERNET_SOURCE_OFFSET;
    if (!claims.claim(link, network, mac, ndTarget(l4), 16, Snooped.Nd)) {
      return hand.drop(link, FOREIGN_SOURCE);
    }
    // An answer to a question of control's own comes here too: it was heard.
    if (isGroupDestination(arena.view, hand.frame) || !questions.isElsewhere(network, hand.frame)) {
      return questions.hush(link, network);
    }
    this.#parts.forward.byDestination(link, network);
  }
}
