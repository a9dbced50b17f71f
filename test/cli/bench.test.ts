import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { LiveReport } from '../../src/measure/live-report.ts';
import { fanway, type Outcome } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { checkBalance, FAR_UNDERLAY, Listening, twoHosts } from './bench-hosts.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun() || skipLong;

function checkReport(
  t: Test,
  outcome: Outcome,
  mtuBytes: { underlay: number; tunnel: number },
): LiveReport {
  t.equal(outcome.code, 0, outcome.err);
  const report = JSON.parse(outcome.out) as LiveReport;
  t.match(report, { near: { tunnel: '250.0.28.1', underlay: '172.30.0.28' } });
  t.match(report, { far: { tunnel: '250.1.27.1', underlay: '172.30.1.27' } });
  for (const { key, tunnel, underlay } of report.figures) {
    // On a machine that is all taken, every rate of datagrams may lose a few.
    if (key === 'udp' && report.notes.length > 0) continue;
    t.ok((tunnel?.median ?? 0) > 0, `${key} through the tunnel: ${tunnel?.median}`);
    t.ok((underlay?.median ?? 0) > 0, `${key} on the underlay: ${underlay?.median}`);
  }
  const mtu = report.figures.find(({ key }) => key === 'mtu');
  t.equal(mtu?.underlay?.median, mtuBytes.underlay);
  t.equal(mtu?.tunnel?.median, mtuBytes.tunnel);
  return report;
}

t.test('bench measures both ways between two hosts', { skip }, async (t) => {
  const [near, far, lab] = await twoHosts(t, 'vxlan');
  const listening = await Listening.start(t, far);
  t.match(listening.output, /250\.0\.0\.0\/8: fanway bench 250\.1\.27\.1/);

  const svg = join(near.runDirectory, 'tunnel.svg');
  const args = ['--quick', '--json', '--svg', svg];
  // Any address of the other host's slice means that host.
  const outcome = await fanway(near, 'bench', '250.1.27.99', ...args);
  const report = checkReport(t, outcome, { underlay: 1500, tunnel: 1450 });
  t.match(report, { encap: 'vxlan', overlay: '250.0.0.0/8', underlay: '172.30.0.0/16', rounds: 1 });
  // On a machine that is all taken, see above.
  t.same(
    report.notes.filter((note) => !note.startsWith('64-byte UDP')),
    [],
  );
  const drawing = readFileSync(svg, 'utf8');
  t.match(drawing, /^<svg [^>]*>[\s\S]*TCP throughput[\s\S]*Largest packet[\s\S]*<\/svg>\n$/);
  t.equal(drawing.match(/<svg/g)?.length, 1);
  rmSync(svg);

  // A switch that silently drops large frames: TCP stalls, the rest is measured, the cause is seen.
  await lab.setPortMtu(1, 1400);
  const text = await fanway(near, 'bench', FAR_UNDERLAY, '--quick');
  t.equal(text.code, 0, text.err);
  t.match(text.out, /^tunnel {3}250\.0\.28\.1 -> 250\.1\.27\.1\nunderlay 172\.30\.0\.28 -> 172/m);
  t.match(text.out, /^TCP, 1 stream -> +Gb\/s +n\/a/m);
  t.match(text.out, /^n\/a: TCP, 1 stream, underlay: /m);
  t.match(text.out, /^round trip, idle, half below +us +\S+ +\S+ +\S+$/m);
  t.match(text.out, /^largest packet, unfragmented +bytes +1,400 +1,350 /m);
  t.match(text.err, /^round 1 of 1: 64-byte UDP, tunnel$/m, 'progress');
  t.equal(await listening.stop(), 0);
  t.match(listening.output, /^172\.30\.0\.28 is done$/m);
  await checkBalance(t, near, far);
});

t.test('bench works where the overlay and the underlay are routed', { skip }, async (t) => {
  const [near, far, lab] = await twoHosts(t, 'fou', 'routed');
  await lab.setPortMtu(1, 1400);
  const listening = await Listening.start(t, far, '--port', '7001');
  const args = ['--quick', '--json', '--port', '7001'];
  const outcome = await fanway(near, 'bench', '250.1.27.1', ...args);
  checkReport(t, outcome, { underlay: 1400, tunnel: 1372 });
  t.equal(await listening.stop(), 0);
  await checkBalance(t, near, far);
});
