import fc from 'fast-check';
import t from 'tap';
import { formatSeed, parseSeed } from '../../src/config/gossip.ts';
import { parseUnderlay } from '../../src/config/link/sides.ts';
import { checkFan, peerOf, sliceOf } from '../../src/net/fan.ts';
import { formatPrefix, parsePrefix } from '../../src/net/prefix.ts';
import {
  compareHosts,
  formatHostAddress,
  formatHostPort,
  formatHostPrefix,
  holdsHost,
  hostBytes,
  hostNetworkOf,
  hostOfBytes,
  isLinkLocal,
  isMartianHost,
  isUnderlayAddress,
  lastWordOf,
  parseHostAddress,
  parseHostPrefix,
  sameHostPrefix,
  withLastWord,
} from '../../src/net/underlay-address.ts';

const anyHost = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map(hostOfBytes),
);

t.test('a host is one value, as bytes, text and number', async (t) => {
  fc.assert(
    fc.property(anyHost, (host) => {
      return (
        isUnderlayAddress(host) &&
        hostOfBytes(hostBytes(host)) === host &&
        parseHostAddress(formatHostAddress(host)) === host &&
        withLastWord(host, lastWordOf(host)) === host &&
        compareHosts(host, host) === 0 &&
        holdsHost({ address: hostNetworkOf({ address: host, length: 20 }), length: 20 }, host)
      );
    }),
  );
  t.equal(parseHostAddress('FD00:0:0::1c'), parseHostAddress('fd00::1c'), 'however it is written');
  t.equal(formatHostPort(parseHostAddress('fd00::1c'), 7946), '[fd00::1c]:7946');
  t.equal(formatHostPort(0xac1e001c, 7946), '172.30.0.28:7946');
  const order = ['9.9.9.9', '172.30.0.28', 'fd00::1c', 'fd00::11b'].map(parseHostAddress);
  t.same([...order].reverse().sort(compareHosts), order);
  for (const wrong of ['fd00::1c', 'FD', -1, 2 ** 32, 1.5, null, {}]) {
    t.notOk(isUnderlayAddress(wrong), String(wrong));
  }
  for (const wrong of ['fd00::1c%eth0', 'fd00:::1', '1:2', '', 'fd00::/64']) {
    t.throws(() => parseHostAddress(wrong), wrong);
  }
});

t.test('networks of hosts', async (t) => {
  const prefix = parseHostPrefix('fd00:30::11b/112');
  t.equal(formatHostAddress(hostNetworkOf(prefix)), 'fd00:30::');
  t.equal(formatHostPrefix(prefix), 'fd00:30::11b/112', 'bits below the mask are kept');
  t.ok(sameHostPrefix(prefix, parseHostPrefix('fd00:30::/112')));
  t.notOk(sameHostPrefix(prefix, parseHostPrefix('fd00:30::/111')));
  t.notOk(holdsHost(prefix, parseHostAddress('fd00:30::1:11b')));
  t.notOk(holdsHost(parseHostPrefix('::/0'), 0xac1e001c), 'never of the other family');
  t.ok(isLinkLocal(parseHostAddress('febf::1')));
  for (const text of ['::', '::1', 'ff02::1', '::ffff:172.30.0.28', '127.0.0.1']) {
    t.ok(isMartianHost(parseHostAddress(text)), text);
  }
  t.notOk(isMartianHost(parseHostAddress('2001:db8::1')));
  for (const wrong of ['fd00::/129', 'fd00::/x', 'fd00::', '1.2.3.4/33']) {
    t.throws(() => parseHostPrefix(wrong), wrong);
  }
});

t.test('a fan over IPv6 is the fan over the last 32 bits', async (t) => {
  const map = { overlay: parsePrefix('250.0.0.0/8'), underlay: parseHostPrefix('fd00:30::/112') };
  const host = parseHostAddress('fd00:30::11b');
  t.same(checkFan(map, host), []);
  t.equal(formatPrefix(sliceOf(map, host)), '250.1.27.0/24');
  t.equal(peerOf(map, 0xfa011b07), host);
  const codes = (underlay: string, at = 'fd00:30::11b'): string[] =>
    checkFan({ ...map, underlay: parseHostPrefix(underlay) }, parseHostAddress(at)).map(
      ({ code }) => code,
    );
  t.same(codes('fd00:30::/64'), ['OVERLAY_WIDER_NEEDED']);
  t.same(codes('fd00:30::11b/112'), ['UNDERLAY_BITS']);
  t.same(codes('fe80::/112', 'fe80::1'), ['UNDERLAY_RESERVED']);
  t.same(codes('fd00:31::/112'), ['HOST_OUTSIDE_UNDERLAY']);
});

t.test('underlays and seeds of IPv6 as people write them', async (t) => {
  const address = parseHostAddress('fd00:30::1c');
  t.same(parseUnderlay('fd00:30::1c/112'), { kind: 'address', address, length: 112 });
  t.same(parseUnderlay('fd00:30::1c'), { kind: 'address', address, length: 112 });
  t.same(parseUnderlay('eth0/112'), { kind: 'device', device: 'eth0', length: 112 });
  t.throws(() => parseUnderlay('fe80::1/64'), /link-local/);
  t.throws(() => parseUnderlay('fd00::1/129'), /0 to 128/);
  t.throws(() => parseUnderlay('172.30.0.28/112'), /0 to 32/);
  for (const [text, host, port] of [
    ['[fd00::1c]:7000', 'fd00::1c', 7000],
    ['[fd00::1c]', 'fd00::1c', 7946],
    ['fd00::1c', 'fd00::1c', 7946],
    ['host:7000', 'host', 7000],
  ] as const) {
    t.same(parseSeed(text), { host, port }, text);
    t.same(parseSeed(formatSeed({ host, port })), { host, port }, 'and back');
  }
  t.throws(() => parseSeed('[fd00::1c]:0'), /no seed/);
  t.throws(() => parseSeed('fe80::1'), /link-local/);
});
