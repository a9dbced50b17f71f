/**
 * Starts traffic programs inside namespaces and reads what they report. Each program is a child
 * whose standard input we hold: closing it, or dying, ends the program.
 * @module
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { createInterface } from 'node:readline';
import { programCommand } from '../sys/host/paths.ts';
import type { Report } from './base/report.ts';

/** Anything that starts a program in a place of its own: a NetworkNamespace, or `{ spawn }`. */
export type Place = {
  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess;
};

/** Told while a program goes on, beside its result. */
export type Interim = Extract<Report, { event: 'tcp-progress' | 'probe-samples' }>;
type Kind = Exclude<Report['event'], 'ready' | 'error' | Interim['event']>;
type ReportOf<K extends Kind> = Extract<Report, { event: K }>;

/** A traffic program failed, or said nothing in time; `message` is its own sentence. */
export class TrafficError extends Error {
  override readonly name = 'TrafficError';
}

/** A running traffic program. */
export class TrafficProcess<K extends Kind> {
  /** Settles when the program listens (servers), rejects when it ends before. */
  readonly ready: Promise<void>;
  /** The program's result; rejects with {@link TrafficError}. */
  readonly result: Promise<ReportOf<K>>;
  /** Called with what is told meanwhile. */
  onInterim: (report: Interim) => void = () => {};
  readonly #child: ChildProcess;

  constructor(child: ChildProcess, kind: K, title: string, timeoutMs: number) {
    this.#child = child;
    let isReady: () => void = () => {};
    let isDone: (value: ReportOf<K>) => void = () => {};
    let failReady: (error: Error) => void = () => {};
    let failDone: (error: Error) => void = () => {};
    this.ready = new Promise((resolve, reject) => {
      isReady = resolve;
      failReady = reject;
    });
    this.result = new Promise((resolve, reject) => {
      isDone = resolve;
      failDone = reject;
    });
    const fail = (message: string) => {
      const error = new TrafficError(`${title}: ${message}`);
      failReady(error);
      failDone(error);
    };
    // The caller may look at one of the two only; the other's failure is then not an orphan.
    this.ready.catch(() => undefined);
    this.result.catch(() => undefined);
    const timer = setTimeout(() => {
      fail(`no answer after ${Math.round(timeoutMs / 1000)} s`);
      child.kill('SIGKILL');
    }, timeoutMs);
    const { stdout, stderr } = child;
    if (stdout === null || stderr === null) throw new TypeError('traffic programs are piped');
    let noise = '';
    stderr.on('data', (chunk: Buffer) => {
      noise = `${noise}${chunk.toString()}`.slice(-500);
    });
    child.stdin?.on('error', () => undefined);
    createInterface({ input: stdout }).on('line', (line) => {
      const report = parseReport(line);
      if (report === undefined) return;
      if (report.event === 'ready') isReady();
      else if (report.event === 'error') fail(report.message);
      else if (report.event === 'tcp-progress' || report.event === 'probe-samples') {
        this.onInterim(report);
      } else if (report.event === kind) isDone(report as ReportOf<K>);
    });
    child.on('error', (error) => fail(error.message));
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      fail(`ended without a result (${signal ?? `exit ${code}`})${noise && `: ${noise.trim()}`}`);
    });
  }

  /** Tells a receiver that all was sent: it drains, reports and ends. */
  finish(): Promise<ReportOf<K>> {
    this.#child.stdin?.end();
    return this.result;
  }

  /** Ends the program without a result. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

function parseReport(line: string): Report | undefined {
  try {
    return JSON.parse(line) as Report;
  } catch {
    return undefined;
  }
}

/** Options of a traffic program by name; `true` is a flag, `false` and `undefined` are left out. */
export type TrafficOptions = Record<string, string | number | boolean | undefined>;

/**
 * Starts one traffic program.
 * @param kind what it reports, which also names the program.
 * @param timeoutMs after this it is killed and the result rejects.
 */
export function startTraffic<K extends Kind>(
  place: Place,
  kind: K,
  options: TrafficOptions,
  timeoutMs = 120_000,
): TrafficProcess<K> {
  const [command, ...args] = programCommand('traffic');
  args.push(kind);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === false) continue;
    args.push(`--${name}`);
    if (value !== true) args.push(String(value));
  }
  const child = place.spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  return new TrafficProcess(child, kind, `traffic ${kind}`, timeoutMs);
}

/** Where a stream or flow goes: from one place to an address that another place owns. */
export type TrafficPath = { from: Place; to: Place; address: string };

/**
 * Moves TCP data over `path` and returns both ends' reports.
 * @throws TrafficError
 */
export async function runTcpPair(
  path: TrafficPath,
  options: {
    port: number;
    streams?: number;
    bytes?: number;
    seconds?: number;
    sha256?: boolean;
    congestion?: string;
  },
): Promise<{ sent: ReportOf<'tcp'>; received: ReportOf<'tcp'> }> {
  const timeoutS = (options.seconds ?? 20) + 15;
  const common = { ...options, timeout: timeoutS };
  const receiver = startTraffic(
    path.to,
    'tcp',
    { listen: path.address, ...common },
    (timeoutS + 2) * 1000,
  );
  try {
    await receiver.ready;
    const sender = startTraffic(
      path.from,
      'tcp',
      { connect: path.address, ...common },
      (timeoutS + 2) * 1000,
    );
    try {
      const [sent, received] = await Promise.all([sender.result, receiver.result]);
      return { sent, received };
    } finally {
      sender.kill();
    }
  } finally {
    receiver.kill();
  }
}

/**
 * Sends datagrams over `path` and returns both ends' reports. `rate` 0 = as fast as it goes.
 * @throws TrafficError
 */
export async function runUdpPair(
  path: TrafficPath,
  options: {
    port: number;
    rate: number;
    seconds?: number;
    size?: number;
    flows?: number;
    count?: number;
  },
): Promise<{ sent: ReportOf<'udp-send'>; received: ReportOf<'udp-receive'> }> {
  const { port, size, flows } = options;
  const timeoutMs = ((options.seconds ?? 1) + 60) * 1000;
  const receiver = startTraffic(
    path.to,
    'udp-receive',
    { listen: path.address, port, size, flows, seconds: timeoutMs / 1000 },
    timeoutMs + 2000,
  );
  try {
    await receiver.ready;
    const sender = startTraffic(
      path.from,
      'udp-send',
      { connect: path.address, ...options },
      timeoutMs,
    );
    try {
      const sent = await sender.result;
      return { sent, received: await receiver.finish() };
    } finally {
      sender.kill();
    }
  } finally {
    receiver.kill();
  }
}

/**
 * Sends echo requests from `from` to each target.
 * @throws TrafficError
 */
export async function runEcho(
  from: Place,
  targets: readonly string[],
  options: {
    count?: number;
    interval?: number;
    timeout?: number;
    size?: number;
    seconds?: number;
    device?: string | undefined;
  },
): Promise<ReportOf<'echo'>> {
  const program = startTraffic(from, 'echo', { targets: targets.join(','), ...options }, 180_000);
  try {
    return await program.result;
  } finally {
    program.kill();
  }
}
