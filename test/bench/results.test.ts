import t from 'tap';
import { renderCharts, renderPage, renderText } from '../../bench/render.ts';
import { compare, judgeBars, type Results } from '../../bench/results.ts';
import { bars, rows } from '../../bench/rows.ts';
import { renderChart } from '../../src/measure/chart.ts';
import { figure, movedBeyondNoise, spreadOf } from '../../src/measure/statistics.ts';

const results = (samples: Results['samples']): Results => ({
  format: 1,
  date: '2026-01-02T03:04:05.000Z',
  quick: false,
  rounds: 3,
  machine: { kernel: '6.1', node: '20.0.0', cpu: 'a <fast> one', cores: 2, memoryBytes: 4e9 },
  noisy: 0,
  variants: [
    { key: 'kernel', title: 'kernel VXLAN', ours: false },
    { key: 'vxlan', title: 'fanway vxlan', ours: true },
  ],
  samples,
  notAvailable: [{ what: 'fanway ipip', reason: 'no reason' }],
});

t.test('spreadOf()', async (t) => {
  t.equal(spreadOf([]), undefined);
  t.same(spreadOf([3]), { median: 3, min: 3, max: 3, rounds: 1 });
  t.same(spreadOf([9, 1, 5]), { median: 5, min: 1, max: 9, rounds: 3 });
  t.same(spreadOf([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4, rounds: 4 });
});

t.test('movedBeyondNoise() wants medians outside of each other’s range', async (t) => {
  const spread = (min: number, median: number, max: number, rounds = 5) => {
    return { median, min, max, rounds };
  };
  const cases: [string, ReturnType<typeof spread>, ReturnType<typeof spread>, boolean][] = [
    ['the same', spread(9, 10, 11), spread(9, 10, 11), false],
    ['apart', spread(9, 10, 11), spread(14, 15, 16), true],
    ['apart but tiny', spread(99, 100, 101), spread(102, 103, 104), false],
    ['wide before', spread(5, 10, 20), spread(14, 15, 16), false],
    ['wide now', spread(9, 10, 11), spread(5, 15, 20), false],
    ['single rounds, small', spread(10, 10, 10, 1), spread(11, 11, 11, 1), false],
    ['single rounds, large', spread(10, 10, 10, 1), spread(8, 8, 8, 1), true],
    ['from nothing', spread(0, 0, 0), spread(1, 1, 1), true],
  ];
  for (const [name, before, now, want] of cases) t.equal(movedBeyondNoise(before, now), want, name);
});

t.test('figure() shows three digits', async (t) => {
  const cases: [number, string][] = [
    [0, '0'],
    [0.01234, '0.0123'],
    [1.234, '1.23'],
    [12.34, '12.3'],
    [123.4, '123'],
    [1234567, '1,234,567'],
  ];
  for (const [value, want] of cases) t.equal(figure(value), want);
});

t.test('judgeBars() divides by what the bar names', async (t) => {
  const judged = judgeBars(
    results({
      tcp1: { kernel: [20, 10, 30], vxlan: [12, 11, 13] },
      udp1: { kernel: [100], vxlan: [120] },
      udpOverload: { vxlan: [119] },
      echo: { kernel: [6], vxlan: [50] },
    }),
  );
  const verdicts = judged.map(({ row, value, verdict }) => [row, value, verdict]);
  t.same(verdicts, [
    ['tcp1', 0.6, 'bar'],
    ['udp1', 1.2, 'short'],
    ['udpOverload', 119 / 120, 'goal'],
    ['echo', 50, 'bar'],
  ]);
});

t.test('every bar names a row', async (t) => {
  for (const bar of bars)
    t.ok(
      rows.some(({ key }) => key === bar.row),
      bar.row,
    );
});

t.test('compare() names what moved, bad news first', async (t) => {
  const before = results({ tcp1: { vxlan: [10, 10, 10] }, echo: { vxlan: [50, 50, 50] } });
  const now = results({ tcp1: { vxlan: [12, 12, 12] }, echo: { vxlan: [70, 70, 70] } });
  const moved = compare(before, now).map(({ row, improved }) => [row.key, improved]);
  t.same(moved, [
    ['echo', false],
    ['tcp1', true],
  ]);
  t.match(renderText(now, before), /WORSE: ping -f, average, vxlan: 50.0 .*-> 70.0 .*\(40.0 %\)/);
  t.match(renderText(now, now), /nothing moved beyond noise/);
  t.match(renderText(now, undefined), /No earlier kept result/);
  t.match(renderText(now, undefined), /fanway ipip: n\/a, no reason/);
});

t.test('charts are well-formed and escape their words', async (t) => {
  const value = { median: 2, min: 1, max: 3, rounds: 3 };
  const svg = renderChart({
    title: 'a < b & c',
    caption: 'Gb/s',
    bars: [{ label: '<one>', value, ours: true }],
    mark: { value: 5, label: 'bar' },
  });
  t.match(svg, /^<svg [^>]*>\n<title>a &lt; b &amp; c<\/title>/);
  t.notMatch(svg, /<one>|NaN|undefined/);
  t.equal(svg.match(/<text/g)?.length, svg.match(/<\/text>/g)?.length);
  const charts = renderCharts(results({ tcp1: { kernel: [20], vxlan: [12] } }));
  t.same([...charts.keys()], ['tcp1.svg']);
  t.match(charts.get('tcp1.svg'), /bar: 0.55 of the kernel/);
  t.match(
    renderPage(results({ tcp1: { kernel: [20], vxlan: [12] } }), undefined, ['tcp1.svg']),
    /\| TCP, 1 stream \| vxlan \/ kernel \| 0.600 \| >= 0.55 \| >= 0.8 \| reached \|/,
  );
});
