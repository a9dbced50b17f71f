/**
 * BGP EVPN at scale, from a real GoBGP: how long until the tables forward, beside a second GoBGP and
 * an FRR that only hold the same; memory; what a thousand flapping routes a second cost, and what
 * packets notice of it.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bgpCall } from '../src/api/bgp.ts';
import type { Call } from '../src/api/call.ts';
import { networksCall } from '../src/api/networks.ts';
import { callRouter } from '../src/control/admin/admin-client.ts';
import { RunDirectory } from '../src/control/store/run-directory.ts';
import { Lab, type LabHost } from '../src/demo/lab.ts';
import { runFanway } from '../src/demo/router.ts';
import { figure } from '../src/measure/statistics.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import { distDirectory } from '../src/sys/host/paths.ts';
import { runEcho } from '../src/traffic/run.ts';
import { attach, BRIDGE, cpuMs, OVERLAY, statusOf } from '../test/faults/rig.ts';
import { Gobgp, whyNoFrr, whyNoNewer } from '../test/interop/bgp/routers.ts';
import {
  client,
  fill,
  frrRoutes,
  gobgpRoutes,
  reflected,
  startFrr,
} from '../test/interop/bgp/scale.ts';
import { sleep, until } from '../test/support/patience.ts';
import { AS, Source, VNI } from './evpn-source.ts';
import type { Extra } from './extras.ts';

/** How many routes, one run each; `FANWAY_BENCH_EVPN=5000` for a look at it. */
const SIZES = (process.env['FANWAY_BENCH_EVPN'] ?? '50000,500000').split(',').map(Number);
export const FLAPS_PER_SECOND = 1000;
const FLAP_SECONDS = 10;
const PING_MS = 10;
const FILL_MS = 600_000;
/** A router that was asked to end and has not yet is ended. */
const STOP_MS = 120_000;
const PREFIXES_MAX = 1_000_000;

const [SOURCE, REFLECTOR, FANWAY, GOBGP, FRR, FAR] = [0, 1, 2, 3, 4, 5];

/** One that takes the routes. */
export type Receiver = {
  pids: () => Promise<number[]>;
  /** Routes that it has, or MACs in the tables of the data path; `wanted` are to come. */
  count: (wanted: number) => Promise<number>;
  end: () => Promise<void>;
};

/** What one receiver took. `cpuShare`: of one processor, while routes flapped; round trips in µs. */
type Taken = {
  fillMs: number;
  megabytes: number;
  cpuShare: number;
  quietP99: number;
  flapP99: number;
};

/** Memory of processes, MB; what they share counts by halves. */
function memoryOf(pids: readonly number[]): number {
  const sizes = pids.map((pid) => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
    return Number(/^Pss: +(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
  });
  return sizes.reduce((sum, size) => sum + size, 0);
}

function daemonConfig(reflector: string): string {
  return `[bgp]
as = ${AS}
vteps = 172.30.0.0/16
[bgp-neighbor]
address = ${reflector}
as = ${AS}
connect-retry = 1
max-prefixes = ${PREFIXES_MAX}
[network]
name = blue
vni = ${VNI}
underlay = eth0/16
[fan]
overlay = ${OVERLAY}
underlay = eth0/16
bridge = ${BRIDGE}
`;
}

/** A router with a fan, and a network whose routes `reflector` tells it. */
export async function startFanway(host: LabHost, reflector: string): Promise<Receiver> {
  const file = join(host.runDirectory, 'fanway.conf');
  writeFileSync(file, daemonConfig(reflector), { mode: 0o600 });
  const args = [join(distDirectory(), 'fanway.js'), 'daemon', '-c', file];
  const child = host.spawn(process.execPath, args, { env: host.environment, stdio: 'ignore' });
  const run = new RunDirectory(host.runDirectory);
  const ask = async <Answer>(call: Call<undefined, Answer>): Promise<Answer> =>
    call.answer(await callRouter(run, call.path, undefined, { anyNamespace: true }), '');
  await until('the daemon is up', 20_000, () => ask(networksCall).then(Boolean, () => false));
  const macs = async (): Promise<number> => {
    const [network] = await ask(networksCall);
    return network?.macs.remote ?? 0;
  };
  return {
    pids: async () => [child.pid ?? 0, ...(await statusOf(host)).processes.map(({ pid }) => pid)],
    // The speaker's own number costs nothing to ask for; the tables are asked at the end.
    count: async (wanted) => {
      const entries = (await ask(bgpCall))?.entries ?? 0;
      return entries < wanted ? entries : macs();
    },
    end: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      if (child.kill('SIGTERM')) await ended;
      clearTimeout(late);
    },
  };
}

