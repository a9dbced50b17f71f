/**
 * Payloads and blocks that are canonical CBOR, so that they come from the encoder, and still no
 * payload and no block: each is wrong in exactly one field, and has the one code that it must be
 * refused with.
 * @module
 */
import { type CborValue, encodeCbor } from '../../src/wire/cbor.ts';
import type { GossipFormatCode } from '../../src/wire/gossip/fields.ts';
import { fromHex, toHex } from './hex.ts';

/** What it is, its bytes in hex, and the code. */
export type HostileRecord = readonly [what: string, hex: string, code: GossipFormatCode];

/** Fields of a record as they stand in the tables: number to value, undefined for none. */
type Fields = { readonly [number: number]: CborValue | undefined };

function mapOf(fields: Fields): CborValue {
  const map = new Map<number, CborValue>();
  // Object.entries gives whole numbers in ascending order.
  for (const [number, value] of Object.entries(fields)) {
    if (value !== undefined) map.set(Number(number), value);
  }
  return map;
}

const ID = fromHex('00112233445566778899aabbccddeeff');
const bytes = (length: number): Uint8Array => new Uint8Array(length);
const many = (length: number, value: CborValue): CborValue[] => Array.from({ length }, () => value);
const hex = (value: CborValue): string => toHex(encodeCbor(value));

const payload = (...messages: Fields[]): string => hex(messages.map(mapOf));
const PING: Fields = { 0: 1, 1: 5, 2: ID };
const RELAY: Fields = { 0: 3, 1: 5, 2: ID, 3: [0x0a000001, 7946] };
const SUSPECT: Fields = { 0: 5, 1: ID, 2: [1, 2], 3: ID };
const BLOCKS = (...blocks: CborValue[]): string => payload({ 0: 7, 1: blocks });
const OWNERS: Fields = { 0: 10, 1: 3, 3: [[ID, 1, 2, 1, 0]] };
const WANT = (ranges: CborValue): string => payload({ 0: 11, 1: ID, 2: 1, 3: ranges });

