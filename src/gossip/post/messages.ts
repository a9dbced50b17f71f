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
import { HEAD_HORIZON_MS } from '../base/limits.ts';

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

/** Tells a member that was away for so long that it is forgotten: it is dead, as far as anybody knows. */
export function longDead(node: NodeId, { epoch, sequence }: Version, accuser: NodeId): Message {
  const ageSeconds = HEAD_HORIZON_MS / 1000;
  return { type: MessageType.Dead, node, version: { epoch, sequence }, accuser, ageSeconds };
}
