import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findDnsmasq } from '../../src/control/host/dhcp.ts';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { killAllIn, processesIn } from '../../src/demo/processes.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { promised, skipExact, sleep, until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';
import { fanway, picture, statusOf } from './lab-router.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();
const ROUNDS = skipLong === false ? 4 : 2;

/** Pids of a host's fanway processes. */
function residents(host: LabHost): number[] {
  return processesIn(host.namespace.inode);
}

/** kill -9 of every process, and waits until the kernel is through with them. */
async function killEverything(host: LabHost): Promise<void> {
  await until('every process is gone', 5000, async () => {
    killAllIn(host.namespace.inode);
    return residents(host).length === 0;
  });
}

async function controlPid(host: LabHost): Promise<number> {
  return (await statusOf(host)).pid;
}

t.test('kill -9 of control: back within 3 s, nothing doubled', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  t.equal((await fanway(host, 'up', '250', 'eth0/16')).code, 0);
  t.equal((await fanway(host, 'up', '251', 'eth0/16', '--encap', 'fou')).code, 0);
  const before = await picture(host);
  for (let round = 1; round <= ROUNDS; round++) {
    const pid = await controlPid(host);
    const killed = Date.now();
    process.kill(pid, 'SIGKILL');
    await until('another control process answers', 5000, async () => {
      const status = await statusOf(host).catch(() => undefined);
      return status !== undefined && status.pid !== pid && status.links.length === 2;
    });
    const took = Date.now() - killed;
    promised(t, `round ${round}`, took, 3000);
    const status = await statusOf(host);
    t.ok(status.links.every((link) => link.state === 'up'));
    t.ok(
      status.processes.every((process) => process.alive),
      JSON.stringify(status.processes),
    );
    t.same(await picture(host), before, 'every device, address and route once');
  }
  t.equal(residents(host).length, 3, 'shell, control, data process');
  t.equal((await fanway(host, 'down', '-e')).code, 0);
  t.same(residents(host), [], 'no process is left');
});

t.test(
  'kill -9 of everything: down removes every leftover',
  { skip: skipExact || skip },
  async (t) => {
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    // Down: one that is up may rely on what the fan set, which then stays.
    await host.netlink.createBridge('br0', {});
    await host.netlink.addAddress('br0', 0x0a090807, 24);
    const before = await picture(host);
    for (const encap of skipLong === false ? ['vxlan', 'ipip', 'fou'] : ['ipip']) {
      t.equal((await fanway(host, 'up', '250', 'eth0/16', '--encap', encap)).code, 0, encap);
      await killEverything(host);
      t.notSame(await picture(host), before, 'the devices are still there');
      const down = await fanway(host, 'down', '250', 'eth0/16');
      t.equal(down.code, 0, `${encap}: ${down.err}`);
      t.match(down.err, /removed what a killed router had left: fan-250-/);
      t.same(await picture(host), before, `${encap}: as before, the foreign bridge included`);
      t.same(readdirSync(join(host.runDirectory, 'journal')), []);
    }
  },
);

t.test(
  'kill -9 of shell and control: down ends the data process they left',
  { skip: skipExact || skip },
  async (t) => {
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    const before = await picture(host);
    const up = await fanway(host, 'up', '250', 'eth0/16', ...(findDnsmasq() ? ['dhcp'] : []));
    t.equal(up.code, 0, up.err);
    const { pid } = await statusOf(host);
    const parent = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    killIfThere(parent);
    killIfThere(pid);
    await until('both are gone', 3000, async () => !residents(host).includes(pid));
    t.ok(residents(host).length > 0, 'the data process goes on forwarding');
    const down = await fanway(host, 'down', '-e');
    t.equal(down.code, 0, down.err);
    t.match(down.err, /removed what a killed router had left: fan-250-/);
    t.same(await picture(host), before);
    await until('no process is left', 3000, async () => residents(host).length === 0);
  },
);

t.test(
  'kill -9 of everything: up removes the leftovers and starts anew',
  { skip: skipExact || skipLong || skip },
  async (t) => {
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    const before = await picture(host);
    await fanway(host, 'up', '250', 'eth0/16');
    const whole = await picture(host);
    for (let round = 0; round < 2; round++) {
      await killEverything(host);
      const up = await fanway(host, 'up', '250', 'eth0/16');
      t.equal(up.code, 0, up.err);
      t.same(await picture(host), whole, 'the same as after the first');
    }
    await killEverything(host);
    t.equal((await fanway(host, 'up', '252', 'eth0/16', '--encap', 'ipip')).code, 0);
    t.notOk(
      (await picture(host)).some((line) => line.includes('fan-250')),
      'the other one is gone',
    );
    t.equal((await fanway(host, 'down', '252', 'eth0/16')).code, 0);
    t.same(await picture(host), before);
  },
);

t.test(
  'killed while it works: the next command finds it all',
  { skip: skipExact || skipLong || skip },
  async (t) => {
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    const before = await picture(host);
    for (const delayMs of [250, 320, 380, 430, 480, 530, 600]) {
      const working = fanway(host, 'up', '250', 'eth0/16');
      await sleep(delayMs);
      killAllIn(host.namespace.inode);
      await working;
      await killEverything(host);
      await fanway(host, 'down', '-e');
      t.same(await picture(host), before, `killed ${delayMs} ms after the start`);
    }
  },
);

t.test('SIGTERM to control takes everything back', { skip: skipExact || skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const before = await picture(host);
  await fanway(host, 'up', '250', 'eth0/16');
  process.kill(await controlPid(host), 'SIGTERM');
  await until('all processes end', 5000, async () => residents(host).length === 0);
  t.same(await picture(host), before);
});

t.test('a damaged journal does not stop the router', { skip: skipExact || skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const links = async (): Promise<string[]> =>
    (await host.netlink.links()).map((link) => link.name).sort();
  const before = await links();
  await fanway(host, 'up', '250', 'eth0/16');
  await killEverything(host);
  const folder = join(host.runDirectory, 'journal');
  const { truncateSync } = await import('node:fs');
  for (const file of readdirSync(folder)) truncateSync(join(folder, file), 100);
  const down = await fanway(host, 'down', '-e');
  t.equal(down.code, 0, down.err);
  t.match(down.err, /journal of fan-250-\S+ is damaged \(.*\): set aside/);
  t.same(await links(), before, 'the devices were found by their mark');
  t.ok(readdirSync(folder).some((file) => file.endsWith('.damaged')));
  t.ok(readFileSync(join(folder, readdirSync(folder)[0] ?? '')).length === 100);
});
