/**
 * Bytes that are promised: never edit one, only add. Blanks stand between fields.
 *
 * {@link FROZEN_BLOCKS} and {@link FROZEN_MESSAGES} are what version 0.1 writes. Every later
 * version must read them, and must give fields that it has added the values that mean "as before".
 * {@link LATER_BLOCK} and {@link LATER_PAYLOAD} are what a later version may write: numbers of
 * messages, kinds, encapsulations and fields that nobody has defined. Every version must read the
 * rest of them.
 * @module
 */
import {
  type Block,
  ItemKind,
  type Message,
  MessageType,
  type PeerItem,
} from '../../src/wire/gossip/types.ts';
import { BLOCK, LAST_BLOCK, MESSAGES, NETWORK_BLOCK, NODE, RULES_BLOCK } from './gossip-samples.ts';

export const FROZEN_BLOCKS: readonly (readonly [Block, string])[] = [
  [
    BLOCK,
    `a5 01 5820 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 02 07 03 19012c
     04 86 00 02 01 00 1818 19010d 06 85
     aa 00 01 01 67 686f73742d3238 02 82 82 1aac1e001c 191f0a 82 1a0a000102 19ffff
        03 83 82 01 1912b5 82 02 00 82 03 1915b3 04 1905dc 05 82 1a00fa0000 01
        06 81 83 82 1afa000000 08 82 1aac1e0000 10 1aac1e001c 07 65 302e312e30
        08 82 03 1902bc 09 48 0123456789abcdef
     a3 00 02 01 1a00fa0000 03 46 0242fa001c01
     a5 00 03 01 1a00fa0000 02 03 03 46 fefffffffffe 04 1afa001c02
     a5 00 04 01 00 02 1a7fffffff 04 1afa001d00 05 1818
     a2 00 05 01 1a00ffffff`,
  ],
  [
    LAST_BLOCK,
    `a6 01 5820 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
     02 1affffffff 03 1affffffff 04 80 05 f5 06 80`,
  ],
  [
    NETWORK_BLOCK,
    `a5 01 5820 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 02 01 03 01 04 80
     06 84
     a5 00 06 01 1864 04 1aac1e001c 07 1912b5 08 01
     a4 00 06 01 18c8 04 50 fd000000000000000000000000000001 07 192118
     a5 00 07 01 1864 02 02 03 46 02420a000005 04 50 fd000000000000000000000000000005
     a3 00 08 01 1864 03 46 02420a000001`,
  ],
  [
    RULES_BLOCK,
    `a5 01 5820 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 02 01 03 02 04 80
     06 83
     a3 00 09 01 1864
        09 782b 64656e792066726f6d206c6162656c3a77656220746f2031302e312e302e392074637020706f7274203232
     a5 00 0a 01 1864 02 01 03 46 02420a000005 09 66 64622c776562
     a4 00 0b 01 1864 04 1a0a011c00 05 1818`,
  ],
];

const NODE_HEX = '00112233445566778899aabbccddeeff';
const OTHER_HEX = 'ffeeddccbbaa99887766554433221100';
const BUCKETS_HEX = Array.from({ length: 256 }, (_, at) => at.toString(16).padStart(2, '0')).join(
  '',
);

