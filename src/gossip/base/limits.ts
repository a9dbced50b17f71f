/**
 * Every bound of the gossip channel, by name; those of its formats are in wire/. What goes over
 * one is refused or pushes the oldest out, and is counted.
 * @module
 */

import { ENTRIES_PER_OWNER_MAX, SEED_ADDRESSES_MAX, SEEDS_MAX } from '../../limits.ts';
import { DATAGRAM_BYTES_MAX } from '../../wire/gossip/bounds.ts';
import { HEADER_BYTES, TAG_BYTES } from '../../wire/gossip/envelope.ts';

export {
  BLOCK_BYTES_MAX,
  DATAGRAM_BYTES_MAX,
  ITEMS_PER_BLOCK_MAX,
  LIVE_RANGES_MAX,
  RANK_MAX,
} from '../../wire/gossip/bounds.ts';

/** Members and owners in the table, ourselves included. */
export const MEMBERS_MAX = 1024;
/** Announcements of one owner, and of all together. */
export const ITEMS_PER_OWNER_MAX = ENTRIES_PER_OWNER_MAX;
export const ITEMS_MAX = 262_144;
/** Blocks of one owner that hold at one time; an author joins its small ones before. */
export const BLOCKS_PER_OWNER_MAX = 2048;
/** Conflicts that are shown at one time. */
export const CONFLICTS_MAX = 256;
/** Own blocks sent around one by one; of a longer run only the head, and the rest is fetched. */
export const OWN_BROADCASTS_MAX = 8;
/** Messages that wait to be passed on, all together. */
export const BROADCASTS_MAX = 2048;
/** Pings that run for others at one time. */
export const RELAYS_MAX = 128;
/** Probes that run at one time, second opinions on a suspect included. */
export const PROBES_MAX = 32;
/** Members that a leaving node tells directly. */
export const LEAVE_DIRECT_MAX = 128;
/** Attempts a second to reach dead members and seeds, all together. */
export const RECONNECTS_PER_SECOND_MAX = 8;
/** Where seeds are tried: every address that their names may have. */
export const SEED_ENDPOINTS_MAX = SEEDS_MAX * SEED_ADDRESSES_MAX;
/** How long the head of a dead or departed owner is kept, so that its old blocks stay refused. */
export const HEAD_HORIZON_MS = 24 * 3600 * 1000;
/** Between header and tag, beside the payload: recipient, part of the nonce, count of the padding. */
export const SEALING_BYTES = 9;
/** What a node puts into one datagram, bytes. */
export const PAYLOAD_BYTES_MAX = DATAGRAM_BYTES_MAX - HEADER_BYTES - SEALING_BYTES - TAG_BYTES;
/** Doors of forgotten members at which is still knocked. */
export const FORMER_ENDPOINTS_MAX = 256;
