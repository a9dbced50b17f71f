/**
 * Several underlays, each a link of 1 Gb/s (tbf at both ends): what each mode makes of 1, 4 and 16 TCP
 * streams over two and four of them, beside one alone and, where this kernel has one, beside its bond under
 * VXLAN; and what 16 streams and probes beside them meet when one of the cables is pulled.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { Lab, type LabHost } from '../src/demo/lab.ts';
import { runFanway } from '../src/demo/router.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import type { XmitHashPolicy } from '../src/net/underlay-modes.ts';
import { runTcpPair, startTraffic } from '../src/traffic/run.ts';
import { addUnderlays, portOn } from '../test/control/underlays/lab.ts';
import { attach, BRIDGE, OVERLAY, statusOf } from '../test/faults/rig.ts';
import { BOND_MODES, hasBond, withBond } from './bond.ts';
import type { Extra } from './extras.ts';
import type { ExtraTable } from './results.ts';

/** Of each link, Mb/s. */
const LINK_MBITS = Number(process.env['FANWAY_BENCH_LINK_MBITS'] ?? 1000);
const STREAMS = [1, 4, 16] as const;
const SECONDS = Number(process.env['FANWAY_BENCH_LINK_SECONDS'] ?? 5);
const PORT = 5001;
const READY_MS = 30_000;
/** Flows of probes, told apart by their DSCP. */
const PROBE_CLASSES = '0,8,16,24,32,40,46,48';
const PING_MS = 5;

type Within = (work: () => Promise<void>) => Promise<void>;
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

async function goodput(lab: Lab, streams: number, seconds = SECONDS): Promise<number> {
  const to = lab.container(1);
  const path = { from: lab.container(0), to, address: formatIpv4(to.address) };
  const { received } = await runTcpPair(path, { port: PORT, streams, seconds });
  return received.gbps * 1000;
}

/** Probes of several flows from container to container; ends with how long one stood still at most, ms. */
async function longestGap(lab: Lab, seconds: number): Promise<number> {
  const [from, to] = [lab.container(0), lab.container(1)];
  const [listen, peer] = [formatIpv4(to.address), formatIpv4(from.address)];
  const port = PORT + 1;
  const reflector = startTraffic(to, 'reflect', { port, seconds: 10 * seconds, listen, peer });
  const heardNs = new Map<number, number>();
  let longestNs = 0;
  let lastNs = 0;
  try {
    await reflector.ready;
    const flows = { targets: listen, dscp: PROBE_CLASSES, interval: PING_MS };
    const prober = startTraffic(from, 'probe', { port, seconds, ...flows });
    prober.onInterim = (report) => {
      if (report.event !== 'probe-samples') return;
      for (const [stream, sentNs, rttUs] of report.samples) {
        lastNs = Math.max(lastNs, sentNs);
        if (rttUs < 0) continue;
        const atNs = sentNs + rttUs * 1000;
        const before = heardNs.get(stream) ?? atNs;
        longestNs = Math.max(longestNs, atNs - before);
        heardNs.set(stream, Math.max(before, atNs));
      }
    };
    await prober.finish();
  } finally {
    reflector.kill();
  }
  if (heardNs.size === 0) throw new Error('no probe was answered');
  // Who was not heard again stood still to the end.
  for (const atNs of heardNs.values()) longestNs = Math.max(longestNs, lastNs - atNs);
  return longestNs / 1e6;
}

/** 16 streams, and a cable that is pulled half way: goodput of all of it, and the longest gap of a flow. */
async function pulled(lab: Lab): Promise<string> {
  const port = portOn(1, lab.host(0));
  const streams = goodput(lab, Math.max(...STREAMS), 2 * SECONDS);
  const gap = longestGap(lab, 2 * SECONDS);
  try {
    await sleep(SECONDS * 1000);
    await lab.middle.netlink.setLink(port, { up: false });
    const [mbits, gapMs] = await Promise.all([streams, gap]);
    return `${mbits.toFixed(0)}, ${gapMs.toFixed(0)} ms`;
  } finally {
    await lab.middle.netlink.setLink(port, { up: true });
    await Promise.allSettled([streams, gap]);
  }
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
  const bonds = hasBond() ? BOND_MODES : [];
  try {
    await addUnderlays(lab, 3);
    for (const host of lab.hosts) {
      const refused = shape(host, 4);
      if (refused !== undefined) return refused;
    }
    const measure = async (title: string, underlays: number, within: Within) => {
      const figures: string[] = [];
      await within(async () => {
        for (const streams of STREAMS) figures.push((await goodput(lab, streams)).toFixed(0));
        figures.push(underlays > 1 ? await pulled(lab) : '');
      });
      rows.push([String(underlays), title, ...figures]);
      progress(rows.at(-1) ?? []);
    };
    await measure('one underlay', 1, (work) => withFan(lab, 1, [], work));
    for (const underlays of [2, 4]) {
      for (const { title, words } of MODES) {
        await measure(title, underlays, (work) => withFan(lab, underlays, words, work));
      }
      for (const mode of bonds) {
        await measure(mode.title, underlays, (work) => withBond(lab, underlays, mode, work));
      }
    }
  } finally {
    lab.close();
  }
  return {
    title: `Several underlays of ${LINK_MBITS} Mb/s each`,
    note: `TCP from container to container, ${SECONDS} s each, goodput in Mb/s; tbf at both ends of each underlay. Pulled: 16 streams for twice as long, one cable out at one end half way; Mb/s over all of it, and how long one of ${PROBE_CLASSES.split(',').length * 2} flows of probes beside them had no answer. ${bonds.length > 0 ? `The kernel's bond (miimon 100) is under VXLAN.` : "This kernel has no bond to stand beside (no module 'bonding')."}`,
    columns: ['underlays', 'mode', ...STREAMS.map((count) => `${count} streams`), 'one pulled'],
    rows,
  };
}

export const underlays: Extra = { key: 'underlays', slow: true, run };