/** Canonical CBOR that is no payload. */
export const HOSTILE_PAYLOADS: readonly HostileRecord[] = [
  ['an integer', hex(1), 'field-type'],
  ['a text', hex('ping'), 'field-type'],
  ['one message without its list', hex(mapOf(PING)), 'field-type'],
  ['201 messages', hex(many(201, 1)), 'bound'],
  ['a message that is a number', hex([1]), 'field-type'],
  ['a message that is a list', hex([[1, 5, ID]]), 'field-type'],
  ['a message without its number', payload({ 1: 5, 2: ID }), 'missing-field'],
  ['a message without anything', payload({}), 'missing-field'],
  ['a message numbered by text', payload({ 0: 'ping', 1: 5, 2: ID }), 'field-type'],
  ['a message numbered by true', payload({ 0: true, 1: 5, 2: ID }), 'field-type'],
  ['a good message before a bad one', payload(PING, { 0: 2 }), 'missing-field'],
  ['a ping without its number', payload({ ...PING, 1: undefined }), 'missing-field'],
  ['a ping without its target', payload({ ...PING, 2: undefined }), 'missing-field'],
  ['a ping numbered 2^32', payload({ ...PING, 1: 2 ** 32 }), 'bound'],
  ['a ping numbered -1', payload({ ...PING, 1: -1 }), 'bound'],
  ['a ping numbered by text', payload({ ...PING, 1: '5' }), 'field-type'],
  ['a target of 15 bytes', payload({ ...PING, 2: bytes(15) }), 'bound'],
  ['a target of 17 bytes', payload({ ...PING, 2: bytes(17) }), 'bound'],
  ['a target of no bytes', payload({ ...PING, 2: bytes(0) }), 'bound'],
  ['a target in hex', payload({ ...PING, 2: toHex(ID) }), 'field-type'],
  ['an endpoint without its port', payload({ ...RELAY, 3: [1] }), 'missing-field'],
  ['an endpoint on port 0', payload({ ...RELAY, 3: [1, 0] }), 'bound'],
  ['an endpoint on port 65,536', payload({ ...RELAY, 3: [1, 65536] }), 'bound'],
  ['an endpoint at 2^32', payload({ ...RELAY, 3: [2 ** 32, 1] }), 'bound'],
  ['an endpoint at -1', payload({ ...RELAY, 3: [-1, 1] }), 'bound'],
  ['an endpoint as a map', payload({ ...RELAY, 3: mapOf({ 0: 1, 1: 1 }) }), 'field-type'],
  ['an endpoint as text', payload({ ...RELAY, 3: '10.0.0.1:7946' }), 'field-type'],
  ['an accusation without its accuser', payload({ ...SUSPECT, 3: undefined }), 'missing-field'],
  ['an accusation of incarnation 2^53 - 1', payload({ ...SUSPECT, 2: [1, 2 ** 53 - 1] }), 'bound'],
  ['an accusation of epoch 2^32', payload({ ...SUSPECT, 2: [2 ** 32, 0] }), 'bound'],
  ['half a version', payload({ ...SUSPECT, 2: [1] }), 'missing-field'],
  ['a version of negative numbers', payload({ ...SUSPECT, 2: [-1, -1] }), 'bound'],
  ['65 blocks', BLOCKS(...many(65, [bytes(1), bytes(64)])), 'bound'],
  ['a block without its signature', BLOCKS([bytes(10)]), 'missing-field'],
  ['a block without anything', BLOCKS([]), 'missing-field'],
  ['a block with an empty body', BLOCKS([bytes(0), bytes(64)]), 'bound'],
  ['a block of 961 bytes', BLOCKS([bytes(961), bytes(64)]), 'bound'],
  ['a signature of 63 bytes', BLOCKS([bytes(10), bytes(63)]), 'bound'],
  ['a signature of 65 bytes', BLOCKS([bytes(10), bytes(65)]), 'bound'],
  ['a body that is text', BLOCKS(['body', bytes(64)]), 'field-type'],
  ['blocks that are no list', payload({ 0: 7, 1: 0 }), 'field-type'],
  ['a digest of 7 bytes', payload({ 0: 8, 1: bytes(7) }), 'bound'],
  ['a digest of 900 bytes', payload({ 0: 8, 1: bytes(900) }), 'bound'],
  ['buckets of 255 bytes', payload({ 0: 9, 1: bytes(255) }), 'bound'],
  ['bucket 64', payload({ ...OWNERS, 1: 64 }), 'bound'],
  ['a reply of 1', payload({ ...OWNERS, 2: 1 }), 'field-type'],
  ['65 owners', payload({ ...OWNERS, 3: many(65, [ID, 1, 2, 1, 0]) }), 'bound'],
  ['an owner without its check', payload({ ...OWNERS, 3: [[ID, 1, 2, 1]] }), 'missing-field'],
  ['an owner whose head is 2^32', payload({ ...OWNERS, 3: [[ID, 1, 2 ** 32, 1, 0]] }), 'bound'],
  ['97 ranges', WANT(many(194, 1)), 'bound'],
  ['half a range', WANT([0, 1, 0]), 'ranges'],
  ['a range that ends at 2^32', WANT([2 ** 32 - 2, 1]), 'ranges'],
  ['ranges that add up to 2^33', WANT([2 ** 32 - 2, 0, 2 ** 32 - 1, 0]), 'ranges'],
  ['a range with a negative step', WANT([5, 0, -3, 0]), 'bound'],
  ['ranges as pairs', WANT([[1, 3]]), 'field-type'],
];

