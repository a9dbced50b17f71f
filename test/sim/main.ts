/**
 * `npm run sim`: clusters of gossip nodes in virtual time, one scenario a seed.
 * @module
 */
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { ExitCode } from '../../src/errors.ts';
import { type Outcome, play } from './play.ts';
import { planScenario } from './scenario.ts';

const help = `Usage: npm run sim -- [--seeds N] [options]

Runs the gossip code of fanway in clusters in virtual time: every seed makes a cluster
of 2 to 128 nodes, a bad network (loss, duplicates, delay, reordering, cuts of every
shape) and a list of things that happen (nodes die, restart, leave, stand still, move;
entries come, go and change hands). Then all is healed, and within a minute all tables
have to be equal and right; at no time may a healthy node be held for dead, something
withdrawn come back, or a table outgrow its bound. One seed always gives one run.

  --seeds N      how many (default 200), from --from on
  --from N       the first seed (default 1)
  --seed N       only this one
  --nodes N      that many nodes in each cluster, up to 1,024
  --jobs N       how many at a time (default: as there are processors)
  --verbose      everything that happens, with --seed
  --json         one line of JSON a seed
  --help         this text
`;

const NODES_MOST = 1024;
const PROGRESS_MS = 5_000;

type Settings = {
  seeds: number[];
  nodes: number | undefined;
  jobs: number;
  verbose: boolean;
  json: boolean;
};

class UsageError extends Error {}

function readNumber(name: string, text: string | undefined, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new UsageError(`${name} must be a whole number from 1 to ${most}`);
  }
  return value;
}

function readSettings(args: readonly string[]): Settings {
  let [count, from, one] = [200, 1, 0];
  const settings: Settings = {
    seeds: [],
    nodes: undefined,
    jobs: availableParallelism(),
    verbose: args.includes('--verbose'),
    json: args.includes('--json'),
  };
  for (let i = 0; i < args.length; i += 1) {
    const name = args[i] ?? '';
    if (name === '--verbose' || name === '--json') continue;
    i += 1;
    if (name === '--seeds') count = readNumber(name, args[i], 1e9);
    else if (name === '--from') from = readNumber(name, args[i], 1e12);
    else if (name === '--seed') one = readNumber(name, args[i], 1e12);
    else if (name === '--nodes') settings.nodes = readNumber(name, args[i], NODES_MOST);
    else if (name === '--jobs') settings.jobs = readNumber(name, args[i], 256);
    else throw new UsageError(`unknown option ${name}; see --help`);
  }
  if (settings.verbose && one === 0) throw new UsageError('--verbose needs --seed');
  settings.seeds = one > 0 ? [one] : Array.from({ length: count }, (_, i) => from + i);
  return settings;
}

/** What to type to see a run again. */
function replay({ seed }: Outcome, nodes: number | undefined): string {
  return `npm run sim -- --seed ${seed}${nodes === undefined ? '' : ` --nodes ${nodes}`} --verbose`;
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? 'never' : `${(ms / 1000).toFixed(1)} s`;
}

function describe(outcome: Outcome, nodes: number | undefined): string {
  const { seed, failures, steps, virtualMs, datagrams, wholeAfterMs, equalAfterMs } = outcome;
  const head =
    `seed ${seed}: ${outcome.nodes} nodes, ${steps} steps, ${seconds(virtualMs)} in ` +
    `${seconds(outcome.tookMs)}, ${datagrams} datagrams; whole after ${seconds(wholeAfterMs)}, ` +
    `equal after ${seconds(equalAfterMs)}`;
  if (failures.length === 0) return head;
  return [
    `${head}; FAILED, replay with: ${replay(outcome, nodes)}`,
    ...failures.map(({ atMs, what }) => `  at ${seconds(atMs)}: ${what}`),
  ].join('\n');
}

/** Plays all seeds, as many at a time as there are jobs, and hands on each outcome. */
async function playAll(
  { seeds, nodes, jobs }: Settings,
  take: (outcome: Outcome) => void,
): Promise<void> {
  let next = 0;
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url));
      const feed = () => {
        const seed = seeds[next];
        next += 1;
        worker.postMessage(seed === undefined ? undefined : { seed, nodes });
      };
      worker.on('message', (outcome: Outcome) => {
        take(outcome);
        feed();
      });
      worker.on('error', reject);
      worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`exit ${code}`))));
      feed();
    });
  await Promise.all(Array.from({ length: Math.min(jobs, seeds.length) }, work));
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(help);
    return ExitCode.Ok;
  }
  const settings = readSettings(args);
  const { seeds, nodes, json, verbose } = settings;
  let [done, failed, shownMs] = [0, 0, performance.now()];
  const startMs = performance.now();
  const take = (outcome: Outcome) => {
    done += 1;
    if (outcome.failures.length > 0) failed += 1;
    if (json) process.stdout.write(`${JSON.stringify(outcome)}\n`);
    else if (outcome.failures.length > 0 || seeds.length === 1) {
      process.stdout.write(`${describe(outcome, nodes)}\n`);
    } else if (performance.now() - shownMs > PROGRESS_MS) {
      shownMs = performance.now();
      process.stdout.write(`${done} of ${seeds.length} seeds, ${failed} failed\n`);
    }
  };
  const [only] = seeds;
  if (seeds.length === 1 && only !== undefined) {
    const say = (line: string) => process.stdout.write(`${line}\n`);
    take(play(planScenario(only, nodes), verbose ? say : undefined));
  } else {
    await playAll(settings, take);
    const took = seconds(performance.now() - startMs);
    if (!json) process.stdout.write(`${done} seeds in ${took}, ${failed} failed\n`);
  }
  return failed === 0 ? ExitCode.Ok : ExitCode.Failed;
}

if (isMainThread) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`sim: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof UsageError ? ExitCode.Usage : ExitCode.Failed;
  }
} else {
  parentPort?.on('message', (job: { seed: number; nodes: number | undefined } | undefined) => {
    if (job === undefined) parentPort?.close();
    else parentPort?.postMessage(play(planScenario(job.seed, job.nodes)));
  });
}
