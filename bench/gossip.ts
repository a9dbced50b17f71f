/**
 * The gossip channel: the figures that it is held to, from the simulator. Times are virtual, so
 * they follow from the seed and not from this machine; the processor's share is real.
 * @module
 */
import { figure } from '../src/measure/statistics.ts';
import {
  convergenceMs,
  deathDelaysMs,
  entryDelaysMs,
  falseDeaths,
  healing,
  idleBytesPerSecond,
  idleProcessorShare,
  LONG_PARTITION_MS,
  LOSSY,
  leaveDelaysMs,
  percentile,
  startMs,
} from '../test/sim/figures.ts';
import type { Extra } from './extras.ts';

const SEED = 4;
const NODES = 64;
/** Nodes of the cluster in which some have little of a processor. */
const SLOW_NODES = 16;
const SLOW = 2;
const ENTRIES = 100_000;
const MINUTE_MS = 60_000;

type Line = { what: string; value: number; bar: number; unit: string };

/** All figures; each line is measured on a cluster of its own. */
function* measure(): Generator<Line> {
  const size = { seed: SEED, nodes: NODES };
  const entries = entryDelaysMs(size, 200);
  const lossy = entryDelaysMs(size, 200, LOSSY);
  const s = (ms: number) => ms / 1000;
  const p99 = (values: number[]) => s(percentile(values, 0.99));
  yield { what: 'an entry is known everywhere, p99', value: p99(entries), bar: 2, unit: 's' };
  yield { what: 'the same at 10 % loss', value: p99(lossy), bar: 2, unit: 's' };
  const deaths = deathDelaysMs(size, 20);
  yield {
    what: 'a silent death, slowest of 20',
    value: s(Math.max(...deaths)),
    bar: 10,
    unit: 's',
  };
  const leaves = leaveDelaysMs(size, 20);
  yield { what: 'a clean leave, slowest of 20', value: s(Math.max(...leaves)), bar: 1, unit: 's' };
  const bytes = idleBytesPerSecond(size, 5 * MINUTE_MS);
  yield { what: 'steady traffic of the busiest node', value: bytes / 1000, bar: 5, unit: 'kB/s' };
  const inLoss = falseDeaths(size, 10 * MINUTE_MS, { conditions: LOSSY });
  const tenMinutes = 'false deaths in 10 min at 10 % loss';
  yield { what: tenMinutes, value: inLoss.healthy, bar: 0, unit: '' };
  const starved = falseDeaths({ seed: SEED, nodes: SLOW_NODES }, 30 * MINUTE_MS, { slow: SLOW });
  const halfHour = `false deaths in 30 min, ${SLOW} of ${SLOW_NODES} at 10 % of a processor`;
  yield { what: halfHour, value: starved.healthy + starved.slow, bar: 0, unit: '' };
  const { wholeMs, equalMs, cameBack } = healing(size, LONG_PARTITION_MS);
  yield { what: 'healed after 2 h in halves', value: s(wholeMs), bar: 30, unit: 's' };
  yield { what: 'and tables equal', value: s(equalMs), bar: 60, unit: 's' };
  yield { what: 'withdrawn meanwhile and back', value: cameBack, bar: 0, unit: '' };
  const converged = s(convergenceMs(size, ENTRIES));
  yield { what: '100,000 entries at once, everywhere', value: converged, bar: 60, unit: 's' };
  const started = s(startMs(size));
  yield { what: 'all start within 1 s: whole and equal', value: started, bar: 15, unit: 's' };
  const share = idleProcessorShare(size, MINUTE_MS) * 100;
  yield {
    what: 'an idle node without its system calls, of a core',
    value: share,
    bar: 0.5,
    unit: '%',
  };
}

export const gossip: Extra = {
  key: 'gossip',
  slow: true,
  async run() {
    const rows: string[][] = [];
    for (const { what, value, bar, unit } of measure()) {
      const verdict = value <= bar ? 'reached' : 'NOT reached';
      rows.push([what, `${figure(value)} ${unit}`.trim(), `<= ${bar} ${unit}`.trim(), verdict]);
      process.stderr.write(`  ${what}: ${figure(value)} ${unit}\n`);
    }
    return {
      title: `Gossip, ${NODES} nodes in virtual time, seed ${SEED}`,
      note: 'The same code as in the daemon on a simulated network of up to 2 ms each way; traffic counts IP and UDP headers.',
      columns: ['figure', 'value', 'bar', ''],
      rows,
    };
  },
};
