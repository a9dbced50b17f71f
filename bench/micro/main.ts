/**
 * `npm run bench:micro`: pieces of the data path beside plain versions of themselves.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DATA_V8_FLAGS } from '../../src/control/plane/process/v8-flags.ts';
import { ExitCode } from '../../src/errors.ts';
import { renderChart } from '../../src/measure/chart.ts';
import { figure, type Spread } from '../../src/measure/statistics.ts';
import { renderTable } from '../../src/measure/table.ts';
import { resultsDirectory } from '../keep.ts';
import { describeMachine } from '../machine.ts';
import { entryCases } from './entry-cases.ts';
import { gossipCases } from './gossip-cases.ts';
import { type Case, type ChartName, type Effort, measure, type Timed } from './harness.ts';
import { lookupCases } from './lookup-cases.ts';
import { networkCases } from './network-cases.ts';
import { pathCases } from './path-cases.ts';
import { wireCases } from './wire-cases.ts';

const help = `Usage: npm run bench:micro -- [--quick] [options]

Times pieces of the data path (parse, hash, checksum, look-up, segment, coalesce, and
the whole way of a packet without its system calls) and of the gossip channel (seal, open,
sign, verify) beside plain versions of themselves.
First each pair has to give the same result, then rounds of both alternate. Figures are
nanoseconds of processor time a packet: median of the rounds, least and most in
brackets. V8 is told what a data process tells it ("v8Flags" in the JSON). Needs nothing but Node. Writes JSON and charts to bench/results/micro/.

  --quick       fewer and shorter rounds, under ten seconds; writes nothing unless --out
  --only A,B    cases whose name begins so, such as checksum or egress/1450
  --out DIR     where JSON and charts go
  --no-keep     write nothing
  --json        print the results as JSON
  --help        this text
`;

const FULL: Effort = { rounds: 11, roundMs: 20, warmUpMs: 100 };
const QUICK: Effort = { rounds: 5, roundMs: 4, warmUpMs: 25 };

/** `plain` names the bar of the plain version; without it, it is left to the table. */
const charts: Record<ChartName, { title: string; caption: string; plain?: string }> = {
  size: {
    title: 'Cost of a packet by its size',
    caption: 'ns a packet or segment without system calls, less is better',
  },
  links: {
    title: 'Cost of a datagram by the number of links on one endpoint',
    caption: 'ns to deliver one of 64 bytes to a random link, less is better',
    plain: 'endpoint each',
  },
  hosts: {
    title: 'Look-up of a peer by the number of hosts in the fan',
    caption: 'ns a look-up by arithmetic and in a table (Map), less is better',
    plain: 'table',
  },
  entries: {
    title: 'Look-up of an entry by the number of entries',
    caption: 'ns a look-up, half of them find one, ours and a Map, less is better',
    plain: 'Map',
  },
};

type Settings = {
  quick: boolean;
  only: string[];
  out: string | undefined;
  json: boolean;
};

class UsageError extends Error {}

function readSettings(args: readonly string[]): Settings {
  const quick = args.includes('--quick');
  const settings: Settings = {
    quick,
    only: [],
    out: quick ? undefined : join(resultsDirectory(), 'micro'),
    json: args.includes('--json'),
  };
  for (let i = 0; i < args.length; i += 1) {
    const name = args[i] ?? '';
    if (name === '--quick' || name === '--json') continue;
    if (name === '--no-keep') settings.out = undefined;
    else {
      i += 1;
      const value = args[i];
      if (value === undefined) throw new UsageError(`${name}: unknown, or its value is missing`);
      if (name === '--only') settings.only = value.split(',');
      else if (name === '--out') settings.out = value;
      else throw new UsageError(`unknown option ${name}; see --help`);
    }
  }
  return settings;
}

