// A workload that moves to another host with its IPv6 address.
import t, { type Test } from 'tap';
import type { TestResult } from '../../../src/cli/paths/test.ts';
import type { Lab, LabContainer, LabHost, LabNode } from '../../../src/demo/lab.ts';
import { formatAddress6, parseAddress6, parsePrefix6 } from '../../../src/net/prefix6.ts';
import { fanway, statusOf } from '../../control/lab-router.ts';
import { skipLong } from '../../support/long.ts';
import { say } from '../../support/talk6.ts';
import { noPing } from '../../support/tools.ts';
import { skipWithoutTun } from '../privileges.ts';
import { allAlive, joinHost, makeCluster, prefixesOf, runFanway, until } from './cluster.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun() || skipLong || noPing();
const BRIDGE = 'fan-six';
/** In the slice of the first host. */
const MOVED = 'fd00:fa:1c::77';

async function answers(from: LabNode, address: string): Promise<boolean> {
  const [, code] = await say(from, 'ping', '-6', '-c', '1', '-W', '5', address);
  return code === 0;
}

function reaches(from: LabNode, address: string): Promise<unknown> {
  return until(`${from.name} reaches ${address}`, () => answers(from, address));
}

/** Plugs a container in; it makes its IPv6 addresses itself. */
async function plug(container: LabContainer): Promise<void> {
  const address = 0x0a00_0001 + container.host.index;
  await container.attach({ bridge: BRIDGE, address, length: 24 });
  await until(`${container.name} has an address`, async () => {
    const { index } = await container.netlink.link('eth0');
    const all = await container.netlink.addresses6();
    return all.some((one) => one.index === index && one.address[0] >>> 24 === 0xfd);
  });
}

/**
 * Containers of a routed fan take for near what has the prefix of their network: their host answers for what
 * went away, also after a restart, and what came is answered about its old neighbours.
 */
async function answersForOthers(lab: Lab, home: LabContainer, away: LabContainer): Promise<void> {
  const { pid } = await statusOf(lab.host(0));
  process.kill(pid, 'SIGKILL');
  await until('control is back', async () => {
    const status = await statusOf(lab.host(0)).catch(() => undefined);
    return status !== undefined && status.pid !== pid;
  });
  await say(home, 'ip', '-6', 'neigh', 'flush', 'dev', 'eth0');
  await reaches(home, MOVED);
  const { index } = await home.netlink.link('eth0');
  const own = (await home.netlink.addresses6()).find(
    (one) => one.index === index && one.address[0] >>> 24 === 0xfd,
  );
  if (own === undefined) throw new Error(`${home.name} has no address`);
  await away.netlink.addRoute6({ dst: parsePrefix6('fd00:fa:1c::/64'), dev: 'eth0' });
  await until('what came reaches an old neighbour', async () => {
    const to = formatAddress6(own.address);
    const [, code] = await say(away, 'ping', '-6', '-c', '1', '-W', '5', '-I', MOVED, to);
    return code === 0;
  });
}

/** Every pair of hosts of a fan of IPv6 alone is measured, and by it. */
async function measured(t: Test, host: LabHost): Promise<void> {
  const { out, err } = await fanway(host, 'test', '--json');
  t.match(out, /^\{/, err);
  const { pairs, unmeasured, problems } = JSON.parse(out) as TestResult;
  t.same([unmeasured, problems], [[], []]);
  const found = pairs.map(({ fromName, name, overlay }) => `${fromName} ${name} ${overlay}`);
  const names = ['host1', 'host2', 'host3'];
  const all = names.flatMap((from) =>
    names.filter((to) => to !== from).map((to) => `${from} ${to} fd00:fa::/32`),
  );
  t.same(found.sort(), all);
  for (const { fromName, name, tunnel } of pairs) {
    t.ok(tunnel.received > 0 && tunnel.mtu > 0, `${fromName} has answers of ${name} from inside`);
  }
}

for (const encap of ['vxlan', 'fou'] as const) {
  t.test(`${encap}: a workload moves with its IPv6 address`, { skip }, async (t) => {
    const options = { hosts: 3, containersPerHost: 1, fans: false, ipv6: true };
    const cluster = await makeCluster(t, options);
    const { lab, hosts } = cluster;
    const [home, away, third] = [lab.container(0), lab.container(1), lab.container(2)];
    for (const host of hosts) {
      const words = ['fd00:fa::/32', 'eth0/16', 'bridge', BRIDGE, '--encap', encap];
      await runFanway(host, ['up', ...words]);
      await joinHost(cluster, host);
    }
    for (const container of [home, away, third]) await plug(container);
    await allAlive(hosts);
    await away.netlink.addAddress6('eth0', parseAddress6(MOVED), 128);
    await reaches(third, 'fd00:fa:1c::1');
    await measured(t, lab.host(2));
    t.notOk(await answers(third, MOVED), 'by arithmetic the address is at home');

    const [first, second, last] = [lab.host(0), lab.host(1), lab.host(2)];
    t.match(
      await runFanway(second, ['announce', MOVED]),
      /fd00:fa:1c::77\/128: announced in fan-six/,
    );
    await reaches(third, MOVED);
    t.pass('another host finds it');
    await reaches(first, MOVED);
    await reaches(home, MOVED);
    t.match(await prefixesOf(last), ['fd00:fa:1c::77/128 host2']);
    const told = await runFanway(last, ['explain', MOVED]);
    t.match(
      told,
      /is announced \(fd00:fa:1c::77\/128\) by host2 .* over gossip, host 172\.30\.1\.27/,
    );
    t.match(told, /by arithmetic: .*slice fd00:fa:1c::\/48 of host 172\.30\.0\.28/);
    const taken = await runFanway(second, ['announce', 'fd00:fa:1c::/48']).catch(String);
    t.match(taken, /fd00:fa:1c::\/48 belongs to host1, which is alive/);

    if (encap === 'fou') {
      await answersForOthers(lab, home, away);
      // Somebody deletes the way to it.
      const device = (await first.netlink.links()).find(({ name }) => name.startsWith('fw-'));
      const route = {
        dst: { address: parseAddress6(MOVED), length: 128 },
        dev: device?.index ?? 0,
      };
      await first.netlink.deleteRoute6(route);
      await until('it is made good', async () => {
        const all = await first.netlink.routes6();
        return all.some(({ dst, oif }) => dst.length === 128 && oif === device?.index);
      });
    }

    await runFanway(second, ['withdraw', MOVED]);
    await until('it is where the arithmetic has it', async () => !(await answers(third, MOVED)));
    await reaches(third, 'fd00:fa:1c::1');
    t.pass('the fan still works');
  });
}
