// The routing table asked for one entry, or walked through, against the real kernel.
import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { parsePrefix } from '../../src/net/prefix.ts';
import { parseAddress6 } from '../../src/net/prefix6.ts';
import { writeSysctl } from '../../src/sys/host/sysctl.ts';
import { Netlink, type NetlinkEvent, RouteInterest } from '../../src/sys/netlink/netlink.ts';
import { NetworkNamespace } from '../../src/sys/process/netns.ts';
import { skipWithoutNamespaces } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';

const hasIp = spawnSync('ip', ['-V']).status === 0;
const skip = skipWithoutNamespaces() || (!hasIp && 'there is no ip (iproute2)');

const MAIN = 254;
const LOCAL = 255;

/** A namespace with two bridges that are up: 172.30.0.28/16 on eth0, 250.0.28.1/8 on fan0. */
async function open(t: Test) {
  const namespace = NetworkNamespace.create();
  const netlink = Netlink.open(namespace);
  t.teardown(() => {
    netlink.close();
    namespace.close();
  });
  for (const [name, address, length] of [
    ['eth0', 0xac1e001c, 16],
    ['fan0', 0xfa001c01, 8],
  ] as const) {
    await netlink.createBridge(name, { up: true });
    await netlink.addAddress(name, address, length);
  }
  /** Runs lines of ip(8). */
  const ip = (lines: string): void => {
    const { status, stderr } = namespace.run(() =>
      spawnSync('ip', ['-batch', '-'], { input: lines, encoding: 'utf8' }),
    );
    if (status !== 0) throw new Error(stderr);
  };
  const eth0 = (await netlink.link('eth0')).index;
  const fan0 = (await netlink.link('fan0')).index;
  return { namespace, netlink, ip, eth0, fan0 };
}

t.test('a table with thousands of routes', { skip }, async (t) => {
  const { netlink, ip, eth0, fan0 } = await open(t);
  const lines = Array.from(
    { length: 20_000 },
    (_, i) => `route add 20.${i >> 8}.${i & 255}.0/24 via 172.30.1.27 metric 20\n`,
  );
  ip(lines.join(''));
  ip('route add 0.0.0.0/5 via 172.30.1.9\nroute add default via 172.30.1.1 metric 5\n');
  ip('route add default via 172.30.1.2 metric 9\n');
  ip('route add 250.7.0.0/16 via 172.30.1.3 table 77\nroute add 248.0.0.0/5 via 172.30.1.4\n');

  await t.test('defaultRoutes() tells those, and only those', async (t) => {
    const routes = await netlink.defaultRoutes(MAIN);
    t.same(
      routes.map(({ metric, via, oif, hops }) => ({ metric, via, oif, hops })),
      [
        { metric: 5, via: 0xac1e0101, oif: eth0, hops: [] },
        { metric: 9, via: 0xac1e0102, oif: eth0, hops: [] },
      ],
    );
  });

  await t.test('routesMeeting() tells what is inside and around, of all tables', async (t) => {
    const { routes, whole } = await netlink.routesMeeting(parsePrefix('250.0.0.0/8'));
    t.ok(whole);
    const main = routes.filter(({ table }) => table === MAIN).map(({ dst }) => dst);
    t.same(main, [parsePrefix('248.0.0.0/5'), parsePrefix('250.0.0.0/8')]);
    t.ok(routes.some(({ table, dst }) => table === 77 && dst.length === 16));
    const inside = await netlink.routesMeeting(parsePrefix('20.0.0.0/16'));
    t.equal(inside.routes.length, 256);
  });

  await t.test('routesOut() tells those of one device', async (t) => {
    t.same(
      (await netlink.routesOut(MAIN, fan0)).map(({ dst }) => dst),
      [parsePrefix('250.0.0.0/8')],
    );
    t.equal((await netlink.routesOut(LOCAL, fan0)).length, 2);
  });

  await t.test('routeMatching() tells the one entry that decides', async (t) => {
    const found = await netlink.routeMatching(0xfafffffe, fan0);
    t.same(found?.dst, parsePrefix('250.0.0.0/8'));
    t.equal(found?.src, 0xfa001c01);
    t.equal((await netlink.routeMatching(0xfa001c01, fan0))?.type, 'local');
    t.equal((await netlink.routeMatching(0xfaffffff, fan0))?.type, 'broadcast');
    t.equal(await netlink.routeMatching(0x08080808, fan0), undefined, 'not out of this device');
  });

  await t.test('a monitor hears of our routes only', async (t) => {
    const interest = new RouteInterest();
    interest.set([fan0]);
    const heard: string[] = [];
    const listener = (event: NetlinkEvent): void => {
      if (event.kind === 'route') heard.push(`${event.route.dst.address >>> 24}`);
      else heard.push(event.kind);
    };
    const stop = netlink.monitor(listener, { filter: interest });
    t.teardown(stop);
    ip('route del 20.0.0.0/24\nroute add 9.0.0.0/8 dev fan0\n');
    ip('route add default via 172.30.1.1 metric 11\nlink set eth0 mtu 1400\n');
    await until('the link is heard of', 5000, async () => heard.includes('link'));
    t.same([...new Set(heard)], ['9', '0', 'link']);
    interest.set([eth0]);
    ip('route add 20.0.0.0/24 via 172.30.1.27\nroute del 9.0.0.0/8\nlink set eth0 mtu 1500\n');
    await until(
      'the next is heard of',
      5000,
      async () => heard.at(-1) === 'link' && heard.length > 4,
    );
    t.ok(heard.includes('20'));
    t.equal(heard.filter((what) => what === '9').length, 1);
  });
});

