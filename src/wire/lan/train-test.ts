/**
 * Datagrams of known content that show what becomes of trains on the way to a peer: Ethernet frames of the
 * type that path probes have too, which whoever knows nothing of them drops.
 *
 * ```
 * behind the Ethernet header:  magic u32 | token, 6 bytes | shape u8 | index u8 | length u16 | filling
 * ```
 *
 * `length` counts all of that, and each byte of the filling is its own place plus the index.
 * @module
 */
import { ETHERNET_HEADER_BYTES } from '../ethernet.ts';
import { ETHERTYPE_PATH_PROBE, NEAREST_BRIDGE_MAC } from './path-probe.ts';

/** What a datagram was sent as. Numbers are append-only. */
export const TrainShape = {
  /** On its own. */
  Single: 0,
  /** One of a train whose last datagram is as long as the others. */
  Equal: 1,
  /** One of a train that ends in a shorter datagram. */
  Uneven: 2,
} as const;
export type TrainShape = (typeof TrainShape)[keyof typeof TrainShape];

const MAGIC = 0x46545431;
export const TRAIN_TEST_TOKEN_OFFSET = 4;
export const TRAIN_TEST_TOKEN_BYTES = 6;
const SHAPE = 10;
const LENGTH = 12;
const FILLING = 14;
/** A MAC of nobody: locally administered (IEEE 802 §8.4). */
const SENDER_MAC = 0x02_00_00_00_00_01;

/** Writes a frame of `bytes`, Ethernet header included; the token has 6 bytes. */
export function emitTrainTest(
  frame: Buffer,
  token: Uint8Array,
  shape: TrainShape,
  index: number,
): void {
  // In a layer-2 network that alone tells it from what a bridge has carried.
  frame.writeUIntBE(NEAREST_BRIDGE_MAC, 0, 6);
  frame.writeUIntBE(SENDER_MAC, 6, 6);
  frame.writeUInt16BE(ETHERTYPE_PATH_PROBE, 12);
  const at = ETHERNET_HEADER_BYTES;
  frame.writeUInt32BE(MAGIC, at);
  frame.set(token.subarray(0, TRAIN_TEST_TOKEN_BYTES), at + TRAIN_TEST_TOKEN_OFFSET);
  frame.writeUInt8(shape, at + SHAPE);
  frame.writeUInt8(index & 0xff, at + SHAPE + 1);
  frame.writeUInt16BE(frame.length - at, at + LENGTH);
  for (let i = FILLING; at + i < frame.length; i++) frame.writeUInt8((i + index) & 0xff, at + i);
}

/** Shape and index of the test at `at`, behind the Ethernet header: shape × 256 + index; −1 = it is not whole. */
export function readTrainTest(view: DataView, at: number, available: number): number {
  if (available < FILLING || view.getUint32(at) !== MAGIC) return -1;
  if (view.getUint16(at + LENGTH) !== available) return -1;
  const index = view.getUint8(at + SHAPE + 1);
  for (let i = FILLING; i < available; i++) {
    if (view.getUint8(at + i) !== ((i + index) & 0xff)) return -1;
  }
  const shape = view.getUint8(at + SHAPE);
  return shape > TrainShape.Uneven ? -1 : shape * 256 + index;
}
