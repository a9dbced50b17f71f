/**
 * Hosts of the underlay as keys of a hash in shared memory.
 *
 * An IPv4 host is its address. For an IPv6 one tag and key are 62 bits of a hash that the table's secret
 * seed keys: two hosts that share them nobody can choose, and chance does not find among some thousand.
 * @module
 */
import { TAG_MIN } from '../../shm/hash.ts';

/** Tags of IPv6 hosts begin here; what is below 2³¹ is an i32 as the table has it. */
const TAG_IPV6_MIN = 0x4000_0000;

/** Tag of the host whose address of 4 or 16 bytes is at `at`. */
export function hostTag(view: DataView, at: number, bytes: 4 | 16, seed: number): number {
  return bytes === 4 ? TAG_MIN : TAG_IPV6_MIN + (mixed(view, at, seed ^ 0x5bd1e995) & 0x3fff_ffff);
}

/** Key of the same. */
export function hostKey(view: DataView, at: number, bytes: 4 | 16, seed: number): number {
  return bytes === 4 ? view.getUint32(at) : mixed(view, at, seed);
}

/** Four words and a seed in one, each bit of which goes by all of them (Murmur3's finalizer a word). */
function mixed(view: DataView, at: number, seed: number): number {
  let hash = seed;
  for (let word = 0; word < 16; word += 4) {
    hash = Math.imul(hash ^ view.getUint32(at + word), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash = Math.imul(hash ^ (hash >>> 16) ^ seed, 0x9e3779b1);
  }
  return hash ^ (hash >>> 16);
}
