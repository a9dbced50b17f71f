/**
 * How a session proves that it lives now, and not in a recording.
 *
 *   data       B to A   any datagram of a session that A does not know, or from elsewhere
 *   challenge  A to B   names that datagram, carries a token
 *   response   B to A   carries the token back, signed by B, and which keys B can open with
 *   data       B to A   once more what A has not taken
 *
 * The token is a keyed hash of session, address and time: A remembers nothing until it comes
 * back. Each data datagram is padded so that the challenge is never longer. All members have the
 * cluster's key, so the signature is what keeps one of them from answering for another.
 * @module
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { hostBytes } from '../../net/underlay-address.ts';
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from '../../wire/gossip/bounds.ts';
import { SESSION_NONCE_BYTES } from '../../wire/gossip/envelope.ts';
import { nodeIdBytes } from '../../wire/gossip/node-id.ts';
import type { Endpoint, NodeId } from '../../wire/gossip/types.ts';
import { KEYS_MAX } from '../base/keyring.ts';
import type { Verifier } from '../base/signer.ts';

export const TOKEN_BYTES = 16;
/** A token is good for one to two of these, by the clock of whoever made it. */
export const TOKEN_SLOT_MS = 4000;
const SECRET_BYTES = 32;

/** Why a challenge was sent. */
export const ChallengeReason = {
  /** "I know nothing of this session, and took nothing of it: prove that you live." */
  Session: 0,
  /** "This datagram is for somebody else, or from a new address: prove that you are there." */
  Place: 1,
  /** "Your counter is behind what I have seen." */
  Behind: 2,
} as const;

const COUNTER_OFFSET = 1;
const NONCE_OFFSET = COUNTER_OFFSET + 8;
const REST_OFFSET = NONCE_OFFSET + SESSION_NONCE_BYTES;
/** What a challenge seals, and the least that a data datagram seals. */
export const CHALLENGE_BYTES = REST_OFFSET + TOKEN_BYTES;

const PUBLIC_KEY_OFFSET = TOKEN_BYTES;
const SIGNATURE_OFFSET = PUBLIC_KEY_OFFSET + PUBLIC_KEY_BYTES;
/** Without key numbers. */
const RESPONSE_BYTES_MIN = SIGNATURE_OFFSET + SIGNATURE_BYTES;
/** Blocks are signed with the same key, and none of them begins like this. */
const RESPONSE_PURPOSE = Buffer.from('fanway gossip response 1\0');

export type ChallengeContent =
  | { reason: typeof ChallengeReason.Session | typeof ChallengeReason.Place; token: Uint8Array }
  /** `highest` is the highest counter of the session that was seen. */
  | { reason: typeof ChallengeReason.Behind; highest: number };

/** Counter and session nonce name the datagram that it is about. */
export type Challenge = ChallengeContent & { counter: number; nonce: Uint8Array };

function putCounter(view: DataView, offset: number, counter: number): void {
  view.setUint32(offset, Math.floor(counter / 2 ** 32));
  view.setUint32(offset + 4, counter % 2 ** 32);
}

function getCounter(view: DataView, offset: number): number {
  return view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
}

