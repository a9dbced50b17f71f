import fc from 'fast-check';
import t from 'tap';
import {
  addToSum,
  finishSum,
  foldSum,
  internetChecksum,
  pseudoSumIpv4,
  pseudoSumIpv6,
  updateChecksum16,
  updateChecksum32,
} from '../../src/wire/checksum.ts';
import { checkIpv4Sum } from '../../src/wire/classify.ts';
import {
  decrementIpv4Ttl,
  fillIpv4Checksum,
  getIpv4Tos,
  getIpv4Ttl,
  replaceIpv4Tos,
} from '../../src/wire/ipv4.ts';
import { clampTcpMss, findTcpMss } from '../../src/wire/tcp.ts';
import { holds } from '../support/property.ts';
import { fromHex, viewOf } from '../vectors/hex.ts';

/** The definition, in exact integers: the one's complement sum is the sum modulo 65,535. */
function byDefinition(bytes: Uint8Array): number {
  let sum = 0n;
  for (const [index, byte] of bytes.entries()) sum += BigInt(byte) << (index & 1 ? 0n : 8n);
  const folded = sum === 0n ? 0n : ((sum - 1n) % 65535n) + 1n;
  return Number(folded) ^ 0xffff;
}

t.test('internetChecksum() gives the known values', async (t) => {
  // RFC 1071 §3: the sum of these eight bytes is ddf2.
  const example = viewOf(fromHex('0001 f203 f4f5 f6f7'));
  t.equal(foldSum(addToSum(example, 0, 8)), 0xddf2);
  t.equal(internetChecksum(example, 0, 8), 0x220d);
  t.equal(internetChecksum(viewOf(new Uint8Array(0)), 0, 0), 0xffff);
  t.equal(internetChecksum(viewOf(fromHex('ff')), 0, 1), 0x00ff, 'a lone byte is the high one');
  const long = new Uint8Array(65535).fill(0xff);
  t.equal(internetChecksum(viewOf(long), 0, long.length), byDefinition(long), '65,535 times ff');
});

t.test('internetChecksum() is the sum modulo 65,535', async (t) => {
  holds(
    t,
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      return internetChecksum(viewOf(bytes), 0, bytes.length) === byDefinition(bytes);
    }),
    { numRuns: 2000 },
  );
});

t.test('a sum may be carried from piece to piece', async (t) => {
  holds(
    t,
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 99 }), fc.nat(40), (bytes, words) => {
      const cut = Math.min(words * 2, bytes.length & ~1);
      const view = viewOf(bytes);
      const first = addToSum(view, 0, cut);
      return (
        finishSum(addToSum(view, cut, bytes.length - cut, first)) ===
        internetChecksum(view, 0, bytes.length)
      );
    }),
  );
});

t.test('updateChecksum16() equals computing afresh', async (t) => {
  // RFC 1624 §4: checksum dd2f, field 5555 becomes 3285; equation 3 gives 0000, not ffff.
  t.equal(updateChecksum16(0xdd2f, 0x5555, 0x3285), 0x0000);
  const words = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 3, maxLength: 12 });
  holds(
    t,
    fc.property(words, fc.nat(), fc.integer({ min: 0, max: 0xffff }), (list, pick, after) => {
      const bytes = new Uint8Array(list.length * 2 + 2);
      const view = viewOf(bytes);
      for (const [index, word] of list.entries()) view.setUint16(index * 2, word);
      // A version nibble keeps real headers away from the all-zero case, where 0 has two forms.
      view.setUint16(list.length * 2, 0x4500);
      const at = (pick % list.length) * 2;
      const before = internetChecksum(view, 0, bytes.length);
      const old = view.getUint16(at);
      view.setUint16(at, after);
      return updateChecksum16(before, old, after) === internetChecksum(view, 0, bytes.length);
    }),
    { numRuns: 5000 },
  );
});

