import fc from 'fast-check';
import t from 'tap';
import { formatIpv4, isMartianIpv4, isMulticastIpv4, parseIpv4 } from '../../src/net/ipv4.ts';
import { formatIpv6, parseIpv6 } from '../../src/net/ipv6.ts';
import {
  formatMac,
  isGroupMac,
  macFromBytes,
  macFromIpv4,
  macToBytes,
  parseMac,
} from '../../src/net/mac.ts';
import {
  broadcastOf,
  contains,
  equals,
  formatPrefix,
  hostMaskOf,
  isNetwork,
  maskOf,
  networkOf,
  overlaps,
  parsePrefix,
  usableHosts,
} from '../../src/net/prefix.ts';

const anyAddress = fc.integer({ min: 0, max: 0xffffffff });
const anyMac = fc.integer({ min: 0, max: 0xffffffffffff });

t.test('parseIpv4() reads a dotted quad and nothing else', async (t) => {
  t.equal(parseIpv4('250.0.28.1'), 0xfa001c01);
  t.equal(parseIpv4('0.0.0.0'), 0);
  t.equal(parseIpv4('255.255.255.255'), 0xffffffff);
  const bad = [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    ' 1.2.3.4',
    '1.2.3.4 ',
    '0x1.2.3.4',
  ];
  for (const text of [
    ...bad,
    '1.2.3.4/24',
    '-1.2.3.4',
    '1..2.3',
    '1e1.2.3.4',
    '::1',
    'localhost',
  ]) {
    t.throws(() => parseIpv4(text), { code: 'ERR_IPV4', name: 'AddressError' }, `"${text}"`);
  }
  fc.assert(fc.property(anyAddress, (address) => parseIpv4(formatIpv4(address)) === address));
});

t.test('martians and multicast', async (t) => {
  for (const text of ['0.1.2.3', '127.0.0.1', '224.0.0.1', '239.255.255.255', '255.255.255.255']) {
    t.ok(isMartianIpv4(parseIpv4(text)), text);
  }
  for (const text of ['1.0.0.0', '250.0.28.1', '240.0.0.1', '223.255.255.255', '10.0.0.1']) {
    t.notOk(isMartianIpv4(parseIpv4(text)), text);
  }
  t.ok(isMulticastIpv4(0xe0000001));
  t.notOk(isMulticastIpv4(0xf0000001));
});

t.test('parseIpv6() and formatIpv6() hold to RFC 5952', async (t) => {
  const rows: [string, string][] = [
    ['::', '::'],
    ['::1', '::1'],
    ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8:0000:0001:0001:0001:0001:0001', '2001:db8:0:1:1:1:1:1'],
  ];
  for (const [text, canonical] of rows) t.equal(formatIpv6(parseIpv6(text)), canonical, text);
  for (const text of [
    '',
    ':::',
    '1::2::3',
    'fe80::1%eth0',
    'fd00::/8',
    '12345::',
    '1.2.3.4',
    '[::1]',
  ]) {
    t.throws(() => parseIpv6(text), { code: 'ERR_IPV6' }, `"${text}"`);
  }
  t.throws(() => formatIpv6(new Uint8Array(15)), { code: 'ERR_IPV6' });
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) =>
      parseIpv6(formatIpv6(bytes)).every((byte, index) => byte === bytes[index]),
    ),
  );
});

t.test('MAC addresses are 48-bit numbers', async (t) => {
  t.equal(parseMac('02:42:fa:00:1c:01'), 0x0242fa001c01);
  t.equal(parseMac('02-42-FA-00-1C-01'), 0x0242fa001c01);
  t.equal(formatMac(0x0242fa001c01), '02:42:fa:00:1c:01');
  t.equal(formatMac(0), '00:00:00:00:00:00');
  t.equal(macFromIpv4(0xfa001c01), 0x0242fa001c01);
  t.same([...macToBytes(0x0242fa001c01)], [2, 0x42, 0xfa, 0, 0x1c, 1]);
  t.ok(isGroupMac(parseMac('ff:ff:ff:ff:ff:ff')));
  t.ok(isGroupMac(parseMac('01:80:c2:00:00:00')));
  t.notOk(isGroupMac(parseMac('02:42:ff:ff:ff:ff')));
  for (const text of [
    '',
    '02:42:fa:00:1c',
    '02:42-fa:00:1c:01',
    '2:42:fa:0:1c:1',
    '02:42:fa:00:1c:0g',
  ]) {
    t.throws(() => parseMac(text), { code: 'ERR_MAC' }, `"${text}"`);
  }
  t.throws(() => macFromBytes(new Uint8Array(5)), { code: 'ERR_MAC' });
  fc.assert(
    fc.property(
      anyMac,
      (mac) => parseMac(formatMac(mac)) === mac && macFromBytes(macToBytes(mac)) === mac,
    ),
  );
});

t.test('parsePrefix() keeps the host bits', async (t) => {
  const host = parsePrefix('172.30.0.28/16');
  t.equal(formatPrefix(host), '172.30.0.28/16');
  t.equal(formatIpv4(networkOf(host)), '172.30.0.0');
  t.equal(formatIpv4(broadcastOf(host)), '172.30.255.255');
  t.notOk(isNetwork(host));
  t.ok(isNetwork(parsePrefix('172.30.0.0/16')));
  t.ok(equals(host, parsePrefix('172.30.1.1/16')));
  for (const text of [
    '1.2.3.4',
    '1.2.3.4/',
    '1.2.3.4/33',
    '1.2.3.4/08',
    '1.2.3.4/-1',
    '1.2.3.4/1.5',
    '1.2.3.4/8 ',
  ]) {
    t.throws(() => parsePrefix(text), { code: 'ERR_PREFIX' }, `"${text}"`);
  }
  t.throws(() => parsePrefix('1.2.3/8'), { code: 'ERR_IPV4' });
});

t.test('masks at both ends', async (t) => {
  t.equal(maskOf(0), 0);
  t.equal(maskOf(1), 0x80000000);
  t.equal(maskOf(32), 0xffffffff);
  t.equal(hostMaskOf(0), 0xffffffff);
  t.equal(hostMaskOf(32), 0);
  t.equal(usableHosts(24), 254);
  t.equal(usableHosts(0), 2 ** 32 - 2);
  t.equal(usableHosts(31), 0);
  t.ok(contains(parsePrefix('0.0.0.0/0'), 0xffffffff));
  t.ok(contains(parsePrefix('255.255.255.255/32'), 0xffffffff));
  t.notOk(contains(parsePrefix('255.255.255.254/32'), 0xffffffff));
});

t.test('overlaps() is symmetric and means that one contains the other', async (t) => {
  t.ok(overlaps(parsePrefix('10.0.0.0/8'), parsePrefix('10.88.0.0/16')));
  t.ok(overlaps(parsePrefix('10.88.0.0/16'), parsePrefix('10.0.0.0/8')));
  t.notOk(overlaps(parsePrefix('10.0.0.0/8'), parsePrefix('11.0.0.0/8')));
  t.ok(overlaps(parsePrefix('0.0.0.0/0'), parsePrefix('11.0.0.0/8')));
  const anyPrefix = fc.record({ address: anyAddress, length: fc.integer({ min: 0, max: 32 }) });
  fc.assert(
    fc.property(anyPrefix, anyPrefix, (a, b) => {
      const together = networkOf(a) <= broadcastOf(b) && networkOf(b) <= broadcastOf(a);
      return overlaps(a, b) === together && overlaps(b, a) === together;
    }),
  );
});
