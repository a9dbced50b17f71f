/**
 * Who wrote a block: Ed25519 (RFC 8032). A node's id is a hash of its public key, so a block that
 * names its writer's key proves by itself whose it is.
 * @module
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign as signWith,
  verify as verifyWith,
} from 'node:crypto';
import type { NodeId } from '../../wire/gossip/types.ts';

export const PUBLIC_KEY_BYTES = 32;
export const PRIVATE_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

/** Signs what this node tells of itself. */
export type Signer = {
  /** Ed25519, {@link PUBLIC_KEY_BYTES}. */
  readonly publicKey: Uint8Array;
  /** {@link SIGNATURE_BYTES} over `body`. */
  sign(body: Uint8Array): Uint8Array;
};

/** Checks what others sign. */
export type Verifier = {
  /** False as well for a key or a signature that is none. */
  verify(publicKey: Uint8Array, body: Uint8Array, signature: Uint8Array): boolean;
  ownerOf(publicKey: Uint8Array): NodeId;
};

/** Public keys that stay imported; the one used least recently gives way. */
export const IMPORTED_KEYS_MAX = 1024;

/** DER around a raw key (RFC 8410 §4, §7): all that varies is the last 32 bytes. */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/** First 16 bytes of SHA-256 over the public key, as 32 hex digits. */
export function nodeIdOf(publicKey: Uint8Array): NodeId {
  return createHash('sha256').update(publicKey).digest('hex').slice(0, 32);
}

function importPublicKey(publicKey: Uint8Array): KeyObject {
  const key = Buffer.concat([SPKI_PREFIX, publicKey]);
  return createPublicKey({ key, format: 'der', type: 'spki' });
}

/** @throws RangeError when `privateKey` is not {@link PRIVATE_KEY_BYTES} long */
export function ed25519Signer(privateKey: Uint8Array): Signer {
  if (privateKey.length !== PRIVATE_KEY_BYTES) {
    throw new RangeError(`a private key has ${PRIVATE_KEY_BYTES} bytes, not ${privateKey.length}`);
  }
  const der = Buffer.concat([PKCS8_PREFIX, privateKey]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return {
    publicKey: Uint8Array.from(spki.subarray(SPKI_PREFIX.length)),
    sign: (body) => Uint8Array.from(signWith(null, body, key)),
  };
}

/**
 * Keeps the keys that it meets in the library's own form: to import one takes half as long as
 * to verify with it.
 */
export class Ed25519Verifier implements Verifier {
  /** By node id, least recently used first. */
  readonly #keys = new Map<NodeId, KeyObject>();
  readonly #keysMax: number;

  constructor(keysMax = IMPORTED_KEYS_MAX) {
    this.#keysMax = keysMax;
  }

  get importedKeys(): number {
    return this.#keys.size;
  }

  ownerOf(publicKey: Uint8Array): NodeId {
    return nodeIdOf(publicKey);
  }

  verify(publicKey: Uint8Array, body: Uint8Array, signature: Uint8Array): boolean {
    if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
    return verifyWith(null, body, this.#keyOf(publicKey), signature);
  }

  #keyOf(publicKey: Uint8Array): KeyObject {
    const id = nodeIdOf(publicKey);
    const known = this.#keys.get(id);
    const key = known ?? importPublicKey(publicKey);
    this.#keys.delete(id);
    this.#keys.set(id, key);
    if (this.#keys.size > this.#keysMax) {
      for (const oldest of this.#keys.keys()) {
        this.#keys.delete(oldest);
        break;
      }
    }
    return key;
  }
}
