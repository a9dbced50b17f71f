import type { ChildProcess } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import type { LiveReport } from '../../src/measure/live-report.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { distDirectory } from '../../src/sys/paths.ts';
import { fanway, type Outcome } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';

// Real processes on a busy machine.
t.setTimeout(240_000);

const skip = skipWithoutTun();
const FAR_UNDERLAY = '172.30.1.27';

/** `fanway bench --listen` on a host, once it listens. */
class Listening {
  readonly #child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.ended = new Promise((resolve) => child.once('close', resolve));
  }

  static async start(t: Test, host: LabHost, ...args: string[]): Promise<Listening> {
    const program = join(distDirectory(), 'fanway.js');
    const child = host.spawn(process.execPath, [program, 'bench', '--listen', ...args], {
      env: host.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const listening = new Listening(child);
    t.teardown(() => listening.stop());
    await new Promise<void>((resolve, reject) => {
      child.once('close', () => reject(new Error(listening.output)));
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on('data', (chunk: Buffer) => {
          listening.output += chunk.toString();
          if (/fanway bench \d/.test(listening.output)) resolve();
        });
      }
    });
    return listening;
  }

  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    return this.ended;
  }
}

/** A plain connection, in a process of the host's own: sockets belong to a namespace. */
const TALK = `
const [host, port, lines] = process.argv.slice(1);
const socket = require('node:net').connect({ host, port: Number(port) });
socket.setTimeout(30000, () => socket.destroy());
socket.on('connect', () => socket.write(lines));
socket.on('error', () => undefined);
socket.on('data', (chunk) => process.stdout.write(chunk));
`;

class Talk {
  readonly #child: ChildProcess;
  /** All that was heard, when the other side has hung up. */
  readonly heard: Promise<string>;
  #heard = '';

  constructor(host: LabHost, port: number, lines: string) {
    this.#child = host.spawn(process.execPath, ['-e', TALK, FAR_UNDERLAY, String(port), lines], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#heard += chunk.toString();
    });
    this.heard = new Promise((resolve) => this.#child.once('close', () => resolve(this.#heard)));
  }

  /** Waits until that was heard. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#heard)) {
      if (this.#child.exitCode !== null) throw new Error(`hung up after: ${this.#heard}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Sends `lines` to a port of the far host; what comes back until the other side hangs up. */
function talk(host: LabHost, port: number, lines: string): Promise<string> {
  return new Talk(host, port, lines).heard;
}

async function twoHosts(
  t: Test,
  encap: string,
  middle: 'switch' | 'routed' = 'switch',
): Promise<[near: LabHost, far: LabHost, Lab]> {
  const lab = await Lab.create({ hosts: 2, middle });
  t.teardown(() => lab.close());
  const [near, far] = lab.hosts;
  if (near === undefined || far === undefined) throw new Error('two hosts');
  for (const host of [near, far]) {
    const { code, err } = await fanway(host, 'up', '250', 'eth0/16', '--encap', encap);
    t.equal(code, 0, err);
  }
  t.equal(formatIpv4(far.address), FAR_UNDERLAY);
  return [near, far, lab];
}

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
  t.same(report.notes, []);
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
});

t.test('bench works where the overlay and the underlay are routed', { skip }, async (t) => {
  const [near, far, lab] = await twoHosts(t, 'fou', 'routed');
  await lab.setPortMtu(1, 1400);
  const listening = await Listening.start(t, far, '--port', '7001');
  const args = ['--quick', '--json', '--port', '7001'];
  const outcome = await fanway(near, 'bench', '250.1.27.1', ...args);
  checkReport(t, outcome, { underlay: 1400, tunnel: 1372 });
  t.equal(await listening.stop(), 0);
});

t.test('bench says what is missing', { skip }, async (t) => {
  const [near, far] = await twoHosts(t, 'ipip');
  const bench = (...args: string[]) => fanway(near, 'bench', ...args);
  t.match(await bench('250.1.27.1'), {
    code: 1,
    err: /nothing listens on 172\.30\.1\.27:5270; run this there first:\nfanway: +fanway bench --listen\n/,
  });
  t.match(await bench('9.9.9.9'), {
    code: 2,
    err: /9\.9\.9\.9 is in no fan of this host, which has/,
  });
  t.match(await bench('250.0.28.7'), { code: 2, err: /on this host/ });
  t.match(await bench('172.30.0.28', '--json'), { code: 2, out: /"code":"itself"/ });
  t.match(await bench(), { code: 2, err: /name the other host/ });
  t.match(await bench('host.example'), { code: 2 });
  t.match(await bench('250.1.27.1', '--port', '0'), { code: 2, err: /--port is a whole number/ });
  t.match(await bench('250.1.27.1', '--life', '5'), { code: 2, err: /goes with --listen/ });
  t.match(await bench('250.1.27.1', '--svg', '/nowhere/x.svg'), { code: 2, err: /cannot be writ/ });
  t.match(await bench('--listen', '--allow', '250'), { code: 2 });
  t.match(await bench('--listen', '--life', '3601'), { code: 2, err: /--life/ });

  const strict = await Listening.start(t, far, '--allow', '172.30.9.9');
  t.match(await bench('250.1.27.1'), {
    code: 1,
    err: /does not allow 172\.30\.0\.28; run this there:\nfanway: +fanway bench --listen --allow 172\.30\.0\.28\/32/,
  });
  t.equal(await talk(near, 5270, 'fan 250.0.0.0/8\n'), '', 'not a byte for others');
  await strict.stop();

  const listening = await Listening.start(t, far);
  t.match(await fanway(far, 'bench', '--listen'), { code: 1, err: /something listens there/ });
  const hello = 'fanway-bench 1\n';
  const refusals: [lines: string, answer: RegExp][] = [
    ['GET / HTTP/1.1\r\n\r\n', /^error a line is printable ASCII$/m],
    ['tcp-send tunnel 1 500\n', /^error name the fan first$/m],
    ['fan 251.0.0.0/8\n', /^error no fan 251\.0\.0\.0\/8 is up here$/m],
    ['fan 250.0.0.0/8\ntcp-send tunnel 1 500\ntcp-send tunnel 1 500\n', /^error one thing at a t/m],
    ['fan 250.0.0.0/8\nfinish\nfan 9.9.9.9\n', /^error fan takes an overlay/m],
    [`${'x'.repeat(300)}\n`, /^error a line has at most/m],
    ['fan 250.0.0.0/8\n'.repeat(301), /^error too many commands$/m],
  ];
  for (const [lines, answer] of refusals) {
    const heard = await talk(near, 5270, lines);
    t.ok(heard.startsWith(hello), heard);
    t.match(heard, answer, lines.slice(0, 40));
  }
  t.equal(await talk(near, 5270, 'bye\n'), hello);

  await t.test('one client at a time, and data for its address only', async (t) => {
    const first = new Talk(near, 5270, 'fan 250.0.0.0/8\ntcp-send underlay 1 500\n');
    t.teardown(() => first.end());
    await first.until(/^ready 5271$/m);
    t.match(await talk(near, 5270, ''), /^error somebody else is measuring$/m);
    // From the far host itself: connects, and is hung up on without a byte.
    t.equal(await talk(far, 5271, ''), '');
  });
  await listening.stop();

  const brief = await Listening.start(t, far, '--life', '1');
  t.equal(await brief.ended, 0, 'its life ends');
  t.equal((await fanway(near, 'down', '-e')).code, 0);
  t.match(await bench('250.1.27.1'), { code: 5, err: /no router runs here/ });
});
