/**
 * The numbers of BGP that IANA keeps, by registry; the date behind each is when the registry was
 * last compared with what stands here. Numbers that fanway neither sends nor decides by are left
 * out: a reader passes them by.
 * @module
 */

/** BGP Message Types, registry `bgp-parameters-1` (2026-11). */
export const MessageType = {
  Open: 1,
  Update: 2,
  Notification: 3,
  Keepalive: 4,
  RouteRefresh: 5,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

/** BGP Path Attributes, registry `bgp-parameters-2` (2026-11). */
export const AttributeCode = {
  Origin: 1,
  AsPath: 2,
  NextHop: 3,
  MultiExitDisc: 4,
  LocalPref: 5,
  AtomicAggregate: 6,
  Aggregator: 7,
  Communities: 8,
  OriginatorId: 9,
  ClusterList: 10,
  MpReach: 14,
  MpUnreach: 15,
  ExtendedCommunities: 16,
  As4Path: 17,
  As4Aggregator: 18,
  PmsiTunnel: 22,
  TunnelEncapsulation: 23,
  TrafficEngineering: 24,
  Ipv6ExtendedCommunities: 25,
  Aigp: 26,
  LargeCommunities: 32,
  OnlyToCustomer: 35,
  PrefixSid: 40,
  AttributeSet: 128,
} as const;

/** Attribute flags, RFC 4271 §4.3. */
export const AttributeFlag = {
  Optional: 0x80,
  Transitive: 0x40,
  Partial: 0x20,
  ExtendedLength: 0x10,
} as const;

/** BGP Error (Notification) Codes, registry `bgp-parameters-3` (2026-11). */
export const ErrorCode = {
  Header: 1,
  Open: 2,
  Update: 3,
  HoldTimer: 4,
  StateMachine: 5,
  Cease: 6,
  RouteRefresh: 7,
} as const;

/** Message Header Error subcodes, registry `bgp-parameters-5` (2026-11). */
export const HeaderError = { NotSynchronised: 1, BadLength: 2, BadType: 3 } as const;

/** OPEN Message Error subcodes, registry `bgp-parameters-6` (2026-11). */
export const OpenError = {
  Unspecific: 0,
  Version: 1,
  BadPeerAs: 2,
  BadIdentifier: 3,
  UnsupportedParameter: 4,
  UnacceptableHoldTime: 6,
  UnsupportedCapability: 7,
} as const;

/** UPDATE Message Error subcodes, registry `bgp-parameters-7` (2026-11). */
export const UpdateError = {
  MalformedAttributeList: 1,
  UnrecognisedWellKnown: 2,
  MissingWellKnown: 3,
  AttributeFlags: 4,
  AttributeLength: 5,
  InvalidOrigin: 6,
  InvalidNextHop: 8,
  OptionalAttribute: 9,
  InvalidNetwork: 10,
  MalformedAsPath: 11,
} as const;

/** Finite State Machine Error subcodes, registry `bgp-finite-state-machine` (2026-11). */
export const StateMachineError = { OpenSent: 1, OpenConfirm: 2, Established: 3 } as const;

/** Cease subcodes, registry `bgp-parameters-8` (2026-11). */
export const CeaseError = {
  MaximumPrefixes: 1,
  AdministrativeShutdown: 2,
  PeerDeconfigured: 3,
  AdministrativeReset: 4,
  ConnectionRejected: 5,
  ConfigurationChange: 6,
  CollisionResolution: 7,
  OutOfResources: 8,
  HardReset: 9,
} as const;

/** ROUTE-REFRESH Message Error subcodes, registry `route-refresh-error-subcodes` (2026-11). */
export const RouteRefreshError = { InvalidLength: 1 } as const;

/** Names of error codes and subcodes, as routers print them. */
export const ERROR_NAMES: Readonly<Record<number, string>> = {
  [ErrorCode.Header]: 'Message Header Error',
  [ErrorCode.Open]: 'OPEN Message Error',
  [ErrorCode.Update]: 'UPDATE Message Error',
  [ErrorCode.HoldTimer]: 'Hold Timer Expired',
  [ErrorCode.StateMachine]: 'Finite State Machine Error',
  [ErrorCode.Cease]: 'Cease',
  [ErrorCode.RouteRefresh]: 'ROUTE-REFRESH Message Error',
};
export const CEASE_NAMES: Readonly<Record<number, string>> = {
  [CeaseError.MaximumPrefixes]: 'Maximum Number of Prefixes Reached',
  [CeaseError.AdministrativeShutdown]: 'Administrative Shutdown',
  [CeaseError.PeerDeconfigured]: 'Peer De-configured',
  [CeaseError.AdministrativeReset]: 'Administrative Reset',
  [CeaseError.ConnectionRejected]: 'Connection Rejected',
  [CeaseError.ConfigurationChange]: 'Other Configuration Change',
  [CeaseError.CollisionResolution]: 'Connection Collision Resolution',
  [CeaseError.OutOfResources]: 'Out of Resources',
  [CeaseError.HardReset]: 'Hard Reset',
};

/** BGP OPEN Optional Parameter Types, registry `bgp-parameters-11` (2026-11). */
export const OpenParameter = { Capabilities: 2, ExtendedLength: 255 } as const;

/** Capability Codes, registry `capability-codes` (2026-11). */
export const CapabilityCode = {
  Multiprotocol: 1,
  RouteRefresh: 2,
  GracefulRestart: 64,
  FourOctetAs: 65,
  Fqdn: 73,
} as const;

/** Graceful restart flags, registry `bgp-graceful-restart-flags` (2026-11). */
export const GracefulRestartFlag = { Restarting: 0x8, Notification: 0x4 } as const;
/** The forwarding state was kept; RFC 4724 §3. */
export const FORWARDING_KEPT = 0x80;

/** Address Family Numbers, registry `address-family-numbers` (2026-11). */
export const Afi = { Ipv4: 1, Ipv6: 2, L2vpn: 25 } as const;
/** SAFI Values, registry `safi-namespace` (2026-11). */
export const Safi = { Unicast: 1, Evpn: 70 } as const;

/** ORIGIN values, RFC 4271 §4.3. */
export const Origin = { Igp: 0, Egp: 1, Incomplete: 2 } as const;
/** AS_PATH segment types, registry `as-path-segment-types` (2026-11). */
export const SegmentType = { Set: 1, Sequence: 2, ConfedSequence: 3, ConfedSet: 4 } as const;
/** Stands for an AS of four octets where only two fit, RFC 6793 §4.2.2. */
export const AS_TRANS = 23456;

/** EVPN Route Types, registry `evpn` (2026-11). */
export const EvpnType = {
  AutoDiscovery: 1,
  MacIp: 2,
  InclusiveMulticast: 3,
  EthernetSegment: 4,
  IpPrefix: 5,
} as const;
export type EvpnType = (typeof EvpnType)[keyof typeof EvpnType];

/** BGP Transitive Extended Community Types, registry `transitive` (2026-11). */
export const CommunityType = {
  As2: 0x00,
  Ipv4: 0x01,
  As4: 0x02,
  Opaque: 0x03,
  Evpn: 0x06,
} as const;
/** Set in the type of a community that stays in its AS, RFC 4360 §2. */
export const COMMUNITY_NON_TRANSITIVE = 0x40;
/** Sub-types of the two-octet AS, IPv4 and four-octet AS types (2026-11). */
export const AdministratorSubType = { RouteTarget: 0x02, RouteOrigin: 0x03 } as const;
/** Transitive Opaque Extended Community Sub-Types (2026-11). */
export const OpaqueSubType = { Color: 0x0b, Encapsulation: 0x0c, DefaultGateway: 0x0d } as const;
/** EVPN Extended Community Sub-Types (2026-11). */
export const EvpnSubType = {
  MacMobility: 0x00,
  EsiLabel: 0x01,
  EsImport: 0x02,
  RouterMac: 0x03,
  Layer2Attributes: 0x04,
  DfElection: 0x06,
  ArpNd: 0x08,
} as const;

/** BGP Tunnel Encapsulation Attribute Tunnel Types (2026-11). */
export const TunnelType = { Ipip: 7, Vxlan: 8, Nvgre: 9, Mpls: 10, Geneve: 19 } as const;
/** P-Multicast Service Interface Tunnel types, registry `pmsi-tunnel-types` (2026-11). */
export const PmsiType = { None: 0, IngressReplication: 6 } as const;
