/**
 * Bounds of the gossip format: what goes over one is refused by whoever reads it, and is never
 * written.
 * @module
 */

/** One UDP datagram with header and tag, bytes: fits any path with an MTU of 1,280. */
export const DATAGRAM_BYTES_MAX = 1200;
/** One frame of a stream, bytes, its length field not counted. */
export const FRAME_BYTES_MAX = 65_536;
/** Messages in one datagram or frame. */
export const MESSAGES_MAX = 200;
/** Body of a block, bytes, so that a datagram can carry it with its signature. */
export const BLOCK_BYTES_MAX = 960;
/** Items in one block. */
export const ITEMS_PER_BLOCK_MAX = 64;
/** Ranges of live blocks in a head; an author compacts its blocks before it has more. */
export const LIVE_RANGES_MAX = 96;
/** Blocks in one message. */
export const BLOCKS_PER_MESSAGE_MAX = 64;
/** Addresses in one question for workloads. */
export const SEEK_ADDRESSES_MAX = 32;
/** Servers of one kind that a tunnel endpoint names. */
export const SERVERS_MAX = 8;
/** What a question is about, characters. */
export const ABOUT_CHARS_MAX = 512;
/** A part of an answer, bytes: fits a frame with room to spare. */
export const TOLD_BYTES_MAX = 32_768;
/** Owners in one message: a datagram has room for fewer. */
export const OWNERS_PER_MESSAGE_MAX = 64;
/** Highest rank that is believed; an honest one grows by one a move. */
export const RANK_MAX = 2 ** 31 - 1;
/** Highest epoch and sequence number: a node that starts each second reaches it in 136 years. */
export const EPOCH_MAX = 2 ** 32 - 1;
export const SEQUENCE_MAX = 2 ** 32 - 1;

/** Name and version in a peer record, characters. */
export const NAME_CHARS_MAX = 63;
export const VERSION_CHARS_MAX = 32;
/** A rule and the labels of a workload as text, characters. */
export const RULE_TEXT_CHARS_MAX = 240;
export const LABELS_TEXT_CHARS_MAX = 300;
export const ENDPOINTS_MAX = 8;
export const ENCAPS_MAX = 8;
export const VNIS_MAX = 64;
export const RECORD_FANS_MAX = 8;
/** Further underlays in a peer record, those of all its links together. */
export const RECORD_UNDERLAYS_MAX = 6;
export const CAPABILITIES_MAX = 32;
export const INSTANCE_BYTES = 8;

export const NODE_ID_BYTES = 16;
/** Ed25519 (RFC 8032 §5.1.5, §5.1.6). */
export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

/** Owners fall into this many buckets by the first bits of their id. */
export const BUCKETS = 64;
/** Hash of one bucket, and of the whole table. */
export const BUCKET_HASH_BYTES = 4;
export const TABLE_HASH_BYTES = 8;
