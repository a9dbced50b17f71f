import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { kindOfSource, readJujuConfig, readLxdNetwork } from '../../src/cli/migrate/sources.ts';
import { Lab } from '../../src/demo/lab.ts';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';

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
