/**
 * What stands in clear before a sealed datagram, {@link HEADER_BYTES} bytes, big-endian, all of it
 * authenticated together with the cluster's label:
 *   version 8 | kind 8 | key id 32 | sender's node id 128 | epoch 32 | session nonce 64 | counter 64
 * Behind it come the recipient, authenticated as well, a part of the nonce, the ciphertext and a
 * tag of {@link TAG_BYTES} bytes.
 *
 * Accessors need {@link HEADER_BYTES} bytes at offset 0; {@link checkEnvelope} says whether they
 * are there.
 * @module
 */
import { DATAGRAM_BYTES_MAX, NODE_ID_BYTES } from './bounds.ts';
import { nodeIdBytes, nodeIdOf } from './node-id.ts';
import type { NodeId } from './types.ts';

export const HEADER_BYTES = 42;
/** Of ChaCha20-Poly1305 and AES-GCM alike (RFC 8439 §2.8, RFC 5116 §5.1). */
export const TAG_BYTES = 16;
export const ENVELOPE_VERSION = 1;
export const SESSION_NONCE_BYTES = 8;

/** What is sealed. The numbers are the wire's: append only. */
export const EnvelopeKind = { Data: 1, Challenge: 2, Response: 3 } as const;
export type EnvelopeKind = (typeof EnvelopeKind)[keyof typeof EnvelopeKind];

/** Why a datagram cannot be one of ours, before any key is tried. */
export const EnvelopeFault = {
  None: 0,
  Short: 1,
  Long: 2,
  Version: 3,
  Kind: 4,
  Counter: 5,
} as const;
export type EnvelopeFault = (typeof EnvelopeFault)[keyof typeof EnvelopeFault];

const VERSION_OFFSET = 0;
const KIND_OFFSET = 1;
const KEY_ID_OFFSET = 2;
const SENDER_OFFSET = 6;
const EPOCH_OFFSET = SENDER_OFFSET + NODE_ID_BYTES;
const SESSION_OFFSET = EPOCH_OFFSET + 4;
const COUNTER_OFFSET = SESSION_OFFSET + SESSION_NONCE_BYTES;

/** The fields of a header. */
export type EnvelopeHeader = {
  kind: EnvelopeKind;
  /** Which key of the ring sealed it. */
  keyId: number;
  sender: NodeId;
  /** The sender's epoch. */
  epoch: number;
  /** Random for each start of the sender, {@link SESSION_NONCE_BYTES} bytes. */
  session: Uint8Array;
  /** From 1 up within a session; most of the AEAD's nonce. Below 2^53. */
  counter: number;
};

/** Looks at what the accessors cannot: size, version, kind, and a counter that is no safe integer. */
export function checkEnvelope(view: DataView): EnvelopeFault {
  if (view.byteLength < HEADER_BYTES + TAG_BYTES) return EnvelopeFault.Short;
  if (view.byteLength > DATAGRAM_BYTES_MAX) return EnvelopeFault.Long;
  if (view.getUint8(VERSION_OFFSET) !== ENVELOPE_VERSION) return EnvelopeFault.Version;
  const kind = view.getUint8(KIND_OFFSET);
  if (kind < EnvelopeKind.Data || kind > EnvelopeKind.Response) return EnvelopeFault.Kind;
  const counter = getEnvelopeCounter(view);
  if (counter === 0 || counter > Number.MAX_SAFE_INTEGER) return EnvelopeFault.Counter;
  return EnvelopeFault.None;
}

/** Only one that {@link checkEnvelope} has passed is an {@link EnvelopeKind}. */
export function getEnvelopeKind(view: DataView): EnvelopeKind {
  return view.getUint8(KIND_OFFSET) as EnvelopeKind;
}

export function getEnvelopeKeyId(view: DataView): number {
  return view.getUint32(KEY_ID_OFFSET);
}

export function getEnvelopeSender(view: DataView): NodeId {
  return nodeIdOf(bytesAt(view, SENDER_OFFSET, NODE_ID_BYTES));
}

export function getEnvelopeEpoch(view: DataView): number {
  return view.getUint32(EPOCH_OFFSET);
}

/** Borrowed: lies in the memory of `view`. */
export function getEnvelopeSession(view: DataView): Uint8Array {
  return bytesAt(view, SESSION_OFFSET, SESSION_NONCE_BYTES);
}

/** Exact up to 2^53, which {@link checkEnvelope} sees to. */
export function getEnvelopeCounter(view: DataView): number {
  return view.getUint32(COUNTER_OFFSET) * 0x1_0000_0000 + view.getUint32(COUNTER_OFFSET + 4);
}

/** Writes a whole header at offset 0. */
export function emitEnvelope(view: DataView, header: EnvelopeHeader): void {
  view.setUint8(VERSION_OFFSET, ENVELOPE_VERSION);
  view.setUint8(KIND_OFFSET, header.kind);
  view.setUint32(KEY_ID_OFFSET, header.keyId);
  bytesAt(view, SENDER_OFFSET, NODE_ID_BYTES).set(nodeIdBytes(header.sender));
  view.setUint32(EPOCH_OFFSET, header.epoch);
  bytesAt(view, SESSION_OFFSET, SESSION_NONCE_BYTES).set(header.session);
  view.setUint32(COUNTER_OFFSET, Math.floor(header.counter / 0x1_0000_0000));
  view.setUint32(COUNTER_OFFSET + 4, header.counter % 0x1_0000_0000);
}

function bytesAt(view: DataView, offset: number, sizeBytes: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, sizeBytes);
}
