/**
 * The values that gossip carries. What they mean on the wire is in block.ts and message.ts.
 *
 * A node tells of itself in *blocks*: numbered, signed, never changed once sent. Each block also
 * says which of the node's earlier blocks still hold, so the newest one, the *head*, describes all
 * that the node announces now. To withdraw something is to send a head that no longer names its
 * block; whoever has that head can never believe the old block again, however late it comes.
 * @module
 */

/** First 16 bytes of the SHA-256 of a node's Ed25519 public key, as 32 lower-case hex digits. */
export type NodeId = string;

/** Address of a host: a u32 in host order for IPv4, 32 lower-case hex digits for IPv6. */
export type GossipAddress = number | string;

/** Where a node hears gossip: its address, UDP and TCP port. */
export type Endpoint = { address: GossipAddress; port: number };

/**
 * Which life of a node (it adds one to its epoch at each start), and which of its blocks. A later
 * version is also a sign of life: it refutes an accusation that names an earlier one, as a SWIM
 * incarnation does.
 */
export type Version = { epoch: number; sequence: number };

/** Below 0 when `a` is older than `b`, 0 when equal. */
export function compareVersions(a: Version, b: Version): number {
  return a.epoch - b.epoch || a.sequence - b.sequence;
}

/** First and last sequence number, both included. */
export type SequenceRange = readonly [first: number, last: number];

/** What is announced. The numbers are the wire's: append only. */
export const ItemKind = {
  Peer: 1,
  Mac: 2,
  MacAddress: 3,
  Prefix: 4,
  FloodMember: 5,
  Vtep: 6,
  MacAddress6: 7,
  StickyMac: 8,
  Rule: 9,
  Labels: 10,
  Slice: 11,
  Prefix6: 12,
} as const;
export type ItemKind = (typeof ItemKind)[keyof typeof ItemKind];

/** Encapsulations by the wire's number: append only. */
export const EncapNumber = { vxlan: 1, ipip: 2, fou: 3 } as const;
export type AnnouncedEncap = keyof typeof EncapNumber;

/** One fan of a node: the overlay and the underlay's prefix, so that slices can be compared. */
export type FanItem = {
  overlay: { address: number; length: number };
  underlay: { address: GossipAddress; length: number };
  /** The node's own underlay address in this fan, of the same family. */
  local: GossipAddress;
};

/**
 * Where a node is beside its first underlay: by `underlay` the host that others know by its address `first`
 * is at `local`, of the same family; an address of zeros = at none just now.
 */
export type UnderlayItem = {
  first: GossipAddress;
  underlay: { address: GossipAddress; length: number };
  local: GossipAddress;
};

/** What a node says of itself. Exactly one in the blocks that hold. */
export type PeerItem = {
  kind: typeof ItemKind.Peer;
  /** Up to 63 characters, printable ASCII. */
  name: string;
  /** Where it hears gossip, the preferred one first; on the wire those of IPv4 come first. */
  endpoints: Endpoint[];
  /** Encapsulations and their UDP destination ports (0 for ipip). */
  encaps: { encap: AnnouncedEncap; port: number }[];
  /** Underlay MTU, bytes. */
  mtu: number;
  vnis: number[];
  fans: FanItem[];
  /** Software version, printable ASCII. */
  version: string;
  /** Capability numbers, append only; none is defined yet. */
  capabilities: number[];
  /** Absent = it says of none. */
  underlays?: UnderlayItem[];
  /** Random for each start: two processes with one key and epoch still tell each other apart. */
  instance: Uint8Array;
};

/**
 * What all announcements but the peer's own have. `rank` decides between owners: whoever takes
 * over a key that another announces adds one to the rank it saw (as RFC 7432 §7.7 does for MACs).
 */
type Announced = { vni: number; rank: number };
/**
 * What is beyond gossip: `host` is the tunnel endpoint that has it. Absent: the endpoint of the node that
 * announces it.
 */
