/**
 * `fanway demo`: three hosts, six containers, one fan, real traffic, one table.
 *
 * Everything happens in network namespaces of this process; each host runs a fanway of its own,
 * started through `fanway up` as a user would. Nothing outlives the demo, however it ends.
 * @module
 */
import { demoText } from '../cli/demo-text.ts';
import { helpOf } from '../cli/verb/verb.ts';
import { ExitCode } from '../errors.ts';
import { formatIpv4 } from '../net/ipv4.ts';
import { parsePrefix } from '../net/prefix.ts';
import { runInside } from './privileges.ts';
import { type DemoReport, judge, renderReport } from './report.ts';
import { Stage } from './stage.ts';

const OVERLAYS = ['vxlan', 'ipip', 'fou', 'kernel'] as const;
export type Overlay = (typeof OVERLAYS)[number];

type Settings = { overlays: Overlay[]; json: boolean };

const EXIT_SIGNAL_BASE = 128;
const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

/** The demo was told to stop by a signal. */
class Stopped extends Error {
  override readonly name = 'Stopped';
}

/**
 * Runs the demo.
 * @param args what follows the verb.
 * @returns the exit code: an ExitCode, or 128 + the signal that stopped it.
 */
export async function runDemo(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(helpOf(demoText));
    return 0;
  }
  const settings = readSettings(args);
  if (typeof settings === 'string') {
    process.stderr.write(`fanway demo: ${settings}\n`);
    return ExitCode.Usage;
  }
  const inside = await runInside();
  if (inside.kind === 'done') return inside.code;
  if (inside.kind === 'unfit') {
    process.stderr.write(`fanway demo: ${inside.reason}\n`);
    return ExitCode.NotPermitted;
  }
  return runHere(settings);
}

function readSettings(args: readonly string[]): Settings | string {
  const settings: Settings = { overlays: [...OVERLAYS], json: false };
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i] ?? '';
    if (arg === '--json') settings.json = true;
    else if (arg === '--encap') {
      i += 1;
      const wanted = (args[i] ?? '').split(',');
      const unknown = wanted.find((name) => !OVERLAYS.some((overlay) => overlay === name));
      if (unknown !== undefined) {
        return `--encap "${unknown}" is not known: use ${OVERLAYS.join(', ')}`;
      }
      settings.overlays = OVERLAYS.filter((overlay) => wanted.includes(overlay));
    } else return `unknown argument "${arg}"; see fanway demo --help`;
  }
  return settings;
}

async function runHere(settings: Settings): Promise<number> {
  const started = performance.now();
  const write = (line: string) => {
    (settings.json ? process.stderr : process.stdout).write(`${line}\n`);
  };
  const progress = (line: string) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(5);
    write(`[${seconds} s] ${line}`);
  };
  let signal: keyof typeof SIGNALS | undefined;
  let stop: (error: Error) => void = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = reject;
  });
  stopped.catch(() => undefined);
  const onSignal = (name: keyof typeof SIGNALS) => {
    signal ??= name;
    stop(new Stopped(`stopped by ${name}`));
  };
  const names = Object.keys(SIGNALS) as (keyof typeof SIGNALS)[];
  for (const name of names) process.on(name, onSignal);

  let stage: Stage | undefined;
  const report: DemoReport = { seconds: 0, overlays: [], problems: [] };
  try {
    stage = await Stage.build(parsePrefix('250.0.0.0/8'), '172.30.0.0/16');
    for (const host of stage.lab.hosts) {
      const containers = host.containers.map((container) => formatIpv4(container.address));
      write(`  ${host.name}  ${formatIpv4(host.address).padEnd(13)} ${containers.join('  ')}`);
    }
    for (const overlay of settings.overlays) {
      const say = (step: string) => {
        if (signal !== undefined) throw new Stopped(`stopped by ${signal}`);
        progress(`${overlay}: ${step}`);
      };
      // The race ends the wait at once; the closing of the stage ends what was waited for.
      report.overlays.push(await Promise.race([stage.run(overlay, say), stopped]));
    }
  } catch (error) {
    report.problems.push(error instanceof Error ? error.message : String(error));
  } finally {
    progress('taking everything down');
    report.problems.push(...(stage?.close() ?? []));
    for (const name of names) process.off(name, onSignal);
  }
  report.seconds = (performance.now() - started) / 1000;
  report.problems.push(...judge(report));
  process.stdout.write(
    settings.json ? `${JSON.stringify(report, null, 2)}\n` : `\n${renderReport(report)}\n`,
  );
  if (signal !== undefined) return EXIT_SIGNAL_BASE + SIGNALS[signal];
  return report.problems.length === 0 ? 0 : ExitCode.Failed;
}
