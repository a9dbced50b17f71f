import { generateKeyPairSync, sign } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { makeIdentity, parseIdentity } from '../../src/gossip/base/identity.ts';
import {
  CLUSTER_KEY_BYTES,
  decodeKey,
  encodeKey,
  formatKeyId,
  KEYS_MAX,
  Keyring,
  parseKeyId,
} from '../../src/gossip/base/keyring.ts';
import { Ed25519Verifier, ed25519Signer, nodeIdOf } from '../../src/gossip/base/signer.ts';
import { deriveSubkeys, open, SEAL_BYTES, seal } from '../../src/gossip/seal/cipher.ts';
import { pad, unpad } from '../../src/gossip/seal/padding.ts';
import { REPLAY_WINDOW, ReplayWindow, Verdict } from '../../src/gossip/seal/replay.ts';
import { STRANGERS_PER_SECOND, Strangers, TokenBuckets } from '../../src/gossip/seal/strangers.ts';
import { holds } from '../support/property.ts';
import { seededBytes } from './secure-rig.ts';

const random = seededBytes('keys');

t.test('a keyring as text and back', async (t) => {
  const ring = Keyring.generate(random);
  t.equal(Keyring.parse(ring.format(), 'f').format(), ring.format());
  const first = ring.inUse;
  const second = ring.add(random(CLUSTER_KEY_BYTES));
  ring.add(random(CLUSTER_KEY_BYTES));
  ring.use(second.id);
  const again = Keyring.parse(ring.format(), 'f');
  t.same(again.inUse, second);
  t.same(again.keys, ring.keys);
  t.same(ring.get(first.id), first);
  const single = `${encodeKey(first.bytes)}\n`;
  t.same(Keyring.parse(single, 'f').inUse, first, 'one key needs no mark');
  const lines = `  ${encodeKey(first.bytes)}  # old\n\n# none\n${encodeKey(second.bytes)} use # new\r\n`;
  t.same(Keyring.parse(lines, 'f').inUse, second);
});

t.test('a key file that is none says where, and shows no key', async (t) => {
  const [a, b] = [random(32), random(32)].map(encodeKey);
  for (const [text, message] of [
    ['', /^f: there is no key/],
    ['# nothing\n', /^f: there is no key/],
    [`${a}\n${b}\n`, /^f: exactly one of 2 keys/],
    [`${a} use\n${b} use\n`, /^f: exactly one of 2 keys/],
    [`${a} uses\n`, /^f:1: a key may have/],
    [`${a} use it\n`, /^f:1: a key may have/],
    [`\n${a?.slice(1)}\n`, /^f:2: not 32 bytes in base64/],
    [`${a?.slice(0, -1)}\n`, /^f:1: not 32 bytes/],
    [`${a?.slice(0, -2)}B=\n`, /^f:1: not 32 bytes/],
    [`${Buffer.alloc(32).toString('base64')}\n`, /^f:1: not 32 bytes/],
  ] as const) {
    t.throws(() => Keyring.parse(text, 'f'), { code: 'key-file', message });
    try {
      Keyring.parse(text, 'f');
    } catch (error) {
      t.notMatch(String(error), a?.slice(1, 20) ?? '');
    }
  }
});

t.test('a keyring changes by rule', async (t) => {
  const ring = Keyring.generate(random);
  const key = ring.inUse;
  t.equal(ring.add(key.bytes), key, 'what is there is not there twice');
  t.throws(() => ring.add(new Uint8Array(31)), RangeError);
  t.throws(() => ring.remove(key.id), { code: 'key-refused', message: /is in use/ });
  t.throws(() => ring.remove(key.id + 1), { code: 'key-refused', message: /there is no key/ });
  t.throws(() => ring.use(key.id + 1), { code: 'key-refused' });
  const other = ring.add(random(32));
  ring.use(other.id);
  ring.remove(key.id);
  t.same(ring.keys, [other]);
  while (ring.keys.length < KEYS_MAX) ring.add(random(32));
  t.throws(() => ring.add(random(32)), { code: 'key-refused', message: /at most 8 keys/ });
  t.equal(parseKeyId(formatKeyId(other.id)), other.id);
  t.same(['', '1234567', '123456789', 'ABCDEF01', 'x2345678'].map(parseKeyId), Array(5));
  t.same(decodeKey(encodeKey(other.bytes)), other.bytes);
});

t.test('an identity as text and back', async (t) => {
  const text = makeIdentity(random);
  const { id, signer } = parseIdentity(text, 'f');
  t.match(id, /^[0-9a-f]{32}$/);
  t.equal(id, nodeIdOf(signer.publicKey));
  t.equal(parseIdentity(text, 'f').id, id);
  t.not(parseIdentity(makeIdentity(random), 'f').id, id);
  for (const broken of ['', text.slice(0, -1), `${text}x`, text.replace('1\n', '2\n')]) {
    t.throws(() => parseIdentity(broken, 'f'), { code: 'identity-file', message: /^f is no/ });
  }
  for (let end = 0; end < text.length; end++) {
    t.throws(() => parseIdentity(text.slice(0, end), 'f'), { code: 'identity-file' });
  }
});

t.test('signatures are those of RFC 8032', async (t) => {
  // §7.1, test 2.
  const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
  const signer = ed25519Signer(
    hex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb'),
  );
  const publicKey = hex('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c');
  const signature = hex(
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  );
  t.same(signer.publicKey, publicKey);
  t.same(signer.sign(hex('72')), signature);
  const verifier = new Ed25519Verifier(2);
  t.ok(verifier.verify(publicKey, hex('72'), signature));
  t.notOk(verifier.verify(publicKey, hex('73'), signature));
  t.notOk(verifier.verify(publicKey, hex('72'), signature.subarray(1)));
  t.notOk(verifier.verify(publicKey.subarray(1), hex('72'), signature));
  t.notOk(verifier.verify(new Uint8Array(32).fill(255), hex('72'), signature), 'no point');
  t.equal(verifier.ownerOf(publicKey), nodeIdOf(publicKey));
  t.throws(() => ed25519Signer(new Uint8Array(31)), RangeError);
});

