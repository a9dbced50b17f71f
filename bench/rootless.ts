/**
 * One TCP stream between two ordinary users' networks (`fanway run`) beside one between containers of
 * root's fan, and beside pasta to the host where that is installed; in turn on the same two hosts.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { Lab, type LabHost } from '../src/demo/lab.ts';
import { killAllIn } from '../src/demo/processes.ts';
import { runFanway } from '../src/demo/router.ts';
import { spreadOf } from '../src/measure/statistics.ts';
import { sliceOf } from '../src/net/fan.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import { parsePrefix } from '../src/net/prefix.ts';
import { findProgram } from '../src/sys/host/nft.ts';
import { type Place, startTraffic, TrafficError, type TrafficPath } from '../src/traffic/run.ts';
import { OrdinaryUser } from '../test/containers/user.ts';
import type { Extra } from './extras.ts';
import type { ExtraTable } from './results.ts';
import { UNDERLAY, UNDERLAY_MTU } from './scene.ts';

const ROUNDS = 5;
const SECONDS = 3;
const PROGRESS_MS = 100;
const PORT = 5001;
const CONTAINER_NUMBER = 10;
const MAP = { overlay: parsePrefix('250.0.0.0/8'), underlay: parsePrefix(UNDERLAY) };
const FAN = ['250.0.0.0/8', `eth0/${MAP.underlay.length}`];
const BRIDGE = 'fan-250';
/** What a user's network should reach of root's fan. */
const AIM = 0.9;

/**
 * What arrives in the time in which the sender sends. Its end is not waited for: pasta may take minutes for
 * what is left, or for good.
 * @throws TrafficError
 */
async function gigabits(path: TrafficPath & { listen?: string }): Promise<number> {
  const common = { port: PORT, timeout: SECONDS + 15 };
  const { from, to, address, listen = address } = path;
  const receiver = startTraffic(to, 'tcp', { listen, progress: PROGRESS_MS, ...common });
  let first: { atNs: number; bytes: number } | undefined;
  let last = { atNs: 0, bytes: 0 };
  const enough = new Promise<void>((resolve) => {
    receiver.onInterim = (report) => {
      if (report.event !== 'tcp-progress') return;
      first ??= report;
      last = report;
      if (last.atNs - first.atNs >= SECONDS * 1e9) resolve();
    };
  });
  try {
    await receiver.ready;
    const sender = startTraffic(from, 'tcp', { connect: address, seconds: SECONDS + 1, ...common });
    try {
      await Promise.race([enough, sender.result, receiver.result]);
    } finally {
      sender.kill();
    }
  } finally {
    receiver.kill();
  }
  if (first === undefined || last.atNs === first.atNs) throw new TrafficError('nothing arrived');
  return ((last.bytes - first.bytes) * 8) / (last.atNs - first.atNs);
}

async function rootsFan(lab: Lab): Promise<number> {
  for (const host of lab.hosts) {
    await runFanway(host, ['up', ...FAN, 'bridge', BRIDGE]);
    const slice = sliceOf(MAP, host.address).address;
    await lab.container(host.index).attach({
      ...{ bridge: BRIDGE, address: slice + CONTAINER_NUMBER, gateway: slice + 1 },
      length: MAP.overlay.length,
    });
  }
  const [from, to] = [lab.container(0), lab.container(1)];
  const figure = await gigabits({ from, to, address: formatIpv4(to.address) });
  for (const host of lab.hosts) {
    await lab.container(host.index).detach();
    await runFanway(host, ['down', ...FAN]);
  }
  return figure;
}

/** Starts a command that stays, and resolves once it speaks. */
async function stays(child: ChildProcess): Promise<ChildProcess> {
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`fanway run ended with ${code}`)));
  });
  return child;
}

