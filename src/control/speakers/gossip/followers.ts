/**
 * Who follows a gossip node: whatever makes claims of what members announce.
 * @module
 */
import type { EntryEvent, SoughtEvent, WitnessEvent } from '../../../gossip/base/api.ts';
import type { GossipNode } from '../../../gossip/node.ts';
import type { NodeId } from '../../../wire/gossip/types.ts';

export type NodeFollower = {
  /** The node whose table counts from now on, before it begins; undefined = there is none. */
  follow(node: GossipNode | undefined): void;
  /** Something else counts for the key of an announcement, or nothing. */
  entryChanged(change: EntryEvent): void;
  /** What an owner says of itself may be another. */
  recordChanged?(owner: NodeId): void;
  /** A member looks for workloads of a network. */
  sought?(question: SoughtEvent): void;
  /** A member asks whether a MAC is here, or answers. */
  witness?(word: WitnessEvent): void;
  /** Links may have come, gone or changed. */
  refresh(): void;
  close(): void;
};

/** Several as one. */
export function allFollowers(followers: readonly NodeFollower[]): Required<NodeFollower> {
  const each = (tell: (follower: NodeFollower) => void): void => {
    for (const follower of followers) tell(follower);
  };
  return {
    follow: (node) => each((one) => one.follow(node)),
    entryChanged: (change) => each((one) => one.entryChanged(change)),
    recordChanged: (owner) => each((one) => one.recordChanged?.(owner)),
    sought: (question) => each((one) => one.sought?.(question)),
    witness: (word) => each((one) => one.witness?.(word)),
    refresh: () => each((one) => one.refresh()),
    close: () => each((one) => one.close()),
  };
}
