import t from 'tap';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { runEcho } from '../../../src/traffic/run.ts';
import { fanway } from '../../control/lab-router.ts';
import { attach, BRIDGE, OVERLAY } from '../../faults/rig.ts';
import { moveToIpv6, skipWithoutIpv6 } from '../../support/ipv6-underlay.ts';
import { skipLong } from '../../support/long.ts';
import {
  allAlive,
  gossipOf,
  joinHost,
  makeCluster,
  membersOf,
  prefixesOf,
  runFanway,
  until,
} from './cluster.ts';

const skip = skipWithoutIpv6() || skipLong;
t.setTimeout(1_200_000);

t.test('gossip over an underlay of IPv6 alone', { skip }, async (t) => {
  const cluster = await makeCluster(t, { hosts: 3, containersPerHost: 1, fans: false });
  const { hosts, lab, keyFile } = cluster;
  const [a, b, c] = [lab.host(0), lab.host(1), lab.host(2)];
  await moveToIpv6(lab);
  for (const host of hosts) {
    await runFanway(host, ['up', OVERLAY, 'eth0/112', 'bridge', BRIDGE]);
    await attach(host);
  }
  const key = ['--key', keyFile];
  await joinHost(cluster, a);
  for (const host of [b, c]) {
    await runFanway(host, ['join', '[fd00:30::1c]:7946', '--name', host.name, ...key]);
  }
  await allAlive(hosts);
  t.match((await membersOf(a)).get('host2'), {
    underlay: '[fd00:30::11b]:7946',
    endpoints: ['[fd00:30::11b]:7946'],
    fans: [{ overlay: OVERLAY, underlay: 'fd00:30::/112', local: 'fd00:30::11b' }],
  });
  t.match(await runFanway(a, ['peers']), /fd00:30::11b/);
  t.match((await gossipOf(b)).seeds, [{ addresses: ['fd00:30::1c'], answered: true }]);

  // A workload of the second host's slice has moved to the third, and packets follow it.
  const [from, moved] = [lab.container(0), lab.container(2)];
  const address = lab.container(1).address + 7;
  const gateway = lab.container(1).address - 9;
  await moved.attach({ bridge: BRIDGE, address, length: 8, gateway });
  await runFanway(c, ['announce', formatIpv4(address)]);
  await until('the entry is known everywhere', async () => {
    const tables = await Promise.all(hosts.map(prefixesOf));
    return tables.every((table) => table.includes(`${formatIpv4(address)}/32 host3`));
  });
  t.match(await runFanway(a, ['explain', formatIpv4(address)]), /host3.*fd00:30::21a|fd00:30::21a/);
  const { targets } = await runEcho(from, [formatIpv4(address)], { count: 5 });
  t.match(targets, [{ received: 5 }], 'and it answers from there');

  const tested = await fanway(a, 'test');
  t.match(tested.out, /host2/);
  t.notMatch(tested.out, /failed/, 'paths over IPv6 are measured');

  // The announcing router starts anew: same member, next life, and the entry is there again.
  const { id } = await gossipOf(c);
  t.equal(await runFanway(c, ['leave']), 'left\n');
  await until('its entry is gone', async () => (await prefixesOf(a)).length === 0);
  await runFanway(c, ['join', 'fd00:30::1c', '--name', c.name, ...key]);
  await allAlive(hosts);
  t.equal((await gossipOf(c)).id, id, 'the same member');
});
