/**
 * Where nodes are: members by their records, and senders who are not in the table yet by where
 * their datagrams came from, so that they can be asked who they are.
 * @module
 */

import type { Endpoint, NodeId } from '../../wire/gossip/types.ts';
import { MEMBERS_MAX } from '../base/limits.ts';
import { endpointOf, type Members } from './members.ts';

export class Directory {
  readonly #self: NodeId;
  readonly #members: Members;
  readonly #visitors = new Map<NodeId, Endpoint>();

  constructor(self: NodeId, members: Members) {
    this.#self = self;
    this.#members = members;
  }

  /** Senders who are not in the table. */
  get visitorCount(): number {
    return this.#visitors.size;
  }

  endpointOf(node: NodeId): Endpoint | undefined {
    const member = this.#members.get(node);
    return (member && endpointOf(member)) ?? this.#visitors.get(node);
  }

  /** A datagram of `sender` came. @returns whether it is the first of one who is not known. */
  note(sender: NodeId, from: Endpoint): boolean {
    const isFirst = !this.#visitors.delete(sender);
    if (sender === this.#self || this.#members.get(sender) !== undefined) return false;
    if (this.#visitors.size >= MEMBERS_MAX) {
      const oldest = this.#visitors.keys().next().value;
      if (oldest !== undefined) this.#visitors.delete(oldest);
    }
    this.#visitors.set(sender, from);
    return isFirst;
  }
}
