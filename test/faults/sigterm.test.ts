import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { processesIn } from '../../src/demo/processes.ts';
import { findNft } from '../../src/sys/host/nft.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';
import {
  attach,
  BRIDGE,
  checkBalance,
  type Encap,
  nowMs,
  OVERLAY,
  Pulse,
  picture,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun();
const SYSCTL_FOLDER = '/proc/sys/net/ipv4';

/** Every IPv4 setting of the host, by path; what cannot be read is left out. */
function sysctls(host: LabHost): Record<string, string> {
  return host.run(() => {
    const values: Record<string, string> = {};
    for (const name of readdirSync(SYSCTL_FOLDER, { recursive: true }) as string[]) {
      // Made up by the kernel when a first program listens.
      if (name === 'tcp_fastopen_key') continue;
      try {
        values[name] = readFileSync(join(SYSCTL_FOLDER, name), 'utf8');
      } catch {
        // A folder, or a key that only answers to writes.
      }
    }
    return values;
  });
}

/** The whole nftables ruleset of the host as text; empty without nft. */
async function ruleset(host: LabHost): Promise<string> {
  const nft = findNft();
  if (nft === undefined) return '';
  const child = host.spawn(nft, ['list', 'ruleset'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await new Promise((resolve) => child.once('close', resolve));
  return text;
}

/** Everything of a host that a router might leave behind; the containers' cables are the lab's. */
async function everything(host: LabHost) {
  return {
    network: (await picture(host)).filter((line) => !line.includes(' veth-c')),
    sysctls: sysctls(host),
    ruleset: await ruleset(host),
    processes: processesIn(host.namespace.inode),
  };
}

/** Starts `up --foreground` and resolves when its link is up. */
async function startForeground(host: LabHost, encap: Encap, words: string[]) {
  const program = join(distDirectory(), 'fanway.js');
  const args = [OVERLAY, 'eth0/16', 'bridge', BRIDGE, ...words, '--encap', encap, '--foreground'];
  const child = host.spawn(process.execPath, [program, 'up', ...args], {
    env: host.environment,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  await until(`${host.name} is up`, 10_000, async () => {
    if (child.exitCode !== null) throw new Error(`${host.name}: ${complaint}`);
    const status = await statusOf(host).catch(() => undefined);
    return status?.links[0]?.state === 'up' && status.processes[0]?.alive === true;
  });
  return child;
}

async function terminate(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  child.kill(signal);
  return ended;
}

t.test('SIGTERM of the foreground process leaves nothing behind', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2 });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  const dnsmasq = ['/usr/sbin', '/usr/bin'].some((path) => readdirSync(path).includes('dnsmasq'));
  if (!dnsmasq) t.comment('without dnsmasq: DHCP is left out');
  if (findNft() === undefined) t.comment('without nft: no masquerading to take back');
  for (const [encap, signal, words] of [
    ['vxlan', 'SIGTERM', dnsmasq ? ['dhcp'] : []],
    ['ipip', 'SIGTERM', []],
    ['fou', 'SIGINT', []],
  ] as const) {
    const before = [await everything(a), await everything(b)];
    const first = await startForeground(a, encap, [...words]);
    const second = await startForeground(b, encap, [...words]);
    await attach(a);
    await attach(b);
    const pulse = await Pulse.start(lab.container(0), lab.container(1));
    t.teardown(() => pulse.stop());
    await pulse.back(nowMs(), 5000);
    t.notSame(await everything(a), before[0]);
    await checkBalance(t, a);
    // A bridge with somebody's port on it stays (bridge-ports). These go first; the pulse beats on.
    for (const container of lab.containers) await container.detach();
    const signalledMs = nowMs();
    t.same(await Promise.all([terminate(first, signal), terminate(second, signal)]), [0, 0]);
    t.comment(`${encap}: ${signal} took ${Math.round(nowMs() - signalledMs)} ms`);
    pulse.stop();
    for (const [index, host] of [a, b].entries()) {
      t.same(await everything(host), before[index], `${encap}: ${host.name} is as it was`);
      const left = readdirSync(host.runDirectory, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => entry.name)
        // Leases stay, so that the next DHCP server hands out no address that is in use.
        .filter((name) => !/^fan-250\.(leases|log)$/.test(name))
        .sort();
      t.same(
        left,
        ['lock', 'namespace', 'router.lock'],
        'of its files only locks, and whose they were',
      );
    }
  }
});
