import t from 'tap';
import { Histogram } from '../../src/traffic/base/histogram.ts';
import { Options } from '../../src/traffic/base/options.ts';
import { Tally } from '../../src/traffic/udp-receive.ts';

t.test('Histogram keeps quantiles within its bucket width', async (t) => {
  const histogram = new Histogram();
  for (let us = 1; us <= 1000; us += 1) histogram.record(us * 1000);
  const { count, minUs, avgUs, p50Us, p99Us, maxUs } = histogram.summary();
  t.equal(count, 1000);
  t.equal(minUs, 1);
  t.equal(maxUs, 1000);
  t.equal(avgUs, 500.5);
  t.ok(Math.abs(p50Us - 500) < 500 * 0.065, `p50 ${p50Us}`);
  t.ok(Math.abs(p99Us - 990) < 990 * 0.065, `p99 ${p99Us}`);
});

t.test('Histogram takes the extremes', async (t) => {
  const histogram = new Histogram();
  t.same(histogram.summary().count, 0);
  for (const value of [-5, 0, 1, 31, 32, 63, 64, 2 ** 31, 2 ** 32, 1e15]) histogram.record(value);
  t.equal(histogram.summary().count, 10);
  t.equal(
    histogram.filled().reduce((sum, [, count]) => sum + count, 0),
    10,
  );
  t.same(histogram.filled().slice(0, 4), [
    [0, 2],
    [1, 1],
    [31, 1],
    [32.5, 1],
  ]);
});

t.test('Tally tells loss, duplicates and lateness apart', async (t) => {
  const cases: [string, number[], Record<string, number>][] = [
    ['in order', [0, 1, 2, 3], { received: 4, missing: 0, duplicates: 0, late: 0 }],
    ['one lost', [0, 1, 3], { received: 3, missing: 1, duplicates: 0, late: 0 }],
    ['one late', [0, 2, 1, 3], { received: 4, missing: 0, duplicates: 0, late: 1 }],
    ['one twice', [0, 1, 1, 2], { received: 3, missing: 0, duplicates: 1, late: 0 }],
    ['late and twice', [0, 2, 1, 1], { received: 3, missing: 0, duplicates: 1, late: 1 }],
    ['window moved', [0, 1024, 2048, 1030], { received: 4, missing: 2045, duplicates: 0, late: 1 }],
    ['too old', [0, 1024, 2048, 1], { received: 3, missing: 2046, duplicates: 1, late: 0 }],
    ['first lost', [5], { received: 1, missing: 5, duplicates: 0, late: 0 }],
  ];
  for (const [name, sequence, want] of cases) {
    const tally = new Tally(2);
    for (const number of sequence) tally.count(1, number, 1000);
    const { received, duplicates, late } = tally;
    t.same({ received, missing: tally.missing(), duplicates, late }, want, name);
    t.equal(tally.flowsSeen(), 1);
  }
  const tally = new Tally(2);
  tally.count(2, 0, 0);
  t.equal(tally.foreign, 1, 'an unknown flow is foreign');
});

t.test('Options checks bounds and names what is wrong', async (t) => {
  const bounds = { min: 1, max: 10 };
  t.equal(new Options(['--n', '3']).integer('n', bounds), 3);
  t.equal(new Options([]).integer('n', { ...bounds, default: 7 }), 7);
  t.same(new Options(['--to', '10.0.0.1,10.0.0.2']).addresses('to'), [0x0a000001, 0x0a000002]);
  t.throws(() => new Options(['--n', '11']).integer('n', bounds), /--n must be a number from 1/);
  t.throws(() => new Options(['--n', '1.5']).integer('n', bounds), /whole number/);
  t.throws(() => new Options(['--n']).integer('n', bounds), /--n must be/);
  t.throws(() => new Options([]).integer('n', bounds), /--n is missing/);
  t.throws(() => new Options(['--to', '1.2.3']).addresses('to'), /not an IPv4 address/);
  t.throws(() => new Options(['stray']), /unexpected argument/);
  const options = new Options(['--x', '1']);
  t.throws(() => options.done(), /unknown option: --x/);
});
