/**
 * MACs that move: a thousand a second for a minute, from one tunnel endpoint to another with a sequence
 * number one higher, as RFC 7432 §15 has it. Every one has to be where it went last.
 * @module
 */
import { macsCall } from '../src/api/networks.ts';
import { callRouter } from '../src/control/admin/admin-client.ts';
import { RunDirectory } from '../src/control/store/run-directory.ts';
import { Lab, type LabHost } from '../src/demo/lab.ts';
import { figure } from '../src/measure/statistics.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import { formatMac } from '../src/net/mac.ts';
import { cpuMs } from '../test/faults/rig.ts';
import { fill } from '../test/interop/bgp/scale.ts';
import { sleep } from '../test/support/patience.ts';
import { type Receiver, startFanway } from './evpn.ts';
import { macOf, Source, vtepOf } from './evpn-source.ts';
import type { Extra } from './extras.ts';

/** `FANWAY_BENCH_MOVES=5` for a look at it: seconds. */
const SECONDS = Number(process.env['FANWAY_BENCH_MOVES'] ?? 60);
const MOVES_PER_SECOND = 1000;
/** So many that none moves five times in three minutes, which would freeze it. */
const MACS = 20_000;
const BATCH = 100;
const FILL_MS = 300_000;
/** The last move may take so long to the tables. */
const SETTLE_MS = 30_000;
const [SOURCE, FANWAY] = [0, 1];

/** Where each MAC is, as the tables of the router have it. */
async function places(host: LabHost): Promise<Map<string, string>> {
  const run = new RunDirectory(host.runDirectory);
  const found = new Map<string, string>();
  for (let from: number | null = 0; from !== null; ) {
    const request = { network: null, from };
    const answer = await callRouter(run, macsCall.path, request, { anyNamespace: true });
    const page = macsCall.answer(answer, '');
    for (const { mac, host: at } of page.macs) found.set(mac, at);
    from = page.next;
  }
  return found;
}

/** MACs that are not where they went last. */
async function astray(host: LabHost, moved: readonly number[]): Promise<number> {
  const found = await places(host);
  return moved.filter((moves, index) => {
    return found.get(formatMac(macOf(index))) !== formatIpv4(vtepOf(index, moves));
  }).length;
}

type Outcome = { moves: number; seconds: number; lost: number; settleMs: number; cpuShare: number };

async function take(host: LabHost, source: Source, receiver: Receiver): Promise<Outcome> {
  await fill(MACS, () => receiver.count(MACS), FILL_MS);
  const [control = 0] = await receiver.pids();
  const moved = new Array<number>(MACS).fill(0);
  const [usedMs, beganMs] = [cpuMs(control), performance.now()];
  let moves = 0;
  while (moves < SECONDS * MOVES_PER_SECOND) {
    const from = moves % MACS;
    const times = (moved[from] ?? 0) + 1;
    await source.move(from, from + BATCH, times);
    moved.fill(times, from, from + BATCH);
    moves += BATCH;
    await sleep(Math.max(0, beganMs + (moves / MOVES_PER_SECOND) * 1000 - performance.now()));
  }
  const endMs = performance.now();
  const cpuShare = (cpuMs(control) - usedMs) / (endMs - beganMs);
  let lost = MACS;
  while (lost > 0 && performance.now() - endMs < SETTLE_MS) lost = await astray(host, moved);
  const settleMs = performance.now() - endMs;
  return { moves, seconds: (endMs - beganMs) / 1000, lost, settleMs, cpuShare };
}

async function measure(): Promise<Outcome> {
  const lab = await Lab.create({ hosts: 2, containersPerHost: 0 });
  let source: Source | undefined;
  let receiver: Receiver | undefined;
  try {
    const near = lab.host(FANWAY);
    receiver = await startFanway(near, formatIpv4(lab.host(SOURCE).address));
    source = await Source.start(lab.host(SOURCE), formatIpv4(near.address));
    await source.tell(0, MACS, true);
    return await take(near, source, receiver);
  } finally {
    await source?.close();
    await receiver?.end();
    lab.close();
  }
}

export const moves: Extra = {
  key: 'moves',
  slow: true,
  async run() {
    const { moves, seconds, lost, settleMs, cpuShare } = await measure();
    const rows = [
      ['moves', moves.toLocaleString('en'), '', ''],
      ['moves a second', figure(moves / seconds), '', ''],
      [
        'MACs not where they went last',
        String(lost),
        '<= 0',
        lost === 0 ? 'reached' : 'NOT reached',
      ],
      ['all are there after the last move', `${figure(settleMs)} ms`, '', ''],
      ['control, of a processor', `${figure(cpuShare * 100)} %`, '', ''],
    ];
    for (const row of rows) process.stderr.write(`  ${row.join('  ')}\n`);
    return {
      title: `${MACS.toLocaleString('en')} MACs, of which ${MOVES_PER_SECOND.toLocaleString('en')} a second move`,
      note: `A BGP neighbour tells of each that its new tunnel endpoint has it, with a sequence number one higher, and that the old one does not; ${SECONDS} s long. Then every MAC is looked up in the tables. The time after the last move includes asking for all of them once or more.`,
      columns: ['figure', 'value', 'bar', ''],
      rows,
    };
  },
};
