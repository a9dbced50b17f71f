/**
 * Stations of a layer-2 network and frames of theirs, and the ends that those meet which are not honest: for
 * tests of either data path.
 * @module
 */
import { ipv4Bytes } from '../../src/table/peers.ts';
import { arp, ethernet, ipv4, udp } from './bytes.ts';
import { address6, advertise, icmp6, ipv6, linkOption, solicit } from './bytes6.ts';

/** A station behind each of three hosts, with an IPv4 and an IPv6 address. */
export const [MAC_A, MAC_B, MAC_C] = [0x0242_0000_000a, 0x0242_0000_000b, 0x0242_0000_000c];
export const [IP_A, IP_B, IP_C] = [0x0a00_000a, 0x0a00_000b, 0x0a00_000c];
export const [SIX_A, SIX_B, SIX_C] = ['fd00::a', 'fd00::b', 'fd00::c'];
export const NEW_MAC = 0x0242_0000_00ee;
export const NOBODY = 0x0242_0000_0099;
export const BROADCAST = 0xffff_ffff_ffff;
export const ALL_NODES = 0x3333_0000_0001;
export const MULTICAST = 0x0100_5e00_00fb;
export const [IPV4, ARP, IPV6] = [0x0800, 0x0806, 0x86dd];

export const STATIONS = [
  { mac: MAC_A, addresses: [ipv4Bytes(IP_A), address6(SIX_A)] },
  { mac: MAC_B, addresses: [ipv4Bytes(IP_B), address6(SIX_B)] },
  { mac: MAC_C, addresses: [ipv4Bytes(IP_C), address6(SIX_C)] },
] as const;

export const ENDS = { source: IP_A, destination: IP_B };
export const ENDS6 = { source: SIX_A, destination: SIX_B };

export function udpFrame(to = MAC_B, from = MAC_A, ends = ENDS): Buffer {
  return ethernet(to, from, IPV4, ipv4(ends, udp(ends, { destinationPort: 9 })));
}

export function ask(
  sender: number,
  target: number,
  fields: { from?: number; to?: number } = {},
): Buffer {
  const { from = MAC_A, to = BROADCAST } = fields;
  return ethernet(to, from, ARP, arp({ senderMac: from, sender, target }));
}

/** A message of Neighbour Discovery, for the group that it is for or for the second station. */
export function nd(packet: Buffer, from = MAC_A): Buffer {
  const to = packet[24] === 0xff ? 0x3333_0000_0000 + packet.readUInt32BE(36) : MAC_B;
  return ethernet(to, from, IPV6, packet);
}

/** A frame and the counter of its drop. */
export type Refused = {
  name: string;
  frame: Buffer;
  end: string;
  /** Where the kernel forwards, the bridge keeps it: it reaches no program. */
  isBridges?: boolean;
  /** Where the kernel forwards, its receiver judges it. */
  isReceivers?: boolean;
};

