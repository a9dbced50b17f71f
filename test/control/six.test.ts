/** A fan of both families in namespaces: containers that make their IPv6 addresses themselves. */
import t, { type Test } from 'tap';
import { Announcements } from '../../src/control/host/adverts.ts';
import { sixOfHost } from '../../src/control/host/six.ts';
import { Lab, type LabContainer, type LabHost, type LabNode } from '../../src/demo/lab.ts';
import { rulePrefixOf } from '../../src/net/fan.ts';
import { hostPartOf, sliceOf6, vniOf6 } from '../../src/net/fan6.ts';
import { formatAddress6, or6, parseAddress6, parsePrefix6 } from '../../src/net/prefix6.ts';
import { readSysctl, writeSysctl } from '../../src/sys/host/sysctl.ts';
import { attach, checkBalance, countersOf } from '../faults/rig.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { craftedSix } from '../support/crafted-six.ts';
import { groundOf, runBattery } from '../support/ground.ts';
import { DATAPATHS } from '../support/kernel-path.ts';
import { skipLong } from '../support/long.ts';
import { sleep, until } from '../support/patience.ts';
import { say, talk6 } from '../support/talk6.ts';
import { Target } from '../support/target.ts';
import { noPing } from '../support/tools.ts';
import { fanway, statusOf } from './lab-router.ts';

const skip = skipWithoutTun() || noPing();
const OVERLAY = parsePrefix6('fd00:fa::/32');
const BRIDGE = 'fan-250';
const LONG_MS = 30_000;

/** The address that a container has made for itself, once it has one. */
function addressOf(container: LabContainer): Promise<string> {
  return until('an address by router advertisement', LONG_MS, async () => {
    const index = (await container.netlink.link('eth0')).index;
    const all = await container.netlink.addresses6();
    const own = all.find((one) => one.index === index && one.address[0] >>> 24 === 0xfd);
    return own === undefined ? undefined : formatAddress6(own.address);
  });
}

/** Pings until an answer comes. */
async function reaches(node: LabNode, address: string): Promise<void> {
  await until(`an answer of ${address}`, LONG_MS, async () => {
    const [, code] = await say(node, 'ping', '-6', '-c', '1', '-W', '1', address);
    return code === 0 ? true : undefined;
  });
}

async function upBoth(host: LabHost): Promise<void> {
  for (const overlay of ['250.0.0.0/8', 'fd00:fa::/32']) {
    const words = [overlay, 'eth0/16', 'bridge', BRIDGE];
    const { code, err, out } = await fanway(host, 'up', ...words);
    if (code !== 0) throw new Error(`up ${words.join(' ')}: ${err}${out}`);
  }
}

async function carries(t: Test, from: LabContainer, to: LabContainer): Promise<void> {
  await talk6(t, from, to, await addressOf(to), 24);
}

/** What measures paths knows addresses of IPv6: another host's own, and a container's there. */
async function pingsSix(t: Test, host: LabHost, container: string): Promise<void> {
  for (const address of ['fd00:fa:11b::1', container]) {
    const { code, out, err } = await fanway(host, 'ping', address, '--count', '2');
    t.equal(code, 0, `${err}${out}`);
    t.match(out, /^172\.30\.1\.27 in fd00:fa::\/32$/m);
    t.match(out, new RegExp(`tunnel ${address} +22/22 .* 1450 `));
  }
  const own = await fanway(host, 'ping', 'fd00:fa:1c::1');
  t.match(own, { code: 3, err: /this host itself/ });
  // The load is of IPv4, and nobody listens there.
  const { err } = await fanway(host, 'latency', 'fd00:fa:11b::1', '--seconds', '1');
  t.match(err, /is at that host, which is measured by IPv4: 250\.1\.27\.1/);
}

/** All hosts of a fan of both families go over to the kernel, which is killed away from, too. */
async function byKernel(t: Test, hosts: readonly LabHost[], from: LabContainer, to: LabContainer) {
  for (const host of hosts) {
    // By the words of either family: both go.
    const overlay = host === from.host ? '250.0.0.0/8' : 'fd00:fa::/32';
    const words = [overlay, 'eth0/16', 'bridge', BRIDGE, '--datapath', 'kernel'];
    const { code, err } = await fanway(host, 'up', ...words);
    t.equal(code, 0, err);
    const [status] = (await statusOf(host)).links;
    t.match(status, { overlay: '250.0.0.0/8 and fd00:fa::/32', datapath: 'kernel' });
  }
  const { pid } = await statusOf(from.host);
  await reaches(from, await addressOf(to));
  await pingsSix(t, from.host, await addressOf(to));
  await carries(t, from, to);
  await tooBig(t, from, await addressOf(to));
  process.kill(pid, 'SIGKILL');
  await reaches(from, await addressOf(to));
  await fanway(from.host, 'up', 'fd00:fa::/32', 'eth0/16', 'bridge', BRIDGE);
  const [status] = (await statusOf(from.host)).links;
  t.match(status, { overlay: '250.0.0.0/8 and fd00:fa::/32', datapath: 'kernel' }, 'taken over');
  for (const host of hosts) await checkBalance(t, host);
}

