/**
 * What stands between the sockets and the node: datagrams and streams are sealed here, or not, in
 * plaintext mode. Both kinds are used in the same way.
 * @module
 */
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import { EnvelopeFault } from '../../wire/gossip/envelope.ts';
import type { Endpoint, NodeId } from '../../wire/gossip/types.ts';
import type { GossipCounter } from '../base/counters.ts';
import type { SealRefusal } from './notices.ts';

/** A payload that was found right, and whose it is. */
export type Opened = { sender: NodeId; payload: Uint8Array };

export type Channel = {
  /** False in plaintext mode: whoever reaches the port is a member. */
  readonly isSealed: boolean;
  /**
   * The datagram for a payload of at most PAYLOAD_BYTES_MAX, which must not change for two seconds
   * (it is sealed again when the receiver asks who we are). Throws RangeError for a longer one.
   */
  seal(to: Endpoint, payload: Uint8Array): Uint8Array;
  /** The payload of a datagram that is to be believed; anything else is counted. Never throws. */
  open(from: Endpoint, datagram: Uint8Array): Opened | undefined;
  /** Whether a connection from this address may be looked at now. */
  admit(address: UnderlayAddress): boolean;
  /** Whose datagrams are refused lately, and why. */
  refusals(): SealRefusal[];
  /** Our end of a connection that we opened, to a node that must be `peer`. */
  connect(to: Endpoint, peer: NodeId): ChannelStream;
  /** Our end of a connection that somebody else opened. */
  accept(): ChannelStream;
};

/**
 * One end of a stream: payloads to bytes and back. It has no socket; whoever has gives it all that
 * arrives, writes all that it hands out, and closes the connection at the first error.
 */
export type ChannelStream = {
  /**
   * Who is at the other end: undefined until it has proved that it has the key. Which of the members
   * it is, is its own word.
   */
  readonly peer: NodeId | undefined;
  /** What to write before anything has come; empty for the accepting end. */
  start(): Uint8Array;
  /**
   * Takes what arrived. `write` is to be written at once; `payloads` are of {@link peer}.
   * Throws {@link StreamError}, and FrameError for a frame that cannot be.
   */
  push(chunk: Uint8Array): { write: Uint8Array; payloads: Uint8Array[] };
  /**
   * The bytes for one payload of 1 to STREAM_PAYLOAD_BYTES_MAX bytes. Throws RangeError for
   * another, or before {@link peer} is known.
   */
  seal(payload: Uint8Array): Uint8Array;
};

/** The other end of a stream is not to be believed. The connection ends without a word. */
export class StreamError extends Error {
  readonly code: 'key' | 'tag' | 'peer' | 'format';

  constructor(code: StreamError['code'], message: string) {
    super(message);
    this.name = 'StreamError';
    this.code = code;
  }
}

/** How a datagram is counted that cannot be one of ours. */
export const ENVELOPE_FAULTS: { readonly [F in EnvelopeFault]: GossipCounter } = {
  [EnvelopeFault.None]: 'sealed.refused.content',
  [EnvelopeFault.Short]: 'sealed.refused.size',
  [EnvelopeFault.Long]: 'sealed.refused.size',
  [EnvelopeFault.Version]: 'sealed.refused.version',
  [EnvelopeFault.Kind]: 'sealed.refused.kind',
  [EnvelopeFault.Counter]: 'sealed.refused.counter',
};