/** From the first station's port. */
export const REFUSED_OUT: readonly Refused[] = [
  {
    name: 'BPDU',
    frame: ethernet(0x0180_c200_0000, MAC_A, 38, Buffer.alloc(50)),
    end: 'control_protocol',
    isBridges: true,
  },
  {
    name: 'LLDP',
    frame: ethernet(0x0180_c200_000e, MAC_A, 0x88cc, Buffer.alloc(50)),
    end: 'control_protocol',
    isBridges: true,
  },
  {
    name: 'LACP',
    frame: ethernet(0x0180_c200_0002, MAC_A, 0x8809, Buffer.alloc(50)),
    end: 'control_protocol',
    isBridges: true,
  },
  {
    name: 'CDP',
    frame: ethernet(0x0100_0ccc_cccc, MAC_A, 0x88b5, Buffer.alloc(50)),
    end: 'control_protocol',
  },
  {
    name: '802.1X',
    frame: ethernet(MAC_B, MAC_A, 0x888e, Buffer.alloc(50)),
    end: 'control_protocol',
  },
  {
    name: 'a VLAN tag',
    frame: ethernet(MAC_B, MAC_A, 0x8100, Buffer.alloc(50)),
    end: 'unknown_ethertype',
  },
  {
    name: 'a group source',
    frame: ethernet(MAC_B, 0x0300_0000_0001, IPV4, Buffer.alloc(50)),
    end: 'bad_mac',
    isBridges: true,
  },
  { name: 'a runt', frame: Buffer.alloc(13), end: 'runt', isBridges: true },
  {
    name: 'a cut IPv4 header',
    frame: ethernet(MAC_B, MAC_A, IPV4, Buffer.alloc(19)),
    end: 'runt',
  },
  {
    name: 'a cut IPv6 header',
    frame: ethernet(MAC_B, MAC_A, IPV6, Buffer.alloc(39)),
    end: 'runt',
  },
  { name: 'a cut ARP message', frame: ethernet(MAC_B, MAC_A, ARP, Buffer.alloc(27)), end: 'runt' },
  {
    name: 'ARP of another MAC',
    frame: ethernet(BROADCAST, MAC_A, ARP, arp({ senderMac: MAC_C, sender: IP_A, target: IP_B })),
    end: 'bad_mac',
  },
  {
    name: 'ARP for token ring',
    frame: ethernet(
      BROADCAST,
      MAC_A,
      ARP,
      arp({ senderMac: MAC_A, sender: IP_A, target: IP_B, hardware: 6 }),
    ),
    end: 'malformed',
  },
  {
    name: 'a length that lies',
    frame: ethernet(MAC_B, MAC_A, IPV4, ipv4({ ...ENDS, totalBytes: 999 })),
    end: 'malformed',
  },
  {
    name: 'a nested tunnel',
    frame: ethernet(MAC_B, MAC_A, IPV4, ipv4(ENDS, udp(ENDS, { destinationPort: 4789 }))),
    end: 'nested',
  },
  {
    name: 'IP in IP',
    frame: ethernet(MAC_B, MAC_A, IPV4, ipv4({ ...ENDS, protocol: 4 })),
    end: 'nested',
  },
  {
    name: 'a DHCP server',
    frame: ethernet(
      MAC_B,
      MAC_A,
      IPV4,
      ipv4(ENDS, udp(ENDS, { sourcePort: 67, destinationPort: 68 })),
    ),
    end: 'rogue_dhcp',
  },
  {
    name: 'too long a frame',
    frame: ethernet(MAC_B, MAC_A, 0x88b5, Buffer.alloc(1451)),
    end: 'too_big',
    isBridges: true,
  },
  {
    name: 'a solicitation with a wrong checksum',
    frame: nd(solicit({ source: SIX_A, target: SIX_B, checksum: 1 })),
    end: 'malformed',
    isReceivers: true,
  },
  {
    name: 'one with a hop limit of 64',
    frame: nd(solicit({ source: SIX_A, target: SIX_B, hopLimit: 64 })),
    end: 'malformed',
  },
  {
    name: 'one that names a MAC that is not its own',
    frame: nd(solicit({ source: SIX_A, target: SIX_B, options: linkOption(1, MAC_C) })),
    end: 'bad_mac',
  },
  {
    name: 'one behind another header',
    frame: nd(solicit({ source: SIX_A, target: SIX_B, extensions: [[60, Buffer.alloc(8)]] })),
    end: 'malformed',
  },
];

const FROM_C = { source: IP_C, destination: IP_B };
const rogueAdvert = ipv6(
  { source: 'fe80::c', destination: 'ff02::1', protocol: 58, hopLimit: 255 },
  icmp6({ source: 'fe80::c', destination: 'ff02::1' }, 134, Buffer.alloc(8)),
);
const stolen = { operation: 2, sender: IP_A, targetMac: MAC_B, target: IP_B };

