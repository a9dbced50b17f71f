/**
 * The way that a packet takes through the underlay: which address of its peer, from which of our sockets
 * (and so which source port), and with which marks in the outer header. One object for all packets.
 * @module
 */
import { encapsulateTos } from '../../../wire/ecn.ts';
import { flowHash } from '../../../wire/flow-hash.ts';
import { getIpVersion } from '../../../wire/ipv4.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataEndpoint, DataLink } from '../../ground/link.ts';
import { SourcePorts } from '../../ground/source-ports.ts';
import type { InHand } from '../../packet/in-hand.ts';
import { marksOf } from '../../send/train-columns.ts';

export class OuterWay {
  readonly #view: DataView;
  readonly #sourcePorts: SourcePorts;
  #endpoint: DataEndpoint | undefined;
  /** The peer, the socket, and TOS byte with flow label of the outer header. */
  peer = 0;
  socket = 0;
  marks = 0;

  /** @param isAlone whether no other data process serves the same links */
  constructor(arena: Arena, isAlone: boolean) {
    this.#view = arena.view;
    this.#sourcePorts = new SourcePorts(isAlone);
  }

  nextBurst(): void {
    this.#sourcePorts.nextBurst();
  }

  /** Where a link has several underlays: the peer in hand is at its address on one of them from now on. */
  choose(link: DataLink, hand: InHand, nowMs: number): void {
    const { ways } = link;
    this.#endpoint = link.endpoint;
    if (ways !== undefined) {
      hand.peer = ways.choose(this.#view, hand.frame, hand.peer, hand.segments, nowMs);
      this.#endpoint = ways.endpoint;
    }
    this.peer = hand.peer;
  }

  /** Finds socket and marks for the packet in hand, by the endpoint that was chosen. */
  leave(link: DataLink, hand: InHand, nowMs: number): void {
    const { sockets, isRaw } = this.#endpoint ?? link.endpoint;
    const { l3 } = hand;
    const count = link.ways?.isFixed === true ? 1 : sockets.length;
    // The first socket listens; the others are the pool of source ports, or the raw one of IPv6.
    let index = 0;
    if (count > 1 && isRaw) index = getIpVersion(this.#view, l3) === 6 ? 1 : 0;
    else if (count > 1) {
      const hash = flowHash(this.#view, l3);
      index = 1 + this.#sourcePorts.choose(hash, count - 1, hand.l4Bytes !== 0, nowMs);
    }
    this.socket = sockets[index] as number;
    const tos = encapsulateTos(link.dscpMode, hand.tos);
    const saysFlowLabel = link.endpoint.saysFlowLabel;
    this.marks = saysFlowLabel ? marksOf(tos, flowHash(this.#view, l3) >>> 12) : tos;
  }

  /** The way of a frame that goes as it is to `peer`, from the port that listens. */
  usual(link: DataLink, peer: number, nowMs: number): void {
    const { ways } = link;
    this.peer = ways === undefined ? peer : ways.usual(peer, nowMs);
    this.socket = (ways ?? link).endpoint.sockets[0] as number;
    this.marks = 0;
  }
}
