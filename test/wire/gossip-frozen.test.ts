import t from 'tap';
import { decodeBlock, encodeBlock } from '../../src/wire/gossip/block.ts';
import { decodeMessages, encodeMessages } from '../../src/wire/gossip/message.ts';
import { MessageType } from '../../src/wire/gossip/types.ts';
import {
  FROZEN_BLOCKS,
  FROZEN_MESSAGES,
  LATER_BLOCK,
  LATER_PAYLOAD,
} from '../vectors/gossip-frozen.ts';
import { MESSAGES } from '../vectors/gossip-samples.ts';
import { fromHex, toHex } from '../vectors/hex.ts';

t.test('what version 0.1 wrote is read, and written the same', async (t) => {
  for (const [block, hex] of FROZEN_BLOCKS) {
    t.strictSame(decodeBlock(fromHex(hex)), block, hex);
    t.equal(toHex(encodeBlock(block)), toHex(fromHex(hex)));
  }
  t.equal(FROZEN_MESSAGES.length, MESSAGES.length);
  for (const [message, hex] of FROZEN_MESSAGES) {
    t.strictSame(decodeMessages(fromHex(hex)), { messages: [message], skipped: 0 }, hex);
    if (message !== undefined) t.equal(toHex(encodeMessages([message])), toHex(fromHex(hex)));
  }
});

t.test('of what a later version writes, the known part is read', async (t) => {
  const { hex, messages, skipped } = LATER_PAYLOAD;
  t.strictSame(decodeMessages(fromHex(hex)), { messages, skipped });
  t.strictSame(decodeBlock(fromHex(LATER_BLOCK.hex)), LATER_BLOCK.block);
});

t.test('a block of a later version passes through unchanged', async (t) => {
  const body = fromHex(LATER_BLOCK.hex);
  const signature = new Uint8Array(64).fill(9);
  const sent = encodeMessages([{ type: MessageType.Blocks, blocks: [{ body, signature }] }]);
  const [heard] = decodeMessages(sent).messages;
  t.ok(heard?.type === MessageType.Blocks);
  if (heard?.type !== MessageType.Blocks) return;
  t.strictSame(heard.blocks, [{ body, signature }], 'the bytes that were signed');
  t.equal(toHex(encodeMessages([heard])), toHex(sent), 'and so they go on');
});