async function usersNetworks(users: readonly OrdinaryUser[]): Promise<number> {
  const words = ['run', '--fan', ...FAN, '--no-internet', '--', 'sh', '-c', 'echo; exec sleep 600'];
  const running = await Promise.all(
    users.map((user) => stays(user.fanway(words, { stdio: ['ignore', 'pipe', 'inherit'] }))),
  );
  const inside = users.map((user): Place => {
    return {
      spawn: (command, args, options) => user.fanway(['run', '--', command, ...args], options),
    };
  });
  const [from, to] = inside;
  const address = formatIpv4(sliceOf(MAP, users[1]?.host.address ?? 0).address + 1);
  if (from === undefined || to === undefined) throw new Error('two users were asked for');
  try {
    return await gigabits({ from, to, address });
  } finally {
    for (const child of running) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    }
  }
}

/**
 * A namespace of pasta's at the underlay's MTU: to another host, or to its own, which pasta shows it in the
 * place of the gateway.
 */
function pasta(user: OrdinaryUser, other: LabHost, way: 'own' | 'other'): Promise<number> {
  const ports = ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none'];
  const how = ['--config-net', '--quiet', '--mtu', String(UNDERLAY_MTU)];
  const gateway = way === 'own' ? [] : ['--no-map-gw'];
  const words = [...how, ...gateway, ...ports, '--'];
  const from: Place = {
    spawn: (command, args, options) => user.spawn('pasta', [...words, command, ...args], options),
  };
  const host = way === 'own' ? user.host : other;
  const to: Place = { spawn: (command, args, options) => host.spawn(command, args, options) };
  const address = formatIpv4(other.address);
  return gigabits({ from, to, address, ...(way === 'own' && { listen: '127.0.0.1' }) });
}

async function run(): Promise<ExtraTable | string> {
  if (process.geteuid?.() !== 0) return 'needs root to become two ordinary users';
  const lab = await Lab.create({ hosts: 2, underlay: UNDERLAY, mtu: UNDERLAY_MTU });
  const users = lab.hosts.map((host) => new OrdinaryUser(host));
  const hasPasta = findProgram('pasta') !== undefined;
  const figures: Record<'root' | 'run' | 'own' | 'other', number[]> = {
    ...{ root: [], run: [], own: [], other: [] },
  };
  let pastaFailed = 'not installed';
  try {
    const [hostA, hostB] = [lab.host(0), lab.host(1)];
    await hostA.netlink.addRoute({ dst: { address: 0, length: 0 }, via: hostB.address });
    for (let round = 0; round < ROUNDS; round += 1) {
      figures.root.push(await rootsFan(lab));
      figures.run.push(await usersNetworks(users));
      const [user] = users;
      if (!hasPasta || user === undefined) continue;
      for (const way of ['own', 'other'] as const) {
        try {
          figures[way].push(await pasta(user, hostB, way));
        } catch (error) {
          // A program of others that fails takes no figure of ours with it.
          if (!(error instanceof TrafficError)) throw error;
          pastaFailed = error.message;
        }
      }
    }
  } finally {
    for (const host of lab.hosts) killAllIn(host.namespace.inode);
    for (const user of users) user.close();
    lab.close();
  }
  const rootGbps = spreadOf(figures.root)?.median ?? Number.NaN;
  const row = (title: string, values: readonly number[]): string[] => {
    const spread = spreadOf(values);
    if (spread === undefined) return [title, pastaFailed, ''];
    const { median, min, max } = spread;
    const shown = `${median.toFixed(2)} (${min.toFixed(2)}-${max.toFixed(2)})`;
    return [title, shown, (median / rootGbps).toFixed(2)];
  };
  return {
    title: 'One TCP stream without root',
    note: `${ROUNDS} rounds in turn, underlay MTU ${UNDERLAY_MTU}; the aim for \`fanway run\` is ${AIM} of root's fan, and more than pasta has.`,
    columns: ['way', 'Gb/s', "of root's fan"],
    rows: [
      row("containers of root's fan", figures.root),
      row("two users' `fanway run`", figures.run),
      row('pasta, to its own host', figures.own),
      row('pasta, to the other host', figures.other),
    ],
  };
}

/** `fanway run` beside root's fan. */
export const rootless: Extra = { key: 'rootless', slow: true, run };
