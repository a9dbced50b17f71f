/**
 * The way into a node: reads and counts what comes.
 * @module
 */

import { GossipFormatError } from '../../wire/gossip/fields.ts';
import { decodeMessages } from '../../wire/gossip/message.ts';
import type { Message } from '../../wire/gossip/types.ts';
import type { Counters } from '../base/counters.ts';

/** The messages of an authenticated payload; none when anything in it is wrong. */
export function readPayload(payload: Uint8Array, counters: Counters): Message[] {
  counters.count('datagrams.received');
  counters.count('bytes.received', payload.length);
  try {
    const { messages, skipped } = decodeMessages(payload);
    counters.count('messages.received', messages.length);
    counters.count('messages.unknown', skipped);
    return messages;
  } catch (error) {
    if (!(error instanceof GossipFormatError)) throw error;
    counters.count('refused.payload');
    return [];
  }
}
