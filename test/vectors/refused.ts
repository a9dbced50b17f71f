/**
 * Crafted datagrams as they arrive at 172.30.0.28, and the ingress counter that each must hit.
 * `delivered` rows stand among them to show that the rest are refused for what they say.
 * @module
 */
import type { IngressCounter } from '../../src/table/counters.ts';
import { arp, FAN, frame, type PacketFields, packet, vxlan } from './craft.ts';
import { fromHex } from './hex.ts';

/** One datagram: the UDP payload, or for IPIP what follows the outer header. */
export type Refused = {
  readonly what: string;
  readonly bytes: Uint8Array;
  readonly counter: IngressCounter;
  /** Outer source, u32; the peer's unless given. */
  readonly source?: number;
  /** Outer TOS byte. */
  readonly tos?: number;
};

type Row = readonly [what: string, fields: PacketFields, counter: IngressCounter];

const UNKNOWN_PROTOCOL = 253;

/** Inner IPv4 packets: the same verdicts whatever carries them. */
const PACKETS: readonly Row[] = [
  ['UDP', {}, 'delivered'],
  ['TCP', { protocol: 6 }, 'delivered'],
  ['an unknown protocol', { protocol: UNKNOWN_PROTOCOL }, 'delivered'],
  ['TTL 1', { ttl: 1 }, 'delivered'],
  ['DSCP EF', { tos: 0xb8 }, 'delivered'],
  ['version 0', { version: 0 }, 'drop.malformed'],
  ['version 5', { version: 5 }, 'drop.malformed'],
  ['version 15', { version: 15 }, 'drop.malformed'],
  ['version 6 in an IPv4 place', { version: 6 }, 'drop.ipv6'],
  ['header length 0', { headerWords: 0 }, 'drop.malformed'],
  ['header length 16', { headerWords: 4 }, 'drop.malformed'],
  ['header length beyond the packet', { headerWords: 15 }, 'drop.malformed'],
  ['total length 0', { totalBytes: 0 }, 'drop.malformed'],
  ['total length 19', { totalBytes: 19 }, 'drop.malformed'],
  ['total length one too long', { totalBytes: 37 }, 'drop.malformed'],
  ['total length 65535', { totalBytes: 65535 }, 'drop.malformed'],
  ['header checksum off by one', { checksumError: 1 }, 'drop.malformed'],
  ['header checksum wildly wrong', { checksumError: 0x5555 }, 'drop.malformed'],
  ['NOP options', { options: '01010100' }, 'delivered'],
  ['router alert', { options: '94040000' }, 'delivered'],
  ['loose source route', { options: '8307040a00000100' }, 'drop.malformed'],
  ['strict source route', { options: '018907040a000001' }, 'drop.malformed'],
  ['an option of length 0', { options: '94000000' }, 'drop.malformed'],
  ['an option past the header', { options: '94080000' }, 'drop.malformed'],
  ['first fragment of UDP', { fragment: 0x2000 }, 'delivered'],
  ['later fragment of UDP', { fragment: 0x0002 }, 'delivered'],
  [
    'tiny first fragment of TCP',
    { protocol: 6, fragment: 0x2000, payload: '00'.repeat(8), checksumAt: -1 },
    'drop.malformed',
  ],
  ['fragment over the TCP flags', { protocol: 6, fragment: 0x0001 }, 'drop.malformed'],
  ['empty fragment', { fragment: 0x2000, payload: '', checksumAt: -1 }, 'drop.malformed'],
  [
    'fragment not on a border',
    { fragment: 0x2000, payload: '00'.repeat(9), checksumAt: -1 },
    'drop.malformed',
  ],
  ['fragment past 65,535', { fragment: 0x1fff }, 'drop.malformed'],
  ['to 224.0.0.1', { destination: 0xe0000001 }, 'drop.multicast'],
  ['to 239.255.255.250', { destination: 0xeffffffa }, 'drop.multicast'],
  ['to 255.255.255.255', { destination: 0xffffffff }, 'drop.broadcast'],
  ['to a third slice', { destination: 0xfa001d02 }, 'drop.foreign_destination'],
  ['back to its own slice', { destination: 0xfa001b03 }, 'drop.foreign_destination'],
  ['to our underlay address', { destination: FAN.receiver }, 'drop.foreign_destination'],
  ['to another underlay host', { destination: 0xac1e0001 }, 'drop.foreign_destination'],
  ['to the internet', { destination: 0x08080808 }, 'drop.foreign_destination'],
  ['to 127.0.0.1', { destination: 0x7f000001 }, 'drop.foreign_destination'],
  ['to 0.0.0.0', { destination: 0 }, 'drop.foreign_destination'],
  ['from a third slice', { source: 0xfa001d02 }, 'drop.foreign_source'],
  ['from our own slice', { source: 0xfa001c03 }, 'drop.foreign_source'],
  ['from its own underlay address', { source: FAN.sender }, 'drop.foreign_source'],
  ['from the internet', { source: 0x08080808 }, 'drop.foreign_source'],
  ['from 127.0.0.1', { source: 0x7f000001 }, 'drop.foreign_source'],
  ['from 0.0.0.0', { source: 0 }, 'drop.foreign_source'],
  ['from multicast', { source: 0xe0000001 }, 'drop.foreign_source'],
  ['from 255.255.255.255', { source: 0xffffffff }, 'drop.foreign_source'],
  ['IPv4 in IPv4 inside', { protocol: 4 }, 'drop.nested'],
  ['IPv6 in IPv4 inside', { protocol: 41 }, 'drop.nested'],
  ['GRE inside', { protocol: 47 }, 'drop.nested'],
  ['TCP with a wrong checksum', { protocol: 6, checksumAt: -1 }, 'drop.bad_checksum'],
  [
    'UDP with a wrong checksum',
    { payload: 'c000 0035 0010 1234 0102030405060708', checksumAt: -1 },
    'drop.bad_checksum',
  ],
  ['UDP without a checksum', { checksumAt: -1 }, 'delivered'],
  [
    'UDP larger than the MTU',
    { payload: `c000 0035 07d8 0000 ${'00'.repeat(2000)}` },
    'drop.too_big',
  ],
];

