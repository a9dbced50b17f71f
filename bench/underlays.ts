/**
 * Several underlays, each a link of 1 Gb/s (tbf at both ends): what each mode makes of 1, 4 and 16 TCP
 * streams over two and four of them, beside one alone. How long a pulse stands still when one of two falls
 * silent or loses its cable is told by the tests (test/control/underlays).
 * @module
 */
import { spawnSync } from 'node:child_process';
import { Lab, type LabHost } from '../src/demo/lab.ts';
import { runFanway } from '../src/demo/router.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import type { XmitHashPolicy } from '../src/net/underlay-modes.ts';
import { runTcpPair, startTraffic } from '../src/traffic/run.ts';
import { addUnderlays } from '../test/control/underlays/lab.ts';
import { attach, BRIDGE, OVERLAY, statusOf } from '../test/faults/rig.ts';
import type { Extra } from './extras.ts';
import type { ExtraTable } from './results.ts';

/** Of each link, Mb/s. */
const LINK_MBITS = Number(process.env['FANWAY_BENCH_LINK_MBITS'] ?? 1000);
const STREAMS = [1, 4, 16] as const;
const SECONDS = 5;
const PORT = 5001;
const READY_MS = 30_000;
const PING_MS = 5;

type Mode = { title: string; words: string[] };

function xor(policy: XmitHashPolicy): Mode {
  return {
    title: `balance-xor, ${policy}`,
    words: ['--underlay-mode', 'balance-xor', '--xmit-hash-policy', policy],
  };
}

const MODES: readonly Mode[] = [
  { title: 'active-backup', words: [] },
  ...(['layer2', 'layer2+3', 'layer3+4'] as const).map(xor),
  { title: 'balance-rr', words: ['--underlay-mode', 'balance-rr'] },
  { title: 'latency', words: ['--underlay-mode', 'latency'] },
];

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Slows what a host sends on each of its underlays; a sentence when this machine cannot. */
function shape(host: LabHost, underlays: number): string | undefined {
  for (let i = 0; i < underlays; i++) {
    const how = ['tbf', 'rate', `${LINK_MBITS}mbit`, 'burst', '256kb', 'latency', '20ms'];
    const args = ['qdisc', 'add', 'dev', `eth${i}`, 'root', ...how];
    const result = host.run(() => spawnSync('tc', args));
    if (result.status !== 0) return `tc refused a tbf: ${result.stderr?.toString().trim() ?? ''}`;
  }
  return undefined;
}

/** Pings from container to container; ends with how many went and how many were answered. */
function pings(lab: Lab, seconds: number) {
  const targets = formatIpv4(lab.container(1).address);
  return startTraffic(lab.container(0), 'echo', {
    ...{ targets, interval: PING_MS, timeout: 1000, seconds, count: 1_000_000 },
  });
}

/** Waits until all ways are known to both hosts, while packets go. */
async function ready(lab: Lab, underlays: number): Promise<void> {
  const echo = pings(lab, READY_MS / 1000);
  try {
    const deadlineMs = performance.now() + READY_MS;
    for (const host of lab.hosts) {
      for (;;) {
        const [link] = (await statusOf(host)).links;
        const used = (link?.underlays ?? []).filter(({ peers }) => peers.some((one) => one.used));
        if (used.length === underlays) break;
        if (performance.now() > deadlineMs)
          throw new Error(`${host.name} does not use all of them`);
        await sleep(50);
      }
    }
  } finally {
    echo.kill();
  }
}

async function goodput(lab: Lab, streams: number): Promise<number> {
  const to = lab.container(1);
  const path = { from: lab.container(0), to, address: formatIpv4(to.address) };
  const { received } = await runTcpPair(path, { port: PORT, streams, seconds: SECONDS });
  return received.gbps * 1000;
}

const where = (underlays: number): string =>
  Array.from({ length: underlays }, (_, i) => `eth${i}/16`).join(',');

async function withFan<T>(
  lab: Lab,
  underlays: number,
  words: readonly string[],
  run: () => Promise<T>,
): Promise<T> {
  for (const host of lab.hosts) {
    await runFanway(host, ['up', OVERLAY, where(underlays), 'bridge', BRIDGE, ...words]);
    await attach(host);
  }
  try {
    if (underlays > 1) await ready(lab, underlays);
    return await run();
  } finally {
    for (const host of lab.hosts) await runFanway(host, ['down', '-e', '--force']);
    for (const host of lab.hosts) {
      for (const container of host.containers) await container.detach();
      if ((await host.netlink.findLink(BRIDGE)) !== undefined) {
        await host.netlink.deleteLink(BRIDGE);
      }
    }
  }
}

function progress(cells: readonly string[]): void {
  process.stderr.write(`  ${cells.join('  ')}\n`);
}

async function run(): Promise<ExtraTable | string> {
  const lab = await Lab.create({ hosts: 2 });
  const rows: string[][] = [];
  try {
    await addUnderlays(lab, 3);
    for (const host of lab.hosts) {
      const refused = shape(host, 4);
      if (refused !== undefined) return refused;
    }
    const measure = async (title: string, underlays: number, words: readonly string[]) => {
      const figures: string[] = [];
      await withFan(lab, underlays, words, async () => {
        for (const streams of STREAMS) figures.push((await goodput(lab, streams)).toFixed(0));
      });
      rows.push([String(underlays), title, ...figures]);
      progress(rows.at(-1) ?? []);
    };
    await measure('one underlay', 1, []);
    for (const underlays of [2, 4]) {
      for (const { title, words } of MODES) await measure(title, underlays, words);
    }
  } finally {
    lab.close();
  }
  return {
    title: `Several underlays of ${LINK_MBITS} Mb/s each`,
    note: `TCP from container to container, ${SECONDS} s each, goodput in Mb/s; tbf at both ends of each underlay. ${bondText()}`,
    columns: ['underlays', 'mode', ...STREAMS.map((count) => `${count} streams`)],
    rows,
  };
}

/** Whether this kernel has a bond to stand beside. */
function bondText(): string {
  const result = spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'fwbench0', 'type', 'bond']);
  return result.status === 0
    ? "The kernel's bond is there, and is not measured here."
    : "This kernel has no bond to stand beside (no module 'bonding').";
}

export const underlays: Extra = { key: 'underlays', slow: true, run };
