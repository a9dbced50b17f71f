/** How long a flow of probes stood still, from what probes met. */
import t from 'tap';
import { longestGapMs } from '../../bench/underlay-load.ts';
import type { ProbeSample } from '../../src/traffic/base/report.ts';

const MS = 1e6;

/** Probes of one flow every 20 ms for a second, answered after 1 ms but from `fromMs` to `toMs`. */
function flow(index: number, fromMs = 0, toMs = 0): ProbeSample[] {
  return Array.from({ length: 51 }, (_, i) => {
    const atMs = i * 20;
    const isLost = atMs >= fromMs && atMs < toMs;
    return [index, atMs * MS, isLost ? -1 : 1000, -1, -1];
  });
}

t.test('the longest of all flows, of answers between two times', async (t) => {
  const samples = [...flow(0), ...flow(1, 500, 700)];
  t.equal(longestGapMs(samples, 0, 1000 * MS, 2), 220, 'from the last answer to the next');
  t.equal(longestGapMs(samples, 0, 490 * MS, 2), 20, 'before it');
  t.equal(longestGapMs(samples, 650 * MS, 1000 * MS, 2), 220, 'what began before counts');
  const gone = [...flow(0), ...flow(1, 600, 2000)];
  t.equal(longestGapMs(gone, 500 * MS, 1000 * MS, 2), 419, 'who is not heard again');
  t.throws(() => longestGapMs(flow(0), 0, 1000 * MS, 2), /1 of 2 flows/);
  t.throws(() => longestGapMs(flow(0).slice(0, 1), 0, 1000 * MS, 1), /too early/);
});