/** The first and last address of a slice: bridged, the overlay is one network and they are ordinary. */
const edges = (bridged: boolean): Row[] => [
  ['to our slice broadcast', { destination: 0xfa001cff }, bridged ? 'delivered' : 'drop.broadcast'],
  ['to our slice network', { destination: 0xfa001c00 }, bridged ? 'delivered' : 'drop.broadcast'],
  ['from its slice network', { source: 0xfa001b00 }, bridged ? 'delivered' : 'drop.foreign_source'],
  [
    'from its slice broadcast',
    { source: 0xfa001bff },
    bridged ? 'delivered' : 'drop.foreign_source',
  ],
];

/** Outer headers: whom we listen to, and ECN. The peer's datagram is right otherwise. */
function outer(whole: Uint8Array, capable: Uint8Array): Refused[] {
  const from = (what: string, source: number, counter: IngressCounter): Refused => {
    return { what: `from ${what}`, bytes: whole, source, counter };
  };
  return [
    from('a host outside the underlay', 0x08080808, 'drop.stranger'),
    from('the underlay next door', 0xac1f001b, 'drop.stranger'),
    from('an overlay address', FAN.source, 'drop.stranger'),
    from('127.0.0.1', 0x7f000001, 'drop.stranger'),
    from('0.0.0.0', 0, 'drop.stranger'),
    from('multicast', 0xe0000001, 'drop.stranger'),
    from('255.255.255.255', 0xffffffff, 'drop.stranger'),
    from('ourselves', FAN.receiver, 'drop.own_source'),
    from('another peer', 0xac1e001d, 'drop.foreign_source'),
    from('the peer', FAN.sender, 'delivered'),
    { what: 'CE around Not-ECT', bytes: whole, tos: 3, counter: 'drop.ecn_not_capable' },
    { what: 'CE around ECT(0)', bytes: capable, tos: 3, counter: 'delivered' },
    { what: 'ECT(1) around Not-ECT', bytes: whole, tos: 1, counter: 'delivered' },
    { what: 'DSCP around DSCP 0', bytes: whole, tos: 0xb8, counter: 'delivered' },
  ];
}

