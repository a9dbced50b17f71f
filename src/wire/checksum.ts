/**
 * The internet checksum (RFC 1071) in plain TypeScript. This is the oracle that the WebAssembly
 * kernel is tested against, and what control code uses; plus incremental update (RFC 1624).
 *
 * Two kinds of numbers: a *sum* is a plain number of added 16-bit words, not folded, not
 * complemented, and may be carried from one piece to the next; a *checksum* is what stands in
 * the packet, 16 bits, complemented.
 * @module
 */

/**
 * Adds the 16-bit big-endian words of a piece to `sum`. Only the last piece of a packet may have
 * an odd length; its missing byte counts as zero. Safe up to 2^37 bytes.
 */
export function addToSum(view: DataView, offset: number, bytes: number, sum = 0): number {
  const end = offset + (bytes & ~1);
  let total = sum;
  for (let at = offset; at < end; at += 2) total += view.getUint16(at);
  if (bytes & 1) total += view.getUint8(end) << 8;
  return total;
}

/** Folds a sum below 2^48 to 16 bits; no complement. */
export function foldSum(sum: number): number {
  let folded = sum;
  // Division instead of shifts: a sum may be wider than 32 bits.
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}

/** Complements a folded sum: the value to put in the packet. */
export function finishSum(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}

/** The checksum over a piece, plus a sum from before (a pseudo-header's). Over correct data: 0. */
export function internetChecksum(view: DataView, offset: number, bytes: number, sum = 0): number {
  return finishSum(addToSum(view, offset, bytes, sum));
}

/**
 * The checksum after one 16-bit word changed (RFC 1624 §3, equation 3: HC' = ~(~HC + ~m + m')).
 * A checksum of +0 never comes out of valid input, which is why equation 3 and not RFC 1141's.
 */
export function updateChecksum16(checksum: number, before: number, after: number): number {
  const sum = (~checksum & 0xffff) + (~before & 0xffff) + (after & 0xffff);
  const once = (sum & 0xffff) + (sum >>> 16);
  return ~(once + (once >>> 16)) & 0xffff;
}

/** The same for a 32-bit field that starts at an even byte of the packet. */
export function updateChecksum32(checksum: number, before: number, after: number): number {
  const high = updateChecksum16(checksum, before >>> 16, after >>> 16);
  return updateChecksum16(high, before & 0xffff, after & 0xffff);
}

/**
 * Sum of the IPv4 pseudo-header (RFC 9293 §3.1, RFC 768).
 * @param l3Offset start of the IPv4 header
 * @param transportBytes length of transport header and payload
 */
export function pseudoSumIpv4(
  view: DataView,
  l3Offset: number,
  protocol: number,
  transportBytes: number,
): number {
  return (
    view.getUint16(l3Offset + 12) +
    view.getUint16(l3Offset + 14) +
    view.getUint16(l3Offset + 16) +
    view.getUint16(l3Offset + 18) +
    protocol +
    transportBytes
  );
}

/**
 * Sum of the IPv6 pseudo-header (RFC 8200 §8.1).
 * @param l3Offset start of the IPv6 header
 * @param protocol the transport's number, which stands in the last extension header if there is one
 */
export function pseudoSumIpv6(
  view: DataView,
  l3Offset: number,
  protocol: number,
  transportBytes: number,
): number {
  // transportBytes may need 32 bits with jumbograms; foldSum deals with the carry.
  return addToSum(view, l3Offset + 8, 32, protocol + transportBytes);
}
