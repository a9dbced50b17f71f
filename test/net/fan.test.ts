import fc from 'fast-check';
import t from 'tap';
import { AddressError } from '../../src/net/address-error.ts';
import {
  bridgeNameOf,
  checkFan,
  deviceNameOf,
  gatewayOf,
  hostRangeOf,
  type Ipv4FanMap,
  peerOf,
  sliceLengthOf,
  sliceOf,
} from '../../src/net/fan.ts';
import { formatIpv4, parseIpv4 } from '../../src/net/ipv4.ts';
import {
  broadcastOf,
  contains,
  formatPrefix,
  hostMaskOf,
  maskOf,
  networkOf,
  parsePrefix,
  usableHosts,
} from '../../src/net/prefix.ts';

/** Map and host from text; the underlay's host bits name the host. */
function fan(overlay: string, underlay: string): { map: Ipv4FanMap; host: number } {
  const written = parsePrefix(underlay);
  const network = { address: networkOf(written), length: written.length };
  return { map: { overlay: parsePrefix(overlay), underlay: network }, host: written.address };
}

// Overlay, underlay (host), slice, usable hosts, then an inner address that must lead back.
// In the two /5 rows the underlay is the host's own /20: two different maps.
const ROWS: [string, string, string, number, string?][] = [
  ['250.0.0.0/8', '172.30.0.28/16', '250.0.28.0/24', 254, '250.0.28.1'],
  ['250.0.0.0/8', '172.30.0.27/16', '250.0.27.0/24', 254, '250.0.27.254'],
  ['99.0.0.0/8', '10.88.3.4/16', '99.3.4.0/24', 254, '99.3.4.9'],
  ['99.0.0.0/8', '10.88.6.7/16', '99.6.7.0/24', 254, '99.6.7.8'],
  ['10.0.0.0/8', '172.16.3.4/16', '10.3.4.0/24', 254],
  ['99.0.0.0/8', '10.99.238.5/20', '99.224.80.0/20', 4094, '99.224.81.9'],
  ['33.0.0.0/8', '10.111.1.2/12', '33.240.16.32/28', 14, '33.240.16.37'],
  ['240.0.0.0/5', '10.88.129.2/20', '240.129.0.0/17', 32766],
  ['240.0.0.0/5', '10.88.244.215/20', '242.107.128.0/17', 32766],
  ['100.64.0.0/10', '10.224.220.10/24', '100.66.128.0/18', 16382],
  ['100.64.0.0/10', '10.224.220.11/24', '100.66.192.0/18', 16382, '100.66.200.5'],
  ['240.0.0.0/8', '192.168.1.42/24', '240.42.0.0/16', 65534],
  ['240.0.0.0/16', '192.168.1.42/24', '240.0.42.0/24', 254],
  ['10.0.0.0/8', '172.18.5.6/12', '10.32.80.96/28', 14],
];

t.test('sliceOf() and peerOf() agree with the known maps', async (t) => {
  for (const [overlay, underlay, slice, usable, inner] of ROWS) {
    const { map, host } = fan(overlay, underlay);
    const own = sliceOf(map, host);
    t.equal(formatPrefix(own), slice, `${overlay} over ${underlay}`);
    t.equal(usableHosts(own.length), usable, `usable hosts of ${slice}`);
    t.equal(formatIpv4(peerOf(map, gatewayOf(own))), formatIpv4(host), `gateway of ${slice}`);
    t.equal(formatIpv4(peerOf(map, broadcastOf(own))), formatIpv4(host), `last of ${slice}`);
    if (inner) t.equal(formatIpv4(peerOf(map, parseIpv4(inner))), formatIpv4(host), inner);
    t.same(checkFan(map, host), [], 'accepted');
  }
});

t.test('an overlay as long as the underlay gives a /32, and is refused', async (t) => {
  const { map, host } = fan('241.0.0.0/8', '10.1.2.3/8');
  t.equal(formatPrefix(sliceOf(map, host)), '241.1.2.3/32');
  t.match(checkFan(map, host), [{ code: 'NO_USABLE_HOST' }]);
});