const good = frame(packet());
const shim = (what: string, header: string, counter: IngressCounter): Refused => {
  return { what, bytes: vxlan(good, header), counter };
};
const ethernet = (
  what: string,
  fields: Parameters<typeof frame>[1],
  counter: IngressCounter,
): Refused => ({ what, bytes: vxlan(frame(packet(), fields)), counter });
const arpRow = (what: string, hex: string | undefined, counter: IngressCounter): Refused => {
  return { what, bytes: vxlan(arp(hex)), counter };
};
const cut = (bytes: number): Refused => ({
  what: `only ${bytes} bytes`,
  bytes: vxlan(good).subarray(0, bytes),
  counter: 'drop.runt',
});
const ARP_TAIL = '0242fa001b02 fa001b02 000000000000 fa001c02';

/** Datagrams to the port of a VXLAN fan. */
export const VXLAN_REFUSED: readonly Refused[] = [
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 21, 22, 30, 41].map(cut),
  ...[0, 1, 2, 4, 5, 6, 7].map((bit) =>
    shim(
      `flag bit ${bit} set`,
      `${(8 | (1 << bit)).toString(16).padStart(2, '0')}000000fa000000`,
      'drop.bad_header',
    ),
  ),
  shim('I flag missing', '00 000000 fa0000 00', 'drop.bad_header'),
  shim('all flags', 'ff ffffff fa0000 ff', 'drop.bad_header'),
  shim('lowest reserved bit', '08 000001 fa0000 00', 'drop.bad_header'),
  shim('a middle reserved bit', '08 008000 fa0000 00', 'drop.bad_header'),
  shim('highest reserved bit', '08 800000 fa0000 00', 'drop.bad_header'),
  shim('last reserved byte', '08 000000 fa0000 01', 'drop.bad_header'),
  shim('group policy extension', '88 000123 fa0000 00', 'drop.bad_header'),
  shim('generic protocol extension', '0c 000003 fa0000 00', 'drop.bad_header'),
  shim('VNI 0', '08 000000 000000 00', 'drop.wrong_vni'),
  shim('VNI plus one', '08 000000 fa0001 00', 'drop.wrong_vni'),
  shim('VNI less its highest bit', '08 000000 7a0000 00', 'drop.wrong_vni'),
  shim('VNI 0xffffff', '08 000000 ffffff 00', 'drop.wrong_vni'),
  ethernet('a multicast source MAC', { sourceMac: '01005e000001' }, 'drop.bad_mac'),
  ethernet('a broadcast source MAC', { sourceMac: 'ffffffffffff' }, 'drop.bad_mac'),
  ethernet('unicast IP to a broadcast MAC', { destinationMac: 'ffffffffffff' }, 'drop.broadcast'),
  ethernet('unicast IP to a multicast MAC', { destinationMac: '01005e000001' }, 'drop.broadcast'),
  ethernet('IPv6', { etherType: '86dd' }, 'drop.ipv6'),
  ...['8100', '88a8', '88cc', '0026', '8847', '8864', '6558', '0000', 'ffff', '0801'].map((type) =>
    ethernet(`EtherType ${type}`, { etherType: type }, 'drop.unknown_ethertype'),
  ),
  {
    what: 'two VLAN tags',
    bytes: vxlan(frame(fromHex(`0064 8100 0065 0800`), { etherType: '8100' })),
    counter: 'drop.unknown_ethertype',
  },
  {
    what: 'padding behind the packet',
    bytes: Uint8Array.from([...vxlan(good), ...new Uint8Array(10)]),
    counter: 'delivered',
  },
  arpRow('an ARP request', undefined, 'delivered'),
  arpRow('an ARP reply', `0001 0800 06 04 0002 ${ARP_TAIL}`, 'delivered'),
  arpRow('ARP for token ring', `0006 0800 06 04 0001 ${ARP_TAIL}`, 'drop.malformed'),
  arpRow('ARP for IPv6', `0001 86dd 06 10 0001 ${ARP_TAIL}`, 'drop.malformed'),
  arpRow('ARP with a long MAC', `0001 0800 08 04 0001 ${ARP_TAIL}`, 'drop.malformed'),
  arpRow('ARP operation 0', `0001 0800 06 04 0000 ${ARP_TAIL}`, 'drop.malformed'),
  arpRow('RARP', `0001 0800 06 04 0003 ${ARP_TAIL}`, 'drop.malformed'),
  arpRow('ARP cut short', '0001 0800 06 04 0001 0242fa001b02 fa001b02', 'drop.runt'),
  arpRow(
    'ARP from a third slice',
    '0001 0800 06 04 0001 0242fa001b02 fa001d02 000000000000 fa001c02',
    'drop.foreign_source',
  ),
  arpRow(
    'ARP from our slice',
    '0001 0800 06 04 0001 0242fa001b02 fa001c03 000000000000 fa001c02',
    'drop.foreign_source',
  ),
  arpRow(
    'an ARP probe',
    '0001 0800 06 04 0001 0242fa001b02 00000000 000000000000 fa001c02',
    'drop.foreign_source',
  ),
  arpRow(
    'ARP about a third slice',
    '0001 0800 06 04 0001 0242fa001b02 fa001b02 000000000000 fa001d02',
    'drop.foreign_destination',
  ),
  arpRow(
    'gratuitous ARP of the peer',
    '0001 0800 06 04 0001 0242fa001b02 fa001b02 000000000000 fa001b02',
    'drop.foreign_destination',
  ),
  {
    what: 'VXLAN inside',
    bytes: vxlan(frame(packet({ payload: 'c000 12b5 0010 0000 08000000fa000000' }))),
    counter: 'drop.nested',
  },
  ...[...PACKETS, ...edges(true)].map(([what, fields, counter]) => ({
    what,
    bytes: vxlan(frame(packet(fields))),
    counter,
  })),
  ...outer(vxlan(good), vxlan(frame(packet({ tos: 2 })))),
];