t.test('updateChecksum32() is two steps of 16', async (t) => {
  const word = fc.integer({ min: 0, max: 0xffffffff });
  holds(
    t,
    fc.property(word, word, (before, after) => {
      const view = viewOf(new Uint8Array(8));
      view.setUint32(0, before);
      view.setUint32(4, 0x45000014);
      const checksum = internetChecksum(view, 0, 8);
      view.setUint32(0, after);
      return updateChecksum32(checksum, before, after) === internetChecksum(view, 0, 8);
    }),
  );
});

t.test('pseudo-headers sum what the RFCs draw', async (t) => {
  const v4 = viewOf(fromHex('4500 0020 0000 4000 4011 0000 0a000001 0a000002'));
  const drawn4 = viewOf(fromHex('0a000001 0a000002 0011 000c'));
  t.equal(foldSum(pseudoSumIpv4(v4, 0, 17, 12)), foldSum(addToSum(drawn4, 0, 12)));
  const addresses =
    'fd00 0000 0000 0000 0000 0000 0000 0001 fd00 0000 0000 0000 0000 0000 0000 ff02';
  const v6 = viewOf(fromHex(`6000 0000 000c 3a 40 ${addresses}`));
  const drawn6 = viewOf(fromHex(`${addresses} 0000000c 0000003a`));
  t.equal(foldSum(pseudoSumIpv6(v6, 0, 58, 12)), foldSum(addToSum(drawn6, 0, 40)));
});

t.test('replaceIpv4Tos() and decrementIpv4Ttl() keep the header right', async (t) => {
  holds(
    t,
    fc.property(
      fc.uint8Array({ minLength: 20, maxLength: 20 }),
      fc.integer({ min: 0, max: 255 }),
      fc.integer({ min: 2, max: 255 }),
      (bytes, tos, ttl) => {
        const view = viewOf(bytes);
        view.setUint8(0, 0x45);
        view.setUint8(8, ttl);
        fillIpv4Checksum(view, 0);
        replaceIpv4Tos(view, 0, tos);
        const afterTos = checkIpv4Sum(view, 0);
        decrementIpv4Ttl(view, 0);
        return (
          afterTos === 0 &&
          checkIpv4Sum(view, 0) === 0 &&
          getIpv4Tos(view, 0) === tos &&
          getIpv4Ttl(view, 0) === ttl - 1
        );
      },
    ),
    { numRuns: 2000 },
  );
});

t.test('clampTcpMss() lowers a SYN and keeps its checksum right', async (t) => {
  const head = '01bb c350 00000001 00000000';
  const rows: [string, string, number][] = [
    ['MSS first', `${head} 60 02 ffff 0000 0000 0204 05b4`, 22],
    ['at an odd byte', `${head} 70 02 ffff 0000 0000 01 0204 05b4 01 00 00`, 23],
    [
      'behind SACK and timestamps',
      `${head} 90 02 ffff 0000 0000 0402 080a 00000001 00000000 0204 05b4`,
      34,
    ],
  ];
  for (const [what, hex, at] of rows) {
    const bytes = fromHex(hex);
    const view = viewOf(bytes);
    view.setUint16(16, internetChecksum(view, 0, bytes.length));
    t.equal(findTcpMss(view, 0), at, what);
    t.ok(clampTcpMss(view, 0, 1200, true), `${what}: clamped`);
    t.equal(view.getUint16(at), 1200);
    t.equal(internetChecksum(view, 0, bytes.length), 0, `${what}: checksum`);
    t.notOk(clampTcpMss(view, 0, 1300, true), `${what}: never raised`);
  }
  for (const hex of [
    `${head} 60 02 ffff 0000 0000 02000000`,
    `${head} 60 02 ffff 0000 0000 01010102`,
    `${head} 60 02 ffff 0000 0000 0205 05b4`,
    `${head} 60 02 ffff 0000 0000 0000 05b4`,
    `${head} 60 10 ffff 0000 0000 0204 05b4`,
  ]) {
    t.notOk(clampTcpMss(viewOf(fromHex(hex)), 0, 500, true), hex);
  }
});
