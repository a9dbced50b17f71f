/**
 * What a BGP speaker is given and what it tells. Time, randomness and connections come in here, so
 * that two speakers talk in one process on virtual time.
 * @module
 */
import type { Ip } from '../../wire/bgp/address.ts';
import type { RouteDistinguisher } from '../../wire/bgp/evpn.ts';
import type { RouteTarget } from './targets.ts';

/** Time, ms; monotonic, from any start. */
export type Timers = {
  nowMs(): number;
  /** Runs `action` once, later; the result cancels it. */
  after(delayMs: number, action: () => void): () => void;
};

/** One TCP connection, or what stands for it. No call calls back before it has returned. */
export type Connection = {
  /** Queues bytes. `borrowed:` they are not changed afterwards. */
  send(bytes: Uint8Array): void;
  /** Bytes that wait because the other side takes no more. */
  queuedBytes(): number;
  /** Sends what is queued, then ends. Nothing more is heard. */
  close(): void;
};

/** What a connection tells. `closed` comes once at most, and never after {@link Connection.close}. */
export type ConnectionListener = {
  data(bytes: Uint8Array): void;
  /** Nothing waits any more. */
  drained(): void;
  closed(reason: string): void;
};

/**
 * The outcome of a dial: exactly one is called, unless it is cancelled, and never before the dial has
 * returned.
 */
export type DialListener = {
  connected(connection: Connection): ConnectionListener;
  failed(reason: string): void;
};

export type Transport = {
  /** Begins to connect to a neighbour; the result gives up. */
  dial(neighbour: NeighbourSettings, listener: DialListener): () => void;
};

export type NeighbourSettings = {
  /** IPv4 or IPv6 as net/ prints it; also its name. */
  address: string;
  port: number;
  as: number;
  /** Waits to be called. */
  passive: boolean;
  /** Seconds that are offered; the smaller of both sides' counts. */
  holdSeconds: number;
  connectRetrySeconds: number;
  /** More routes than this end the session. */
  maxPrefixes: number;
  /**
   * Whether routes come in and go out. RFC 8212: without a policy nothing crosses to or from
   * another AS, so undefined is `all` inside and `none` outside.
   */
  import: 'all' | 'none' | undefined;
  export: 'all' | 'none' | undefined;
  /** Text of RFC 2385, '' = none. */
  md5Password: string;
  /** RFC 5082: the neighbour is at most this many routers away; 0 = not asked. */
  ttlSecurityHops: number;
  /** Text for people. */
  description: string;
};

export type SpeakerSettings = {
  as: number;
  /** BGP identifier, u32. */
  routerId: number;
  /** Where others send what is for us: the next hop of our routes. */
  vtep: Ip;
  /** Seconds that neighbours keep our routes while we restart; 0 = no graceful restart. */
  restartSeconds: number;
  /** Seconds after which routes that a restarted neighbour did not send again are dropped. */
  staleSeconds: number;
  /** This process took over from one that did not end cleanly, and packets went on meanwhile. */
  isRestarting: boolean;
  /** Routes of one neighbour are told to others, by the rules of RFC 4271 §9.2. */
  transit: boolean;
  /** Next hops that may become peers; empty = none. */
  vteps: readonly AddressRange[];
  neighbours: readonly NeighbourSettings[];
};

/** A prefix of either family. */
export type AddressRange = { address: Ip; length: number };

/** A network: which routes are its own and how it marks those that go out. */
export type NetworkSettings = {
  /** The VNI on the wire of what is sent to us. */
  vni: number;
  /** Of its routes; undefined = derived from the router id and the VNI. */
  rd: RouteDistinguisher | undefined;
  /** Empty = derived: any AS and the VNI. */
  importTargets: readonly RouteTarget[];
  /** Empty = derived: our AS and the VNI. */
  exportTargets: readonly RouteTarget[];
  /** The addresses of our own bridge are its default gateway (RFC 7432 §10.1). */
  isGateway: boolean;
};

export type SpeakerEvents = {
  /** A line for the log; `neighbour` is its address, '' for the speaker itself. */
  log(level: 'info' | 'warn', neighbour: string, text: string): void;
};
