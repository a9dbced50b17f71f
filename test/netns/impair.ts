/**
 * What an unreliable wire does to each frame, decided by a seeded generator: the same seed, options
 * and order of frames give the same decisions, so a failing run can be had again.
 * @module
 */

/** Probabilities are 0 to 1, per frame and direction; times in milliseconds. */
export type Impairment = {
  loss: number;
  duplicate: number;
  /** Share of frames held back by `reorderMs`, so that later ones overtake them. */
  reorder: number;
  reorderMs: number;
  /** Share of IPv4 frames with one bit turned over somewhere after the Ethernet header. */
  flip: number;
  delayMs: number;
  /** Added to `delayMs`, uniformly from 0 to this. Above 0 it reorders too. */
  jitterMs: number;
  /** Frames longer than this (bytes, Ethernet header included) vanish: a path MTU black hole. */
  maxBytes: number;
};

export const NO_IMPAIRMENT: Impairment = {
  loss: 0,
  duplicate: 0,
  reorder: 0,
  reorderMs: 5,
  flip: 0,
  delayMs: 0,
  jitterMs: 0,
  maxBytes: 65_535,
};

/** `flipBit` is a bit index from the frame's start, −1 for none. */
export type Decision = { drop: boolean; copies: number; delayMs: number; flipBit: number };

const ETHERNET_HEADER_BYTES = 14;

/** Uniform numbers in [0, 1): mulberry32, period 2^32. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/**
 * Decides about one frame of `bytes` bytes. Takes the same number of random values whatever it
 * decides, so that changing one probability does not shift the others' decisions.
 */
export function decide(
  random: () => number,
  impairment: Impairment,
  bytes: number,
  isIpv4: boolean,
): Decision {
  const lost = random() < impairment.loss;
  const copies = random() < impairment.duplicate ? 2 : 1;
  const held = random() < impairment.reorder ? impairment.reorderMs : 0;
  const jitter = random() * impairment.jitterMs;
  const flips = random() < impairment.flip;
  const at = random();
  const bits = (bytes - ETHERNET_HEADER_BYTES) * 8;
  const flipBit =
    flips && isIpv4 && bits > 0 ? ETHERNET_HEADER_BYTES * 8 + Math.floor(at * bits) : -1;
  const drop = lost || bytes > impairment.maxBytes;
  return { drop, copies, delayMs: impairment.delayMs + held + jitter, flipBit };
}
