import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { latencyDrawing } from '../../src/measure/latency/drawing.ts';
import { type LatencyReport, latencyText } from '../../src/measure/latency/report.ts';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { noTc } from '../support/tools.ts';
import { FAR_UNDERLAY, Listening, latencyInTime, Talk, twoHosts } from './bench-hosts.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();

const LOADED = [
  ['up', 'up'],
  ['down', 'down'],
  ['both', 'up'],
] as const;

const rateIn =
  ({ goodput }: LatencyReport) =>
  (phase: string, direction: 'up' | 'down'): number =>
    goodput.find((one) => one.phase === phase)?.[direction] ?? 0;

/** Whether there was time enough to ask, and for the load to fill the queues. */
function hasFilledQueues(report: LatencyReport): boolean {
  const rate = rateIn(report);
  return (
    report.notes.length === 0 &&
    LOADED.every(([phase, direction]) => rate(phase, direction) > 1e6) &&
    report.figures.every(({ phases: { idle, up } }) => {
      const [before, beside] = [idle?.p50 ?? 0, up?.p50 ?? 0];
      return (idle?.sent ?? 0) > 20 && before > 0 && beside > before;
    })
  );
}

t.test('latency sees a load fill the queue', { skip: skip || noTc() || skipLong }, async (t) => {
  const [near, far] = await twoHosts(t, 'vxlan');
  // 20 Mb/s with room for 100 kB: 40 ms of queue, in both directions.
  const bucket = ['tbf', 'rate', '20mbit', 'burst', '16k', 'limit', '100k'];
  for (const host of [near, far]) {
    host.run(() => execFileSync('tc', ['qdisc', 'add', 'dev', 'eth0', 'root', ...bucket]));
  }
  const listening = await Listening.start(t, far);
  const file = (name: string) => join(near.runDirectory, name);
  const args = ['250.1.27.99', '--streams', '2', '--dscp', 'cs0,EF', '--interval', '20'];
  const outputs = ['--svg', file('a.svg'), '--csv', file('a.csv')];
  const outcome = await latencyInTime(near, [...args, ...outputs], hasFilledQueues);
  t.equal(outcome.code, 0, `${outcome.err}${outcome.out.slice(0, 300)}`);
  t.match(outcome.err, /^idle\nload up\nload down\nload both$/m, 'progress');
  const report = JSON.parse(outcome.out) as LatencyReport;
  t.same(report.notes, []);
  t.match(report, { kind: 'latency', encap: 'vxlan', far: { underlay: FAR_UNDERLAY } });
  t.match(
    report.figures.map(({ way, class: name, protocol }) => `${way} ${name} ${protocol}`),
    [
      ...['tunnel CS0 udp', 'tunnel CS0 icmp', 'tunnel EF udp', 'tunnel EF icmp'],
      ...['underlay CS0 udp', 'underlay CS0 icmp', 'underlay EF udp', 'underlay EF icmp'],
    ],
  );
  for (const { way, class: name, protocol, phases, arrived } of report.figures) {
    const who = `${way} ${name} ${protocol}`;
    t.equal(arrived[0], `${name} ECT(0)`, `${who} arrives as it was sent`);
    t.ok((phases.idle?.sent ?? 0) > 20, `${who}: ${phases.idle?.sent} probes`);
    const [idle, up] = [phases.idle?.p50 ?? 0, phases.up?.p50 ?? 0];
    t.ok(idle > 0 && up > idle, `${who}: ${idle} ms idle, ${up} ms loaded`);
  }
  const rate = rateIn(report);
  for (const [phase, direction] of LOADED) {
    const bps = rate(phase, direction);
    t.ok(bps > 1e6 && bps < 25e6, `${phase}: ${Math.round(bps / 1e6)} Mb/s ${direction}`);
  }
  t.equal(rate('up', 'down'), 0);
  const { tunnel = 0 } = report.roundTripsPerMinute;
  t.ok(tunnel > 60 && tunnel < 60_000, `${tunnel} round trips a minute`);

  const probes = report.seen.streams.reduce((sum, { points }) => sum + points.length, 0);
  const csv = readFileSync(file('a.csv'), 'utf8').trimEnd().split('\n');
  t.equal(csv.length, probes + 1, 'a line for each probe');
  t.match(csv[1], /^[\d.]+,(idle)?,tunnel,CS0,udp,\d+,2,2$/);
  t.match(
    readFileSync(file('a.svg'), 'utf8'),
    /^<svg [\s\S]*TCP goodput[\s\S]*load both[\s\S]*<\/svg>\n$/,
  );
  const shown = latencyText(report, report);
  t.match(shown, /^against 20[\s\S]*^EF +[\d.,]+ -> [\d.,]+ /m);
  t.same(
    shown.split('\n').filter((line) => line.length > 80),
    [],
    'it fits a terminal',
  );
  t.match(latencyDrawing(report, report), />before: vxlan[\s\S]*>after: vxlan/);

  // The kept report is read again.
  writeFileSync(file('a.json'), outcome.out);
  const short = ['--seconds', '1', '--streams', '1', '--dscp', 'CS0', '--load', 'underlay'];
  const again = await fanway(near, 'latency', FAR_UNDERLAY, ...short, '--before', file('a.json'));
  t.equal(again.code, 0, again.err);
  t.match(again.out, /^tunnel +CS0 +udp [\s\S]*^goodput, up: up \S+ Mb\/s$[\s\S]*^against 20/m);

  await t.test('probes of others do not come back, and nobody measures beside', async (t) => {
    const first = new Talk(near, 5270, 'fan 250.0.0.0/8\nreflect 2000\n');
    t.teardown(() => first.end());
    await first.until(/^ready 5271$/m);
    const second = new Talk(near, 5270, 'fan 250.0.0.0/8\ntcp-send underlay 1 100\n');
    t.teardown(() => second.end());
    await second.until(/^ready 5272$/m);
    const third = new Talk(near, 5270, 'fan 250.0.0.0/8\ntcp-send underlay 1 100\n');
    t.teardown(() => third.end());
    await third.until(/^ready 5273$/m);
    const fourth = new Talk(near, 5270, '');
    t.match(await fourth.heard, /^error somebody else is measuring$/m);
  });
  t.equal(await listening.stop(), 0);
});

t.test('latency refuses what it cannot do, in words', { skip }, async (t) => {
  const [near] = await twoHosts(t, 'vxlan');
  const refusals: [string[], number, RegExp][] = [
    [[], 2, /name the other host/],
    [['250.1.27.1', '--dscp', 'XF'], 2, /XF is no DSCP: .*CS0 /],
    [['250.1.27.1', '--load', 'moon'], 2, /--load is tunnel or underlay/],
    [['250.1.27.1', '--seconds', '99'], 2, /--seconds is a whole number from 1 to 12/],
    [['250.1.27.1', '--csv', '/'], 2, /--csv: \/ cannot be written/],
    [['250.1.27.1', '--before', '/etc/hostname'], 2, /it is what --json printed/],
    [['fd00::1'], 2, /shares a fan or network over IPv4 with this one/],
    [['250.1.27.1'], 1, /nothing listens on 172\.30\.1\.27:5270; run this there first/],
  ];
  for (const [words, code, says] of refusals) {
    const { code: got, err } = await fanway(near, 'latency', ...words);
    t.match(err, says);
    t.equal(got, code, words.join(' '));
  }
});