type Placed = { host?: GossipAddress };
export type MacItem = Announced & Placed & { kind: typeof ItemKind.Mac; mac: number };
/** A MAC that never moves (RFC 7432 §15.2): it counts before every {@link MacItem} of the same MAC. */
export type StickyMacItem = Announced & Placed & { kind: typeof ItemKind.StickyMac; mac: number };
export type MacAddressItem = Announced &
  Placed & {
    kind: typeof ItemKind.MacAddress;
    mac: number;
    address: number;
  };
/** A workload's address (length 32) or a prefix that this node answers for. */
export type PrefixItem = Announced & {
  kind: typeof ItemKind.Prefix;
  address: number;
  length: number;
};
/** The same of IPv6: 32 hexadecimal digits, and up to 128 bits. */
export type Prefix6Item = Announced & {
  kind: typeof ItemKind.Prefix6;
  address: string;
  length: number;
};
/** An IPv6 address of a workload, 32 hexadecimal digits. */
export type MacAddress6Item = Announced &
  Placed & {
    kind: typeof ItemKind.MacAddress6;
    mac: number;
    address: string;
  };
/** "Send me what is flooded in this VNI." Never contested, so its rank is 0. */
export type FloodMemberItem = Announced & { kind: typeof ItemKind.FloodMember };

/** What a node does for others in a network; bits, append only. */
export const VtepRole = { Replicator: 1 } as const;
/**
 * "I take part in this VNI, and this is my tunnel endpoint there." Each node has its own, so its rank
 * is 0; without it nothing that a node has in the network can be reached.
 */
export type VtepItem = Announced & {
  kind: typeof ItemKind.Vtep;
  /** Underlay address: u32, or the 32 hexadecimal digits of an IPv6 one. */
  address: number | string;
  /** UDP destination port. */
  port: number;
  /** Bits of {@link VtepRole}. */
  roles: number;
  /** MACs that may answer DHCP clients, and MACs that may speak as routers, as far as they are here. */
  dhcpServers?: readonly number[];
  routers?: readonly number[];
  /** The MAC of the host itself: whatever addresses that has are the host's own. */
  own?: number;
  /** The tunnel endpoint that copies what is flooded here (RFC 9574 §6: the leaf names its replicator). */
  via?: number | string;
};

/** A rule of a network as text. Whoever has workloads that it is about tells it; each its own, so its rank is 0. */
export type RuleItem = Announced & { kind: typeof ItemKind.Rule; rule: string };
/** Labels of a workload, by its MAC: names with commas between them. */
export type LabelsItem = Announced & {
  kind: typeof ItemKind.Labels;
  mac: number;
  labels: string;
};
/** The addresses of a network that this node hands out. Never contested, so its rank is 0. */
export type SliceItem = Announced & {
  kind: typeof ItemKind.Slice;
  address: number;
  length: number;
};

export type Announcement =
  | MacItem
  | StickyMacItem
  | MacAddressItem
  | MacAddress6Item
  | PrefixItem
  | Prefix6Item
  | FloodMemberItem
  | VtepItem
  | RuleItem
  | LabelsItem
  | SliceItem;
export type Item = PeerItem | Announcement;

/** The signed part of a block. */
export type Block = {
  /** The owner's Ed25519 public key, 32 bytes. */
  publicKey: Uint8Array;
  epoch: number;
  /** From 1 up within an epoch. */
  sequence: number;
  /** Earlier blocks of this epoch that still hold: ascending, disjoint, all below `sequence`. */
  live: readonly SequenceRange[];
  /** The owner leaves: nothing of it holds any more. */
  left: boolean;
  items: readonly Item[];
};

/** A block as it travels: the canonical CBOR that was signed, and the signature. */
export type RawBlock = { body: Uint8Array; signature: Uint8Array };

/** A block whose signature was found right. */
export type SignedBlock = RawBlock & { owner: NodeId; block: Block };