/** One payload for each of {@link MESSAGES}, in their order. */
export const FROZEN_MESSAGES: readonly (readonly [Message | undefined, string])[] = [
  `81 a3 00 01 01 1affffffff 02 50 ${NODE_HEX}`,
  '81 a2 00 02 01 00',
  `81 a4 00 03 01 190100 02 50 ${OTHER_HEX} 03 82 1aac1e001b 191f0a`,
  '81 a2 00 04 01 17',
  `81 a4 00 05 01 50 ${NODE_HEX} 02 82 07 19012c 03 50 ${OTHER_HEX}`,
  `81 a5 00 06 01 50 ${OTHER_HEX} 02 82 00 00 03 50 ${NODE_HEX} 04 1a00015180`,
  `81 a2 00 07 01 81 82 41 a0 5840 ${'5a'.repeat(64)}`,
  '81 a2 00 08 01 48 0011223344556677',
  `81 a2 00 09 01 590100 ${BUCKETS_HEX}`,
  `81 a4 00 0a 01 183f 02 f5 03 82
   85 50 ${NODE_HEX} 07 19012c 190113 1adeadbeef
   85 50 ${OTHER_HEX} 01 01 00 00`,
  `81 a4 00 0b 01 50 ${NODE_HEX} 02 07 03 84 01 00 01 1819`,
  '81 a2 00 0c 01 02',
  '81 a2 00 0d 01 42 7b7d',
  `81 a3 00 0e 01 1864 02 82 1a0a010009 50 fd00000000000000 0000000000000005`,
  '81 a3 00 0f 01 1864 02 46 020000000009',
  '81 a4 00 10 01 1864 02 46 020000000009 03 f5',
].map((hex, at) => [MESSAGES[at], hex] as const);

/** A ping, an ack and a ping request among messages that nobody knows. */
export const LATER_PAYLOAD = {
  // Behind the ping's own fields: 9 "later", 24 [true, {1: -1}]. Behind the port: 99, "more".
  hex: `85
    a5 00 01 01 05 02 50 ${NODE_HEX} 09 65 6c61746572 1818 82 f5 a1 01 20
    a3 00 18c8 01 44 01020304 02 a1 00 80
    a2 00 02 01 06
    a1 00 1b0000000100000000
    a4 00 03 01 05 02 50 ${NODE_HEX} 03 84 1a0a000001 191f0a 1863 64 6d6f7265`,
  messages: [
    { type: MessageType.Ping, number: 5, target: NODE },
    { type: MessageType.Ack, number: 6 },
    {
      type: MessageType.PingRequest,
      number: 5,
      target: NODE,
      endpoint: { address: 0x0a000001, port: 7946 },
    },
  ] satisfies Message[],
  skipped: 2,
};

const laterPeer: PeerItem = {
  kind: ItemKind.Peer,
  name: 'new',
  endpoints: [{ address: 0x0a000001, port: 7946 }],
  encaps: [{ encap: 'vxlan', port: 4789 }],
  mtu: 9000,
  vnis: [],
  fans: [
    {
      overlay: { address: 0xfa000000, length: 8 },
      underlay: { address: 0x0a000000, length: 8 },
      local: 0x0a000001,
    },
  ],
  version: '9.9',
  capabilities: [65535],
  instance: new Uint8Array(8),
};

/** A peer and a MAC among items of kind 23 and 65,536, with fields behind theirs. */
export const LATER_BLOCK = {
  // The peer: a third element of its endpoint, encapsulation 4, a fourth element of its fan,
  // field 10. The MAC: field 6. The block: fields 7 and 1,000.
  hex: `a7 01 5820 ${'00'.repeat(32)} 02 01 03 0a 04 82 00 08 06 84
    a2 00 17 01 63 626770
    ab 00 01 01 63 6e6577 02 81 83 1a0a000001 191f0a f5 03 82 82 01 1912b5 82 04 1917c1
       04 192328 05 80 06 81 84 82 1afa000000 08 82 1a0a000000 08 1a0a000001 07
       07 63 392e39 08 81 19ffff 09 48 0000000000000000 0a a0
    a1 00 1a00010000
    a4 00 02 01 05 03 46 0242fa001c01 06 f5
    07 f4 1903e8 81 01`,
  block: {
    publicKey: new Uint8Array(32),
    epoch: 1,
    sequence: 10,
    live: [[1, 9]],
    left: false,
    items: [laterPeer, { kind: ItemKind.Mac, vni: 5, rank: 0, mac: 0x0242fa001c01 }],
  } satisfies Block,
};
