/**
 * One of everything that gossip carries, with every field set to something that tells it from the
 * others.
 * @module
 */

import { NO_BYTES } from '../../src/wire/gossip/message.ts';
import {
  type Block,
  ItemKind,
  type Message,
  MessageType,
  type PeerItem,
} from '../../src/wire/gossip/types.ts';
import { fromHex } from './hex.ts';

export const PEER: PeerItem = {
  kind: ItemKind.Peer,
  name: 'host-28',
  endpoints: [
    { address: 0xac1e001c, port: 7946 },
    { address: 0x0a000102, port: 65535 },
  ],
  encaps: [
    { encap: 'vxlan', port: 4789 },
    { encap: 'ipip', port: 0 },
    { encap: 'fou', port: 5555 },
  ],
  mtu: 1500,
  vnis: [16384000, 1],
  fans: [
    {
      overlay: { address: 0xfa000000, length: 8 },
      underlay: { address: 0xac1e0000, length: 16 },
      local: 0xac1e001c,
    },
  ],
  version: '0.1.0',
  capabilities: [3, 700],
  instance: fromHex('0123456789abcdef'),
};

export const BLOCK: Block = {
  publicKey: fromHex('000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f'),
  epoch: 7,
  sequence: 300,
  live: [
    [1, 3],
    [5, 5],
    [30, 299],
  ],
  left: false,
  items: [
    PEER,
    { kind: ItemKind.Mac, vni: 16384000, rank: 0, mac: 0x0242fa001c01 },
    { kind: ItemKind.MacAddress, vni: 16384000, rank: 3, mac: 0xfefffffffffe, address: 0xfa001c02 },
    { kind: ItemKind.Prefix, vni: 0, rank: 2147483647, address: 0xfa001d00, length: 24 },
    { kind: ItemKind.FloodMember, vni: 16777215, rank: 0 },
  ],
};

/** Of a node that goes: no items, nothing that holds. */
export const LAST_BLOCK: Block = {
  publicKey: BLOCK.publicKey,
  epoch: 4294967295,
  sequence: 4294967295,
  live: [],
  left: true,
  items: [],
};

export const NODE = '00112233445566778899aabbccddeeff';
export const OTHER = 'ffeeddccbbaa99887766554433221100';

export const MESSAGES: readonly Message[] = [
  { type: MessageType.Ping, number: 4294967295, target: NODE },
  { type: MessageType.Ack, number: 0 },
  {
    type: MessageType.PingRequest,
    number: 256,
    target: OTHER,
    endpoint: { address: 0xac1e001b, port: 7946 },
  },
  { type: MessageType.Nack, number: 23 },
  { type: MessageType.Suspect, node: NODE, version: { epoch: 7, sequence: 300 }, accuser: OTHER },
  {
    type: MessageType.Dead,
    node: OTHER,
    version: { epoch: 0, sequence: 0 },
    accuser: NODE,
    ageSeconds: 86400,
  },
  {
    type: MessageType.Blocks,
    blocks: [{ body: fromHex('a0'), signature: new Uint8Array(64).fill(0x5a) }],
  },
  { type: MessageType.Digest, hash: fromHex('0011223344556677') },
  { type: MessageType.Buckets, hashes: Uint8Array.from({ length: 256 }, (_, at) => at) },
  {
    type: MessageType.Owners,
    bucket: 63,
    reply: true,
    owners: [
      { owner: NODE, epoch: 7, head: 300, held: 275, check: 0xdeadbeef },
      { owner: OTHER, epoch: 1, head: 1, held: 0, check: 0 },
    ],
  },
  {
    type: MessageType.Want,
    owner: NODE,
    epoch: 7,
    ranges: [
      [2, 2],
      [4, 29],
    ],
  },
  { type: MessageType.Ask, question: 2, about: '', publicKey: NO_BYTES, signature: NO_BYTES },
  { type: MessageType.Told, part: Uint8Array.of(0x7b, 0x7d) },
  {
    type: MessageType.Seek,
    vni: 100,
    addresses: [0x0a010009, 'fd000000000000000000000000000005'],
  },
  { type: MessageType.Witness, vni: 100, mac: 0x0200_0000_0009 },
  { type: MessageType.Testify, vni: 100, mac: 0x0200_0000_0009, isHere: true },
];

/** What a layer-2 network has beside MACs and their IPv4 addresses. */
export const NETWORK_BLOCK: Block = {
  ...LAST_BLOCK,
  epoch: 1,
  sequence: 1,
  left: false,
  items: [
    { kind: ItemKind.Vtep, vni: 100, rank: 0, address: 0xac1e001c, port: 4789, roles: 1 },
    {
      ...{ kind: ItemKind.Vtep, vni: 200, rank: 0, port: 8472, roles: 0 },
      address: 'fd000000000000000000000000000001',
    },
    {
      ...{ kind: ItemKind.MacAddress6, vni: 100, rank: 2, mac: 0x02420a000005 },
      address: 'fd000000000000000000000000000005',
    },
    { kind: ItemKind.StickyMac, vni: 100, rank: 0, mac: 0x02420a000001 },
  ],
};

/** What there is of its rules and of addresses that hosts hand out. */
export const RULES_BLOCK: Block = {
  ...NETWORK_BLOCK,
  sequence: 2,
  items: [
    { kind: ItemKind.Rule, vni: 100, rank: 0, rule: 'deny from label:web to 10.1.0.9 tcp port 22' },
    { kind: ItemKind.Labels, vni: 100, rank: 1, mac: 0x02420a000005, labels: 'db,web' },
    { kind: ItemKind.Slice, vni: 100, rank: 0, address: 0x0a011c00, length: 24 },
  ],
};

/** What it says of prefixes inside a fan of IPv6. */
export const SIX_BLOCK: Block = {
  ...NETWORK_BLOCK,
  sequence: 3,
  items: [
    {
      ...{ kind: ItemKind.Prefix6, vni: 100, rank: 1, length: 128 },
      address: 'fd000000000000000000000000000007',
    },
  ],
};
