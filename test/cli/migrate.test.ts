import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { kindOfSource, readJujuConfig, readLxdNetwork } from '../../src/cli/migrate/sources.ts';
import { Lab } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { fanway, statusOf } from '../control/lab-router.ts';
import { countersOf } from '../faults/rig.ts';
import { addFarAddresses, addKernelFan, attachToKernelFan } from '../interop/kernel-peer.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';

const LXD = `config:
  bridge.mode: fan
  fan.overlay_subnet: 240.0.0.0/8
  fan.underlay_subnet: 172.30.0.0/16
  ipv4.nat: "true"
description: ""
name: lxdfan0
type: bridge
`;

t.test('what a source is', async (t) => {
  t.equal(kindOfSource(LXD), 'lxd');
  t.equal(kindOfSource('172.16.0.0/16=252.0.0.0/8 10.0.0.0/16=253.0.0.0/8'), 'juju');
  t.equal(kindOfSource('fan-config: 172.16.0.0/16=252.0.0.0/8'), 'juju');
  t.equal(kindOfSource('250.0.0.0/8 eth0/16 dhcp\n'), 'file');
  t.equal(kindOfSource(''), 'file');
});

t.test('readLxdNetwork()', async (t) => {
  t.match(readLxdNetwork(LXD), { words: ['240.0.0.0/8', '172.30.0.0/16', '--compat', 'lxd'] });
  const ipip = LXD.replace('bridge.mode: fan', 'bridge.mode: fan\n  fan.type: ipip');
  const bare = ipip.replace(/ {2}fan\.(over|under).*\n/g, '').replace('"true"', '"false"');
  t.match(readLxdNetwork(bare), {
    words: ['240.0.0.0/8', 'default/16', '--encap', 'ipip', '--no-masquerade'],
    notes: [/auto/, /lxdfan0 hands out addresses/],
  });
  t.match(readLxdNetwork('config:\n  ipv4.nat: "true"\n'), { problem: /bridge\.mode: fan/ });
});

t.test('readJujuConfig()', async (t) => {
  const pairs = 'fan-config: "172.16.0.0/16=252.0.0.0/8 10.0.0.0/16=253.0.0.0/8"\n';
  t.match(readJujuConfig(pairs), [
    { words: ['252.0.0.0/8', '172.16.0.0/16'] },
    { words: ['253.0.0.0/8', '10.0.0.0/16'] },
  ]);
  t.match(readJujuConfig('a=b'), [{ problem: /"a=b" is not UNDERLAY=OVERLAY/ }]);
  t.match(readJujuConfig('nothing'), [{ problem: /UNDERLAY=OVERLAY/ }]);
});

