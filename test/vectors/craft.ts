/**
 * Builds datagrams for the refusal tests: everything is right unless a field says otherwise.
 * @module
 */
import { internetChecksum, pseudoSumIpv4 } from '../../src/wire/checksum.ts';
import { fromHex, viewOf } from './hex.ts';

/** Who the crafted datagrams come from and go to: 172.30.0.27 and 172.30.0.28 of one fan. */
export const FAN = {
  overlay: 0xfa000000,
  underlay: 0xac1e0000,
  sender: 0xac1e001b,
  receiver: 0xac1e001c,
  vni: 0xfa0000,
  /** Containers of the sender's and the receiver's slice. */
  source: 0xfa001b02,
  destination: 0xfa001c02,
} as const;

/** An inner IPv4 packet; lengths and checksums fit unless given. */
export type PacketFields = {
  readonly version?: number;
  /** Header length in 32-bit words. */
  readonly headerWords?: number;
  /** Hex of IPv4 options, a multiple of four bytes. */
  readonly options?: string;
  readonly tos?: number;
  readonly totalBytes?: number;
  readonly fragment?: number;
  readonly ttl?: number;
  readonly protocol?: number;
  /** Added to the right header checksum. */
  readonly checksumError?: number;
  readonly source?: number;
  readonly destination?: number;
  /** Hex of everything behind the IPv4 header; 16 bytes of UDP unless given. */
  readonly payload?: string;
  /** Where in the payload the transport checksum stands; -1 leaves the payload alone. */
  readonly checksumAt?: number;
};

/** A UDP datagram to port 53 with eight bytes of data. */
export const UDP_PAYLOAD = 'c000 0035 0010 0000 0102030405060708';
/** A TCP segment with an ACK and eight bytes of data. */
export const TCP_PAYLOAD = 'c350 01bb 00000001 00000002 5010 ffff 0000 0000 0102030405060708';

/** The bytes of an IPv4 packet. */
export function packet(fields: PacketFields = {}): Uint8Array<ArrayBuffer> {
  const options = fromHex(fields.options ?? '');
  const protocol = fields.protocol ?? 17;
  const payload = fromHex(fields.payload ?? (protocol === 6 ? TCP_PAYLOAD : UDP_PAYLOAD));
  const headerBytes = 20 + options.length;
  const bytes = new Uint8Array(headerBytes + payload.length);
  const view = viewOf(bytes);
  bytes.set(options, 20);
  bytes.set(payload, headerBytes);
  view.setUint8(0, ((fields.version ?? 4) << 4) | (fields.headerWords ?? headerBytes >> 2));
  view.setUint8(1, fields.tos ?? 0);
  view.setUint16(2, fields.totalBytes ?? bytes.length);
  view.setUint16(4, 0x1234);
  view.setUint16(6, fields.fragment ?? 0x4000);
  view.setUint8(8, fields.ttl ?? 64);
  view.setUint8(9, protocol);
  view.setUint32(12, fields.source ?? FAN.source);
  view.setUint32(16, fields.destination ?? FAN.destination);
  const checksumAt = fields.checksumAt ?? (protocol === 6 ? 16 : protocol === 17 ? 6 : -1);
  if (checksumAt >= 0 && checksumAt + 2 <= payload.length) {
    const pseudo = pseudoSumIpv4(view, 0, protocol, payload.length);
    const checksum = internetChecksum(view, headerBytes, payload.length, pseudo);
    view.setUint16(headerBytes + checksumAt, checksum || 0xffff);
  }
  const checksum = internetChecksum(view, 0, headerBytes) + (fields.checksumError ?? 0);
  view.setUint16(10, checksum & 0xffff);
  return bytes;
}

/** An Ethernet frame around `inner`. */
export type FrameFields = {
  readonly destinationMac?: string;
  readonly sourceMac?: string;
  readonly etherType?: string;
};

export function frame(inner: Uint8Array, fields: FrameFields = {}): Uint8Array<ArrayBuffer> {
  const {
    destinationMac = '0242fa001c02',
    sourceMac = '0242fa001b02',
    etherType = '0800',
  } = fields;
  return Uint8Array.from([...fromHex(`${destinationMac} ${sourceMac} ${etherType}`), ...inner]);
}

/** An ARP request from the sender's container about the receiver's. */
export function arp(
  hex = `0001 0800 06 04 0001 0242fa001b02 fa001b02 000000000000 fa001c02`,
): Uint8Array<ArrayBuffer> {
  return frame(fromHex(hex), { destinationMac: 'ffffffffffff', etherType: '0806' });
}

/** A VXLAN header in hex, then `inner`. */
export function vxlan(inner: Uint8Array, header = '08 000000 fa0000 00'): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...fromHex(header), ...inner]);
}
