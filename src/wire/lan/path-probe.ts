/**
 * The question "do you hear me on this underlay?" between two hosts of a link, and its answer. It
 * travels as an Ethernet frame inside the link's own encapsulation, to the port that is open anyway; where
 * that carries IP packets, in the place of one. Its first four bits are zero there, which is no version of IP.
 *
 * ```
 * 0   destination 01:80:c2:00:00:0e: no bridge passes it on, should it get to one
 * 6   source      02:00:00:00:00:00
 * 12  0x88b5      IEEE 802 local experimental
 * 14  'fanp'      u32
 * 18  kind        u8: 1 = question, 2 = answer
 * 19  underlay    u8: number among the asker's
 * 20  token       8 bytes that nobody can guess, the same in the answer
 * 28
 * ```
 *
 * A host that does not know it (a kernel, an older version) drops it without a word.
 * @module
 */
import { ETHERNET_HEADER_BYTES, emitEthernet, getEtherType } from '../ethernet.ts';

/** IEEE Std 802-2014 §9.2.4: local experimental. */
export const ETHERTYPE_PATH_PROBE = 0x88b5;
/** Nearest bridge, which is passed on by none (IEEE 802.1Q §8.6.3). */
export const NEAREST_BRIDGE_MAC = 0x0180c200000e;
const [NEAREST_BRIDGE_HIGH, NEAREST_BRIDGE_LOW] = [0x0180c200, 0x000e];
const SOURCE_MAC = 0x020000000000;
const MAGIC = 0x66616e70; // 'fanp'
const KIND_OFFSET = ETHERNET_HEADER_BYTES + 4;
const UNDERLAY_OFFSET = KIND_OFFSET + 1;
const TOKEN_OFFSET = UNDERLAY_OFFSET + 1;
export const PATH_PROBE_TOKEN_BYTES = 8;
/** The whole frame. */
export const PATH_PROBE_BYTES = TOKEN_OFFSET + PATH_PROBE_TOKEN_BYTES;

export const ProbeKind = { None: 0, Question: 1, Answer: 2 } as const;

/** Writes a question; `token` is {@link PATH_PROBE_TOKEN_BYTES} long. */
export function emitPathProbe(
  view: DataView,
  offset: number,
  underlay: number,
  token: Uint8Array,
): void {
  emitEthernet(view, offset, NEAREST_BRIDGE_MAC, SOURCE_MAC, ETHERTYPE_PATH_PROBE);
  view.setUint32(offset + ETHERNET_HEADER_BYTES, MAGIC);
  view.setUint8(offset + KIND_OFFSET, ProbeKind.Question);
  view.setUint8(offset + UNDERLAY_OFFSET, underlay);
  for (const [i, byte] of token.entries()) view.setUint8(offset + TOKEN_OFFSET + i, byte);
}

/** What an answer begins with, for filters: words in network order, and where each stands. */
export const PATH_ANSWER_WORDS: readonly { at: number; word: number }[] = [
  { at: 0, word: NEAREST_BRIDGE_HIGH },
  { at: ETHERNET_HEADER_BYTES - 2, word: (ETHERTYPE_PATH_PROBE << 16) | (MAGIC >>> 16) },
];

/** Whether a frame of a layer-2 network is one of {@link ETHERTYPE_PATH_PROBE} that no bridge has carried. */
export function isLinkProbe(view: DataView, offset: number, length: number): boolean {
  return (
    length >= ETHERNET_HEADER_BYTES &&
    getEtherType(view, offset) === ETHERTYPE_PATH_PROBE &&
    view.getUint32(offset) === NEAREST_BRIDGE_HIGH &&
    view.getUint16(offset + 4) === NEAREST_BRIDGE_LOW
  );
}

/**
 * Whether what stands in the place of an IP packet, `length` bytes, is a frame of
 * {@link ETHERTYPE_PATH_PROBE}. Of an IP packet the first byte alone is looked at.
 */
export function isProbeFrame(view: DataView, offset: number, length: number): boolean {
  return (
    length >= ETHERNET_HEADER_BYTES &&
    view.getUint8(offset) >>> 4 === 0 &&
    getEtherType(view, offset) === ETHERTYPE_PATH_PROBE
  );
}

/** Kind of the probe in a frame of {@link ETHERTYPE_PATH_PROBE} and `length` bytes; 0 = it is none. */
export function pathProbeKind(view: DataView, offset: number, length: number): number {
  if (length < PATH_PROBE_BYTES) return ProbeKind.None;
  if (view.getUint32(offset + ETHERNET_HEADER_BYTES) !== MAGIC) return ProbeKind.None;
  const kind = view.getUint8(offset + KIND_OFFSET);
  return kind === ProbeKind.Question || kind === ProbeKind.Answer ? kind : ProbeKind.None;
}

/** Makes the question at `offset` its own answer. */
export function answerPathProbe(view: DataView, offset: number): void {
  view.setUint8(offset + KIND_OFFSET, ProbeKind.Answer);
}

/** Offset of the token in the frame. */
export function pathProbeToken(bytes: Uint8Array, offset: number): Uint8Array {
  return bytes.subarray(offset + TOKEN_OFFSET, offset + PATH_PROBE_BYTES);
}
