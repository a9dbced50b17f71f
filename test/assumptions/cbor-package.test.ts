// What src/wire/cbor.ts takes from the cbor-x package, and the rough edges that it works around.
// When one of these is no longer there, the work-around may go.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { Encoder } from 'cbor-x/index-no-eval';
import t from 'tap';
import { fromHex, toHex } from '../vectors/hex.ts';

const require = createRequire(import.meta.url);
const codec = new Encoder({ useRecords: false, mapsAsObjects: false, tagUint8Array: false });

// Encodes and decodes with the build that is named, then says what was loaded for it.
const ROUND_TRIP = `
  const { Encoder } = require(process.argv[1]);
  const codec = new Encoder({ useRecords: false, mapsAsObjects: false });
  const value = codec.decode(codec.encode(new Map([[1, 'x'.repeat(100)], [2, [true]]])));
  const loaded = [
    ...Object.keys(require.cache),
    ...process.report.getReport().sharedObjects,
  ].filter((path) => /cbor-extract|node-gyp/.test(path));
  console.log(JSON.stringify([value.get(2), loaded]));
`;

t.test('the build without eval needs neither native code nor code from text', async (t) => {
  const path = require.resolve('cbor-x/index-no-eval');
  const flags = ['--disallow-code-generation-from-strings', '-e', ROUND_TRIP, path];
  const { stdout, stderr } = spawnSync(process.execPath, flags, { encoding: 'utf8' });
  t.equal(stdout, '[[true],[]]\n', stderr);
});

t.test('integers above 32 bits become floats, and bigints do not', async (t) => {
  t.equal(toHex(codec.encode(2 ** 32)), 'fb41f0000000000000');
  t.equal(toHex(codec.encode(2n ** 32n)), '1b0000000100000000');
});

t.test('what is encoded lies in a buffer that is larger', async (t) => {
  t.ok(codec.encode(1).buffer.byteLength >= 8192);
});

t.test('duplicate keys, long forms, tags and floats are read without a word', async (t) => {
  t.same(codec.decode(fromHex('a201000101')), new Map([[1, 1]]));
  t.equal(codec.decode(fromHex('190001')), 1);
  t.ok(codec.decode(fromHex('c11a514b67b0')) instanceof Date);
  t.equal(codec.decode(fromHex('f93e00')), 1.5);
});

t.test('bad UTF-8 is mended, and a byte order mark is lost from a long text', async (t) => {
  t.equal(codec.decode(fromHex('61ff')), '\ufffd');
  const long = fromHex(`7864efbbbf${'61'.repeat(97)}`);
  t.equal(codec.decode(long), 'a'.repeat(97));
});

t.test('a typed array that was decoded from carries a mark afterwards', async (t) => {
  const bytes = fromHex('00');
  codec.decode(bytes);
  t.ok('dataView' in bytes, 'so it is given a view of its own');
});
