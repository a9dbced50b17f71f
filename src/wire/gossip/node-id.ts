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
  if (id.length !== 2 * NODE_ID_BYTES) refuse('text', `'${id}' is no node id`);
  const bytes = new Uint8Array(NODE_ID_BYTES);
  for (let at = 0; at < NODE_ID_BYTES; at++) {
    bytes[at] = (digitAt(id, 2 * at) << 4) | digitAt(id, 2 * at + 1);
  }
  return bytes;
}

/** 0 to 15, of a lower-case hex digit. */
function digitAt(id: NodeId, index: number): number {
  const code = id.charCodeAt(index);
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x61 && code <= 0x66) return code - 0x61 + 10;
  refuse('text', `'${id}' is no node id`);
}

export const nodeId: Codec<NodeId> = {
  encode: nodeIdBytes,
  decode(value) {
    if (!(value instanceof Uint8Array)) refuse('field-type', 'a node id was expected');
    return nodeIdOf(value);
  },
};