/** What does not fit is told: the path MTU of the sender goes down. */
async function tooBig(t: Test, from: LabContainer, there: string): Promise<void> {
  const words = ['-6', '-c', '2', '-W', '1', '-M', 'do', '-s', '1403', there];
  const [told] = await say(from, 'ping', ...words);
  t.match(told, /Packet too big: mtu=1450|message too long, mtu: 1450|mtu=1450/);
}

t.test('a fan of both families', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, ipv6: true });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  const [from, to] = [lab.container(0), lab.container(1)];
  const before = a.run(() => readSysctl('net/ipv6/conf/eth0/accept_ra'));
  for (const host of lab.hosts) {
    await upBoth(host);
    await attach(host);
  }
  const there = await addressOf(to);
  t.match(there, /^fd00:fa:11b:/, 'the slice of its host');
  t.match(await addressOf(from), /^fd00:fa:1c:/);
  await reaches(from, there);
  await reaches(from, 'fd00:fa:11b::1');
  await reaches(a, there);
  await pingsSix(t, a, there);
  await carries(t, from, to);
  const counters = await countersOf(a);
  t.ok((counters['event.super_packets_in'] ?? 0) > 0, 'TCP over IPv6 leaves in large pieces');
  t.ok(((await countersOf(b))['event.super_packets_out'] ?? 0) > 0, 'and arrives in such');
  t.equal(
    a.run(() => readSysctl('net/ipv6/conf/all/forwarding')),
    '0',
    'other devices are left',
  );
  t.equal(
    a.run(() => readSysctl('net/ipv6/conf/eth0/accept_ra')),
    before,
  );

  await tooBig(t, from, there);

  const [status] = (await statusOf(a)).links;
  t.equal(status?.overlay, '250.0.0.0/8 and fd00:fa::/32');
  t.equal(status?.six?.slice, 'fd00:fa:1c::/48');
  t.match((await fanway(a, 'show')).out, /fan-250 +fd00:fa::\/32 +172\.30\.0\.28\/16/);
  t.match(
    (await fanway(a, 'explain', there)).out,
    new RegExp(
      `slice fd00:fa:11b::/48 of host 172\\.30\\.1\\.27[\\s\\S]*vxlan, VNI ${vniOf6(OVERLAY)}`,
    ),
  );

  // Somebody takes a piece away; somebody kills the router.
  await a.netlink.deleteRoute6({ dst: OVERLAY, dev: BRIDGE });
  await a.netlink.setLink(BRIDGE, { up: true });
  await until('the route again', LONG_MS, async () => {
    const routes = await a.netlink.routes6();
    return routes.some(({ dst }) => dst.length === 32) ? true : undefined;
  });
  // A route of somebody's to the overlay's last address hides nothing.
  const last = parsePrefix6('fd00:fa:ffff:ffff:ffff:ffff:ffff:ffff/128');
  await a.netlink.addRoute6({ dst: last, dev: BRIDGE });
  const host6 = sixOfHost(a.netlink, new Announcements(async () => undefined));
  t.equal(await host6.hasRoute6({ destination: OVERLAY, device: BRIDGE }), true);
  await a.netlink.deleteRoute6({ dst: last, dev: BRIDGE });
  process.kill((await statusOf(a)).pid, 'SIGKILL');
  await reaches(from, there);
  await fanway(a, 'up', 'fd00:fa::/32', 'eth0/16', 'bridge', BRIDGE);
  t.match((await statusOf(a)).links[0]?.overlay, /250.* and fd00/, 'taken over with both');
  await reaches(from, there);
  for (const host of lab.hosts) await checkBalance(t, host);

  if (!skipLong) await byKernel(t, lab.hosts, from, to);

  // One family goes, and comes back; then all of it.
  const wrong = await fanway(a, 'down', 'fd00:fa::/32', 'eth0/17');
  t.match(wrong, { code: 3, err: /runs over eth0\/16 here: fanway down fd00:fa::\/32 eth0\/16/ });
  const down = await fanway(a, 'down', 'fd00:fa::/32');
  t.equal(down.code, 0, down.err);
  const left = (await a.netlink.addresses6()).filter(({ address }) => address[0] >>> 24 === 0xfd);
  t.same(left, [], 'no address is left');
  t.equal((await statusOf(a)).links[0]?.overlay, '250.0.0.0/8');
  t.equal((await fanway(a, 'down', '-e', '--force')).code, 0);
  for (const container of a.containers) await container.detach();
  const routes = (await a.netlink.routes6()).filter(({ dst }) => dst.address[0] >>> 24 === 0xfd);
  t.same(routes, []);
});

