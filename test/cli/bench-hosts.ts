import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { readCounters } from '../../src/demo/router.ts';
import type { LatencyReport } from '../../src/measure/latency/report.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { fanway } from '../control/lab-router.ts';
import { sleep, until } from '../support/patience.ts';

export const FAR_UNDERLAY = '172.30.1.27';

/** `fanway bench --listen` on a host, once it listens. */
export class Listening {
  readonly #child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.ended = new Promise((resolve) => child.once('close', resolve));
  }

  static async start(t: Test, host: LabHost, ...args: string[]): Promise<Listening> {
    const program = join(distDirectory(), 'fanway.js');
    // Its minute may be over before a busy machine is done.
    const life = args.includes('--life') ? [] : ['--life', '3600'];
    const child = host.spawn(process.execPath, [program, 'bench', '--listen', ...life, ...args], {
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

export class Talk {
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
      await sleep(20);
    }
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Sends `lines` to a port of the far host; what comes back until the other side hangs up. */
export function talk(host: LabHost, port: number, lines: string): Promise<string> {
  return new Talk(host, port, lines).heard;
}

/** Two hosts on one fan, whose routers run. */
export async function twoHosts(
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

/**
 * `fanway latency ARGS --json` with phases of a second, or longer ones where a busy machine did not find the time in
 * them for what is to be seen.
 */
export async function latencyInTime(
  host: LabHost,
  args: readonly string[],
  isSeen: (report: LatencyReport) => boolean,
): Promise<{ code: number | null; out: string; err: string }> {
  let best = { code: -1, out: '', err: '' };
  for (const seconds of [1, 3, 6]) {
    const outcome = await fanway(host, 'latency', ...args, '--seconds', String(seconds), '--json');
    if (outcome.code === 0 && isSeen(JSON.parse(outcome.out) as LatencyReport)) return outcome;
    // A long one may have taken more time than the far end gives anybody.
    if (outcome.code === 0 || best.code !== 0) best = outcome;
  }
  return best;
}

/** Received = delivered + named drops, on both hosts, once what was on its way has come. */
export async function checkBalance(t: Test, ...hosts: LabHost[]): Promise<void> {
  for (const host of hosts) {
    const balanced = await until('every packet is accounted for', 10_000, async () => {
      const { unaccounted, egressReceived } = await readCounters(host);
      return unaccounted === 0 && egressReceived > 0;
    }).catch((error: Error) => error.message);
    t.equal(balanced, true, `${host.name}: received = delivered + drops`);
  }
}
