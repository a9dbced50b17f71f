import fc from 'fast-check';
import t from 'tap';
import {
  bridgeNameOf6,
  checkFan6,
  deviceNameOf6,
  gatewayOf6,
  hostPartIn,
  hostPartOf,
  hostPartOf6,
  lanOf6,
  linkLocalOf,
  sliceOf6,
  vniOf6,
} from '../../src/net/fan6.ts';
import { formatIpv4, parseIpv4 } from '../../src/net/ipv4.ts';
import { networkOf, parsePrefix } from '../../src/net/prefix.ts';
import {
  bytesOfIpv6,
  contains6,
  equals6,
  formatAddress6,
  formatPrefix6,
  type Ipv6,
  isNetwork6,
  isSameAddress6,
  maskOf6,
  networkOf6,
  or6,
  overlaps6,
  parseAddress6,
  parsePrefix6,
  shiftLeft6,
  shiftRight6,
  wordsOfIpv6,
} from '../../src/net/prefix6.ts';
import { holds } from '../support/property.ts';

const word = fc.integer({ min: 0, max: 0xffffffff });
const address: fc.Arbitrary<Ipv6> = fc.tuple(word, word, word, word);

/** The oracle: the same as one number. */
function big([a, b, c, d]: Ipv6): bigint {
  return (BigInt(a) << 96n) | (BigInt(b) << 64n) | (BigInt(c) << 32n) | BigInt(d);
}
const ALL = (1n << 128n) - 1n;

t.test('addresses of four words agree with numbers of 128 bits', async (t) => {
  const places = fc.integer({ min: 0, max: 128 });
  holds(
    t,
    fc.property(address, places, (a, n) => {
      const left = big(shiftLeft6(a, n)) === ((big(a) << BigInt(n)) & ALL);
      const right = big(shiftRight6(a, n)) === big(a) >> BigInt(n);
      const mask = big(maskOf6(n)) === ((ALL << BigInt(128 - n)) & ALL);
      return left && right && mask;
    }),
  );
  holds(
    t,
    fc.property(address, (a) => {
      const back = wordsOfIpv6(bytesOfIpv6(a));
      return isSameAddress6(back, a) && isSameAddress6(parseAddress6(formatAddress6(a)), a);
    }),
  );
  holds(
    t,
    fc.property(address, address, places, (a, b, length) => {
      const inside = (big(a) ^ big(b)) >> BigInt(128 - length) === 0n;
      return contains6({ address: a, length }, b) === inside;
    }),
  );
});

t.test('parsePrefix6() reads what formatPrefix6() writes, and refuses the rest', async (t) => {
  for (const text of ['fd00:fa::/32', '::/0', '2001:db8::1/128']) {
    t.equal(formatPrefix6(parsePrefix6(text)), text);
  }
  for (const text of [
    'fd00::',
    'fd00::/129',
    'fd00::/-1',
    'fd00::/01',
    'fd00::%eth0/64',
    '1.2.3.4/8',
  ]) {
    t.throws(() => parsePrefix6(text), text);
  }
  t.ok(overlaps6(parsePrefix6('fd00::/8'), parsePrefix6('fd00:fa::/32')));
  t.notOk(overlaps6(parsePrefix6('fd00:fb::/32'), parsePrefix6('fd00:fa::/32')));
  t.ok(isNetwork6(parsePrefix6('fd00:fa::/32')));
  t.notOk(isNetwork6(parsePrefix6('fd00:fa::1/32')));
  t.ok(equals6(parsePrefix6('fd00:fa::1/32'), parsePrefix6('fd00:fa::2/32')));
});

// Overlay, underlay (host), slice, the containers' network, the host's own address in the overlay.
const ROWS: [string, string, string, string, string][] = [
  ['fd00:fa::/32', '172.30.0.28/16', 'fd00:fa:1c::/48', 'fd00:fa:1c::/64', 'fd00:fa:1c::1'],
  ['fd00:fa::/32', '172.30.1.27/16', 'fd00:fa:11b::/48', 'fd00:fa:11b::/64', 'fd00:fa:11b::1'],
  ['fd00::/8', '10.1.2.3/8', 'fd01:203::/32', 'fd01:203::/64', 'fd01:203::1'],
  [
    'fd00:1:2:3::/64',
    '192.168.7.9/24',
    'fd00:1:2:3:900::/72',
    'fd00:1:2:3:900::/72',
    'fd00:1:2:3:900::1',
  ],
  [
    'fd12:3450::/28',
    '10.224.220.11/24',
    'fd12:3450:b000::/36',
    'fd12:3450:b000::/64',
    'fd12:3450:b000::1',
  ],
  [
    'fd00:fa::/32',
    '2001:db8::1c/64',
    'fd00:fa::1c:0:0/96',
    'fd00:fa::1c:0:0/96',
    'fd00:fa::1c:0:1',
  ],
  [
    'fd00:fa::/48',
    '2001:db8::a:1c/112',
    'fd00:fa:0:1c::/64',
    'fd00:fa:0:1c::/64',
    'fd00:fa:0:1c::1',
  ],
];