const PEER: Fields = {
  0: 1,
  1: 'name',
  2: [[0x0a000001, 7946]],
  3: [[1, 4789]],
  4: 1500,
  5: [1],
  6: [[[0xfa000000, 8], [0x0a000000, 8], 0x0a000001]],
  7: '0.1.0',
  8: [],
  9: bytes(8),
};
const BLOCK: Fields = { 1: bytes(32), 2: 1, 3: 10, 4: [0, 8], 6: [] };
const blockWith = (fields: Fields): string => hex(mapOf({ ...BLOCK, ...fields }));
const withItem = (...items: Fields[]): string => blockWith({ 6: items.map(mapOf) });
const peerWith = (fields: Fields): string => withItem({ ...PEER, ...fields });
const MAC: Fields = { 0: 2, 1: 5, 3: bytes(6) };
const MAC_ADDRESS: Fields = { 0: 3, 1: 5, 3: bytes(6), 4: 1 };
const PREFIX: Fields = { 0: 4, 1: 5, 4: 0x0a000000, 5: 8 };

/** Canonical CBOR that is no block. */
export const HOSTILE_BLOCKS: readonly HostileRecord[] = [
  ['a list', hex([bytes(32), 1, 10]), 'field-type'],
  ['no fields', 'a0', 'missing-field'],
  ['961 bytes', `${blockWith({ 1000: bytes(1) })}${'00'.repeat(961)}`.slice(0, 2 * 961), 'bound'],
  ['65,000 bytes of depth', '81'.repeat(65_000), 'bound'],
  ['no key', blockWith({ 1: undefined }), 'missing-field'],
  ['a key of 31 bytes', blockWith({ 1: bytes(31) }), 'bound'],
  ['a key of 900 bytes', blockWith({ 1: bytes(900) }), 'bound'],
  ['epoch 2^32', blockWith({ 2: 2 ** 32 }), 'bound'],
  ['epoch -1', blockWith({ 2: -1 }), 'bound'],
  ['sequence 0', blockWith({ 3: 0, 4: [] }), 'bound'],
  ['sequence 2^53 - 1', blockWith({ 3: 2 ** 53 - 1 }), 'bound'],
  ['no ranges', blockWith({ 4: undefined }), 'missing-field'],
  ['a block that names itself', blockWith({ 4: [9, 0] }), 'ranges'],
  ['a block that names a later one', blockWith({ 4: [0, 2 ** 32 - 2] }), 'ranges'],
  ['97 ranges', blockWith({ 3: 1000, 4: many(194, 0) }), 'bound'],
  ['left as a number', blockWith({ 5: 1 }), 'field-type'],
  ['no items', blockWith({ 6: undefined }), 'missing-field'],
  ['65 items', withItem(...Array.from({ length: 65 }, () => ({ 0: 5, 1: 1 }))), 'bound'],
  [
    '65 items of an unknown kind',
    withItem(...Array.from({ length: 65 }, () => ({ 0: 99 }))),
    'bound',
  ],
  ['an item that is a number', blockWith({ 6: [5] }), 'field-type'],
  ['an item without its kind', withItem({ 1: 5 }), 'missing-field'],
  ['an item whose kind is text', withItem({ 0: '__proto__' }), 'field-type'],
  ['a name of 64 characters', peerWith({ 1: 'n'.repeat(64) }), 'bound'],
  ['a name with an escape sequence', peerWith({ 1: '\u001b[2Jroot' }), 'text'],
  ['a name with a line break', peerWith({ 1: 'a\nlevel=error' }), 'text'],
  ['a name with a zero', peerWith({ 1: 'a\0b' }), 'text'],
  ['a name that turns the line around', peerWith({ 1: '\u202egnp.exe' }), 'text'],
  ['a name of bytes', peerWith({ 1: bytes(4) }), 'field-type'],
  ['a version beyond ASCII', peerWith({ 7: '1.0\u00e9' }), 'text'],
  ['nine endpoints', peerWith({ 2: many(9, [1, 1]) }), 'bound'],
  ['an endpoint on port 0', peerWith({ 2: [[1, 0]] }), 'bound'],
  ['nine encapsulations', peerWith({ 3: many(9, [1, 1]) }), 'bound'],
  ['nine encapsulations, all unknown', peerWith({ 3: many(9, [99, 1]) }), 'bound'],
  ['an encapsulation by name', peerWith({ 3: [['vxlan', 1]] }), 'field-type'],
  ['an encapsulation on port 65,536', peerWith({ 3: [[1, 65536]] }), 'bound'],
  ['an MTU of 65,536', peerWith({ 4: 65536 }), 'bound'],
  ['an MTU of -1', peerWith({ 4: -1 }), 'bound'],
  ['65 VNIs', peerWith({ 5: many(65, 1) }), 'bound'],
  ['VNI 2^24', peerWith({ 5: [2 ** 24] }), 'bound'],
  ['nine fans', peerWith({ 6: many(9, [[0, 0], [0, 0], 0]) }), 'bound'],
  ['a fan with host bits', peerWith({ 6: [[[0xfa000001, 8], [0, 0], 0]] }), 'host-bits'],
  ['a fan of length 33', peerWith({ 6: [[[0, 33], [0, 0], 0]] }), 'bound'],
  [
    'a fan without its local address',
    peerWith({
      6: [
        [
          [0, 0],
          [0, 0],
        ],
      ],
    }),
    'missing-field',
  ],
  ['33 capabilities', peerWith({ 8: many(33, 1) }), 'bound'],
  ['an instance of 7 bytes', peerWith({ 9: bytes(7) }), 'bound'],
  ['no instance', peerWith({ 9: undefined }), 'missing-field'],
  ['a MAC of five bytes', withItem({ ...MAC, 3: bytes(5) }), 'bound'],
  ['a MAC as a number', withItem({ ...MAC, 3: 5 }), 'field-type'],
  ['no MAC', withItem({ ...MAC, 3: undefined }), 'missing-field'],
  ['a MAC in VNI 2^24', withItem({ ...MAC, 1: 2 ** 24 }), 'bound'],
  ['a MAC in no VNI', withItem({ ...MAC, 1: undefined }), 'missing-field'],
  ['rank 2^31', withItem({ ...MAC, 2: 2 ** 31 }), 'bound'],
  ['rank -1', withItem({ ...MAC, 2: -1 }), 'bound'],
  ['rank true', withItem({ ...MAC, 2: true }), 'field-type'],
  ['an address of 2^32', withItem({ ...MAC_ADDRESS, 4: 2 ** 32 }), 'bound'],
  ['an address of IPv6', withItem({ ...MAC_ADDRESS, 4: bytes(16) }), 'field-type'],
  ['a prefix of length 33', withItem({ ...PREFIX, 5: 33 }), 'bound'],
  ['a prefix of length -1', withItem({ ...PREFIX, 5: -1 }), 'bound'],
  ['a prefix with host bits', withItem({ ...PREFIX, 4: 0x0a000001 }), 'host-bits'],
  ['the prefix 0.0.0.1/0', withItem({ ...PREFIX, 4: 1, 5: 0 }), 'host-bits'],
  ['a prefix without its length', withItem({ ...PREFIX, 5: undefined }), 'missing-field'],
];

/** The same records with nothing wrong, so that each case above is wrong in one thing only. */
export const HONEST_PAYLOADS: readonly string[] = [
  payload(PING),
  payload(RELAY),
  payload(SUSPECT),
  BLOCKS([bytes(960), bytes(64)]),
  payload({ 0: 8, 1: bytes(8) }),
  payload({ 0: 9, 1: bytes(256) }),
  payload(OWNERS),
  WANT(many(192, 1)),
];
export const HONEST_BLOCKS: readonly string[] = [
  blockWith({}),
  withItem(PEER),
  withItem(MAC, MAC_ADDRESS, PREFIX),
  peerWith({ 1: '__proto__' }),
];
