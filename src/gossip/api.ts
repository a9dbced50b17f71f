/**
 * What a gossip node is given and what it tells. It has no sockets, no clock and no randomness of
 * its own; all three come in here, so that the simulator runs the very same code.
 * @module
 */

import type { Endpoint, NodeId, PeerItem, RawBlock, SequenceRange } from '../wire/gossip/types.ts';

/** Blocks of one owner that are asked for. */
export type Want = { owner: NodeId; epoch: number; ranges: readonly SequenceRange[] };

/** Takes what a pull brings. `end` is called exactly once, also when nothing came. */
export type PullSink = {
  blocks(raw: RawBlock[]): void;
  end(ok: boolean): void;
};

/** The way out. Neither call may call back into the node before it has returned. */
export type GossipWire = {
  /** One datagram: `payload` at most PAYLOAD_BYTES_MAX. Lost without notice, as UDP is. */
  send(to: Endpoint, payload: Uint8Array): void;
  /** Fetches blocks over a stream from `peer`, whose `serve` answers. */
  pull(to: Endpoint, peer: NodeId, wants: Want[], done: PullSink): void;
};

export type MemberState = 'alive' | 'suspect' | 'dead' | 'left';

/** A member went from one state to another; `why` is the sentence for the log. */
export type MemberChange = {
  node: NodeId;
  name: string;
  /** `unknown` when it was not in the table before. */
  from: MemberState | 'unknown';
  /** `unknown` when it is forgotten. */
  to: MemberState | 'unknown';
  why: string;
};

/** One member as people see it. Times are ages, measured on this node's own clock. */
export type MemberView = {
  id: NodeId;
  name: string;
  state: MemberState;
  /** Where we send to it now; undefined as long as its peer record has not come. */
  endpoint: Endpoint | undefined;
  endpoints: Endpoint[];
  encaps: PeerItem['encaps'];
  mtu: number;
  vnis: number[];
  fans: PeerItem['fans'];
  /** Its software. */
  version: string;
  /** Smoothed round trip of direct probes; undefined before the first. */
  rttMs: number | undefined;
  /** Share of the last 64 direct probes that got no direct answer, 0 to 1. */
  loss: number;
  /** Since an authenticated datagram of it came; undefined when none has. */
  lastHeardMs: number | undefined;
  /** Since it is in this state. */
  sinceMs: number;
  epoch: number;
  sequence: number;
  isSelf: boolean;
};

/** The fields of a peer record that the operator or the host decides. */
export type PeerRecord = Omit<PeerItem, 'kind' | 'instance'>;

/** Times and bounds of a node; defaults in timing.ts. */
export type GossipConfig = {
  probeIntervalMs: number;
  probeTimeoutMs: number;
  gossipIntervalMs: number;
  syncIntervalMs: number;
};
