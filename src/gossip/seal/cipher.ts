/**
 * The authenticated encryption of datagrams and streams: AES-256-GCM, with keys of their own for
 * each sender and start.
 *
 * A nonce that is used twice would give the key away, and a virtual machine that is set back to
 * a snapshot repeats its counters. So a third of the nonce is a keyed hash of all that is sealed:
 * a counter that comes twice meets another nonce unless the message is the same too (the idea of
 * RFC 5297, with 32 bits of it).
 * @module
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';
import { TAG_BYTES } from '../../wire/gossip/envelope.ts';

const ALGORITHM = 'aes-256-gcm';
/** The part of the nonce that travels in front of the sealed bytes. */
export const SYNTHETIC_BYTES = 4;
/** What sealing adds. */
export const SEAL_BYTES = SYNTHETIC_BYTES + TAG_BYTES;
const NONCE_BYTES = 12;

export type Subkeys = { readonly seal: Uint8Array; readonly synthetic: Uint8Array };

/**
 * HKDF-SHA256 (RFC 5869). `purpose` separates uses of one key; `context` names who seals, and
 * which of its lives.
 */
export function deriveSubkeys(
  clusterKey: Uint8Array,
  label: Uint8Array,
  purpose: string,
  context: Uint8Array,
): Subkeys {
  const info = Buffer.concat([Buffer.from(`fanway gossip ${purpose} 1\0`), context]);
  const bytes = new Uint8Array(hkdfSync('sha256', clusterKey, label, info, 64));
  return { seal: bytes.subarray(0, 32), synthetic: bytes.subarray(32) };
}

function putCounter(nonce: Uint8Array, counter: number): void {
  const view = new DataView(nonce.buffer, nonce.byteOffset, nonce.byteLength);
  view.setUint32(SYNTHETIC_BYTES, Math.floor(counter / 2 ** 32));
  view.setUint32(SYNTHETIC_BYTES + 4, counter % 2 ** 32);
}

/**
 * Writes the sealed form of `plaintext` (its length + {@link SEAL_BYTES}) to `out` at `offset`.
 * `bound` is authenticated too and holds `counter`, which is never the same twice under one key.
 */
export function seal(
  keys: Subkeys,
  counter: number,
  bound: Uint8Array,
  plaintext: Uint8Array,
  out: Uint8Array,
  offset: number,
): void {
  const hash = createHmac('sha256', keys.synthetic).update(bound).update(plaintext).digest();
  const nonce = new Uint8Array(NONCE_BYTES);
  nonce.set(hash.subarray(0, SYNTHETIC_BYTES));
  putCounter(nonce, counter);
  const cipher = createCipheriv(ALGORITHM, keys.seal, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(bound);
  out.set(nonce.subarray(0, SYNTHETIC_BYTES), offset);
  out.set(cipher.update(plaintext), offset + SYNTHETIC_BYTES);
  cipher.final();
  out.set(cipher.getAuthTag(), offset + SYNTHETIC_BYTES + plaintext.length);
}

/** What {@link seal} sealed; undefined when anything of it was changed, or the key is another. */
export function open(
  keys: Subkeys,
  counter: number,
  bound: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  const length = sealed.length - SEAL_BYTES;
  if (length < 0) return undefined;
  const nonce = new Uint8Array(NONCE_BYTES);
  nonce.set(sealed.subarray(0, SYNTHETIC_BYTES));
  putCounter(nonce, counter);
  const cipher = createDecipheriv(ALGORITHM, keys.seal, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(bound);
  cipher.setAuthTag(sealed.subarray(SYNTHETIC_BYTES + length));
  const plaintext = cipher.update(sealed.subarray(SYNTHETIC_BYTES, SYNTHETIC_BYTES + length));
  try {
    cipher.final();
  } catch {
    // The library has no other way to say that the tag is wrong.
    return undefined;
  }
  // A Buffer's slice() would not copy.
  return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
}
