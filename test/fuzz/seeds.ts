/**
 * Honest packets that fuzzing starts from.
 * @module
 */
import { internetChecksum, pseudoSumIpv4 } from '../../src/wire/checksum.ts';
import { checkIpv4 } from '../../src/wire/classify.ts';
import {
  fillIpv4Checksum,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4TotalBytes,
  isIpv4Fragment,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../src/wire/ipv4.ts';
import { TCP_CHECKSUM_OFFSET } from '../../src/wire/tcp.ts';
import { UDP_CHECKSUM_OFFSET } from '../../src/wire/udp.ts';
import { fromHex, viewOf } from '../vectors/hex.ts';

const ADDRESSES = 'fa001b02 fa001c02';
const MACS = '0242fa001c02 0242fa001b02';
const V6 = `fd00${'00'.repeat(13)}01 fd00${'00'.repeat(13)}02`;
const TCP = 'c350 01bb 00000001 00000002 8018 ffff 0000 0000 0101 080a 00000001 00000002';
const TCP_SYN = 'c350 01bb 00000001 00000000 7002 ffff 0000 0000 0204 05b4 0402 0101';

const tcp4 = `4500 0040 0001 4000 4006 0000 ${ADDRESSES} ${TCP} 6f766572 6c617900 01020304`;
const syn4 = `4500 0030 0001 4000 4006 0000 ${ADDRESSES} ${TCP_SYN}`;
const udp4 = `4500 0024 0002 4000 4011 0000 ${ADDRESSES} c000 0035 0010 0000 0102030405060708`;
const icmp4 = `4500 0024 0003 4000 4001 0000 ${ADDRESSES} 0800 0000 1234 0001 0102030405060708`;
const error4 = `4500 0038 0003 0000 4001 0000 ${ADDRESSES} 0304 0000 0000 05aa 4500 05dc 0001 4000 4011 0000 ${ADDRESSES} c000 12b5 05c8 0000`;
const options4 = `4700 0024 0002 4000 4011 0000 ${ADDRESSES} 94040000 0101 0101 c000 0035 0008 0000`;
const fragment4 = `4500 0024 0004 2001 4011 0000 ${ADDRESSES} 0102030405060708 0102030405060708`;
const ipip4 = `4500 0054 0004 4000 4004 0000 ${ADDRESSES} ${tcp4}`;
const tcp6 = `6000 0000 0024 06 40 ${V6} ${TCP} 01020304`;
const chain6 = `6000 0000 0020 00 40 ${V6} 3c00 0104 00000000 2c00 0104 00000000 1100 0000 00000001 c000 0035 0008 0000`;
const icmp6 = `6000 0000 0010 3a ff ${V6} 8000 0000 1234 0001 0102030405060708`;
const arp = `0001 0800 06 04 0001 0242fa001b02 fa001b02 000000000000 fa001c02`;

/** Where each protocol keeps its checksum, and whether a pseudo-header is summed with it. */
const CHECKSUMS: Readonly<Record<number, { at: number; pseudo: boolean }>> = {
  [PROTOCOL_TCP]: { at: TCP_CHECKSUM_OFFSET, pseudo: true },
  [PROTOCOL_UDP]: { at: UDP_CHECKSUM_OFFSET, pseudo: true },
  [PROTOCOL_ICMP]: { at: 2, pseudo: false },
};

/**
 * Fills in the checksums of the IPv4 packet at `l3`, where there is room for them; anything else
 * stays as it is. Mutated packets pass through here too, or all of them would end as one fault.
 */
export function repairIpv4(view: DataView, l3: number, length: number): void {
  if (checkIpv4(view, l3, length) !== 0) return;
  fillIpv4Checksum(view, l3);
  const protocol = getIpv4Protocol(view, l3);
  const checksum = CHECKSUMS[protocol];
  const headerBytes = getIpv4HeaderBytes(view, l3);
  const bytes = getIpv4TotalBytes(view, l3) - headerBytes;
  if (checksum === undefined || isIpv4Fragment(view, l3) || bytes < checksum.at + 2) return;
  const l4 = l3 + headerBytes;
  view.setUint16(l4 + checksum.at, 0);
  const pseudo = checksum.pseudo ? pseudoSumIpv4(view, l3, protocol, bytes) : 0;
  view.setUint16(l4 + checksum.at, internetChecksum(view, l4, bytes, pseudo));
}

/** Bytes of a seed whose IPv4 packet, if it has one, begins at `l3`. */
function seed(hex: string, l3 = 0): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(hex);
  repairIpv4(viewOf(bytes), l3, bytes.length - l3);
  return bytes;
}

/** Bare IP packets, both versions. */
export const IP_PACKETS: readonly Uint8Array[] = [
  tcp4,
  syn4,
  udp4,
  icmp4,
  error4,
  options4,
  fragment4,
  ipip4,
  tcp6,
  chain6,
  icmp6,
].map((hex) => seed(hex));

/** ARP messages without Ethernet header. */
export const ARP_MESSAGES: readonly Uint8Array[] = [arp].map(fromHex);

/** TCP headers with options. */
export const TCP_SEGMENTS: readonly Uint8Array[] = [TCP, TCP_SYN].map(fromHex);

/** Ethernet frames of every kind that a fan meets. */
export const FRAMES: readonly Uint8Array[] = [
  `${MACS} 0800 ${tcp4}`,
  `${MACS} 0800 ${udp4} 0000`,
  `${MACS} 0800 ${icmp4}`,
  `${MACS} 0800 ${fragment4}`,
  `${MACS} 0800 ${options4}`,
  `${MACS} 0800 ${ipip4}`,
  `${MACS} 86dd ${tcp6}`,
  `${MACS} 86dd ${icmp6}`,
  `ffffffffffff 0242fa001b02 0806 ${arp}`,
  `0180c2000000 0242fa001b02 0026 424203 ${'00'.repeat(35)}`,
  `${MACS} 8100 0064 0800 ${udp4}`,
].map((hex) => seed(hex, 14));

/** VXLAN payloads of UDP: shim and frame. */
export const VXLAN_DATAGRAMS: readonly Uint8Array[] = FRAMES.map((frame) =>
  Uint8Array.from([...fromHex('08000000fa000000'), ...frame]),
);

/** What a raw socket for protocol 4 hands over: outer header and packet. */
export const IPIP_DATAGRAMS: readonly Uint8Array[] = IP_PACKETS.map((packet) => {
  const total = (20 + packet.length).toString(16).padStart(4, '0');
  const outer = seed(`4500 ${total} 0009 4000 4004 0000 ac1e001b ac1e001c`);
  const bytes = Uint8Array.from([...outer, ...packet]);
  fillIpv4Checksum(viewOf(bytes), 0);
  return bytes;
});

const VIRTIO_HEADERS = ['01014200760522001000', '02000000000000000000', '01052a00b00422000600'];

/** What a TAP with vnet header hands over: 10 bytes and a frame. */
export const VIRTIO_FRAMES: readonly Uint8Array[] = FRAMES.flatMap((frame) =>
  VIRTIO_HEADERS.map((header) => Uint8Array.from([...fromHex(header), ...frame])),
);

/** What a TUN with vnet header hands over: 10 bytes and a packet. */
export const VIRTIO_PACKETS: readonly Uint8Array[] = IP_PACKETS.flatMap((packet) =>
  ['01013400760514001000', '02000000000000000000', '01051c00b00414000600'].map((header) =>
    Uint8Array.from([...fromHex(header), ...packet]),
  ),
);
