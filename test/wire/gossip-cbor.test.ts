import fc from 'fast-check';
import t from 'tap';
import {
  CBOR_DEPTH_MAX,
  CBOR_ITEMS_MAX,
  CBOR_OBJECTS_MAX,
  CborError,
  type CborErrorCode,
  type CborValue,
  cborBytes,
  decodeCbor,
  encodeCbor,
} from '../../src/wire/cbor.ts';
import { fromHex, toHex } from '../vectors/hex.ts';

function codeOf(work: () => unknown): CborErrorCode | 'none' {
  try {
    work();
  } catch (error) {
    if (error instanceof CborError) return error.code;
    throw error;
  }
  return 'none';
}

/** RFC 8949, appendix A: those examples that are in our part of CBOR. */
const EXAMPLES: readonly [CborValue, string][] = [
  [0, '00'],
  [1, '01'],
  [10, '0a'],
  [23, '17'],
  [24, '1818'],
  [25, '1819'],
  [100, '1864'],
  [1000, '1903e8'],
  [1000000, '1a000f4240'],
  [1000000000000, '1b000000e8d4a51000'],
  [-1, '20'],
  [-10, '29'],
  [-100, '3863'],
  [-1000, '3903e7'],
  [false, 'f4'],
  [true, 'f5'],
  [fromHex(''), '40'],
  [fromHex('01020304'), '4401020304'],
  ['', '60'],
  ['a', '6161'],
  ['IETF', '6449455446'],
  ['"\\', '62225c'],
  ['\u00fc', '62c3bc'],
  ['\u6c34', '63e6b0b4'],
  ['\ud800\udd51', '64f0908591'],
  [[], '80'],
  [[1, 2, 3], '83010203'],
  [[1, [2, 3], [4, 5]], '8301820203820405'],
  [
    Array.from({ length: 25 }, (_, at) => at + 1),
    '98190102030405060708090a0b0c0d0e0f101112131415161718181819',
  ],
  [new Map(), 'a0'],
  [
    new Map([
      [1, 2],
      [3, 4],
    ]),
    'a201020304',
  ],
];

/** Where the length of an integer changes: written out by hand from RFC 8949 §3. */
const EDGES: readonly [CborValue, string][] = [
  [255, '18ff'],
  [256, '190100'],
  [65535, '19ffff'],
  [65536, '1a00010000'],
  [4294967295, '1affffffff'],
  [4294967296, '1b0000000100000000'],
  [0xfefffffffffe, '1b0000fefffffffffe'],
  [Number.MAX_SAFE_INTEGER, '1b001fffffffffffff'],
  [-24, '37'],
  [-25, '3818'],
  [-256, '38ff'],
  [-257, '390100'],
  [-65536, '39ffff'],
  [-65537, '3a00010000'],
  [-2147483648, '3a7fffffff'],
  [-2147483649, '3a80000000'],
  [-4294967296, '3affffffff'],
  [-4294967297, '3b0000000100000000'],
  [Number.MIN_SAFE_INTEGER, '3b001ffffffffffffe'],
  [new Uint8Array(23), `57${'00'.repeat(23)}`],
  [new Uint8Array(24), `5818${'00'.repeat(24)}`],
  [new Uint8Array(256), `590100${'00'.repeat(256)}`],
  ['x'.repeat(24), `7818${'78'.repeat(24)}`],
  ['x'.repeat(300), `79012c${'78'.repeat(300)}`],
  ['\u6c34'.repeat(100), `79012c${'e6b0b4'.repeat(100)}`],
  [new Map([[4294967296, true]]), 'a11b0000000100000000f5'],
  [Array.from({ length: 300 }, () => 0), `99012c${'00'.repeat(300)}`],
  [
    new Map(Array.from({ length: 24 }, (_, key) => [key, 0])),
    `b818${Array.from({ length: 24 }, (_, key) => `${toHex(Uint8Array.of(key))}00`).join('')}`,
  ],
];

t.test('each value has exactly these bytes', async (t) => {
  for (const [value, hex] of [...EXAMPLES, ...EDGES]) {
    t.equal(toHex(encodeCbor(value)), hex, hex.slice(0, 60));
    t.strictSame(decodeCbor(fromHex(hex)), value);
    t.equal(cborBytes(value), hex.length / 2, 'and is as long as foretold');
  }
});

const anyText = fc.string({ unit: 'binary' }).filter((text) => !text.startsWith('\ufeff'));
const { value: anyValue } = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: CBOR_DEPTH_MAX, depthSize: 'small' },
    fc.maxSafeInteger(),
    fc.integer({ min: 0, max: 300 }),
    fc.boolean(),
    anyText,
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 30 }),
    fc
      .uniqueArray(fc.tuple(fc.maxSafeNat(), tie('value')), { selector: ([key]) => key })
      .map((entries) => new Map(entries.sort(([a], [b]) => a - b))),
  ),
}));

