import t from 'tap';
import { parseUnderlay } from '../../src/config/link/sides.ts';
import type { Snapshot } from '../../src/control/host/snapshot.ts';
import {
  isResolved,
  type Keep,
  resolveUnderlay,
} from '../../src/control/links/underlay/resolve.ts';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { formatHostAddress, formatHostPrefix } from '../../src/net/underlay-address.ts';
import { address, link, plainHost, route } from './snapshots.ts';

const ETH0 = 2;
const ETH1 = 3;
const LO = 1;
const PEER = 0x0a000002;

type Addresses = Snapshot['addresses'];

const static28 = address(ETH0, '172.30.0.28/16');
const floating = address(ETH0, '172.30.0.200/32');
const second = address(ETH0, '172.30.0.29/16', { secondary: true });
const other = address(ETH0, '10.1.2.3/24');
const twin = address(ETH1, '172.30.7.7/16');
const loopback = address(LO, '10.9.0.7/32');

/** What a selector means on a host with these addresses: `ADDRESS/LENGTH MTU`, or the refusal. */
function meaning(underlay: string, addresses: Addresses, keep?: Keep, more = {}): string {
  const host = plainHost({
    links: [...plainHost().links, link(ETH1, 'eth1', { mtu: 9000 })],
    addresses: [address(LO, '127.0.0.1/8', { scope: 254 }), ...addresses],
    ...more,
  });
  const found = resolveUnderlay(parseUnderlay(underlay), host, keep);
  if (!isResolved(found)) return `${found.code}: ${found.message}`;
  const { local, underlay: at, device } = found;
  return `${formatHostAddress(local)} of ${formatHostPrefix(at)}, MTU ${device.mtu}`;
}

const HOME = '172.30.0.28 of 172.30.0.0/16, MTU 1500';

t.test('resolveUnderlay() finds the address that a host is known by', async (t) => {
  const table: [name: string, underlay: string, addresses: Addresses, expected: RegExp | string][] =
    [
      ['a floating address first', 'eth0/16', [floating, static28], HOME],
      ['a floating address last', 'eth0/16', [static28, floating], HOME],
      ['by its network', '172.30.0.0/16', [floating, static28], HOME],
      ['by the default route', 'default/16', [floating, static28], HOME],
      ['a floating one by name', '172.30.0.200/16', [floating, static28], /^172\.30\.0\.200 of/],
      ['nothing but a /32', 'eth0/16', [floating], /^172\.30\.0\.200 of/],
      ['two of nothing but /32', 'eth0/16', [floating, address(ETH0, '10.0.0.5/32')], /ambiguous/],
      ['secondary first', 'eth0/16', [second, static28], HOME],
      ['a secondary by name', '172.30.0.29/16', [static28, second], /^172\.30\.0\.29 of/],
      ['only secondaries', 'eth0/16', [second, floating], /^172\.30\.0\.29 of/],
      ['two networks', 'eth0/16', [static28, other], /ambiguous.*name the one.*172\.30\.0\.28\/16/],
      [
        'two networks, one named',
        '10.1.2.3/24',
        [static28, other],
        /^10\.1\.2\.3 of 10\.1\.2\.0\/24/,
      ],
      [
        'two cards in one network',
        '172.30.0.0/16',
        [static28, twin],
        /ambiguous.*on eth0.*on eth1/,
      ],
      ['the card named', 'eth1/16', [static28, twin], /^172\.30\.7\.7 of .*, MTU 9000$/],
      ['a /31', 'eth0/31', [address(ETH0, '10.0.0.5/31')], /^10\.0\.0\.5 of 10\.0\.0\.4\/31/],
      [
        'a point-to-point address',
        'eth0/16',
        [floating, address(ETH0, '10.0.0.1/32', { peer: PEER })],
        /^10\.0\.0\.1 of 10\.0\.0\.0\/16/,
      ],
      ['loopback by name', '10.9.0.7/16', [static28, loopback], /^10\.9\.0\.7 .*, MTU 1500$/],
      ['loopback as a device', 'lo/16', [static28, loopback], /^10\.9\.0\.7 of/],
      [
        'loopback is not taken for a network',
        '10.9.0.0/16',
        [loopback],
        /not-here.*10\.9\.0\.7\/32 on lo/,
      ],
      ['127.0.0.1 is no address of lo', 'lo/16', [static28], /lo has no global IPv4 address/],
      ['no address but on loopback', 'eth0/16', [loopback], /no-address.*10\.9\.0\.7\/32 on lo/],
    ];
  for (const [name, underlay, addresses, expected] of table) {
    if (typeof expected === 'string') t.equal(meaning(underlay, addresses), expected, name);
    else t.match(meaning(underlay, addresses), expected, name);
  }
});

t.test('no device of a fan that is going is offered as underlay', async (t) => {
  const links = [
    ...plainHost().links,
    link(ETH1, 'fan-250-0-28', { alias: 'fanway:fan-250-0-28' }),
  ];
  const gateway = address(ETH1, '250.0.28.1/8');
  t.match(meaning('eth0/16', [gateway], undefined, { links }), /address: .*name another device$/);
  t.match(meaning('10.0.0.0/8', [gateway], undefined, { links }), /no IPv4 address at all/);
});

t.test('resolveUnderlay() keeps the address of a fan that runs', async (t) => {
  const local = parseIpv4('172.30.0.28');
  const keep = { local, floating: false };
  t.equal(meaning('eth0/16', [other, floating, static28], keep), HOME, 'the order changed');
  t.equal(meaning('default/16', [second, other, static28], keep), HOME);
  t.match(meaning('eth0/16', [floating], keep), /underlay-gone.*172\.30\.0\.28 is gone.*name it/);
  t.match(meaning('eth0/16', [other], keep), /^10\.1\.2\.3 of/, 'another proper one is a move');
  const was = { local: parseIpv4('172.30.0.201'), floating: true };
  t.match(meaning('eth0/16', [floating], was), /^172\.30\.0\.200 of/, 'from /32 to /32 too');
});

t.test('resolveUnderlay() finds the way of a default route with several', async (t) => {
  const addresses = [static28, address(ETH1, '10.9.0.2/24')];
  const hops = (...oifs: number[]) => oifs.map((oif) => ({ oif, via: 0xac1e0101 }));
  const routes = (...oifs: number[]) => ({
    routes: [route('0.0.0.0/0', 0, { hops: hops(...oifs) })],
  });
  t.equal(meaning('default/16', addresses, undefined, routes(ETH0, ETH0)), HOME, 'one device');
  t.match(
    meaning('default/16', addresses, undefined, routes(ETH0, ETH1)),
    /ambiguous.*eth0, eth1.*eth0\/16/,
  );
  const keep = { local: parseIpv4('10.9.0.2'), floating: false };
  t.match(meaning('default/24', addresses, keep, routes(ETH0, ETH1)), /^10\.9\.0\.2 of/);
  const preferred = {
    routes: [route('0.0.0.0/0', 0, { hops: hops(ETH0, ETH1), src: 0xac1e001c })],
  };
  t.equal(meaning('default/16', addresses, undefined, preferred), HOME);
});