/** To the second station's port, in datagrams of the third's host. */
export const REFUSED_IN: readonly Refused[] = [
  { name: 'a MAC that nobody has', frame: udpFrame(MAC_B, NOBODY, FROM_C), end: 'foreign_mac' },
  { name: "another one's address", frame: udpFrame(MAC_B, MAC_C), end: 'foreign_source' },
  { name: 'of a group', frame: udpFrame(MAC_B, 0x0100_0000_0001, FROM_C), end: 'bad_mac' },
  { name: 'for a third', frame: udpFrame(MAC_A, MAC_C, FROM_C), end: 'foreign_destination' },
  { name: 'for nobody', frame: udpFrame(NOBODY, MAC_C, FROM_C), end: 'unknown_unicast' },
  { name: 'for all', frame: udpFrame(BROADCAST, MAC_C, FROM_C), end: 'broadcast' },
  { name: 'for a group', frame: udpFrame(MULTICAST, MAC_C, FROM_C), end: 'multicast' },
  {
    name: 'a runt',
    frame: udpFrame(MAC_B, MAC_C, FROM_C).subarray(0, 13),
    end: 'runt',
    isBridges: true,
  },
  {
    name: 'a VLAN tag',
    frame: ethernet(MAC_B, MAC_C, 0x8100, Buffer.alloc(50)),
    end: 'unknown_ethertype',
  },
  {
    name: 'BPDU',
    frame: ethernet(0x0180_c200_0000, MAC_C, 38, Buffer.alloc(50)),
    end: 'control_protocol',
  },
  {
    name: 'LLDP',
    frame: ethernet(MAC_B, MAC_C, 0x88cc, Buffer.alloc(50)),
    end: 'control_protocol',
  },
  {
    name: 'ARP for another MAC',
    frame: ethernet(MAC_B, MAC_C, ARP, arp({ ...stolen, senderMac: MAC_A })),
    end: 'foreign_mac',
  },
  {
    name: 'ARP theft',
    frame: ethernet(MAC_B, MAC_C, ARP, arp({ ...stolen, senderMac: MAC_C })),
    end: 'foreign_source',
  },
  {
    name: 'the same by ND',
    frame: nd(
      advertise({ target: SIX_A, destination: SIX_B, options: linkOption(2, MAC_C) }),
      MAC_C,
    ),
    end: 'foreign_source',
  },
  {
    name: 'a router that is none',
    frame: ethernet(MAC_B, MAC_C, IPV6, rogueAdvert),
    end: 'rogue_router',
  },
  {
    name: 'a DHCP server that is none',
    frame: ethernet(
      MAC_B,
      MAC_C,
      IPV4,
      ipv4(FROM_C, udp(FROM_C, { sourcePort: 67, destinationPort: 68 }, Buffer.alloc(300))),
    ),
    end: 'rogue_dhcp',
  },
  {
    name: 'a nested tunnel',
    frame: ethernet(
      MAC_B,
      MAC_C,
      IPV4,
      ipv4(FROM_C, udp(FROM_C, { destinationPort: 4789 }, Buffer.alloc(50))),
    ),
    end: 'nested',
  },
  {
    name: 'a header with a wrong checksum',
    frame: ethernet(MAC_B, MAC_C, IPV4, ipv4({ ...FROM_C, checksum: 7 })),
    end: 'malformed',
  },
];

const answer = { target: SIX_B, destination: SIX_A, options: linkOption(2, MAC_B) };

/** Questions of the first station about the second, each with its answer. */
export const ANSWERED: readonly { name: string; question: Buffer; answer: Buffer }[] = [
  {
    name: 'ARP',
    question: ask(IP_A, IP_B),
    answer: ethernet(
      MAC_A,
      MAC_B,
      ARP,
      arp({ operation: 2, senderMac: MAC_B, sender: IP_B, targetMac: MAC_A, target: IP_A }),
    ),
  },
  {
    name: 'Neighbour Discovery',
    question: nd(solicit({ source: SIX_A, target: SIX_B, options: linkOption(1, MAC_A) })),
    answer: ethernet(MAC_A, MAC_B, IPV6, advertise({ ...answer, word: 0x6000_0000 })),
  },
  {
    // It is taken, and all shall hear it (RFC 4861 §7.2.4).
    name: 'duplicate address detection',
    question: nd(solicit({ source: '::', target: SIX_B }), NEW_MAC),
    answer: ethernet(
      ALL_NODES,
      MAC_B,
      IPV6,
      advertise({ ...answer, destination: 'ff02::1', word: 0x2000_0000 }),
    ),
  },
];