async function startGobgp(host: LabHost, reflector: string): Promise<Receiver> {
  const address = formatIpv4(host.address);
  const global = `[global.config]\nas = ${AS}\nrouter-id = "${address}"\n`;
  const gobgp = await Gobgp.start(host, global + client(reflector), [], 'newer');
  return {
    pids: async () => [gobgp.pid],
    count: () => gobgpRoutes(gobgp),
    end: () => gobgp.end('SIGKILL'),
  };
}

async function startFrrReceiver(host: LabHost, reflector: string): Promise<Receiver> {
  const frr = await startFrr(host, [reflector], false, 'newer');
  return {
    pids: async () => [frr.pid],
    count: () => frrRoutes(frr, reflector),
    end: () => frr.close(),
  };
}

/** Withdraws and announces so many routes a second, again and again; all are there in the end. */
export async function flap(source: Source, seconds = FLAP_SECONDS): Promise<void> {
  const half = FLAPS_PER_SECOND / 2;
  const endMs = performance.now() + seconds * 1000;
  for (let announces = false; performance.now() < endMs; announces = !announces) {
    const nextMs = performance.now() + 500;
    await source.tell(0, half, announces);
    await sleep(Math.max(0, nextMs - performance.now()));
  }
  await source.tell(0, half, true);
}

/** Fills a receiver, looks at it, and lets routes flap; `beside` runs meanwhile. */
async function take(
  source: Source,
  routes: number,
  receiver: Receiver,
  beside: () => Promise<number> = async () => Number.NaN,
): Promise<Taken> {
  const fillMs = await fill(routes, () => receiver.count(routes), FILL_MS);
  const pids = await receiver.pids();
  const megabytes = memoryOf(pids);
  const quietP99 = await beside();
  const used = () => pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  const [before, startMs] = [used(), performance.now()];
  const [flapP99] = await Promise.all([beside(), flap(source)]);
  const cpuShare = (used() - before) / (performance.now() - startMs);
  return { fillMs, megabytes, cpuShare, quietP99, flapP99 };
}

/** Round trips over a fan beside the network, µs: the 99th percentile over as long as routes flap. */
async function pingP99(lab: Lab): Promise<number> {
  const [from, to] = [lab.container(FANWAY), lab.container(FAR)];
  const options = { count: (FLAP_SECONDS * 1000) / PING_MS, interval: PING_MS };
  const { targets } = await runEcho(from, [formatIpv4(to.address)], options);
  return targets[0]?.rtt?.p99Us ?? Number.NaN;
}

type Fabric = { lab: Lab; source: Source; reflector: string };
/** What fanway took, and how long its clean stop did, with all routes there. */
type Ours = Taken & { stopMs: number };

/** fanway takes the routes; beside it runs a fan with a container at both ends. */
async function takeFanway({ lab, source, reflector }: Fabric, routes: number): Promise<Ours> {
  const [host, far] = [lab.host(FANWAY), lab.host(FAR)];
  await runFanway(far, ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE, '--encap', 'vxlan']);
  const receiver = await startFanway(host, reflector);
  try {
    let isPlugged = false;
    const taken = await take(source, routes, receiver, async () => {
      if (!isPlugged) for (const each of [host, far]) await attach(each);
      isPlugged = true;
      return pingP99(lab);
    });
    const startMs = performance.now();
    await receiver.end();
    return { ...taken, stopMs: performance.now() - startMs };
  } catch (error) {
    await receiver.end();
    throw error;
  }
}