/** Times the cases that `only` names (all when it is empty). @throws Error from a check */
function run(effort: Effort, only: readonly string[]): { chosen: Case[]; timed: Timed[] } {
  const wanted = ({ key }: Case) => only.length === 0 || only.some((one) => key.startsWith(one));
  const all = [
    ...wireCases(),
    ...lookupCases(),
    ...networkCases(),
    ...entryCases(),
    ...pathCases(),
    ...gossipCases(),
  ];
  const chosen = all.filter(wanted);
  if (chosen.length === 0) throw new UsageError(`--only: there is no ${only.join(', ')}`);
  return { chosen, timed: chosen.map((one) => measure(one, effort)) };
}

function range({ median, min, max }: Spread): string {
  return `${figure(median)} (${figure(min)}-${figure(max)})`;
}

function renderText(timed: readonly Timed[]): string {
  return renderTable(
    [
      { title: 'what' },
      { title: 'mirrors src/' },
      { title: 'ns', align: 'right' },
      { title: 'plainly, ns', align: 'right' },
      { title: 'times', align: 'right' },
    ],
    timed.map(({ title, mirrors, fast, plain }) => [
      title,
      mirrors,
      range(fast),
      range(plain),
      figure(plain.median / fast.median),
    ]),
  );
}

/** One chart, ours and the plain version under each other; undefined when nothing was measured. */
function chartOf(name: ChartName, chosen: readonly Case[], timed: readonly Timed[]) {
  const { title, caption, plain } = charts[name];
  const bars = timed.flatMap(({ key, fast, plain: slow }) => {
    const chart = chosen.find((one) => one.key === key)?.chart;
    if (chart === undefined || chart.name !== name) return [];
    const ours = { label: chart.label, value: fast, ours: true };
    return plain === undefined ? [ours] : [ours, { label: plain, value: slow, ours: false }];
  });
  if (bars.length === 0) return undefined;
  return renderChart({ title, caption: `${caption}; whisker from least to most`, bars });
}

function keep(folder: string, results: object, chosen: readonly Case[], timed: readonly Timed[]) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'results.json'), `${JSON.stringify(results, null, 1)}\n`);
  for (const name of ['size', 'links', 'hosts', 'entries'] as const) {
    const svg = chartOf(name, chosen, timed);
    if (svg !== undefined) writeFileSync(join(folder, `${name}.svg`), svg);
  }
}

/** The same program with the flags that a data process has; its exit code. @throws Error when it cannot start */
function runAsDataProcess(args: readonly string[]): number {
  const words = [...DATA_V8_FLAGS, process.argv[1] ?? '', ...args];
  const { status, error } = spawnSync(process.execPath, words, { stdio: 'inherit' });
  if (error !== undefined) throw error;
  return status ?? ExitCode.Failed;
}

function main(args: readonly string[]): number {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(help);
    return ExitCode.Ok;
  }
  if (!DATA_V8_FLAGS.every((flag) => process.execArgv.includes(flag)))
    return runAsDataProcess(args);
  const settings = readSettings(args);
  const effort = settings.quick ? QUICK : FULL;
  const { chosen, timed } = run(effort, settings.only);
  const machine = describeMachine();
  const results = {
    format: 1,
    date: new Date().toISOString(),
    quick: settings.quick,
    unit: 'ns a packet',
    v8Flags: DATA_V8_FLAGS,
    machine,
    cases: timed,
  };
  if (settings.json) process.stdout.write(`${JSON.stringify(results)}\n`);
  else {
    const where = `Linux ${machine.kernel}, Node ${machine.node}, ${machine.cpu}`;
    process.stdout.write(`${where}; ${effort.rounds} rounds\n\n${renderText(timed)}\n`);
  }
  if (settings.out !== undefined) {
    keep(settings.out, results, chosen, timed);
    process.stderr.write(`\nwritten to ${settings.out}\n`);
  }
  return ExitCode.Ok;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`bench:micro: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof UsageError ? ExitCode.Usage : ExitCode.Failed;
}
