import t from 'tap';
import { renderChart, renderCharts } from '../../src/measure/chart.ts';
import { addressesOf, type Fan, findPair } from '../../src/measure/fans.ts';
import { Samples } from '../../src/measure/figures.ts';
import { liveDrawing, liveText, reportOf } from '../../src/measure/live-report.ts';
import { type Offered, searchRate } from '../../src/measure/rate.ts';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { parsePrefix } from '../../src/net/prefix.ts';

function fan(overlay: string, underlay: string, local: string): Fan {
  return {
    ...{ name: `fan-${overlay}`, encap: 'vxlan', overlay: parsePrefix(overlay) },
    ...{ underlay: parsePrefix(underlay), local: parseIpv4(local) },
  };
}

const plain = fan('250.0.0.0/8', '172.30.0.0/16', '172.30.0.28');
const wide = fan('99.0.0.0/8', '10.99.224.0/20', '10.99.238.4');

t.test('findPair() knows a host by any of its addresses', async (t) => {
  for (const host of ['250.1.27.1', '250.1.27.200', '172.30.1.27']) {
    const { near, far } = findPair([wide, plain], parseIpv4(host));
    t.same(near, { tunnel: parseIpv4('250.0.28.1'), underlay: parseIpv4('172.30.0.28') });
    t.same(far, { tunnel: parseIpv4('250.1.27.1'), underlay: parseIpv4('172.30.1.27') }, host);
  }
  t.equal(findPair([wide, plain], parseIpv4('99.224.81.9')).link.name, wide.name);
  t.same(addressesOf(wide, parseIpv4('10.99.238.5')).tunnel, parseIpv4('99.224.80.1'));
  // Two fans over one underlay: the host's own address means the first of them.
  const other = fan('251.0.0.0/8', '172.30.0.0/16', '172.30.0.28');
  t.equal(findPair([plain, other], parseIpv4('172.30.1.27')).link.name, plain.name);
  t.equal(findPair([plain, other], parseIpv4('251.1.27.1')).link.name, other.name);
});

t.test('findPair() refuses what is no other host', async (t) => {
  const refuse = (fans: Fan[], host: string) => t.throws(() => findPair(fans, parseIpv4(host)));
  refuse([], '250.1.27.1');
  refuse([plain], '9.9.9.9');
  refuse([plain], '172.31.0.1');
  refuse([plain], '172.30.0.28');
  refuse([plain], '250.0.28.77');
});

/** A path that carries `capacity` a second, offered by a sender that can give `most`. */
function path(capacity: number, most: number, rates: number[] = []) {
  return async (rate: number): Promise<Offered> => {
    rates.push(rate);
    const offered = rate === 0 ? most : Math.min(rate, most);
    const delivered = Math.min(offered, capacity);
    return { offered, delivered, loss: 1 - delivered / offered };
  };
}

t.test('searchRate() finds about what a path carries', async (t) => {
  const find = (capacity: number, most: number, trials: number, start = 0) =>
    searchRate({ trials, lossMax: 0.01, start, offer: path(capacity, most) });
  t.equal(await find(1000, 500, 3), 500, 'the sender is the limit');
  for (const [capacity, most] of [
    [1000, 1100],
    [1000, 4000],
    [1000, 100_000],
  ] as const) {
    const best = await find(capacity, most, 3);
    t.ok(best >= 850 && best <= 1000, `${capacity} of ${most}: ${best}`);
  }
  const again = await find(1000, 4000, 3, 900);
  t.ok(again >= 900 && again <= 1000, `from an earlier result: ${again}`);
  const rates: number[] = [];
  const offer = path(0, 1000, rates);
  t.equal(await searchRate({ trials: 3, lossMax: 0.01, start: 0, offer }), 0, 'nothing arrives');
  t.ok(rates.length <= 9, `${rates.length} trials`);
});

t.test('a report as text and as a drawing', async (t) => {
  const samples = new Samples();
  for (const value of [8, 9, 10]) samples.add('tcp1', 'underlay', value);
  for (const value of [4, 5, 6]) samples.add('tcp1', 'tunnel', value);
  samples.add('mtu', 'underlay', 1500);
  samples.add('idleP50', 'tunnel', 123.4);
  const pair = findPair([plain], parseIpv4('250.1.27.1'));
  const notes = ['largest packet, tunnel: no <answer>'];
  const report = reportOf(pair, { samples, notes }, 3, new Date(0));
  const tcp = report.figures.find(({ key }) => key === 'tcp1');
  t.same(tcp?.tunnel, { median: 5, min: 4, max: 6, rounds: 3 });
  t.equal(tcp?.ratio, 5 / 9);
  t.equal(report.date, '1970-01-01T00:00:00.000Z');

  const text = liveText(report);
  t.match(text, /^TCP, 1 stream -> +Gb\/s +9\.00 \(8\.00-10\.0\) +5\.00 \(4\.00-6\.00\) +0\.556$/m);
  t.match(text, /^largest packet, unfragmented +bytes +1,500 +n\/a$/m);
  t.match(text, /^n\/a: largest packet, tunnel: no <answer>$/m);
  for (const line of text.split('\n')) t.ok(line.length <= 100, line);

  const drawing = liveDrawing(report);
  t.match(drawing, /1 stream out, tunnel/);
  t.match(drawing, /idle, 50 %, tunnel/);
  t.notMatch(drawing, /64-byte UDP/, 'nothing was measured, nothing is drawn');
  t.equal(drawing.match(/<g /g)?.length, drawing.match(/<\/g>/g)?.length);
});

t.test('several charts are one document', async (t) => {
  const chart = {
    ...{ title: 'A & B', caption: 'Gb/s' },
    bars: [{ label: 'x', value: { median: 1, min: 1, max: 1, rounds: 1 }, ours: true }],
  };
  const [one, two] = [renderChart(chart), renderCharts('both', [chart, chart])];
  const height = (svg: string) => Number(/viewBox="0 0 760 (\d+)"/.exec(svg)?.[1]);
  t.equal(height(two), 2 * height(one));
  t.match(one, /<title>A &amp; B<\/title>/);
});