function verdict(value: number, bar: number | undefined): string[] {
  if (bar === undefined) return ['', ''];
  return [`<= ${bar}`, value <= bar ? 'reached' : 'NOT reached'];
}

function rowsOf(
  routes: number,
  taken: Readonly<Record<'gobgp' | 'frr', Taken> & { fanway: Ours }>,
) {
  const { fanway, gobgp, frr } = taken;
  const row = (what: string, of: (one: Taken) => string, ratio?: number, bar?: number) => [
    ...[routes.toLocaleString('en'), what, of(fanway), of(gobgp), of(frr)],
    ...[ratio === undefined ? '' : figure(ratio), ...verdict(ratio ?? 0, bar)],
  ];
  const share = (one: Taken) => `${figure(one.cpuShare * 100)} %`;
  return [
    row(
      'first route to all',
      (one) => `${figure(one.fillMs / 1000)} s`,
      fanway.fillMs / gobgp.fillMs,
      1.5,
    ),
    row(
      'memory then',
      (one) => `${figure(one.megabytes)} MB`,
      fanway.megabytes / gobgp.megabytes,
      0.5,
    ),
    row(`${FLAPS_PER_SECOND} routes a second flap, of a processor`, share),
    [
      ...[routes.toLocaleString('en'), 'ping p99 meanwhile, to that before'],
      ...[`${figure(fanway.flapP99)} to ${figure(fanway.quietP99)} us`, '', ''],
      ...[
        figure(fanway.flapP99 / fanway.quietP99),
        ...verdict(fanway.flapP99 / fanway.quietP99, 1.2),
      ],
    ],
    [
      ...[routes.toLocaleString('en'), 'a clean stop', `${figure(fanway.stopMs / 1000)} s`],
      ...['', '', '', '', ''],
    ],
  ];
}

async function measure(routes: number): Promise<string[][]> {
  const lab = await Lab.create({ hosts: 6, containersPerHost: 1 });
  let source: Source | undefined;
  try {
    const text = (index: number): string => formatIpv4(lab.host(index).address);
    const reflector = text(REFLECTOR);
    const clients = [SOURCE, FANWAY, GOBGP, FRR].map((index) =>
      client(text(index), reflected(reflector)),
    );
    const global = `[global.config]\nas = ${AS}\nrouter-id = "${reflector}"\n`;
    const full = await Gobgp.start(lab.host(REFLECTOR), global + clients.join(''), [], 'newer');
    source = await Source.start(lab.host(SOURCE), reflector);
    await source.tell(0, routes, true);
    await fill(routes, () => gobgpRoutes(full), FILL_MS);
    const fabric = { lab, source, reflector };
    const other = async (receiver: Receiver): Promise<Taken> => {
      const taken = await take(fabric.source, routes, receiver);
      await receiver.end();
      return taken;
    };
    return rowsOf(routes, {
      gobgp: await other(await startGobgp(lab.host(GOBGP), reflector)),
      frr: await other(await startFrrReceiver(lab.host(FRR), reflector)),
      fanway: await takeFanway(fabric, routes),
    });
  } finally {
    await source?.close();
    lab.close();
  }
}

export const evpn: Extra = {
  key: 'evpn',
  slow: true,
  async run() {
    const missing = whyNoNewer() || whyNoFrr();
    if (missing !== false) return missing;
    const rows: string[][] = [];
    for (const routes of SIZES) {
      const measured = await measure(routes);
      for (const row of measured) process.stderr.write(`  ${row.join('  ')}\n`);
      rows.push(...measured);
    }
    return {
      title: 'BGP EVPN: type 2 routes from a GoBGP that reflects them',
      note: 'fanway has them when its tables forward; a second GoBGP and FRR’s bgpd (newer releases, without the kernel) when their RIB holds them. Memory is what their processes share out (Pss) right then.',
      columns: ['routes', 'figure', 'fanway', 'GoBGP', 'FRR', 'to GoBGP', 'bar', ''],
      rows,
    };
  },
};