/** Every pair of widths with uw >= ow, and a host in the underlay. */
const anyFan = fc
  .record({
    overlayLength: fc.integer({ min: 0, max: 32 }),
    extra: fc.integer({ min: 0, max: 32 }),
    overlay: fc.integer({ min: 0, max: 0xffffffff }),
    host: fc.integer({ min: 0, max: 0xffffffff }),
    workload: fc.integer({ min: 0, max: 0xffffffff }),
  })
  .map(({ overlayLength, extra, overlay, host, workload }) => {
    const length = Math.min(32, overlayLength + extra);
    const map: Ipv4FanMap = {
      overlay: { address: (overlay & maskOf(overlayLength)) >>> 0, length: overlayLength },
      underlay: { address: (host & maskOf(length)) >>> 0, length },
    };
    return { map, host, workload };
  });

t.test('peerOf() is the inverse of sliceOf() for every width', async (t) => {
  fc.assert(
    fc.property(anyFan, ({ map, host, workload }) => {
      const slice = sliceOf(map, host);
      const inner = (slice.address | (workload & hostMaskOf(slice.length))) >>> 0;
      return (
        slice.length === sliceLengthOf(map) &&
        networkOf(slice) === slice.address &&
        contains(map.overlay, inner) &&
        contains(slice, inner) &&
        peerOf(map, inner) === host
      );
    }),
    { numRuns: 20_000 },
  );
  t.pass('20,000 maps');
});

t.test('sliceOf() is the inverse of peerOf() for every width', async (t) => {
  fc.assert(
    fc.property(anyFan, ({ map, workload }) => {
      const inner = (map.overlay.address | (workload & hostMaskOf(map.overlay.length))) >>> 0;
      const peer = peerOf(map, inner);
      return contains(map.underlay, peer) && contains(sliceOf(map, peer), inner);
    }),
    { numRuns: 20_000 },
  );
  for (let overlayLength = 0; overlayLength <= 32; overlayLength++) {
    for (let length = overlayLength; length <= 32; length++) {
      const map = {
        overlay: { address: 0, length: overlayLength },
        underlay: { address: 0, length },
      };
      const last = hostMaskOf(length);
      const slice = sliceOf(map, last);
      if (peerOf(map, broadcastOf(slice)) !== last || peerOf(map, slice.address) !== last) {
        t.fail(`/${overlayLength} over /${length}`);
      }
    }
  }
  t.pass('every pair of widths at its last host');
});

t.test('two hosts never share an address', async (t) => {
  fc.assert(
    fc.property(anyFan, fc.integer({ min: 0, max: 0xffffffff }), ({ map, host }, bits) => {
      const other = (map.underlay.address | (bits & hostMaskOf(map.underlay.length))) >>> 0;
      return other === host || !contains(sliceOf(map, host), sliceOf(map, other).address);
    }),
    { numRuns: 20_000 },
  );
  t.pass('20,000 pairs');
});

