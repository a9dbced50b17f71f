/**
 * Who the nodes of a simulation are: real Ed25519 keys, or a hash in their place that costs a
 * fortieth. The nodes of a simulation do not forge; that is tried where the keys are tested.
 * @module
 */
import { createHash } from 'node:crypto';
import {
  Ed25519Verifier,
  ed25519Signer,
  nodeIdOf,
  PRIVATE_KEY_BYTES,
  PUBLIC_KEY_BYTES,
  type Signer,
  type Verifier,
} from '../../src/gossip/base/signer.ts';
import type { NodeId } from '../../src/wire/gossip/types.ts';
import type { Random } from './random.ts';

export type Identity = { id: NodeId; signer: Signer };

export type Keys = { verifier: Verifier; make(random: Random): Identity };

function tagOf(publicKey: Uint8Array, body: Uint8Array): Buffer {
  return createHash('sha512').update(publicKey).update(body).digest();
}

/** Signatures that notice every change of a byte, but that anybody could make. */
function hashedKeys(): Keys {
  const ids = new Map<string, NodeId>();
  const verifier: Verifier = {
    verify: (publicKey, body, signature) => tagOf(publicKey, body).equals(signature),
    ownerOf: (publicKey) => {
      const key = Buffer.from(publicKey).toString('latin1');
      const id = ids.get(key) ?? nodeIdOf(publicKey);
      ids.set(key, id);
      return id;
    },
  };
  const make = (random: Random) => {
    const publicKey = random.bytes(PUBLIC_KEY_BYTES);
    const signer: Signer = { publicKey, sign: (body) => tagOf(publicKey, body) };
    return { id: nodeIdOf(publicKey), signer };
  };
  return { verifier, make };
}

function realKeys(): Keys {
  const make = (random: Random) => {
    const signer = ed25519Signer(random.bytes(PRIVATE_KEY_BYTES));
    return { id: nodeIdOf(signer.publicKey), signer };
  };
  return { verifier: new Ed25519Verifier(), make };
}

export function makeKeys(kind: 'hashed' | 'ed25519'): Keys {
  return kind === 'hashed' ? hashedKeys() : realKeys();
}
