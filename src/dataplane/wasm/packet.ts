/**
 * The packet kernel: what is done once for each segment of a train, over the packet arena, which is
 * this module's memory. Compiled by AssemblyScript with SIMD.
 *
 * Checksums (RFC 1071) sum 16-bit words in host (little endian) order, which section 2(B) allows,
 * and swap the folded result once at the end.
 */
import {
  CUT_AT,
  CUT_END,
  CUT_FLAGS,
  CUT_FLAGS_LAST,
  CUT_IDENTIFICATION,
  CUT_IP,
  CUT_IP_SUM,
  CUT_IS_TCP,
  CUT_L4,
  CUT_L4_SUM,
  CUT_PIECE,
  CUT_PREFIX,
  CUT_SEQUENCE,
  CUT_START,
  CUT_VERSION,
} from './descriptor';

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

// Where arena offset 0 lies in the process: iovecs hold absolute addresses.
let arenaBase: u64 = 0;

/** Tells the module the arena's address, low and high word. */
export function setBase(low: u32, high: u32): void {
  arenaBase = (<u64>high << 32) | <u64>low;
}

// @ts-ignore: decorator
@inline
function storeIovec(at: u32, target: u32, length: u32): void {
  store<u64>(at, arenaBase + <u64>target);
  store<u64>(at, <u64>length, 8);
}

// @ts-ignore: decorator
@inline
function store16(at: u32, value: u32): void {
  store<u16>(at, <u16>swap(value & 0xffff));
}

// @ts-ignore: decorator
@inline
function load16(at: u32): u32 {
  return swap(<u32>load<u16>(at));
}

/** What differs in the transport headers of segments, and their checksums. */
// @ts-ignore: decorator
@inline
function storeTransport(
  transport: u32,
  payload: u32,
  payloadBytes: u32,
  l4Bytes: u32,
  isTcp: bool,
  l4Sum: u32,
  sequence: u32,
  bits: u32,
): void {
  const sums = <u64>swap(fold(accumulate(payload, payloadBytes)));
  const l4Total = l4Bytes + payloadBytes;
  if (isTcp) {
    store<u32>(transport + 4, bswap(sequence));
    store<u8>(transport + 13, <u8>bits);
    const sum = sums + <u64>(l4Sum + l4Total + (sequence >> 16) + (sequence & 0xffff) + bits);
    store16(transport + 16, ~fold(sum));
  } else {
    store16(transport + 4, l4Total);
    // The length stands in the header and in the pseudo header; zero means "no checksum".
    const sum = ~fold(sums + <u64>(l4Sum + 2 * l4Total)) & 0xffff;
    store16(transport + 6, sum == 0 ? 0xffff : sum);
  }
}

/**
 * Writes the headers and iovecs of the next `count` segments of the super-packet whose descriptor
 * (descriptor.ts) is at `cut`: its headers have zeros in all fields that differ. Goes on in the
 * descriptor, and returns how many bytes of payload they are.
 *
 * @param scratch header buffers, `stride` bytes apart, at least the prefix + 15 long each
 * @param iovec two for each segment: header, payload
 */
export function segment(cut: u32, scratch: u32, stride: u32, count: u32, iovec: u32): u32 {
  const start = load<u32>(cut, CUT_START);
  const prefixBytes = load<u32>(cut, CUT_PREFIX);
  const ip = load<u32>(cut, CUT_IP);
  const l4 = load<u32>(cut, CUT_L4);
  const isSix = load<u32>(cut, CUT_VERSION) == 6;
  const isTcp = load<u32>(cut, CUT_IS_TCP) != 0;
  const at = load<u32>(cut, CUT_AT);
  const end = load<u32>(cut, CUT_END);
  const piece = load<u32>(cut, CUT_PIECE);
  const ipSum = load<u32>(cut, CUT_IP_SUM);
  const l4Sum = load<u32>(cut, CUT_L4_SUM);
  const last = load<u32>(cut, CUT_FLAGS_LAST);
  const middle = load<u32>(cut, CUT_FLAGS);
  let id = load<u32>(cut, CUT_IDENTIFICATION);
  let sequence = load<u32>(cut, CUT_SEQUENCE);
  let header = scratch;
  let payload = at;
  for (let i: u32 = 0; i < count; i++) {
    for (let offset: u32 = 0; offset < prefixBytes; offset += 16) {
      v128.store(header + offset, v128.load(start + offset));
    }
    const isLast = payload + piece >= end;
    const payloadBytes = isLast ? end - payload : piece;
    const total = prefixBytes - ip + payloadBytes;
    if (isSix) {
      // Its header says the payload's length, and has no checksum.
      store16(header + ip + 4, total - 40);
    } else {
      store16(header + ip + 2, total);
      store16(header + ip + 4, id);
      store16(header + ip + 10, ~fold(<u64>(ipSum + total + id)));
      id = (id + 1) & 0xffff;
    }
    const bits = isLast ? last : middle;
    storeTransport(header + l4, payload, payloadBytes, prefixBytes - l4, isTcp, l4Sum, sequence, bits);
    sequence += piece;
    storeIovec(iovec, header, prefixBytes);
    storeIovec(iovec + 16, payload, payloadBytes);
    iovec += 32;
    header += stride;
    payload += payloadBytes;
  }
  store<u32>(cut, payload, CUT_AT);
  store<u32>(cut, id, CUT_IDENTIFICATION);
  store<u32>(cut, sequence, CUT_SEQUENCE);
  return payload - at;
}