/** How an owner stands in a table, for comparing two tables. */
export type OwnerSummary = {
  owner: NodeId;
  epoch: number;
  /** Sequence number of the newest block that is here. */
  head: number;
  /** Of the blocks that hold by that head, how many are here (the head included). */
  held: number;
  /** XOR over a 32-bit hash of each block that is here: equal counts may hide different blocks. */
  check: number;
};

/** Message numbers, append only. An unknown one is skipped and counted. */
export const MessageType = {
  Ping: 1,
  Ack: 2,
  PingRequest: 3,
  Nack: 4,
  Suspect: 5,
  Dead: 6,
  Blocks: 7,
  Digest: 8,
  Buckets: 9,
  Owners: 10,
  Want: 11,
  Ask: 12,
  Told: 13,
  Seek: 14,
  Witness: 15,
  Testify: 16,
} as const;

export type Message =
  /** "Are you `target`, and alive?" `number` ties the answer to it. */
  | { type: typeof MessageType.Ping; number: number; target: NodeId }
  | { type: typeof MessageType.Ack; number: number }
  /** "Ask `target` at `endpoint` for me"; answered with an ack, or a nack after the timeout. */
  | { type: typeof MessageType.PingRequest; number: number; target: NodeId; endpoint: Endpoint }
  | { type: typeof MessageType.Nack; number: number }
  /** `accuser` got no answer from `node`, of which it knows nothing newer than `version`. */
  | { type: typeof MessageType.Suspect; node: NodeId; version: Version; accuser: NodeId }
  /** `ageSeconds`: how long it has been dead, so that all forget it at about the same time. */
  | {
      type: typeof MessageType.Dead;
      node: NodeId;
      version: Version;
      accuser: NodeId;
      ageSeconds: number;
    }
  | { type: typeof MessageType.Blocks; blocks: RawBlock[] }
  /** Hash over the whole table, 8 bytes. Answered with Buckets where it differs. */
  | { type: typeof MessageType.Digest; hash: Uint8Array }
  /** A 4-byte hash for each of 64 buckets of owners. Answered with Owners for those that differ. */
  | { type: typeof MessageType.Buckets; hashes: Uint8Array }
  /** All owners in `bucket`; `reply` asks for the same in return. */
  | { type: typeof MessageType.Owners; bucket: number; reply: boolean; owners: OwnerSummary[] }
  /** "Send me these blocks of yours or another's." */
  | {
      type: typeof MessageType.Want;
      owner: NodeId;
      epoch: number;
      ranges: readonly SequenceRange[];
    }
  /**
   * "Tell me this of yourself", on a stream; who does not know the question tells nothing. `about` says of
   * what, '' where the question says it all. Key and signature prove who asks (gossip/seal/asked.ts); both
   * are empty where any member is told.
   */
  | {
      type: typeof MessageType.Ask;
      question: number;
      about: string;
      publicKey: Uint8Array;
      signature: Uint8Array;
    }
  /** A part of the answer: UTF-8 JSON, cut anywhere. An empty one says only that it is being made. */
  | { type: typeof MessageType.Told; part: Uint8Array }
  /**
   * "Is one of these workload addresses of network `vni` with you?" No answer: who finds one announces it.
   */
  | { type: typeof MessageType.Seek; vni: number; addresses: GossipAddress[] }
  /** "You have this MAC of network `vni`, and it has shown up here: is it still with you?" */
  | { type: typeof MessageType.Witness; vni: number; mac: number }
  /** The answer: it was asked, and spoke; or it is not. */
  | { type: typeof MessageType.Testify; vni: number; mac: number; isHere: boolean };

/** What may be asked. The numbers are the wire's: append only. */
export const Question = { Counters: 1, Paths: 2, Explain: 3, Trains: 4, Seat: 5 } as const;
export type Question = (typeof Question)[keyof typeof Question];
