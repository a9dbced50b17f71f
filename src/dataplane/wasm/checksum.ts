/**
 * The Internet checksum (RFC 1071) over the packet arena, which is this module's memory.
 * Compiled by AssemblyScript with SIMD; sums 16-bit words in host (little endian) order, which
 * RFC 1071 §2(B) allows, and swaps the folded result once at the end.
 */

/** Sums `length` bytes at `pointer` as little-endian 16-bit words, not yet folded. */
// @ts-ignore: decorator
@inline
function accumulate(pointer: u32, length: u32): u64 {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  let at = pointer;
  const end = pointer + length;
  // 65,535 bytes are 1,024 rounds; a lane grows by at most 4 * 65,535 a round: no overflow.
  while (at + 64 <= end) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 16)));
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 32)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 48)));
    at += 64;
  }
  while (at + 16 <= end) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
    at += 16;
  }
  a = i32x4.add(a, b);
  let sum: u64 =
    <u64>(<u32>i32x4.extract_lane(a, 0)) +
    <u64>(<u32>i32x4.extract_lane(a, 1)) +
    <u64>(<u32>i32x4.extract_lane(a, 2)) +
    <u64>(<u32>i32x4.extract_lane(a, 3));
  while (at + 2 <= end) {
    sum += <u64>load<u16>(at);
    at += 2;
  }
  // RFC 1071: an odd last byte is padded with zero on its right.
  if (at < end) sum += <u64>load<u8>(at);
  return sum;
}

// @ts-ignore: decorator
@inline
function fold(sum: u64): u32 {
  let s = (sum & 0xffffffff) + (sum >> 32);
  s = (s & 0xffff) + (s >> 16);
  s = (s & 0xffff) + (s >> 16);
  s = (s & 0xffff) + (s >> 16);
  return <u32>s;
}

// @ts-ignore: decorator
@inline
function swap(value: u32): u32 {
  return ((value & 0xff) << 8) | (value >> 8);
}

/** One's-complement sum of `length` bytes plus `initial`, folded to 16 bits, not complemented. */
export function sum(pointer: u32, length: u32, initial: u32): u32 {
  return fold(<u64>swap(fold(accumulate(pointer, length))) + <u64>initial);
}

/** The same over two pieces; the first has an even length. */
export function sumTwo(
  first: u32,
  firstLength: u32,
  second: u32,
  secondLength: u32,
  initial: u32,
): u32 {
  const s = accumulate(first, firstLength) + accumulate(second, secondLength);
  return fold(<u64>swap(fold(s)) + <u64>initial);
}
