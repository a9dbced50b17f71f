/**
 * Who a node is: its private key as a file keeps it, and the id that follows from it.
 * @module
 */
import { usageError } from '../../errors.ts';
import type { NodeId } from '../../wire/gossip/types.ts';
import { ed25519Signer, nodeIdOf, PRIVATE_KEY_BYTES, type Signer } from './signer.ts';

export type Identity = { readonly id: NodeId; readonly signer: Signer };

const FIRST_LINE = 'fanway identity 1';

/** The text of a new identity file; `random` gives as many bytes as it is asked for. */
export function makeIdentity(random: (bytes: number) => Uint8Array): string {
  const key = Buffer.from(random(PRIVATE_KEY_BYTES)).toString('base64');
  return `${FIRST_LINE}\nprivate-key ${key}\n`;
}

/** @throws FanwayError `identity-file`, naming `source` but nothing of what is in it */
export function parseIdentity(text: string, source: string): Identity {
  const [first, second = '', end, ...rest] = text.split('\n');
  const encoded = /^private-key ([A-Za-z0-9+/]{43}=)$/.exec(second)?.[1] ?? '';
  const key = Buffer.from(encoded, 'base64');
  const canonical = key.toString('base64') === encoded && key.length === PRIVATE_KEY_BYTES;
  if (first !== FIRST_LINE || end !== '' || rest.length > 0 || !canonical) {
    throw usageError(
      'identity-file',
      `${source} is no identity: restore it, or move it away and this node gets a new id`,
    );
  }
  const signer = ed25519Signer(key);
  return { id: nodeIdOf(signer.publicKey), signer };
}
