/**
 * Entries that come and go beside traffic: 100,000 in, then a thousand changes a second, with a TCP stream
 * and pings over a fan of the same router, in turns with the same time without changes.
 * @module
 */
import { Lab } from '../src/demo/lab.ts';
import { runFanway } from '../src/demo/router.ts';
import { figure, spreadOf } from '../src/measure/statistics.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import { runEcho, runTcpPair } from '../src/traffic/run.ts';
import { attach, BRIDGE, cpuMs, OVERLAY } from '../test/faults/rig.ts';
import { fill } from '../test/interop/bgp/scale.ts';
import { sleep, until } from '../test/support/patience.ts';
import { FLAPS_PER_SECOND, flap, type Receiver, startFanway } from './evpn.ts';
import { Source } from './evpn-source.ts';
import type { Extra } from './extras.ts';

/** `FANWAY_BENCH_CHURN=5000` for a look at it. */
const ENTRIES = Number(process.env['FANWAY_BENCH_CHURN'] ?? 100_000);
/** Turns with changes, and without, and how long each is: a minute of changes together. */
const TURNS = 3;
const TURN_SECONDS = 20;
const PING_MS = 10;
const FILL_MS = 600_000;
/** What a change may take from the speaker to the tables at the end. */
const SETTLE_MS = 30_000;
/** Withdrawn at the very end: what is left says whether every change has arrived. */
const LAST = 700;

const [SOURCE, FANWAY, FAR] = [0, 1, 2];

/** Of one turn: round trips, µs, and bits a second. */
type Turn = { p99Us: number; bps: number };

async function turn(lab: Lab, port: number): Promise<Turn> {
  const [from, to] = [lab.container(FANWAY), lab.container(FAR)];
  const address = formatIpv4(to.address);
  const count = (TURN_SECONDS * 1000) / PING_MS;
  const [tcp, echo] = await Promise.all([
    runTcpPair({ from, to, address }, { port, seconds: TURN_SECONDS }),
    runEcho(from, [address], { count, interval: PING_MS }),
  ]);
  return { p99Us: echo.targets[0]?.rtt?.p99Us ?? Number.NaN, bps: tcp.received.gbps * 1e9 };
}

type Outcome = { quiet: Turn[]; churned: Turn[]; cpuShare: number; lost: number };

/** The turns, each with a quiet one right before it. */
async function take(lab: Lab, source: Source, receiver: Receiver): Promise<Outcome> {
  await fill(ENTRIES, () => receiver.count(ENTRIES), FILL_MS);
  for (const index of [FANWAY, FAR]) await attach(lab.host(index));
  const pids = await receiver.pids();
  const outcome: Outcome = { quiet: [], churned: [], cpuShare: 0, lost: 0 };
  await turn(lab, 7300);
  for (let round = 0; round < TURNS; round++) {
    outcome.quiet.push(await turn(lab, 7301 + 2 * round));
    // Control's part alone: the data process is busy with the stream either way.
    const [control = 0] = pids;
    const [before, beganMs] = [cpuMs(control), performance.now()];
    const [churned] = await Promise.all([turn(lab, 7302 + 2 * round), flap(source, TURN_SECONDS)]);
    outcome.cpuShare += (cpuMs(control) - before) / (performance.now() - beganMs) / TURNS;
    outcome.churned.push(churned);
  }
  await source.tell(0, LAST, false);
  const wanted = ENTRIES - LAST;
  let left = 0;
  await until('the last changes', SETTLE_MS, async () => {
    left = await receiver.count(0);
    return left === wanted ? true : undefined;
  }).catch(() => undefined);
  await sleep(1000);
  outcome.lost = Math.abs((await receiver.count(0)) - wanted);
  return outcome;
}

function rowsOf({ quiet, churned, cpuShare, lost }: Outcome): string[][] {
  const median = (turns: readonly Turn[], of: (turn: Turn) => number): number =>
    spreadOf(turns.map(of))?.median ?? Number.NaN;
  const p99 = median(churned, (one) => one.p99Us) / median(quiet, (one) => one.p99Us);
  const rate = median(churned, (one) => one.bps) / median(quiet, (one) => one.bps);
  const us = (turns: readonly Turn[]) => `${figure(median(turns, (one) => one.p99Us))} us`;
  const gb = (turns: readonly Turn[]) => `${figure(median(turns, (one) => one.bps) / 1e9)} Gb/s`;
  const judged = (bar: string, isReached: boolean) => [bar, isReached ? 'reached' : 'NOT reached'];
  return [
    ['ping p99', us(quiet), us(churned), figure(p99), ...judged('<= 1.2', p99 <= 1.2)],
    ['TCP, 1 stream', gb(quiet), gb(churned), figure(rate), ...judged('>= 0.97', rate >= 0.97)],
    ['updates lost', '', String(lost), '', ...judged('<= 0', lost === 0)],
    ['control, of a processor', '', `${figure(cpuShare * 100)} %`, '', '', ''],
  ];
}

async function measure(): Promise<string[][]> {
  const lab = await Lab.create({ hosts: 3, containersPerHost: 1 });
  let source: Source | undefined;
  let receiver: Receiver | undefined;
  try {
    const [near, far] = [lab.host(FANWAY), lab.host(FAR)];
    await runFanway(far, ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE, '--encap', 'vxlan']);
    receiver = await startFanway(near, formatIpv4(lab.host(SOURCE).address));
    source = await Source.start(lab.host(SOURCE), formatIpv4(near.address));
    await source.tell(0, ENTRIES, true);
    return rowsOf(await take(lab, source, receiver));
  } finally {
    await source?.close();
    await receiver?.end();
    lab.close();
  }
}

export const churn: Extra = {
  key: 'churn',
  slow: true,
  async run() {
    const rows = await measure();
    for (const row of rows) process.stderr.write(`  ${row.join('  ')}\n`);
    return {
      title: `${ENTRIES.toLocaleString('en')} entries, and ${FLAPS_PER_SECOND.toLocaleString('en')} changes a second beside traffic`,
      note: `The entries are MACs that a BGP neighbour tells. Medians of ${TURNS} turns of ${TURN_SECONDS} s with changes and as many without, one after the other, each with a TCP stream and a ping every ${PING_MS} ms over a fan of the same router. Updates are lost when the tables do not hold what the neighbour told last.`,
      columns: ['figure', 'without', 'with', 'ratio', 'bar', ''],
      rows,
    };
  },
};
