/**
 * Payloads with a minimum length: a byte that counts the padding, the payload, the padding.
 * @module
 */

/** The payload, padded to at least `least` bytes; `least` is at most 256. */
export function pad(payload: Uint8Array, least: number): Uint8Array {
  const padding = Math.max(0, least - 1 - payload.length);
  const bytes = new Uint8Array(1 + payload.length + padding);
  bytes[0] = padding;
  bytes.set(payload, 1);
  return bytes;
}

/** The payload (borrowed), undefined when nothing was padded like this. */
export function unpad(bytes: Uint8Array): Uint8Array | undefined {
  const end = bytes.length - (bytes[0] ?? 0);
  return end < 1 ? undefined : bytes.subarray(1, end);
}
