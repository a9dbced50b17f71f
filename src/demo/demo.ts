/**
 * `fanway demo`: three hosts, six containers, one fan, real traffic, one table; with `--l2` two tenants
 * in layer-2 networks instead.
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
import type { Lab } from './lab.ts';
import type { Checkpoint } from './measure.ts';
import { runInside } from './privileges.ts';
import { type DemoReport, judge, renderReport } from './report.ts';
import { Stage } from './stage.ts';
import { Tenants } from './tenants.ts';
import { judgeTenants, renderTenants, type TenantsReport } from './tenants-report.ts';

const OVERLAYS = ['vxlan', 'ipip', 'fou', 'kernel'] as const;
export type Overlay = (typeof OVERLAYS)[number];

type Settings = { overlays: Overlay[]; json: boolean; l2: boolean };

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
  return settings.l2
    ? runHere(settings.json, tenantsScene())
    : runHere(settings.json, fanScene(settings.overlays));
}

/** What is shown; the frame around it is the same for all: progress, signals, taking down, the report. */
type Scene<R extends { seconds: number; problems: string[] }> = {
  report: R;
  build(): Promise<Lab>;
  /** Runs the traffic, into the report; `say` throws when the demo was told to stop. */
  play(say: Checkpoint): Promise<void>;
  close(): string[];
  judge(report: R): string[];
  render(report: R): string;
};

function fanScene(overlays: readonly Overlay[]): Scene<DemoReport> {
  let stage: Stage | undefined;
  const report: DemoReport = { seconds: 0, overlays: [], problems: [] };
  return {
    report,
    async build() {
      stage = await Stage.build(parsePrefix('250.0.0.0/8'), '172.30.0.0/16');
      return stage.lab;
    },
    async play(say) {
      for (const overlay of overlays) {
        const result = await stage?.run(overlay, (step) => say(`${overlay}: ${step}`));
        if (result !== undefined) report.overlays.push(result);
      }
    },
    close: () => stage?.close() ?? [],
    judge,
    render: renderReport,
  };
}

function tenantsScene(): Scene<TenantsReport> {
  let tenants: Tenants | undefined;
  const report: TenantsReport = { seconds: 0, tenants: [], flooded: [], problems: [] };
  return {
    report,
    async build() {
      tenants = await Tenants.build();
      return tenants.lab;
    },
    play: async (say) => await tenants?.run(report, say),
    close: () => tenants?.close() ?? [],
    judge: judgeTenants,
    render: renderTenants,
  };
}

function readSettings(args: readonly string[]): Settings | string {
  const settings: Settings = { overlays: [...OVERLAYS], json: false, l2: false };
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i] ?? '';
    if (arg === '--json') settings.json = true;
    else if (arg === '--l2') settings.l2 = true;
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

async function runHere<R extends { seconds: number; problems: string[] }>(
  json: boolean,
  scene: Scene<R>,
): Promise<number> {
  const started = performance.now();
  const write = (line: string) => {
    (json ? process.stderr : process.stdout).write(`${line}\n`);
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

  const { report } = scene;
  try {
    const lab = await scene.build();
    for (const host of lab.hosts) {
      const containers = host.containers
        .filter(({ address }) => address !== 0)
        .map((container) => formatIpv4(container.address));
      const line = `  ${host.name}  ${formatIpv4(host.address).padEnd(13)} ${containers.join('  ')}`;
      write(line.trimEnd());
    }
    const say = (step: string) => {
      if (signal !== undefined) throw new Stopped(`stopped by ${signal}`);
      progress(step);
    };
    // The race ends the wait at once; the closing of the scene ends what was waited for.
    await Promise.race([scene.play(say), stopped]);
  } catch (error) {
    report.problems.push(error instanceof Error ? error.message : String(error));
  } finally {
    progress('taking everything down');
    report.problems.push(...scene.close());
    for (const name of names) process.off(name, onSignal);
  }
  report.seconds = (performance.now() - started) / 1000;
  report.problems.push(...scene.judge(report));
  process.stdout.write(
    json ? `${JSON.stringify(report, null, 2)}\n` : `\n${scene.render(report)}\n`,
  );
  if (signal !== undefined) return EXIT_SIGNAL_BASE + SIGNALS[signal];
  return report.problems.length === 0 ? 0 : ExitCode.Failed;
}
