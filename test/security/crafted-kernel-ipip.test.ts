import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { RouterStatus } from '../../src/api/status.ts';
import { callRouter } from '../../src/control/admin/admin-client.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { formatPrefix } from '../../src/net/prefix.ts';
import { runTcpPair } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { craftedIp } from '../support/crafted-ip.ts';
import { groundOf, runBattery } from '../support/ground.ts';
import { ipipProbe, skipWithoutIpip, watchRouted } from '../support/kernel-path.ts';
import { until } from '../support/patience.ts';
import { CONTAINER_NUMBER, fanwayUp, imbalance, joinFan, Target } from '../support/target.ts';

const skip = skipWithoutTun() || (await skipWithoutIpip());
const TC = '/usr/sbin/tc';
const TCP_BYTES = 1 << 20;
const WAIT_MS = 30_000;
const PROBES_PER_END = 4;

/** The only link of the host under test. */
async function linkOf({ victim }: Target): Promise<RouterStatus['links'][number]> {
  const directory = new RunDirectory(victim.runDirectory);
  const status = await callRouter(directory, '/v1/status', undefined, { anyNamespace: true });
  const [link] = (status as RouterStatus).links;
  if (link === undefined) throw new Error('no link');
  return link;
}

/** Every echo request of one container comes back from the other. */
function reaches(t: Test, { lab }: Target, what: string): void {
  const [from, to] = [lab.container(0), lab.container(1)];
  const args = ['-c', '3', '-i', '0.2', '-W', '5', formatIpv4(to.address)];
  const { stdout } = from.run(() => spawnSync('ping', args, { encoding: 'utf8' }));
  t.match(stdout, / 3 received/, what);
}

t.test('a fan of ipip, forwarded by the kernel', { skip }, async (t) => {
  const flags = ['--datapath', 'kernel'];
  const target = await Target.create({ encap: 'ipip', flags });
  t.teardown(() => target.close());
  const { lab, victim, attacker, bridge, map } = target;
  t.match(await linkOf(target), { state: 'up', datapath: 'kernel', notes: [] });
  await watchRouted(target);
  // Guests are slow: some for each end. What judges them is the program of VXLAN, to which all are sent elsewhere.
  const ends = new Map<string, number>();
  const probes = craftedIp(groundOf(target, 'ipip'))
    .flatMap(ipipProbe)
    .filter(({ end }) => {
      const count = (ends.get(end) ?? 0) + 1;
      ends.set(end, count);
      return count <= PROBES_PER_END;
    });
  t.ok(ends.size >= 10, `${probes.length} probes, ${ends.size} ends`);
  await runBattery(t, target, probes);

  // The attacker mends its ways.
  const up = [formatPrefix(map.overlay), 'eth0/16', 'bridge', bridge, '--encap', 'ipip'];
  await fanwayUp(attacker, ...up, ...flags);
  await joinFan(lab.container(1), bridge, CONTAINER_NUMBER);
  reaches(t, target, 'kernel to kernel');
  const [from, to] = [lab.container(0), lab.container(1)];
  const path = { from, to, address: formatIpv4(to.address) };
  const { received } = await runTcpPair(path, { port: 7201, bytes: TCP_BYTES });
  t.equal(received.streams[0]?.bytes, TCP_BYTES, 'all of a TCP stream arrives');

  for (const datapath of ['userspace', 'kernel']) {
    await fanwayUp(victim, ...up, '--datapath', datapath);
    t.equal((await linkOf(target)).datapath, datapath);
    reaches(t, target, `moved to ${datapath} while it runs`);
  }
  const { device } = await linkOf(target);
  if (existsSync(TC)) {
    const { repairs } = await linkOf(target);
    const tc = victim.spawn(TC, ['qdisc', 'del', 'dev', device, 'clsact'], { stdio: 'ignore' });
    t.equal(await new Promise((resolve) => tc.once('close', resolve)), 0);
    await until('the repair', WAIT_MS, async () => (await linkOf(target)).repairs > repairs);
    const told = (await linkOf(target)).repaired.map(({ what }) => what);
    t.match(told.join(), /(program|guard) at the/, 'and it is told');
    reaches(t, target, 'repaired');
  }
  t.equal(await imbalance([victim, attacker]), 0, 'received = delivered + named drops');
  await runFanway(victim, ['down', bridge, '--force']);
  const left = (await victim.netlink.links()).filter(({ name }) => name === device);
  t.same(left, [], 'down leaves no device, and with it no program');
});