export function encodeChallenge(challenge: Challenge): Uint8Array {
  const bytes = new Uint8Array(CHALLENGE_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = challenge.reason;
  putCounter(view, COUNTER_OFFSET, challenge.counter);
  bytes.set(challenge.nonce, NONCE_OFFSET);
  if (challenge.reason === ChallengeReason.Behind) {
    putCounter(view, REST_OFFSET, challenge.highest);
  } else {
    bytes.set(challenge.token, REST_OFFSET);
  }
  return bytes;
}

/** Undefined when it is none. */
export function decodeChallenge(bytes: Uint8Array): Challenge | undefined {
  if (bytes.length !== CHALLENGE_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const counter = getCounter(view, COUNTER_OFFSET);
  const nonce = bytes.subarray(NONCE_OFFSET, REST_OFFSET);
  const reason = bytes[0];
  if (reason === ChallengeReason.Session || reason === ChallengeReason.Place) {
    return { reason, counter, nonce, token: bytes.subarray(REST_OFFSET) };
  }
  if (reason !== ChallengeReason.Behind) return undefined;
  return { reason, counter, nonce, highest: getCounter(view, REST_OFFSET) };
}

export type Response = {
  token: Uint8Array;
  publicKey: Uint8Array;
  /** Over {@link responseBody}. */
  signature: Uint8Array;
  /** The keys that the sender can open with. */
  keyIds: number[];
};

/**
 * What a response signs: the token, for whom it is, and the session (sender, epoch and nonce) that
 * it proves.
 */
export function responseBody(token: Uint8Array, to: NodeId, session: Uint8Array): Uint8Array {
  return Buffer.concat([RESPONSE_PURPOSE, token, nodeIdBytes(to), session]);
}

/** Whether the sender itself has signed the response, and not another member. */
export function isSignedBy(
  sender: NodeId,
  { publicKey, signature }: Response,
  body: Uint8Array,
  verifier: Verifier,
): boolean {
  return verifier.ownerOf(publicKey) === sender && verifier.verify(publicKey, body, signature);
}

export function encodeResponse({ token, publicKey, signature, keyIds }: Response): Uint8Array {
  const bytes = new Uint8Array(RESPONSE_BYTES_MIN + 4 * keyIds.length);
  const view = new DataView(bytes.buffer);
  bytes.set(token);
  bytes.set(publicKey, PUBLIC_KEY_OFFSET);
  bytes.set(signature, SIGNATURE_OFFSET);
  for (const [index, id] of keyIds.entries()) view.setUint32(RESPONSE_BYTES_MIN + 4 * index, id);
  return bytes;
}

/** Undefined when it is none. */
export function decodeResponse(bytes: Uint8Array): Response | undefined {
  const length = (bytes.length - RESPONSE_BYTES_MIN) / 4;
  if (!Number.isInteger(length) || length < 1 || length > KEYS_MAX) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    token: bytes.subarray(0, TOKEN_BYTES),
    publicKey: bytes.subarray(PUBLIC_KEY_OFFSET, SIGNATURE_OFFSET),
    signature: bytes.subarray(SIGNATURE_OFFSET, RESPONSE_BYTES_MIN),
    keyIds: Array.from({ length }, (_, index) => view.getUint32(RESPONSE_BYTES_MIN + 4 * index)),
  };
}

/** Makes tokens and knows its own again. */
export class Tokens {
  readonly #random: (bytes: number) => Uint8Array;
  #secret: Uint8Array;

  constructor(random: (bytes: number) => Uint8Array) {
    this.#random = random;
    this.#secret = random(SECRET_BYTES);
  }

  /** For a session (sender, epoch and nonce) at an address. */
  make(session: Uint8Array, from: Endpoint, nowMs: number): Uint8Array {
    return this.#inSlot(session, from, slotOf(nowMs));
  }

  /** In constant time. */
  isGood(token: Uint8Array, session: Uint8Array, from: Endpoint, nowMs: number): boolean {
    const slot = slotOf(nowMs);
    const now = timingSafeEqual(token, this.#inSlot(session, from, slot));
    return timingSafeEqual(token, this.#inSlot(session, from, slot - 1)) || now;
  }

  /** Makes all tokens void that are under way. */
  renew(): void {
    this.#secret = this.#random(SECRET_BYTES);
  }

  #inSlot(session: Uint8Array, { address, port }: Endpoint, slot: number): Uint8Array {
    const rest = new Uint8Array(10);
    const view = new DataView(rest.buffer);
    view.setUint16(0, port);
    view.setFloat64(2, slot);
    const hmac = createHmac('sha256', this.#secret).update(session).update(hostBytes(address));
    hmac.update(rest);
    return hmac.digest().subarray(0, TOKEN_BYTES);
  }
}

function slotOf(nowMs: number): number {
  return Math.floor(nowMs / TOKEN_SLOT_MS);
}