t.test('imported keys are kept, but not without end', async (t) => {
  const verifier = new Ed25519Verifier(3);
  const keys = Array.from({ length: 5 }, () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(12);
    return { raw, signature: sign(null, raw, privateKey) };
  });
  for (let round = 0; round < 3; round++) {
    for (const { raw, signature } of keys) t.ok(verifier.verify(raw, raw, signature));
    t.equal(verifier.importedKeys, 3);
  }
});

t.test('sealed bytes open with the same keys, counter and additional data only', async (t) => {
  const label = Buffer.from('l');
  const keys = deriveSubkeys(random(32), label, 'test', random(28));
  const others = deriveSubkeys(random(32), label, 'test', random(28));
  const bound = random(46);
  const sealed = new Uint8Array(5 + SEAL_BYTES);
  seal(keys, 7, bound, Buffer.from('hello'), sealed, 0);
  const text = (opened: Uint8Array | undefined): string => `${Buffer.from(opened ?? [])}`;
  t.equal(text(open(keys, 7, bound, sealed)), 'hello');
  t.equal(open(keys, 8, bound, sealed), undefined);
  t.equal(open(others, 7, bound, sealed), undefined);
  t.equal(open(keys, 7, bound.subarray(1), sealed), undefined);
  for (let end = 0; end < sealed.length; end++) {
    t.equal(open(keys, 7, bound, sealed.subarray(0, end)), undefined);
  }
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = sealed.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    if (open(keys, 7, bound, changed) !== undefined) t.fail(`bit ${bit}`);
  }
  const second = new Uint8Array(5 + SEAL_BYTES);
  seal(keys, 7, bound, Buffer.from('jello'), second, 0);
  t.notSame(sealed.subarray(0, 4), second.subarray(0, 4), 'one counter, two messages, two nonces');
  seal(keys, 7, bound, Buffer.from('hello'), second, 0);
  t.same(sealed, second);
  seal(keys, Number.MAX_SAFE_INTEGER, bound, Buffer.from('hello'), second, 0);
  t.equal(text(open(keys, Number.MAX_SAFE_INTEGER, bound, second)), 'hello');
});

t.test('padding goes on and off', async (t) => {
  for (const length of [0, 1, 31, 32, 33, 500]) {
    const payload = random(length);
    const padded = pad(payload, 33);
    t.equal(padded.length, Math.max(33, length + 1));
    t.same(unpad(padded), payload);
  }
  t.equal(unpad(new Uint8Array(0)), undefined);
  t.same(unpad(Uint8Array.of(0)), new Uint8Array(0));
  t.equal(unpad(Uint8Array.of(1)), undefined);
  t.equal(unpad(Uint8Array.of(9, 1, 2)), undefined);
});

t.test('the replay window is that of a list of all that was seen', async (t) => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: -40, max: 40 }) },
    { weight: 2, arbitrary: fc.integer({ min: -REPLAY_WINDOW - 70, max: REPLAY_WINDOW + 70 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 2 ** 40 }) },
  );
  const first = fc.oneof(fc.integer({ min: 0, max: 9000 }), fc.constant(2 ** 45));
  holds(
    t,
    fc.property(first, fc.array(step, { minLength: 1, maxLength: 300 }), (start, steps) => {
      const window = new ReplayWindow(start);
      const seen = new Set<number>();
      let highest = start;
      for (const move of steps) {
        const counter = Math.max(1, highest + move);
        let expected: Verdict = Verdict.Fresh;
        if (counter <= highest - REPLAY_WINDOW) expected = Verdict.Old;
        else if (counter <= start || seen.has(counter)) expected = Verdict.Seen;
        if (window.accept(counter) !== expected) return false;
        seen.add(counter);
        highest = Math.max(highest, counter);
        if (window.highest !== highest) return false;
      }
      return true;
    }),
    { numRuns: 500 },
  );
});

t.test(
  'strangers get 20 a second with a burst of 5, and all together not more than that',
  async (t) => {
    const strangers = new Strangers();
    const admitted = (address: number, times: number, nowMs: number): number => {
      let count = 0;
      for (let i = 0; i < times; i++) if (strangers.admit(address, nowMs)) count += 1;
      return count;
    };
    t.equal(admitted(1, 100, 0), 5);
    t.equal(admitted(1, 100, 49), 0);
    t.equal(admitted(1, 100, 50), 1);
    let count = 0;
    for (let ms = 51; ms <= 10_050; ms++) count += admitted(1, 1, ms);
    t.equal(count, 200, 'in ten seconds');
    t.equal(admitted(2, 10, 10_050), 5, 'each address for itself');
    let all = 0;
    for (let address = 100; address < 5000; address++) all += admitted(address, 1, 20_000);
    t.ok(all <= STRANGERS_PER_SECOND, `${all} of 4,900 addresses at once`);
  },
);

t.test('buckets are bounded; a full one gives way, one in use does not', async (t) => {
  const buckets = new TokenBuckets(1, 2, 3);
  for (const key of [1, 2, 3]) t.ok(buckets.take(key, 0));
  t.notOk(buckets.take(4, 500), 'no room');
  t.equal(buckets.size, 3);
  t.ok(buckets.take(4, 1000), 'the first is full again');
  t.equal(buckets.size, 3);
});