t.test(
  'fanway migrate prints the plan and changes nothing',
  { skip: skipWithoutTun() },
  async (t) => {
    const lab = await Lab.create({ hosts: 1, containersPerHost: 0 });
    t.teardown(() => lab.close());
    const folder = mkdtempSync(join(tmpdir(), 'fanway-migrate-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const host = lab.host(0);
    const file = (name: string, text: string): string => {
      const path = join(folder, name);
      writeFileSync(path, text);
      return path;
    };
    const before = (await host.netlink.links()).length;
    const lxd = await fanway(host, 'migrate', file('lxd', LXD));
    t.equal(lxd.code, 0, lxd.err);
    t.match(lxd.out, /^ {2}fanway up 240\.0\.0\.0\/8 172\.30\.0\.0\/16 --compat lxd$/m);
    t.match(lxd.out, /1\. take its containers off/);
    t.match(lxd.out, /create bridge fan-240-0-28, MTU 1450/, 'the plan of this host');
    t.match(lxd.out, /UDP port 8472/);
    const fans = await fanway(
      host,
      'migrate',
      file('fan', '250.0.0.0/8 eth0/16\n# off\n'),
      '--json',
    );
    const [migration, plan] = fans.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    t.match(migration, { source: 'fanctl', steps: ['fanctl down -a', /^fanway up -a --file/] });
    t.match(plan, { outcome: 'changes', spec: { name: 'fan-250-0-28' } });
    const nowhere = await fanway(host, 'migrate', file('juju', '10.0.0.0/16=253.0.0.0/8'));
    t.match(nowhere, { code: 3, out: /no address in the underlay 10\.0\.0\.0\/16/ });
    t.match(await fanway(host, 'migrate', file('bad', '250 eth0 zebra\n')), {
      code: 2,
      err: /:1: /,
    });
    t.match(await fanway(host, 'migrate', file('none', '# nothing\n')), { code: 3, err: /no fan/ });
    t.match(await fanway(host, 'migrate', '--zebra'), { code: 2, err: /is not an option/ });
    t.equal((await host.netlink.links()).length, before);
  },
);

t.test(
  'one host of a running fan is taken over, and given back',
  { skip: skipWithoutTun() },
  async (t) => {
    const lab = await Lab.create({ hosts: 2 });
    t.teardown(() => lab.close());
    const [a, b] = [lab.host(0), lab.host(1)];
    // What stands for the other's fan: the kernel's VXLAN device with the same wire.
    for (const host of lab.hosts) {
      const problem = await addKernelFan(host, 4789);
      if (problem !== undefined) return void t.plan(0, problem);
      await attachToKernelFan(lab.container(host.index));
    }
    const [ca, cb] = [lab.container(0), lab.container(1)];
    const macOf = async (container: typeof ca): Promise<number> => {
      return (await container.netlink.link('eth0')).address;
    };
    await addFarAddresses(ca, [{ address: cb.address, mac: await macOf(cb) }], 'flood');
    await addFarAddresses(cb, [{ address: ca.address, mac: await macOf(ca) }], 'flood');
    const meet = (what: string): Promise<unknown> =>
      until(what, 10_000, async () => {
        const there = await runEcho(ca, [formatIpv4(cb.address)], { count: 2 });
        const back = await runEcho(cb, [formatIpv4(ca.address)], { count: 2 });
        return there.targets[0]?.received === 2 && back.targets[0]?.received === 2;
      });
    await meet('the old fan');
    const folder = mkdtempSync(join(tmpdir(), 'fanway-migrate-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'fan');
    writeFileSync(file, '250.0.0.0/8 eth0/16\n');
    t.match(await fanway(a, 'migrate', '--give-back'), { code: 3, err: /nothing here was taken/ });

    const taken = await fanway(a, 'migrate', '--take-over', file);
    t.match(taken, { code: 0, out: /^kernel-fan: taken over from fanctl; kernel-vxlan is down/ });
    await meet('one host is ours, the other is not');
    const { links } = await statusOf(a);
    t.match(links, [{ name: 'kernel-fan', state: 'up' }]);
    t.ok(((await countersOf(a))['egress.delivered'] ?? 0) > 0, 'through ours');
    t.match(await fanway(a, 'migrate', '--take-over', file), { code: 3, err: /fanway's already/ });

    process.kill((await statusOf(a)).pid, 'SIGKILL');
    await until('another router', 10_000, async () => {
      return (await statusOf(a).catch(() => undefined))?.links[0]?.state === 'up';
    });
    await meet('after a crash');

    const given = await fanway(a, 'migrate', '--give-back');
    t.match(given, { code: 0, out: /^kernel-fan: given back; kernel-vxlan is up/ });
    await meet('the old fan again');
    t.equal((await a.netlink.link('kernel-fan')).alias, '', 'nobody calls the bridge ours');

    // Something in the way of ours: the old one goes on.
    writeFileSync(file, '250.0.0.0/8 eth0/16 --mtu 9000\n');
    const refused = await fanway(a, 'migrate', '--take-over', file);
    t.match(refused, { code: 3, err: /as before, for .*MTU 9000 does not fit/ });
    await meet('nothing was lost');
    t.match(await fanway(b, 'migrate', '--give-back', 'kernel-fan'), { code: 3 });
  },
);