t.test('default routes with several ways', { skip }, async (t) => {
  const { namespace, netlink, ip, eth0, fan0 } = await open(t);
  const hops = async (): Promise<unknown> =>
    (await netlink.defaultRoutes(MAIN)).map(({ oif, hops }) => ({ oif, hops }));
  ip('route add default nexthop via 172.30.1.1 dev eth0 nexthop via 250.0.0.9 dev fan0\n');
  const both = [
    { oif: eth0, via: 0xac1e0101 },
    { oif: fan0, via: 0xfa000009 },
  ];
  t.same(await hops(), [{ oif: 0, hops: both }]);
  ip('route del default\n');
  ip('nexthop add id 1 via 172.30.1.1 dev eth0\nnexthop add id 2 via 250.0.0.9 dev fan0\n');
  ip('nexthop add id 10 group 1/2\nroute add default nhid 10\n');
  t.same(await hops(), [{ oif: 0, hops: both }]);
  // Some have the kernel not spell them out.
  namespace.run(() => writeSysctl('net/ipv4/nexthop_compat_mode', '0'));
  t.same(await hops(), [{ oif: 0, hops: both }]);
  namespace.run(() => writeSysctl('net/ipv4/nexthop_compat_mode', '1'));
  ip('route del default\nroute add default nhid 1\n');
  t.match(await hops(), [{ oif: eth0, hops: [] }]);
});

t.test('bridgePortOf() tells behind which port a bridge knows a MAC', { skip }, async (t) => {
  const { namespace, netlink, ip, eth0, fan0 } = await open(t);
  const bridge = (words: string): string =>
    namespace.run(() => spawnSync('bridge', words.split(' '), { encoding: 'utf8' })).stderr;
  ip('link add v0 type veth peer name v1\nlink set v0 master eth0 up\nlink set v1 up\n');
  const v0 = (await netlink.link('v0')).index;
  const mac = 0x020000000a01;
  t.equal(await netlink.bridgePortOf(eth0, mac), undefined);
  t.equal(bridge('fdb add 02:00:00:00:0a:01 dev v0 master static'), '');
  t.equal(await netlink.bridgePortOf(eth0, mac), v0);
  t.equal(await netlink.bridgePortOf(fan0, mac), undefined, 'another bridge');
  const entries = await netlink.bridgeEntries(eth0);
  t.ok(entries.some((entry) => entry.mac === mac && entry.index === v0));
  t.ok(entries.every(({ master }) => master === eth0));
  t.notOk((await netlink.bridgeEntries(fan0)).some((entry) => entry.mac === mac));
});

t.test('routeTo6() tells the way that the kernel takes', { skip }, async (t) => {
  const { netlink, ip, eth0 } = await open(t);
  ip('address add fd00:1::1/64 dev eth0 nodad\nroute add fd00:2::/32 via fd00:1::2 mtu 1400\n');
  const way = (address: string) => netlink.routeTo6(parseAddress6(address));
  t.same(await way('fd00:1::7'), { oif: eth0, via: '', mtu: 0 });
  const via = 'fd000001000000000000000000000002';
  t.same(await way('fd00:2::7'), { oif: eth0, via, mtu: 1400 });
  await t.rejects(way('fd00:3::7'), { code: 'ENETUNREACH' });
});
