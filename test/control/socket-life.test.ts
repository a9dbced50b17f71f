import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { processesIn } from '../../src/demo/processes.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';
import { fanway, statusOf } from './lab-router.ts';

t.setTimeout(1_200_000);

const skip = skipWithoutTun() || skipLong;
const FOU_PORT = 5555;

/** Local UDP ports that anything on the host has bound (proc_net(5)). */
function udpPorts(host: LabHost): number[] {
  const pid = processesIn(host.namespace.inode)[0] ?? 'self';
  return readFileSync(`/proc/${pid}/net/udp`, 'utf8')
    .split('\n')
    .slice(1)
    .filter((line) => line.trim() !== '')
    .map((line) => Number.parseInt(line.trim().split(/\s+/)[1]?.split(':')[1] ?? '0', 16));
}

/** How many sockets a process holds. */
function socketsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;
}

async function dataPids(host: LabHost): Promise<number[]> {
  return (await statusOf(host)).processes.map(({ pid }) => pid);
}

t.test('a socket lives as long as the last link that uses it', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const run = async (...args: string[]): Promise<void> => {
    const { code, err } = await fanway(host, ...args);
    t.equal(code, 0, `${args.join(' ')} ${err}`);
  };
  await run('up', '250', 'eth0/16', '--queues', '2');
  const alone = (await dataPids(host)).map(socketsOf);
  for (const round of [1, 2]) {
    await run('up', '240', 'eth0/16', '--encap', 'fou', '--queues', '2');
    t.ok(udpPorts(host).includes(FOU_PORT));
    await run('down', '240', 'eth0/16');
    t.notOk(udpPorts(host).includes(FOU_PORT), `round ${round}: the port is free again`);
    t.same(
      (await dataPids(host)).map(socketsOf),
      alone,
      'and no data process holds a socket of it',
    );
  }

  // Both data processes die: what they inherit anew is what is still open.
  const before = await dataPids(host);
  for (const pid of before) killIfThere(pid);
  const after = await until('both were replaced', 5000, async () => {
    const { processes } = await statusOf(host);
    const fresh = processes.every(({ pid, alive }) => alive && pid > 0 && !before.includes(pid));
    return fresh && processes.length === 2 && processes;
  });
  t.same(
    after.map(({ pid }) => socketsOf(pid)),
    alone,
  );

  // An underlay of its own loses its address for a moment, while the other fan stays.
  await host.netlink.createVeth('eth1', 'peer1', {});
  await host.netlink.setLink('peer1', { up: true });
  await host.netlink.setLink('eth1', { up: true });
  await host.netlink.addAddress('eth1', 0x0a01001c, 16);
  await run('up', '240', 'eth1/16', '--queues', '2');
  const stateOf = async (): Promise<string | undefined> =>
    (await statusOf(host)).links.find(({ name }) => name.startsWith('fan-240'))?.state;
  await host.netlink.deleteAddress('eth1', 0x0a01001c, 16);
  await until('stopped', 5000, async () => (await stateOf()) === 'stopped');
  t.same((await dataPids(host)).map(socketsOf), alone, 'its sockets are gone');
  await host.netlink.addAddress('eth1', 0x0a01001c, 16);
  await until('back', 5000, async () => (await stateOf()) === 'up');
  t.equal((await statusOf(host)).links.length, 2);
  await run('down', '-e');
});

t.test('nothing that we start holds a descriptor of the caller', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const path = join(host.runDirectory, 'callers.lock');
  const fd = openSync(path, 'w');
  const dhcp = (await fanway(host, 'plan', '250', 'eth0/16', 'dhcp')).code === 0 ? ['dhcp'] : [];
  // The same descriptor under several numbers, among them those that our children use.
  const stdio = ['ignore', 'ignore', 'inherit', ...Array.from({ length: 20 }, () => fd)] as const;
  const code = await new Promise((resolve) => {
    const program = join(distDirectory(), 'fanway.js');
    host
      .spawn(process.execPath, [program, 'up', '250', 'eth0/16', ...dhcp], {
        env: host.environment,
        stdio: [...stdio],
      })
      .once('exit', resolve);
  });
  closeSync(fd);
  t.equal(code, 0);
  const pids = processesIn(host.namespace.inode);
  t.ok(pids.length >= 3 + dhcp.length, `${pids.length} processes: shell, control, data process`);
  const holders = pids.filter((pid) =>
    readdirSync(`/proc/${pid}/fd`).some((name) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${name}`) === path;
      } catch {
        return false;
      }
    }),
  );
  t.same(
    holders.map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')),
    [],
  );
  t.equal((await fanway(host, 'down', '-e')).code, 0);
});
