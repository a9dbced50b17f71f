/**
 * What a gossip node is given and what it tells. It has no sockets, no clock and no randomness of
 * its own; all three come in here, so that the simulator runs the very same code.
 * @module
 */

import type {
  Announcement,
  Endpoint,
  GossipAddress,
  NodeId,
  PeerItem,
  RawBlock,
  SequenceRange,
  UnderlayItem,
} from '../../wire/gossip/types.ts';
import type { Counters } from './counters.ts';
import type { Signer, Verifier } from './signer.ts';

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
  /** Where it says that it is beside the first underlay of its links. */
  underlays: readonly UnderlayItem[];
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

/** An announcement that holds: of all active owners of its key this one won. */
export type EntryView = {
  item: Announcement;
  owner: NodeId;
  ownerName: string;
};

/** An entry holds from now on (also when its owner changed), or nobody announces its key now. */
export type EntryEvent =
  | { type: 'set'; item: Announcement; owner: NodeId; before: NodeId | undefined }
  | { type: 'cleared'; item: Announcement; owner: NodeId };

/** Two active nodes claim what only one can have. */
export type ConflictView = {
  what: 'node-id' | 'underlay-address' | 'endpoint' | 'fan-slice' | 'mac' | 'address' | 'prefix';
  /** The thing itself, readable. */
  subject: string;
  winner: NodeId;
  winnerName: string;
  loser: NodeId;
  loserName: string;
  /** What people can do about it, where that is known. */
  advice?: string;
};
export type ConflictEvent = ConflictView & { over: boolean };

/** Addresses of workloads that the member `from` looks for in network `vni`. */
export type SoughtEvent = { from: NodeId; vni: number; addresses: readonly GossipAddress[] };

/** A MAC of network `vni` that the member `from` sees: it asks, or says whether it is still there. */
export type WitnessEvent = { from: NodeId; vni: number; mac: number; isHere?: boolean };

export type GossipEvents = {
  member(change: MemberChange): void;
  entry(change: EntryEvent): void;
  /** What an owner, this node included, says of itself may be another; ask the node after the call. */
  record?(owner: NodeId): void;
  /** A member looks for workloads of a network. */
  sought?(question: SoughtEvent): void;
  /** A member asks whether a MAC is still here, or answers that (`isHere` is there). */
  witness?(word: WitnessEvent): void;
  conflict(change: ConflictEvent): void;
  /** A line for the log that is none of the above. */
  log(line: string): void;
};

/** Times of a node, ms. */
export type GossipConfig = {
  /** How often each node probes. */
  probeIntervalMs: number;
  /** How long a direct answer may take. */
  probeTimeoutMs: number;
  /** How often what waits is passed on. */
  gossipIntervalMs: number;
  /** How often tables are compared with a random member's. */
  syncIntervalMs: number;
};

export const CONFIG_DEFAULTS: GossipConfig = {
  probeIntervalMs: 1000,
  probeTimeoutMs: 500,
  gossipIntervalMs: 100,
  syncIntervalMs: 10_000,
};

export type GossipNodeOptions = {
  id: NodeId;
  signer: Signer;
  verifier: Verifier;
  /** One more than at the last start. */
  epoch: number;
  /** Random for each start, 8 bytes. */
  instance: Uint8Array;
  peer: PeerRecord;
  seeds: readonly Endpoint[];
  /** Makes a higher epoch durable before it is used; for a state directory that was rolled back. */
  persistEpoch: (epoch: number) => void;
  /** From 0 up to but not including 1. */
  random: () => number;
  /** Monotonic, from any start. */
  nowMs: () => number;
  wire: GossipWire;
  events: GossipEvents;
  counters?: Counters;
  config?: Partial<GossipConfig>;
};