t.test('a fan of IPv6 alone, and what it refuses', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1, ipv6: true });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const refused = async (message: RegExp, ...words: string[]): Promise<void> => {
    const { code, err } = await fanway(host, 'up', ...words);
    t.not(code, 0);
    t.match(err, message);
  };
  await refused(/IPv6 needs packets of 1280 bytes/, 'fd00:fa::/32', 'eth0/16', '--mtu', '1200');
  await refused(/ff00::\/8 is multicast/, 'ff00::/16', 'eth0/16');
  await refused(/use an overlay of \/110 or shorter/, 'fd00:fa::/120', 'eth0/16');
  await refused(/dhcp hands out IPv4/, 'fd00:fa::/32', 'eth0/16', 'dhcp');
  t.equal((await fanway(host, 'up', 'fd00:fa::/32', 'eth0/16')).code, 0);
  t.match((await fanway(host, 'show')).out, /fan-fd00-fa-1c +fd00:fa::\/32/);
  const bridge = await host.netlink.link('fan-fd00-fa-1c');
  t.equal(bridge.mtu, 1450);
  t.match((await fanway(host, 'ping', 'fd00:fa:1c::1')).err, /this host itself/);
  t.match((await fanway(host, 'bench', 'fd00:fa:11b::1')).err, /in a fan of IPv6 alone/);
  await refused(/take it down/, '250.0.0.0/8', 'eth0/16', 'bridge', 'fan-fd00-fa-1c');
  t.equal((await fanway(host, 'down', '-e')).code, 0);
  t.same(
    (await host.netlink.links()).filter(({ name }) => /^f[aw]/.test(name)),
    [],
  );
});

for (const [encap, datapath] of [
  ...DATAPATHS.map((one) => ['vxlan', one] as const),
  ...DATAPATHS.slice(0, 1).map((one) => ['fou', one] as const),
]) {
  // Routed links take the same way through the checks: once where there is time.
  const skipThis = skip || (encap === 'fou' && skipLong);
  const { flags } = datapath;
  const name = `crafted IPv6 packets inside ${encap}, forwarded by ${datapath.name}`;
  t.test(name, { skip: skipThis }, async (t) => {
    const target = await Target.create({ encap, flags, lab: { ipv6: true } });
    t.teardown(() => target.close());
    const { victim, attacker, bridge } = target;
    // What hosts say to their own network would pass for answers.
    for (const host of [victim, attacker]) {
      host.run(() => writeSysctl('net/ipv6/conf/eth0/disable_ipv6', '1'));
    }
    await sleep(50);
    target.underlay.take();
    datapath.watch(target);
    const words = ['fd00:fa::/32', 'eth0/16', 'bridge', bridge, '--encap', encap, ...flags];
    const { code, err } = await fanway(victim, 'up', ...words);
    t.equal(code, 0, err);
    const inSlice = (host: number, last: number): string => {
      const slice = sliceOf6(OVERLAY, hostPartOf(rulePrefixOf(target.map.underlay), host));
      return formatAddress6(or6(slice.address, [0, 0, 0, last]));
    };
    const ground = groundOf(target, encap);
    // Nobody answers at this address, and no kernel says so.
    const container6 = inSlice(victim.address, 0x10);
    const address = parseAddress6(container6);
    await victim.netlink.addNeighbour6(bridge, address, ground.containerMac);
    // Nor does the host ask again whether a prober is there, on a machine that takes its time.
    victim.run(() => writeSysctl(`net/ipv6/neigh/${bridge}/delay_first_probe_time`, '600'));
    const probes = craftedSix({
      ...ground,
      vni6: vniOf6(OVERLAY),
      inner6: inSlice(attacker.address, 0x10),
      otherInner6: inSlice(ground.otherPeer, 0x10),
      container6,
      gateway6: inSlice(victim.address, 1),
    });
    t.comment(`${probes.length} probes`);
    await runBattery(t, target, probes.map(datapath.probe));
  });
}
