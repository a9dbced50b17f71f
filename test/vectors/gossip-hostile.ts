/**
 * Bytes that somebody made to hurt: each lies about exactly one thing, and each has the one code
 * that it must be refused with. Written by hand from RFC 8949 and from the tables of fields in
 * `wire/gossip/`; nothing here comes out of the encoder except where the CBOR itself is right.
 * @module
 */
import { type CborErrorCode, type CborValue, encodeCbor } from '../../src/wire/cbor.ts';
import type { GossipFormatCode } from '../../src/wire/gossip/fields.ts';
import { fromHex, toHex } from './hex.ts';

/** What it is, its bytes in hex, and the code. */
export type HostileCbor = readonly [what: string, hex: string, code: CborErrorCode];
export type HostileRecord = readonly [what: string, hex: string, code: GossipFormatCode];

const text = (of: string): string => toHex(new TextEncoder().encode(of));
const times = (hex: string, count: number): string => hex.repeat(count);

/** Bytes that are not the CBOR that is used here. */
export const HOSTILE_CBOR: readonly HostileCbor[] = [
  // Nothing, or the end in the middle.
  ['nothing', '', 'truncated'],
  ['an integer of one byte, cut', '18', 'truncated'],
  ['an integer of two bytes, cut', '19 01', 'truncated'],
  ['an integer of four bytes, cut', '1a 010203', 'truncated'],
  ['an integer of eight bytes, cut', '1b 01020304050607', 'truncated'],
  ['a negative integer, cut', '3b 0102', 'truncated'],
  ['a byte string, cut', '44 010203', 'truncated'],
  ['a byte string without its length', '58', 'truncated'],
  ['a text, cut', '64 616263', 'truncated'],
  ['a text cut within a character', '63 e6b0', 'truncated'],
  ['an array, cut', '83 0102', 'truncated'],
  ['an array of nothing', '81', 'truncated'],
  ['a map without its key', 'a1', 'truncated'],
  ['a map without its second key', 'a2 0102', 'truncated'],
  ['a map without its value', 'a1 01', 'truncated'],
  ['a map, cut behind its first entry', 'a2 0102 03', 'truncated'],
  ['an array cut within an element', '82 01 19 01', 'truncated'],
  ['a key cut within', 'a1 19 01', 'truncated'],
  // Lengths that lie.
  ['a byte string of 2^32 - 1', '5a ffffffff 00', 'truncated'],
  ['a byte string of 2^32', '5b 0000000100000000 00', 'truncated'],
  ['a byte string of 2^53', '5b 0020000000000000 00', 'truncated'],
  ['a byte string of 2^63', '5b 8000000000000000 00', 'truncated'],
  ['a byte string of 2^64 - 1', '5b ffffffffffffffff 00', 'truncated'],
  ['a text of 2^32 - 1', '7a ffffffff 61', 'truncated'],
  ['a text of 2^64 - 1', '7b ffffffffffffffff 61', 'truncated'],
  ['an array of 65,535', '99 ffff 00', 'truncated'],
  ['an array of 2^32 - 1', '9a ffffffff 00', 'truncated'],
  ['an array of 2^32 - 1 before 5,000 numbers', `9a ffffffff ${times('00', 5000)}`, 'items'],
  ['an array of 112,810,000', '9a 06b95810 00', 'truncated'],
  ['an array of 2^64 - 1', '9b ffffffffffffffff 00', 'truncated'],
  ['a map of 2^32 - 1', 'ba ffffffff 0000', 'truncated'],
  ['a map of 2^64 - 1', 'bb ffffffffffffffff 0000', 'truncated'],
  ['a map of 2^63: twice that is 2^64', 'bb 8000000000000000 0000', 'truncated'],
  ['a length that lies inside', '82 01 5a 00ffffff 00', 'truncated'],
  ['lengths that lie at each of eight levels', `${times('9a 0fffffff', 7)} 00`, 'truncated'],
  [
    'eight arrays that each promise the rest',
    `${times('98ff', 8)}${times('00', 300)}`,
    'truncated',
  ],
  ['one byte promised too many', '42 01', 'truncated'],
  // Bytes behind the value.
  ['one byte behind', '00 00', 'trailing'],
  ['a second value', '8101 8102', 'trailing'],
  ['a break behind', '01 ff', 'trailing'],
  ['a megabyte behind', `80${times('00', 1_000_000)}`, 'trailing'],
  // Depth.
  ['nine arrays', `${times('81', 9)} 00`, 'depth'],
  ['nine maps', `${times('a100', 9)} 00`, 'depth'],
  ['nine empty arrays', `${times('81', 8)} 80`, 'depth'],
  ['arrays 65,000 deep', `${times('81', 65_000)} 00`, 'depth'],
  ['arrays 65,000 deep, unfinished', times('81', 65_000), 'depth'],
  ['maps 30,000 deep', `${times('a100', 30_000)} 00`, 'depth'],
  ['arrays and maps in turn', `${times('81a100', 5)} 00`, 'depth'],
  // Count.
  ['an array of 4,096', `99 1000 ${times('00', 4096)}`, 'items'],
  ['an array of 60,000', `99 ea60 ${times('00', 60_000)}`, 'items'],
  ['a map of 2,048', `b9 0800 ${entries(2048)}`, 'items'],
  [
    'an array of 1,000 texts and 4,000 numbers',
    `99 1388 ${times('60', 1000)} ${times('00', 4000)}`,
    'items',
  ],
  ['224 empty arrays', `98 e0 ${times('80', 224)}`, 'objects'],
  ['1,190 empty arrays', `99 04a6 ${times('80', 1190)}`, 'objects'],
  ['1,190 empty maps', `99 04a6 ${times('a0', 1190)}`, 'objects'],
  ['1,190 empty byte strings', `99 04a6 ${times('40', 1190)}`, 'objects'],
  ['256 of each kind in turn', `99 0100 ${times('80a040', 85)} 40`, 'objects'],
  ['224 maps of one entry', `98 e0 ${times('a10000', 224)}`, 'objects'],
  ['128 empty arrays in each of two', `82 ${times(`9880${times('80', 128)}`, 2)}`, 'objects'],
  ['64 arrays of 64', `98 40 ${times(`9840${times('00', 64)}`, 64)}`, 'items'],
  ['4,096 empty arrays', `99 1000 ${times('80', 4096)}`, 'objects'],
  // Not the shortest form.
  ['0 in two bytes', '18 00', 'not-canonical'],
  ['23 in two bytes', '18 17', 'not-canonical'],
  ['255 in three bytes', '19 00ff', 'not-canonical'],
  ['65,535 in five bytes', '1a 0000ffff', 'not-canonical'],
  ['2^32 - 1 in nine bytes', '1b 00000000ffffffff', 'not-canonical'],
  ['-1 in two bytes', '38 00', 'not-canonical'],
  ['-256 in three bytes', '39 00ff', 'not-canonical'],
  ['a byte string of 1 with a long length', '58 01 00', 'not-canonical'],
  ['a text of 1 with a long length', '79 0001 61', 'not-canonical'],
  ['an array of 0 with a long length', '98 00', 'not-canonical'],
  ['an array of 1 with a length of eight bytes', '9b 0000000000000001 00', 'not-canonical'],
  ['a map of 1 with a long length', 'b8 01 0000', 'not-canonical'],
  ['a key of two bytes that fits one', 'a1 1800 00', 'not-canonical'],
  // Indefinite lengths.
  ['an array without a length', '9f 00 ff', 'not-canonical'],
  ['an empty array without a length', '9f ff', 'not-canonical'],
  ['a map without a length', 'bf 0000 ff', 'not-canonical'],
  ['a byte string in pieces', '5f 4100 4101 ff', 'not-canonical'],
  ['a text in pieces', '7f 6161 ff', 'not-canonical'],
  ['an array that never ends', `9f${times('9f', 1000)}`, 'not-canonical'],
  ['an array without a length, inside', '82 00 9fff', 'not-canonical'],
  // Integers that no number holds.
  ['2^53', '1b 0020000000000000', 'range'],
  ['2^63', '1b 8000000000000000', 'range'],
  ['2^64 - 1', '1b ffffffffffffffff', 'range'],
  ['-2^53', '3b 001fffffffffffff', 'range'],
  ['-2^64', '3b ffffffffffffffff', 'range'],
  ['a key of 2^53', 'a1 1b0020000000000000 00', 'range'],
  // Maps.
  ['one key twice', 'a2 0100 0101', 'duplicate-key'],
  ['one key twice, of two bytes', 'a2 186400 186401', 'duplicate-key'],
  ['one key three times', 'a3 0000 0000 0000', 'duplicate-key'],
  ['one key twice, inside', '81 a2 0100 0101', 'duplicate-key'],
  ['keys that descend', 'a2 0200 0100', 'key-order'],
  ['one key again after another', 'a3 0100 0200 0100', 'key-order'],
  ['a long key before a short one', 'a2 190100 00 1864 00', 'key-order'],
  ['a text as a key', `a1 61${text('a')} 00`, 'key-type'],
  ['__proto__ as a key', `a1 69${text('__proto__')} a0`, 'key-type'],
  ['constructor as a key', `a1 6b${text('constructor')} a0`, 'key-type'],
  ['a byte string as a key', 'a1 4100 00', 'key-type'],
  ['an array as a key', 'a1 80 00', 'key-type'],
  ['a map as a key', 'a1 a0 00', 'key-type'],
  ['true as a key', 'a1 f5 00', 'key-type'],
  ['a negative key', 'a1 20 00', 'key-type'],
  ['NaN as a key', 'a1 f97e00 00', 'key-type'],
  ['a tag as a key', 'a1 c000 00', 'key-type'],
  // Floats, simple values, tags.
  ['0.0 in two bytes', 'f9 0000', 'type'],
  ['NaN in two bytes', 'f9 7e00', 'type'],
  ['NaN in four bytes', 'fa 7fc00000', 'type'],
  ['NaN in eight bytes', 'fb 7ff8000000000000', 'type'],
  ['infinity', 'f9 7c00', 'type'],
  ['1.5', 'f9 3e00', 'type'],
  ['1.0 in eight bytes', 'fb 3ff0000000000000', 'type'],
  ['null', 'f6', 'type'],
  ['undefined', 'f7', 'type'],
  ['null inside', '82 00 f6', 'type'],
  ['simple value 0', 'e0', 'type'],
  ['simple value 19', 'f3', 'type'],
  ['simple value 255', 'f8 ff', 'type'],
  ['false in two bytes', 'f8 14', 'type'],
  ['a break alone', 'ff', 'type'],
  ['a break inside', '82 00 ff', 'type'],
  ['a date', 'c0 60', 'type'],
  ['a time', 'c1 1a 514b67b0', 'type'],
  ['a bignum', 'c2 49 010000000000000000', 'type'],
  ['a negative bignum', 'c3 49 010000000000000000', 'type'],
  ['a bignum of 900 bytes', `c2 59 0384 ${times('ff', 900)}`, 'type'],
  ['a decimal fraction', 'c4 82 21 196ab3', 'type'],
  ['CBOR in a byte string', 'd8 18 41 00', 'type'],
  ['a shared value', 'd8 1c 80', 'type'],
  ['a reference to a shared value', 'd8 1d 00', 'type'],
  ['a typed array', 'd8 40 41 00', 'type'],
  ['a regular expression', `d8 23 68 ${text('(a+)+$bc')}`, 'type'],
  ['a packed table', 'd8 33 82 80 80', 'type'],
  ['a record definition of the library', 'd9 dfff 83 00 81 6161 00', 'type'],
  ['bundled strings of the library', 'd9 dff9 82 00 00', 'type'],
  ['a class of the library', `d8 1b 82 65${text('Error')} 80`, 'type'],
  ['the mark of CBOR', 'd9 d9f7 00', 'type'],
  ['tags 1,000 deep', `${times('c1', 1000)} 00`, 'type'],
  ['a tag of eight bytes', 'db ffffffffffffffff 00', 'type'],
  // Additional information that nothing has.
  ['additional information 28', '1c', 'type'],
  ['additional information 29 of a length', '5d 00', 'type'],
  ['additional information 30 of an array', '9e 00', 'type'],
  ['additional information 31 of an integer', '1f', 'type'],
  ['additional information 31 of a negative integer', '3f', 'type'],
  ['additional information 31 of a key', 'a1 1f 00', 'type'],
  // Text.
  ['a lone continuation byte', '61 80', 'text'],
  ['a byte that no UTF-8 has', '61 ff', 'text'],
  ['a slash in two bytes', '62 c0af', 'text'],
  ['a zero in two bytes', '62 c080', 'text'],
  ['half a surrogate pair', '63 eda080', 'text'],
  ['a character above U+10FFFF', '64 f4908080', 'text'],
  ['a character that the text cuts', '62 e6b0', 'text'],
  ['bad UTF-8 behind 64 good characters', `78 41 ${times('61', 64)} ff`, 'text'],
  ['a byte order mark', '64 efbbbf61', 'text'],
  ['a byte order mark before a long text', `78 64 efbbbf ${times('61', 97)}`, 'text'],
];

/** `count` map entries with ascending keys from 0, value 0. */
function entries(count: number): string {
  return Array.from({ length: count }, (_, key) => `${toHex(encodeCbor(key))}00`).join('');
}

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
  ['961 bytes', `${blockWith({ 1000: bytes(1) })}${times('00', 961)}`.slice(0, 2 * 961), 'bound'],
  ['65,000 bytes of depth', times('81', 65_000), 'bound'],
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
