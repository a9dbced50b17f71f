/**
 * The descriptor of a super-packet that is cut: where its parts are and how far it is, in the packet arena, where
 * TypeScript writes it once and the packet kernel reads it and goes on in it. Offsets of u32 words from its
 * start, bytes; both compile this file, so nothing but constants may stand here.
 * @module
 */

/** What each piece begins with: arena offset of the shim or frame, and its length up to the payload, bytes. */
export const CUT_START = 0;
export const CUT_PREFIX = 4;
/** The IP and the transport header, from there, bytes. */
export const CUT_IP = 8;
export const CUT_L4 = 12;
/** Version of IP, 4 or 6, and whether the transport is TCP (1) or UDP (0). */
export const CUT_VERSION = 16;
export const CUT_IS_TCP = 20;
/** Next payload byte, and where the payload ends: arena offsets. The kernel moves the first. */
export const CUT_AT = 24;
export const CUT_END = 28;
/** Payload of a piece, bytes. */
export const CUT_PIECE = 32;
/** Folded sums of what all pieces share: IPv4 header; transport header and pseudo header. */
export const CUT_IP_SUM = 36;
export const CUT_L4_SUM = 40;
/** IPv4 identification and TCP sequence number of the next piece. The kernel moves both. */
export const CUT_IDENTIFICATION = 44;
export const CUT_SEQUENCE = 48;
/** TCP flags of the last piece, and of the others. */
export const CUT_FLAGS_LAST = 52;
export const CUT_FLAGS = 56;
export const CUT_BYTES = 60;
