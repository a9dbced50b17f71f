/**
 * Messages that are made in more than one place.
 * @module
 */

import {
  type Block,
  ItemKind,
  type Message,
  MessageType,
  type NodeId,
  type SignedBlock,
  type Version,
} from '../../wire/gossip/types.ts';

/** A block for somebody else. */
export function blocksOf({ body, signature }: SignedBlock): Message {
  return { type: MessageType.Blocks, blocks: [{ body, signature }] };
}

/** Asks for one block. */
export function wantOf(owner: NodeId, { epoch, sequence }: Version): Message {
  return { type: MessageType.Want, owner, epoch, ranges: [[sequence, sequence]] };
}

/** Whether a block says who its owner is. */
export function hasPeer({ items }: Block): boolean {
  return items.some((item) => item.kind === ItemKind.Peer);
}
