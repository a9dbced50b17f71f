/**
 * MAC addresses as 48-bit numbers, first byte on the wire highest. They exceed 32 bits, so they
 * are taken apart by division and never by bit operators.
 * @module
 */
import { AddressError } from './address-error.ts';

/** Bytes of one address. */
export const MAC_BYTES = 6;
/** ff:ff:ff:ff:ff:ff */
export const MAC_BROADCAST = 0xffffffffffff;

/**
 * Reads six pairs of hexadecimal digits separated by `:` (or `-` throughout).
 * @throws AddressError `ERR_MAC`
 */
export function parseMac(text: string): number {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$|^[0-9a-f]{2}(-[0-9a-f]{2}){5}$/i.test(text)) {
    throw new AddressError('ERR_MAC', `"${text}" is not a MAC address like 02:42:fa:00:1c:01`);
  }
  return Number.parseInt(text.replace(/[:-]/g, ''), 16);
}

/** Writes `02:42:fa:00:1c:01`. */
export function formatMac(mac: number): string {
  return mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?!$)/g, '$&:');
}

/** The six bytes in wire order, freshly allocated. */
export function macToBytes(mac: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(MAC_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, Math.floor(mac / 0x100000000));
  view.setUint32(2, mac >>> 0);
  return bytes;
}

/**
 * Six bytes in wire order as a number.
 * @throws AddressError `ERR_MAC` when fewer than six bytes follow `offset`.
 */
export function macFromBytes(bytes: Uint8Array, offset = 0): number {
  let mac = 0;
  const slice = bytes.subarray(offset, offset + MAC_BYTES);
  if (slice.length !== MAC_BYTES) {
    throw new AddressError('ERR_MAC', `a MAC address has 6 bytes, not ${slice.length}`);
  }
  for (const byte of slice) mac = mac * 256 + byte;
  return mac;
}

/** True when the group bit (IEEE 802-2014 §8.2.2) is set; broadcast included. */
export function isGroupMac(mac: number): boolean {
  return (Math.floor(mac / 0x10000000000) & 1) === 1;
}

/** `02:42` and the four address bytes: locally administered, the same on every start. */
export function macFromIpv4(address: number): number {
  return 0x0242 * 0x100000000 + (address >>> 0);
}
