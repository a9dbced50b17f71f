/** What is shown while a latency experiment goes on. */
import t from 'tap';
import { fitted } from '../../src/cli/verb/progress.ts';
import { liveView } from '../../src/measure/latency/live-view.ts';
import { type Point, type SampledRates, streamsOf } from '../../src/measure/latency/samples.ts';

const EF = 46;
const INTERVAL_MS = 50;

/** Probes each 50 ms: 1 ms idle, `loadedMs` from 2 s on, lost between 3.5 and 4 s. */
function points(loadedMs: number): Point[] {
  return Array.from({ length: 100 }, (_, index) => {
    const atMs = index * INTERVAL_MS;
    const isLost = atMs >= 3500 && atMs < 4000;
    return [atMs, isLost ? -1 : (atMs < 2000 ? 1 : loadedMs) * 1000, 0, 0];
  });
}

t.test('the view tells each class, goodput and what is left', async (t) => {
  const streams = streamsOf(['tunnel', 'underlay'], [0, EF]);
  for (const stream of streams) {
    if (stream.protocol === 'udp') stream.points.push(...points(stream.dscp === EF ? 2 : 100));
  }
  const up = Array.from({ length: 30 }, (_, i): [number, number] => [2000 + i * 100, 90e6]);
  const rates: SampledRates = { up, down: [] };
  t.same(liveView({ streams, rates }, 'up', 5000, 4.2), [
    'load up, 5 s left',
    'goodput up     90.0 Mb/s      ██████',
    'goodput down           -',
    'tunnel CS0        100 ms  ▃▃▃▃▇▇▇×▇▇',
    'tunnel EF        2.00 ms  ▃▃▃▃▃▃▃×▃▃',
    'underlay CS0      100 ms  ▃▃▃▃▇▇▇×▇▇',
  ]);
  const late = liveView({ streams, rates }, 'both', 4000, -1);
  t.equal(late[0], 'load both, 0 s left');
  const early = liveView(
    { streams: streamsOf(['tunnel'], [0]), rates: { up: [], down: [] } },
    'idle',
    0,
    8,
  );
  t.same(early, [
    'idle, 8 s left',
    'goodput up             -',
    'goodput down           -',
    'tunnel CS0             -',
  ]);
  const long = liveView({ streams, rates }, 'up', 120_000, 1);
  t.ok(
    long.every((line) => line.length <= 60),
    'only the last half minute, whatever it takes',
  );
});

t.test('what is written over fits its terminal', async (t) => {
  t.same(fitted('abcdef\n▁▂▃▄\nthree', { columns: 4, rows: 3 }), ['abc', '▁▂▃']);
  t.same(fitted('one', { columns: 80, rows: 24 }), ['one']);
  t.same(fitted('one\ntwo', { columns: 0, rows: 0 }), ['o']);
});
