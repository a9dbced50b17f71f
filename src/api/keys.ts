/**
 * The keys that a host gossips with, on the admin socket. Every change answers with what there is then.
 * @module
 */
import { get, post } from './call.ts';
import { fields, flag, list, text } from './reader.ts';

export type KeyJson = { id: string; inUse: boolean };

export const keyJson = fields<KeyJson>({ id: text, inUse: flag });
const keys = list(keyJson);

export const keysCall = get('/v1/gossip/keys', keys);
/** `keys` is the text of a key file. */
export const addKeysCall = post(
  '/v1/gossip/key/add',
  fields<{ keys: string }>({ keys: text }),
  keys,
);
export const useKeyCall = post('/v1/gossip/key/use', fields<{ id: string }>({ id: text }), keys);
export const removeKeyCall = post(
  '/v1/gossip/key/remove',
  fields<{ id: string }>({ id: text }),
  keys,
);