t.test('sliceOf6() and hostPartIn() agree with the known maps', async (t) => {
  for (const [overlayText, underlayText, slice, lan, gateway] of ROWS) {
    const overlay = parsePrefix6(overlayText);
    const isSix = underlayText.includes(':');
    const part = isSix
      ? hostPartOf6(parsePrefix6(underlayText), parsePrefix6(underlayText).address)
      : hostPartOf(parsePrefix(underlayText), parsePrefix(underlayText).address);
    const own = sliceOf6(overlay, part);
    t.equal(formatPrefix6(own), slice, `${overlayText} over ${underlayText}`);
    t.equal(formatPrefix6(lanOf6(own)), lan);
    t.equal(formatAddress6(gatewayOf6(own)), gateway);
    t.same(hostPartIn(overlay, part.length, gatewayOf6(own)), part, 'and back');
    t.same(checkFan6(overlay, part.length), []);
  }
});

t.test('every address of a slice leads to its host, and to no other', async (t) => {
  const fan = fc
    .tuple(fc.integer({ min: 8, max: 94 }), fc.integer({ min: 0, max: 32 }), address, word, address)
    .map(([ow, uw, base, host, rest]) => {
      const overlay = { address: networkOf6({ address: base, length: ow }), length: ow };
      return { overlay, underlay: { address: host, length: uw }, host, rest };
    });
  holds(
    t,
    fc.property(fan, ({ overlay, underlay, host, rest }) => {
      const part = hostPartOf(underlay, host);
      const slice = sliceOf6(overlay, part);
      const tail = shiftRight6(shiftLeft6(rest, slice.length), slice.length);
      const inner = or6(slice.address, tail);
      const back = hostPartIn(overlay, part.length, inner);
      const peer = (networkOf(underlay) | back.bits[3]) >>> 0;
      return contains6(overlay, inner) && contains6(slice, inner) && peer === host;
    }),
  );
});

t.test('checkFan6() tells all that is wrong, in words', async (t) => {
  const codes = (overlay: string, bits = 16): string[] =>
    checkFan6(parsePrefix6(overlay), bits).map(({ code }) => code);
  t.same(codes('fd00:fa::/32'), []);
  t.same(codes('2001:db8::/32'), []);
  t.same(codes('fd00:fa::1/32'), ['OVERLAY_BITS']);
  t.same(codes('ff00::/16'), ['OVERLAY_RESERVED']);
  t.same(codes('fe80::/32'), ['OVERLAY_RESERVED']);
  t.same(codes('::/32'), ['OVERLAY_RESERVED']);
  t.same(codes('fd00:fa::/110'), []);
  t.same(codes('fd00:fa::/111'), ['NO_USABLE_HOST']);
  t.same(codes('fd00:fa::/64', 64), ['NO_USABLE_HOST']);
  const [problem] = checkFan6(parsePrefix6('fd00:fa::/64'), 64);
  t.match(problem?.message, /use an overlay of \/62 or shorter/);
});

t.test('names fit, and networks differ', async (t) => {
  const host = parseIpv4('172.30.1.27');
  const slice = (overlay: string) =>
    sliceOf6(parsePrefix6(overlay), hostPartOf(parsePrefix('172.30.0.0/16'), host));
  t.equal(bridgeNameOf6(slice('fd00:fa::/32')), 'fan-fd00-fa-11b');
  t.equal(deviceNameOf6(slice('fd00:fa::/32')), 'fw-fd00-fa-11b');
  t.match(bridgeNameOf6(slice('fd12:3456::/32')), /^fan6-[0-9a-f]{8}$/, formatIpv4(host));
  const vnis = ['fd00:fa::/32', 'fd00:fb::/32', 'fd00:fa::/33', 'fd00:fa:1::/48'].map((text) =>
    vniOf6(parsePrefix6(text)),
  );
  t.equal(new Set(vnis).size, vnis.length);
  for (const vni of vnis) t.ok(vni > 0 && vni <= 0xffffff, `VNI ${vni}`);
  t.equal(vnis[0], vniOf6(parsePrefix6('fd00:fa::1/32')), 'bits below the mask do not count');
  t.equal(formatAddress6(linkLocalOf(0x02fafa001c01)), 'fe80::fa:faff:fe00:1c01');
});