/** Whether `length` bytes, 16 at least, are equal at both places. */
// @ts-ignore: decorator
@inline
function isSame(a: u32, b: u32, length: u32): bool {
  let difference = v128.xor(v128.load(a), v128.load(b));
  let i: u32 = 16;
  for (; i + 16 <= length; i += 16) {
    difference = v128.or(difference, v128.xor(v128.load(a + i), v128.load(b + i)));
  }
  // The last ones together with some that were compared already.
  if (i < length) {
    i = length - 16;
    difference = v128.or(difference, v128.xor(v128.load(a + i), v128.load(b + i)));
  }
  return !v128.any_true(difference);
}

/**
 * Whether the transport header and payload of the datagram at `at` continue the one at `first`: equal but
 * for what counts up, the checksum right. A PSH is passed on to `first`.
 */
// @ts-ignore: decorator
@inline
function continues(
  at: u32,
  first: u32,
  l4: u32,
  prefixBytes: u32,
  isTcp: bool,
  l4Bytes: u32,
  sequence: u32,
  pseudo: u32,
): bool {
  const transport = at + l4;
  const firstTransport = first + l4;
  let push: u8 = 0;
  if (isTcp) {
    if (bswap(load<u32>(transport + 4)) != sequence) return false;
    if (load<u32>(transport + 8) != load<u32>(firstTransport + 8)) return false;
    // Data offset, flags and window; PSH (0x08 of the second byte) may differ.
    const difference = load<u32>(transport + 12) ^ load<u32>(firstTransport + 12);
    if ((difference & 0xfffff7ff) != 0) return false;
    push = load<u8>(transport + 13) & 8;
    for (let i: u32 = l4 + 20; i < prefixBytes; i += 4) {
      if (load<u32>(at + i) != load<u32>(first + i)) return false;
    }
  } else {
    if (load<u16>(transport + 4) != load<u16>(firstTransport + 4)) return false;
    if (load<u16>(transport + 6) == 0) return false;
  }
  const sum = fold(<u64>swap(fold(accumulate(transport, l4Bytes))) + <u64>pseudo);
  if (sum != 0xffff) return false;
  if (push != 0) store<u8>(firstTransport + 13, load<u8>(firstTransport + 13) | 8);
  return true;
}

/**
 * How many of the datagrams at `at`, each `datagramBytes` long, continue the flow of the datagram
 * at `first`: every header byte equal but for what must count up, every checksum right. Writes one
 * iovec for the payload of each. The first one that differs in anything ends the run and is left to
 * the careful path.
 *
 * @param stride bytes from the start of one to the start of the next: as long as they are in a train
 * @param first a datagram that passed all checks, whose headers are as they arrived, PSH aside
 * @param ip offset of the IPv4 header in a datagram, `l4` of the transport header, `prefixBytes`
 *   of the payload
 * @param identification expected next, or −1 where DF makes it meaningless
 * @param sequence expected next (TCP)
 * @param ipSum folded sum of first's IPv4 header without identification and checksum
 * @param pseudo folded pseudo header sum of one datagram
 */
export function joinRun(
  first: u32,
  ip: u32,
  l4: u32,
  prefixBytes: u32,
  isTcp: bool,
  datagramBytes: u32,
  stride: u32,
  at: u32,
  countMax: u32,
  identification: i32,
  sequence: u32,
  ipSum: u32,
  pseudo: u32,
  iovec: u32,
): u32 {
  const payloadBytes = datagramBytes - prefixBytes;
  const l4Bytes = datagramBytes - l4;
  let count: u32 = 0;
  while (count < countMax) {
    // Shim, Ethernet and the IPv4 header's first word (version, TOS, total length).
    for (let i: u32 = 0; i < ip; i += 2) {
      if (load<u16>(at + i) != load<u16>(first + i)) return count;
    }
    const header = at + ip;
    const firstHeader = first + ip;
    if (load<u32>(header) != load<u32>(firstHeader)) return count;
    const id = load16(header + 4);
    if (identification >= 0 && id != <u32>((identification + count) & 0xffff)) return count;
    if (load<u16>(header + 6) != load<u16>(firstHeader + 6)) return count;
    if (load<u16>(header + 8) != load<u16>(firstHeader + 8)) return count;
    if (load16(header + 10) != (~fold(<u64>(ipSum + id)) & 0xffff)) return count;
    // Addresses and options, then the ports.
    for (let i = ip + 12; i < l4 + 4; i += 4) {
      if (load<u32>(at + i) != load<u32>(first + i)) return count;
    }
    if (!continues(at, first, l4, prefixBytes, isTcp, l4Bytes, sequence, pseudo)) return count;
    storeIovec(iovec, at + prefixBytes, payloadBytes);
    iovec += 16;
    sequence += payloadBytes;
    at += stride;
    count++;
  }
  return count;
}

/** The same for IPv6: all that stands before the transport header is equal, its length field too. */
export function joinRun6(
  first: u32,
  l4: u32,
  prefixBytes: u32,
  isTcp: bool,
  datagramBytes: u32,
  stride: u32,
  at: u32,
  countMax: u32,
  sequence: u32,
  pseudo: u32,
  iovec: u32,
): u32 {
  const payloadBytes = datagramBytes - prefixBytes;
  const l4Bytes = datagramBytes - l4;
  let count: u32 = 0;
  while (count < countMax) {
    // Shim, Ethernet, the IPv6 header, the ports.
    if (!isSame(at, first, l4 + 4)) return count;
    if (!continues(at, first, l4, prefixBytes, isTcp, l4Bytes, sequence, pseudo)) return count;
    storeIovec(iovec, at + prefixBytes, payloadBytes);
    iovec += 16;
    sequence += payloadBytes;
    at += stride;
    count++;
  }
  return count;
}
