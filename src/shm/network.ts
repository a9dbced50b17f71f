/**
 * What the record of a link says where the link is a layer-2 network and no fan. Numbers are append-only.
 * @module
 */

/** What a link is: a fan, or a layer-2 network. */
export const LinkKind = { Fan: 0, Vni: 1 } as const;
/** What becomes of a network's broadcast, unknown unicast and multicast. */
export const BumMode = {
  /** Dropped: every address is known. */
  None: 0,
  /** Copied to the flood targets, which are the members. */
  Replicate: 1,
  /** Copied to the flood target, which is a node that replicates for others. */
  ServiceNode: 2,
  /** As {@link Replicate}, and control is told which peer a MAC comes from. */
  Learn: 3,
} as const;
/** How strictly a network's own port is held to what is known of its senders. */
export const GuardMode = { Learn: 0, Strict: 1, Off: 2 } as const;
/** Flags of a network. */
export const NetworkFlag = {
  /** We replicate floods for its other members. */
  Replicator: 1,
  /** Control is told which questions of ARP we answered: the kernel is to answer the next ones. */
  TellsAnswers: 2,
} as const;

/** What only a layer-2 network has; a fan has zeros. */
export type NetworkWords = {
  /** One of {@link LinkKind}. */
  kind: number;
  /** One of {@link BumMode}. */
  bum: number;
  /** One of {@link GuardMode}. */
  guard: number;
  /** Some of {@link NetworkFlag}. */
  networkFlags: number;
  /** Floods a second that are let pass, each way; 0 = as many as the data path chooses. */
  floodsPerSecond: number;
};
