/**
 * What the two ends of a stream send each other, as payloads.
 * @module
 */
import type { Want } from '../../../../gossip/base/api.ts';
import { BLOCKS_PER_MESSAGE_MAX } from '../../../../wire/gossip/bounds.ts';
import { encodeMessages } from '../../../../wire/gossip/message.ts';
import { MessageType, type RawBlock } from '../../../../wire/gossip/types.ts';

/** Blocks in one payload, bytes: fits a frame with room to spare. */
const BATCH_BYTES = 32 * 1024;

/** The mark that this was all. */
export const END: Uint8Array = encodeMessages([]);

/** How many blocks are wanted. */
export function blockCount({ ranges }: Want): number {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

/** What a client sends: all that it wants, then the mark that this was all. */
export function requestOf(wants: readonly Want[]): Uint8Array[] {
  const payloads = wants.map((want) => encodeMessages([{ type: MessageType.Want, ...want }]));
  return [...payloads, END];
}

/** Blocks in payloads of bounded size. */
export function payloadsOf(blocks: readonly RawBlock[]): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  let batch: RawBlock[] = [];
  let bytes = 0;
  const flush = (): void => {
    if (batch.length > 0)
      payloads.push(encodeMessages([{ type: MessageType.Blocks, blocks: batch }]));
    batch = [];
    bytes = 0;
  };
  for (const block of blocks) {
    batch.push(block);
    bytes += block.body.length + block.signature.length;
    if (bytes >= BATCH_BYTES || batch.length === BLOCKS_PER_MESSAGE_MAX) flush();
  }
  flush();
  return payloads;
}
