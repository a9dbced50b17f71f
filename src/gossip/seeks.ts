/**
 * Questions for addresses of a network: asked of every member that takes part in it, each by itself, and
 * taken from others. Nothing answers them but what their owner announces then. And questions for a MAC to
 * the member that has it, which are answered.
 * @module
 */

import { SEEK_ADDRESSES_MAX } from '../wire/gossip/bounds.ts';
import {
  type Endpoint,
  type GossipAddress,
  ItemKind,
  type Message,
  MessageType,
  type NodeId,
} from '../wire/gossip/types.ts';
import type { GossipEvents } from './base/api.ts';
import type { Counters } from './base/counters.ts';
import type { TableReader } from './table/table-reader.ts';

type SeekType = typeof MessageType.Seek | typeof MessageType.Witness | typeof MessageType.Testify;

export type SeeksOptions = {
  self: NodeId;
  table: () => TableReader;
  counters: Counters;
  events: GossipEvents;
  endpointOf: (member: NodeId) => Endpoint | undefined;
  send: (to: Endpoint, messages: readonly Message[]) => void;
};

export class Seeks {
  readonly #options: SeeksOptions;

  constructor(options: SeeksOptions) {
    this.#options = options;
  }

  /** Members that would be asked. */
  *#membersOf(vni: number): Generator<Endpoint> {
    const { self, table, endpointOf } = this.#options;
    for (const { owner } of table().list({ kind: ItemKind.Vtep, vni })) {
      const to = owner === self ? undefined : endpointOf(owner);
      if (to !== undefined) yield to;
    }
  }

  /** How many members would be asked for addresses of a network. */
  members(vni: number): number {
    return [...this.#membersOf(vni)].length;
  }

  /** Asks every member of a network whether these addresses are with it. */
  ask(vni: number, addresses: readonly GossipAddress[]): void {
    const messages: Message[] = [];
    for (let at = 0; at < addresses.length; at += SEEK_ADDRESSES_MAX) {
      const some = addresses.slice(at, at + SEEK_ADDRESSES_MAX);
      messages.push({ type: MessageType.Seek, vni, addresses: some });
    }
    for (const to of this.#membersOf(vni)) {
      this.#options.counters.count('seeks.sent', messages.length);
      this.#options.send(to, messages);
    }
  }

  /** Asks a member whether a MAC is still with it. False when nobody knows where it is heard. */
  askWitness(member: NodeId, vni: number, mac: number): boolean {
    this.#options.counters.count('witness.asked');
    return this.#sendTo(member, { type: MessageType.Witness, vni, mac });
  }

  /** Answers that. */
  testify(member: NodeId, vni: number, mac: number, isHere: boolean): void {
    this.#sendTo(member, { type: MessageType.Testify, vni, mac, isHere });
  }

  #sendTo(member: NodeId, message: Message): boolean {
    const to = this.#options.endpointOf(member);
    if (to === undefined) return false;
    this.#options.send(to, [message]);
    return true;
  }

  /** A member asks, or answers. */
  take(message: Extract<Message, { type: SeekType }>, from: NodeId): void {
    const { counters, events } = this.#options;
    switch (message.type) {
      case MessageType.Seek:
        counters.count('seeks.received');
        return events.sought?.({ from, vni: message.vni, addresses: message.addresses });
      case MessageType.Witness:
        counters.count('witness.received');
        return events.witness?.({ from, vni: message.vni, mac: message.mac });
      case MessageType.Testify: {
        const { vni, mac, isHere } = message;
        return events.witness?.({ from, vni, mac, isHere });
      }
    }
  }
}
