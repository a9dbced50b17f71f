/**
 * Every bound of the gossip channel, by name. What goes over one is refused or pushes the oldest
 * out, and is counted.
 * @module
 */

/** One UDP datagram with header and tag, bytes: fits any path with an MTU of 1,280. */
export const DATAGRAM_BYTES_MAX = 1200;
/** Members and owners in the table, ourselves included. */
export const MEMBERS_MAX = 1024;
/** Announcements of one owner, and of all together. */
export const ITEMS_PER_OWNER_MAX = 16_384;
export const ITEMS_MAX = 262_144;
/** Items in one block; it must fit a datagram. */
export const ITEMS_PER_BLOCK_MAX = 64;
/** Body of a block, bytes, so that a datagram can carry it with its signature. */
export const BLOCK_BYTES_MAX = 960;
/** Ranges of live blocks in a head; an author compacts its blocks before it has more. */
export const LIVE_RANGES_MAX = 96;
/** Highest rank that is believed; an honest one grows by one a move. */
export const RANK_MAX = 2 ** 31 - 1;