t.test('what was encoded is decoded', async (t) => {
  const holds = (value: CborValue): void => {
    const bytes = encodeCbor(value);
    t.strictSame(decodeCbor(bytes), value);
    t.equal(cborBytes(value), bytes.length);
  };
  // Without a line of output for each.
  fc.assert(
    fc.property(anyValue, (value) => {
      const bytes = encodeCbor(value);
      return (
        toHex(encodeCbor(decodeCbor(bytes))) === toHex(bytes) && cborBytes(value) === bytes.length
      );
    }),
    { numRuns: 2000 },
  );
  for (const value of fc.sample(anyValue, 100)) holds(value);
});

t.test('what decoding makes is its own', async (t) => {
  const datagram = Buffer.from('8243010203a1014404050607', 'hex');
  const value = decodeCbor(datagram) as [Uint8Array, Map<number, Uint8Array>];
  const [first, map] = value;
  const second = map.get(1) ?? new Uint8Array(0);
  t.same([toHex(first), toHex(second)], ['010203', '04050607']);
  for (const bytes of [first, second]) {
    t.equal(bytes.constructor, Uint8Array, 'not a Buffer');
    t.equal(bytes.buffer.byteLength, bytes.length, 'keeps no more memory alive than it needs');
  }
  datagram.fill(0xff);
  t.same([toHex(first), toHex(second)], ['010203', '04050607'], 'and does not change with it');
  t.same(Object.keys(datagram), Object.keys(Buffer.alloc(datagram.length)), 'nor is it marked');
});

t.test('what encoding makes is its own', async (t) => {
  const first = encodeCbor([1, 2, 3]);
  t.equal(first.buffer.byteLength, 4);
  encodeCbor(['x'.repeat(9000)]);
  t.equal(toHex(first), '83010203');
});

/** Values within each other: `levels` arrays or maps. */
function nested(levels: number, map: boolean): CborValue {
  let value: CborValue = 0;
  for (let level = 0; level < levels; level++) value = map ? new Map([[level, value]]) : [value];
  return value;
}

t.test('the bounds are where they are said to be', async (t) => {
  for (const map of [false, true]) {
    const deepest = nested(CBOR_DEPTH_MAX, map);
    t.strictSame(decodeCbor(encodeCbor(deepest)), deepest);
    t.equal(
      codeOf(() => encodeCbor(nested(CBOR_DEPTH_MAX + 1, map))),
      'depth',
    );
  }
  t.equal(
    codeOf(() => decodeCbor(fromHex(`${'81'.repeat(CBOR_DEPTH_MAX)}00`))),
    'none',
  );
  t.equal(
    codeOf(() => decodeCbor(fromHex(`${'81'.repeat(CBOR_DEPTH_MAX + 1)}00`))),
    'depth',
  );
  // The array itself is one of them.
  const most = Array.from({ length: CBOR_ITEMS_MAX - 1 }, () => 0);
  const bytes = encodeCbor(most);
  t.strictSame(decodeCbor(bytes), most);
  t.equal(
    codeOf(() => encodeCbor([...most, 0])),
    'items',
  );
  const over = Uint8Array.of(...bytes, 0);
  new DataView(over.buffer).setUint16(1, CBOR_ITEMS_MAX);
  t.equal(
    codeOf(() => decodeCbor(over)),
    'items',
  );
  const objects = Array.from({ length: CBOR_OBJECTS_MAX - 1 }, () => new Uint8Array(0));
  t.strictSame(decodeCbor(encodeCbor(objects)), objects);
  t.equal(
    codeOf(() => encodeCbor([...objects, []])),
    'objects',
  );
  // Keys count as well.
  const entries = Array.from({ length: CBOR_ITEMS_MAX / 2 }, (_, key) => [key, 0] as const);
  t.equal(
    codeOf(() => encodeCbor(new Map(entries))),
    'items',
  );
  t.equal(
    codeOf(() => encodeCbor(new Map(entries.slice(1)))),
    'none',
  );
});

t.test('values that have no encoding here are refused', async (t) => {
  const rows: [string, unknown, CborErrorCode][] = [
    ['NaN', Number.NaN, 'range'],
    ['infinity', Number.POSITIVE_INFINITY, 'range'],
    ['a fraction', 1.5, 'range'],
    ['minus zero', -0, 'range'],
    ['2^53', 2 ** 53, 'range'],
    ['-2^53', -(2 ** 53), 'range'],
    ['half a surrogate pair', 'a\ud800', 'text'],
    ['a byte order mark', '\ufeffa', 'text'],
    ['null', null, 'type'],
    ['undefined', [undefined], 'type'],
    ['a bigint', [1n], 'type'],
    ['a plain object', { a: 1 }, 'type'],
    ['a date', new Map([[1, new Date(0)]]), 'type'],
    ['a typed array of words', new Uint16Array(2), 'type'],
    ['keys in no order', new Map([[2, 0]]).set(1, 0), 'key-order'],
    ['a negative key', new Map([[-1, 0]]), 'key-type'],
    ['a key that is text', new Map([['__proto__', 0]]), 'key-type'],
    ['a fraction as a key', new Map([[0.5, 0]]), 'range'],
  ];
  for (const [what, value, code] of rows) {
    t.equal(
      codeOf(() => encodeCbor(value as CborValue)),
      code,
      what,
    );
  }
});