// Overlay, underlay as it stands in the map, host, codes that must come out, words of the message.
const REFUSED: [string, string, string, string[], RegExp][] = [
  [
    '250.0.0.0/16',
    '10.0.0.0/8',
    '10.1.2.3',
    ['OVERLAY_WIDER_NEEDED'],
    /\/6 or shorter.*\/18 or longer/,
  ],
  ['250.0.0.0/8', '10.0.0.0/9', '10.1.2.3', ['NO_USABLE_HOST'], /each host a \/31.*\/7 or shorter/],
  ['250.0.0.0/8', '10.0.0.0/8', '10.1.2.3', ['NO_USABLE_HOST'], /each host a \/32.*\/10 or longer/],
  ['250.1.0.0/8', '10.1.0.0/16', '10.1.2.3', ['OVERLAY_BITS'], /write 250\.0\.0\.0\/8/],
  ['250.0.0.0/8', '10.1.2.3/16', '10.1.2.3', ['UNDERLAY_BITS'], /write 10\.1\.0\.0\/16/],
  ['0.0.0.0/8', '10.1.0.0/16', '10.1.2.3', ['OVERLAY_RESERVED'], /this network.*250\.0\.0\.0\/8/],
  ['127.0.0.0/8', '10.1.0.0/16', '10.1.2.3', ['OVERLAY_RESERVED'], /never leaves a host/],
  ['126.0.0.0/7', '10.1.0.0/16', '10.1.2.3', ['OVERLAY_RESERVED'], /127\.0\.0\.0\/8/],
  ['224.0.0.0/4', '10.1.0.0/16', '10.1.2.3', ['OVERLAY_RESERVED'], /multicast/],
  ['239.0.0.0/8', '10.1.0.0/16', '10.1.2.3', ['OVERLAY_RESERVED'], /multicast/],
  ['250.0.0.0/8', '239.1.0.0/16', '239.1.2.3', ['UNDERLAY_RESERVED'], /really on/],
  ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.3', ['SELF_CONTAINED'], /overlap/],
  ['250.0.0.0/8', '10.1.0.0/16', '10.2.2.3', ['HOST_OUTSIDE_UNDERLAY'], /10\.2\.0\.0\/16/],
  ['250.0.0.0/33', '10.1.0.0/16', '10.1.2.3', ['LENGTH'], /0 to 32/],
];

t.test('checkFan() refuses, says why and what would work', async (t) => {
  for (const [overlay, underlay, host, codes, words] of REFUSED) {
    const [address = '', length] = overlay.split('/');
    const map = {
      overlay: { address: parseIpv4(address), length: Number(length) },
      underlay: parsePrefix(underlay),
    };
    const problems = checkFan(map, parseIpv4(host));
    t.same(
      problems.map(({ code }) => code),
      codes,
      `${overlay} over ${underlay}`,
    );
    t.match(problems[0]?.message, words);
  }
  const all = checkFan(
    { overlay: parsePrefix('127.1.0.0/16'), underlay: parsePrefix('10.1.2.3/8') },
    parseIpv4('11.0.0.1'),
  ).map(({ code }) => code);
  t.same(
    all,
    ['OVERLAY_RESERVED', 'UNDERLAY_BITS', 'OVERLAY_WIDER_NEEDED', 'HOST_OUTSIDE_UNDERLAY'],
    'all problems at once',
  );
});

t.test('bridgeNameOf() follows fanctl 0.3.0', async (t) => {
  const names: [string, string, string][] = [
    ['250.0.28.0/24', 'fan-250-0-28', 'fw-250-0-28'],
    ['10.3.4.0/24', 'fan-10-3-4', 'fw-10-3-4'],
    ['240.42.0.0/16', 'fan-240-42', 'fw-240-42'],
    ['250.0.0.0/24', 'fan-250', 'fw-250'],
    ['250.255.255.0/24', 'fan-250-255-255', 'fw-250-255-255'],
  ];
  for (const [slice, bridge, device] of names) {
    t.equal(bridgeNameOf(parsePrefix(slice)), bridge);
    t.equal(deviceNameOf(parsePrefix(slice)), device);
  }
  t.throws(() => bridgeNameOf(parsePrefix('33.240.16.32/28')), {
    code: 'ERR_NAME_TOO_LONG',
    message: /fan-33-240-16-32.*15 characters.*bridge NAME/,
  });
  t.throws(() => bridgeNameOf(parsePrefix('250.255.255.240/28')), AddressError);
  t.equal(deviceNameOf(parsePrefix('33.240.16.32/28')), 'fw-33-240-16-32', '15 characters fit');
  t.equal(deviceNameOf(parsePrefix('250.255.255.240/28')), 'fw-fafffff0');
});

t.test('hostRangeOf() leaves out network and broadcast of a routed slice only', async (t) => {
  const slice = parsePrefix('33.240.16.32/28');
  const shown = (bridged: boolean): string[] => {
    const { first, last } = hostRangeOf(slice, bridged);
    return [formatIpv4(first), formatIpv4(last)];
  };
  t.same(shown(false), ['33.240.16.33', '33.240.16.46']);
  t.same(shown(true), ['33.240.16.32', '33.240.16.47']);
});
