/**
 * Links that come to a router that runs: how long one takes beside 50 others and what it costs their
 * traffic, and what 256 of them take of memory.
 * @module
 */
import { upCall } from '../src/api/fans.ts';
import { fanRequest } from '../src/config/request.ts';
import { callRouter } from '../src/control/admin/admin-client.ts';
import { RunDirectory } from '../src/control/store/run-directory.ts';
import { Lab, type LabHost } from '../src/demo/lab.ts';
import { runFanway } from '../src/demo/router.ts';
import { LINKS_MAX } from '../src/limits.ts';
import { figure, spreadOf } from '../src/measure/statistics.ts';
import { attach, BRIDGE, OVERLAY, startFlow, statusOf } from '../test/faults/rig.ts';
import type { Extra } from './extras.ts';
import { residentBytes } from './machine.ts';

/** Links that are there while others are timed, and how many are. */
const OTHERS = 50;
const TIMED = 20;
/** Datagrams a second each way meanwhile, over the first link. */
const PPS = 2000;
const SETTLE_MS = 15_000;

/** Fan number `index`: 10.INDEX.0.0/16, a /24 for each host of this one's /24 of the underlay. */
async function addFan(host: LabHost, index: number): Promise<number> {
  const request = fanRequest({
    overlay: { address: 0x0a00_0000 + index * 0x1_0000, length: 16 },
    underlay: { kind: 'device', device: 'eth0', length: 24 },
    masquerade: false,
  });
  const beganMs = performance.now();
  const run = new RunDirectory(host.runDirectory);
  const options = { anyNamespace: true };
  const answer = upCall.answer(await callRouter(run, upCall.path, { request }, options), '');
  const tookMs = performance.now() - beganMs;
  if (answer.outcome !== 'changes') throw new Error(JSON.stringify(answer));
  return tookMs;
}

/** Memory of control and data process once they have come to rest, MB. */
async function memoryOf(host: LabHost): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const { pid, processes } = await statusOf(host);
  const pids = [pid, ...processes.map((process) => process.pid)];
  return pids.reduce((sum, pid) => sum + residentBytes(pid), 0) / 1e6;
}

/** Adds fans `from` to below `to`, all timed, while datagrams go both ways over the first link. */
async function timed(lab: Lab, from: number, to: number): Promise<{ ms: number[]; lost: number }> {
  const [here, there] = [lab.container(0), lab.container(1)];
  const flows = [
    await startFlow(here, there, { rate: PPS, seconds: 8 }),
    await startFlow(there, here, { rate: PPS, seconds: 8, port: 7101 }),
  ];
  const ms: number[] = [];
  for (let index = from; index < to; index++) {
    ms.push(await addFan(lab.host(0), index));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  let lost = 0;
  for (const flow of flows) {
    const { sent, received } = await flow.finish();
    lost += sent.sent - received.received;
  }
  return { ms, lost };
}

async function measure(lab: Lab): Promise<string[][]> {
  const host = lab.host(0);
  for (const each of lab.hosts) {
    await runFanway(each, ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE]);
    await attach(each);
  }
  const one = await memoryOf(host);
  let index = 1;
  for (; index < OTHERS; index++) await addFan(host, index);
  const pids = JSON.stringify((await statusOf(host)).processes.map(({ pid }) => pid));
  const { ms, lost } = await timed(lab, index, index + TIMED);
  const isSame = pids === JSON.stringify((await statusOf(host)).processes.map(({ pid }) => pid));
  const spread = spreadOf(ms);
  for (index += TIMED; index < LINKS_MAX; index++) await addFan(host, index);
  const all = await memoryOf(host);
  const row = (what: string, value: number, bar: number, unit: string): string[] => [
    what,
    `${figure(value)} ${unit}`.trim(),
    `<= ${bar} ${unit}`.trim(),
    value <= bar ? 'reached' : 'NOT reached',
  ];
  return [
    row(`a link more beside ${OTHERS}, median of ${TIMED}`, spread?.median ?? 0, 50, 'ms'),
    row('the slowest of them', spread?.max ?? 0, 50, 'ms'),
    row('datagrams of the others lost meanwhile', lost, 0, ''),
    row('data processes that were replaced', isSame ? 0 : 1, 0, ''),
    row('memory with one link', one, 130, 'MB'),
    row(`${LINKS_MAX} links, times that`, all / one, 1.2, ''),
  ];
}

export const links: Extra = {
  key: 'links',
  slow: true,
  async run() {
    const lab = await Lab.create({ hosts: 2 });
    try {
      const rows = await measure(lab);
      for (const row of rows) process.stderr.write(`  ${row.join('  ')}\n`);
      return {
        title: 'Links that come to a router that runs',
        note: `A link is timed from the request on the admin socket to its answer, with ${PPS} datagrams a second each way over the first one.`,
        columns: ['figure', 'value', 'bar', ''],
        rows,
      };
    } finally {
      lab.close();
    }
  },
};
