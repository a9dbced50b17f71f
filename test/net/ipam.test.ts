import fc from 'fast-check';
import t from 'tap';
import { ipamLengthMax, ipamOf } from '../../src/net/ipam.ts';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { contains, formatPrefix, networkOf, overlaps, parsePrefix } from '../../src/net/prefix.ts';
import { parseHostAddress } from '../../src/net/underlay-address.ts';
import { holds } from '../support/property.ts';

t.test('ipamOf() gives each host a slice that follows from its underlay address', async (t) => {
  for (const [prefix, underlay, local, slice] of [
    ['10.1.0.0/16', '172.30.5.0/24', '172.30.5.28', '10.1.28.0/24'],
    ['10.0.0.0/8', '172.30.0.0/16', '172.30.1.2', '10.1.2.0/24'],
    ['10.1.0.0/16', '10.9.8.0/28', '10.9.8.3', '10.1.48.0/20'],
    ['10.1.0.7/21', '172.30.5.0/24', '172.30.5.255', '10.1.7.248/29'],
    ['10.0.0.0/16', 'fd00::/120', 'fd00::1c', '10.0.28.0/24'],
  ] as const) {
    const [name = '', length] = underlay.split('/');
    const at = { address: parseHostAddress(name), length: Number(length) };
    const ipam = ipamOf(parsePrefix(prefix), at, parseHostAddress(local));
    t.equal(ipam && formatPrefix(ipam.slice), slice);
  }
  const wide = { address: parseIpv4('172.30.0.0'), length: 16 };
  t.equal(ipamOf(parsePrefix('10.1.0.0/16'), wide, parseIpv4('172.30.0.1')), undefined);
  t.equal(ipamLengthMax(16), 13);
  const six = { address: parseHostAddress('fd00::'), length: 64 };
  t.equal(ipamOf(parsePrefix('10.0.0.0/8'), six, parseHostAddress('fd00::1')), undefined);
});

t.test('slices of two hosts never meet, and all are inside of the prefix', async (t) => {
  const arbitrary = fc.record({
    prefix: fc.record({ address: fc.nat(0xffff_ffff), length: fc.integer({ min: 8, max: 21 }) }),
    hostBits: fc.integer({ min: 1, max: 8 }),
    underlay: fc.nat(0xffff_ffff),
    one: fc.nat(255),
    other: fc.nat(255),
  });
  holds(
    t,
    fc.property(arbitrary, ({ prefix, hostBits, underlay, one, other }) => {
      const length = 32 - hostBits;
      const address = networkOf({ address: underlay, length });
      const hosts = [one, other].map((host) => (address | (host & (2 ** hostBits - 1))) >>> 0);
      const [a, b] = hosts.map((host) => ipamOf(prefix, { address, length }, host)?.slice);
      if (a === undefined || b === undefined) return false;
      const isInside = [a, b].every((slice) => contains(prefix, slice.address));
      return isInside && overlaps(a, b) === (hosts[0] === hosts[1]);
    }),
  );
});
