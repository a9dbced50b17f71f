/**
 * What the verbs that measure say of two tenants on three hosts.
 * @module
 */
import { execFileSync } from 'node:child_process';
import type { Test } from 'tap';
import type { TestResult } from '../../../src/cli/paths/test.ts';
import type { LatencyReport } from '../../../src/measure/latency/report.ts';
import { Listening, latencyInTime } from '../../cli/bench-hosts.ts';
import { fanway } from '../lab-router.ts';
import { type NetworkLab, run } from './lab.ts';

/** Hosts have an address of their own on one of the two; containers have the same on both. */
export const hostAddressOf = (host: number): string => `10.1.0.10${host + 1}`;
export const addressOf = (host: number): string => `10.1.0.${host + 1}`;

/** What `ping`, `test` and `flows` say of networks. */
export async function measurePaths(t: Test, { lab, hosts }: NetworkLab): Promise<void> {
  const [, second] = hosts;
  if (second === undefined) return;
  const said = async (...args: string[]) => {
    const { out, err } = await fanway(second, ...args);
    return `${out}${err}`;
  };
  t.match(await said('ping', addressOf(0)), /networks blue, red: say which by --net/, 'ambiguous');
  t.match(await said('ping', addressOf(0), '--net', 'red'), /no address of its own on network red/);
  const container = await said('ping', addressOf(0), '--net', 'blue', '--count', '3');
  t.match(container, /host1 \(172\.30\.0\.28\) in network blue/);
  t.match(container, /tunnel 10\.1\.0\.1 +[1-9]\d*\/23 /, 'a container answers');
  const host = await said('ping', 'host3', '--count', '3');
  t.match(host, new RegExp(`tunnel ${hostAddressOf(2)} +[1-9]\\d*/23 `), 'a host by its name');
  t.match(await said('ping', addressOf(1), '--net', 'blue'), /on this host, network blue/);

  const tested = JSON.parse(await run(second, 'test', 'host2', 'host3', '--json')) as TestResult;
  t.same(tested.problems, []);
  t.equal(tested.pairs.length, 4, 'both to all others');
  for (const { overlay, tunnel, to } of tested.pairs) {
    t.equal(overlay, 'VNI 100', 'by the network on which hosts have addresses');
    t.ok(tunnel.received > 0, `an answer of ${to}`);
  }

  const words = ['-n', '-q', '-i', '0.2', addressOf(0)];
  const stream = lab.container(1, 0).spawn('ping', words, { stdio: 'ignore' });
  const flows = await run(second, 'flows', '--link', 'blue', '--seconds', '2', 'icmp');
  stream.kill();
  t.match(flows, /br-blue: .*icmp +10\.1\.0\.2 +10\.1\.0\.1 /s);
}

/** Round trips beside a load by one of two networks. */
export async function measureLoad(t: Test, { hosts }: NetworkLab): Promise<void> {
  const [, second, third] = hosts;
  if (second === undefined || third === undefined) throw new Error('three hosts');
  const refused = await fanway(second, 'latency', 'host3', '--net', 'red');
  t.match(refused.err, /on network red this host and host3 have no addresses of their own/);
  const listening = await Listening.start(t, third);
  // By its routes the host would ask the other tenant.
  const away = [`${hostAddressOf(2)}/32`, 'dev', 'br-red'];
  second.run(() => execFileSync('ip', ['route', 'add', ...away]));
  const args = ['--net', 'blue', '--streams', '1', '--dscp', 'CS0', '--interval', '20'];
  const moved = ({ goodput }: LatencyReport) => goodput.find(({ phase }) => phase === 'both');
  const isAnswered = ({ phases }: LatencyReport['figures'][number]): boolean =>
    [phases.idle, phases.both].every((cell) => (cell?.p50 ?? 0) > 0);
  const { code, out, err } = await latencyInTime(second, [addressOf(2), ...args], (report) => {
    const { up = 0, down = 0 } = moved(report) ?? {};
    return up > 0 && down > 0 && report.figures.every(isAnswered);
  });
  second.run(() => execFileSync('ip', ['route', 'del', ...away]));
  await listening.stop();
  t.equal(code, 0, err);
  const report = JSON.parse(out) as LatencyReport;
  const { far, fan, figures, notes } = report;
  t.same([fan, far.tunnel, notes], ['br-blue', hostAddressOf(2), []], "the container's own host");
  for (const { way, protocol, phases } of figures) {
    for (const phase of ['idle', 'both'] as const) {
      t.ok((phases[phase]?.p50 ?? 0) > 0, `${way}, ${protocol}, ${phase}: answered`);
    }
  }
  const both = moved(report);
  t.ok((both?.up ?? 0) > 0 && (both?.down ?? 0) > 0, 'the load went both ways');
}