/** Datagrams to the port of a FOU fan, or behind an outer header of protocol 4. */
export const ROUTED_REFUSED: readonly Refused[] = [
  ...[0, 1, 2, 7, 8, 12, 15, 16, 18, 19].map((bytes) => ({
    what: `only ${bytes} bytes`,
    bytes: packet().subarray(0, bytes),
    counter: 'drop.runt' as const,
  })),
  { what: 'only 20 bytes of 36', bytes: packet().subarray(0, 20), counter: 'drop.malformed' },
  { what: 'a byte short', bytes: packet().subarray(0, 35), counter: 'drop.malformed' },
  { what: 'an Ethernet frame', bytes: good, counter: 'drop.malformed' },
  { what: 'a VXLAN datagram', bytes: vxlan(good), counter: 'drop.malformed' },
  {
    what: 'a GRE header',
    bytes: Uint8Array.from([...fromHex('0000 0800'), ...packet()]),
    counter: 'drop.malformed',
  },
  { what: 'an ARP message', bytes: arp().subarray(14), counter: 'drop.malformed' },
  {
    what: 'an IPv6 packet',
    bytes: fromHex(`6000 0000 0000 3b 40 fd00 ${'00'.repeat(13)}01 fd00 ${'00'.repeat(13)}02`),
    counter: 'drop.ipv6',
  },
  ...[...PACKETS, ...edges(false)].map(([what, fields, counter]) => ({
    what,
    bytes: packet(fields),
    counter,
  })),
  ...outer(packet(), packet({ tos: 2 })),
];
