/**
 * Node ids: 32 hex digits in memory, so that they compare and serve as keys; 16 bytes on the wire.
 * @module
 */
import { NODE_ID_BYTES } from './bounds.ts';
import { type Codec, refuse } from './fields.ts';
import type { NodeId } from './types.ts';

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** The id of 16 bytes. Throws {@link GossipFormatError} for another count. */
export function nodeIdOf(bytes: Uint8Array): NodeId {
  if (bytes.length !== NODE_ID_BYTES) refuse('bound', `a node id of ${bytes.length} bytes`);
  let id = '';
  for (const byte of bytes) id += HEX[byte];
  return id;
}

/** The 16 bytes of an id. Throws {@link GossipFormatError} for anything but 32 hex digits. */
export function nodeIdBytes(id: NodeId): Uint8Array {
  if (!/^[0-9a-f]{32}$/.test(id)) refuse('text', `'${id}' is no node id`);
  const bytes = new Uint8Array(NODE_ID_BYTES);
  for (let at = 0; at < NODE_ID_BYTES; at++) {
    bytes[at] = Number.parseInt(id.slice(2 * at, 2 * at + 2), 16);
  }
  return bytes;
}

export const nodeId: Codec<NodeId> = {
  encode: nodeIdBytes,
  decode(value) {
    if (!(value instanceof Uint8Array)) refuse('field-type', 'a node id was expected');
    return nodeIdOf(value);
  },
};
