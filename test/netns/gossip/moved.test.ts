import t from 'tap';
import type { RouterStatus } from '../../../src/api/status.ts';
import type { LabContainer } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { runEcho } from '../../../src/traffic/run.ts';
import { skipLong } from '../../support/long.ts';
import { skipWithoutTun } from '../privileges.ts';
import { allAlive, ask, joinHost, makeCluster, runFanway, until } from './cluster.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun() || skipLong;
const BRIDGE = 'fan-250';

/** How many of some echo requests are answered. */
async function answered(from: LabContainer, to: number): Promise<number> {
  const { targets } = await runEcho(from, [formatIpv4(to)], { count: 5 });
  return targets[0]?.received ?? 0;
}

for (const encap of ['vxlan', 'ipip'] as const) {
  t.test(`${encap}: a workload moves with its address`, { skip }, async (t) => {
    const cluster = await makeCluster(t, { hosts: 3, containersPerHost: 1, fans: false });
    const { lab, hosts } = cluster;
    const lengths = encap === 'vxlan' ? 8 : 24;
    const slice = (index: number): number =>
      (0xfa000000 | ((lab.host(index).address & 0xffff) << 8)) >>> 0;
    for (const host of hosts) {
      await runFanway(host, ['up', '250.0.0.0/8', 'eth0/16', 'bridge', BRIDGE, '--encap', encap]);
      await joinHost(cluster, host);
    }
    await allAlive(hosts);
    const plug = (container: LabContainer, address: number): Promise<void> => {
      const gateway = slice(container.host.index) + 1;
      return container.attach({ bridge: BRIDGE, address, length: lengths, gateway });
    };
    const [home, away, third] = [lab.container(0), lab.container(1), lab.container(2)];
    const address = slice(0) + 77;
    await plug(home, slice(0) + 10);
    await plug(third, slice(2) + 10);
    if (encap === 'vxlan') await plug(away, address);
    else {
      // On a routed fan the workload's old gateway is not here: its own address, and a way out.
      await away.attach({ bridge: BRIDGE, address, length: 32 });
      const gateway = slice(1) + 1;
      await away.netlink.addRoute({ dst: { address: gateway, length: 32 }, dev: 'eth0' });
      await away.netlink.addRoute({ dst: { address: 0, length: 0 }, via: gateway });
    }
    const works = (what: string) =>
      until(what, async () => (await answered(third, slice(0) + 10)) === 5);
    await works('the fan works');
    t.equal(await answered(third, address), 0, 'by arithmetic the address is at home');

    await runFanway(lab.host(1), ['announce', formatIpv4(address)]);
    const arrived = async (from: LabContainer): Promise<void> => {
      const { tookMs } = await until(`${from.name} reaches it`, async () => {
        return (await answered(from, address)) === 5;
      });
      t.comment(`${from.name} reaches it after ${tookMs} ms`);
    };
    await arrived(third);
    await arrived(home);

    const told = await runFanway(lab.host(2), ['explain', formatIpv4(address)]);
    const where = formatIpv4(lab.host(1).address);
    t.match(told, `is announced (${formatIpv4(address)}/32) by host2`);
    t.match(told, `over gossip, host ${where}, and goes there`);

    // The data process of a router that was killed gets them again.
    const { pid } = (await ask(lab.host(2), '/v1/status')) as RouterStatus;
    process.kill(pid, 'SIGKILL');
    await until('control is back', async () => {
      const status = (await ask(lab.host(2), '/v1/status').catch(() => undefined)) as
        | RouterStatus
        | undefined;
      return status !== undefined && status.pid !== pid && status.gossip?.state === 'up';
    });
    await arrived(third);

    await runFanway(lab.host(1), ['withdraw', formatIpv4(address)]);
    await until('it is where the arithmetic has it', async () => {
      return (await answered(third, address)) === 0;
    });
    await works('the fan still works');
  });
}
