/**
 * `fanway latency HOST`: how long packets wait beside a load, by class, through the tunnel and beside it.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { ExitCode, FanwayError, messageOf, usageError } from '../../errors.ts';
import { FarEnd } from '../../measure/far-end.ts';
import { latencyDrawing } from '../../measure/latency/drawing.ts';
import { type LatencyResult, measureLatency } from '../../measure/latency/experiment.ts';
import { liveView } from '../../measure/latency/live-view.ts';
import {
  type LatencyReport,
  latencyCsv,
  latencyReport,
  latencyText,
  parseLatencyReport,
} from '../../measure/latency/report.ts';
import type { PhaseName } from '../../measure/latency/samples.ts';
import { CONTROL_PORT_DEFAULT, STREAMS_MAX, type Way } from '../../measure/protocol.ts';
import { parseDscp } from '../../net/dscp.ts';
import { hasCapability } from '../../sys/process/capabilities.ts';
import { type Progress, progressTo } from '../verb/progress.ts';
import { type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { checkWritable, parseWith, wholeFlag } from './measured.ts';
import { pairTo } from './measured-pair.ts';

const SECONDS_DEFAULT = 8;
/** Four phases of it have to fit into what the far end gives one client. */
const SECONDS_MAX = 12;
const INTERVAL_MS_DEFAULT = 50;
const CLASSES_MAX = 6;
/** The next three are for data. */
const PORT_MAX = 65_532;

function classesOf(text: string): number[] {
  const words = text.split(',').filter((word) => word !== '');
  const classes = [...new Set(words.map((word) => parseWith(parseDscp, word)))];
  if (classes.length === 0 || classes.length > CLASSES_MAX) {
    throw usageError('usage', `--dscp takes 1 to ${CLASSES_MAX} classes, for instance CS0,EF`);
  }
  return classes;
}

function loadOf(word: string): Way {
  if (word === 'tunnel' || word === 'underlay') return word;
  throw usageError('usage', '--load is tunnel or underlay: what the TCP streams take');
}

function earlier(file: string | undefined): LatencyReport | undefined {
  if (file === undefined) return undefined;
  try {
    return parseLatencyReport(readFileSync(file, 'utf8'));
  } catch (error) {
    throw usageError('before', `--before ${file}: ${messageOf(error)}; it is what --json printed`);
  }
}

/** What goes on; where nobody watches a terminal, a line for each phase. */
function liveLines(progress: Progress, seconds: number, isTerminal: boolean) {
  let lastPhase: PhaseName | undefined;
  return (seen: LatencyResult, phase: PhaseName, nowMs: number): void => {
    if (!isTerminal) {
      if (phase !== lastPhase) progress.step(phase === 'idle' ? 'idle' : `load ${phase}`);
      lastPhase = phase;
      return;
    }
    const fromMs = seen.phases.at(-1)?.fromMs ?? nowMs;
    progress.step(liveView(seen, phase, nowMs, seconds - (nowMs - fromMs) / 1000).join('\n'));
  };
}

async function measure(host: string, flags: ReadonlyMap<string, string>, io: Io) {
  const port = wholeFlag(flags, '--port', PORT_MAX, CONTROL_PORT_DEFAULT);
  const settings = {
    seconds: wholeFlag(flags, '--seconds', SECONDS_MAX, SECONDS_DEFAULT),
    streams: wholeFlag(flags, '--streams', STREAMS_MAX, STREAMS_MAX),
    classes: classesOf(flags.get('--dscp') ?? 'CS0,CS1,EF'),
    intervalMs: wholeFlag(flags, '--interval', 1000, INTERVAL_MS_DEFAULT),
    load: loadOf(flags.get('--load') ?? 'tunnel'),
  };
  if (settings.intervalMs < 5) throw usageError('usage', '--interval is 5 to 1000 ms');
  const before = earlier(flags.get('--before'));
  for (const name of ['--svg', '--csv']) checkWritable(name, flags.get(name));
  const pair = await pairTo(host, flags.get('--net'), io);
  if (!hasCapability('NET_RAW')) {
    throw new FanwayError('not-permitted', 'latency needs CAP_NET_RAW: run it as root', {
      exitCode: ExitCode.NotPermitted,
    });
  }
  const progress = progressTo(io);
  progress.step(`asking ${host} for answers`);
  const result = await measureLatency({
    pair,
    settings,
    connect: () => FarEnd.connect(pair.near.underlay, pair.far.underlay, port),
    live: liveLines(progress, settings.seconds, process.stderr.isTTY === true),
  }).finally(() => progress.end());
  return { report: latencyReport(pair, settings, result, new Date()), before };
}

export const latency: Verb = {
  name: 'latency',
  summary: 'round trips by class beside a load, through the tunnel and beside it',
  usage: [
    'latency HOST [--seconds N] [--streams N] [--dscp CLASS,...] [--interval MS] [--port N]',
    'latency HOST [--net NAME] [--load tunnel|underlay]',
    'latency HOST [--json] [--csv FILE] [--svg FILE] [--before FILE]',
  ],
  options: [
    ['HOST', 'any overlay or underlay address of the other host, or its name'],
    ['--net NAME', 'by this layer-2 network, where both hosts have an address of their own'],
    [
      '--seconds N',
      `of each phase: idle, load up, load down, both (${SECONDS_DEFAULT}; at most ${SECONDS_MAX})`,
    ],
    ['--streams N', `TCP connections a direction (${STREAMS_MAX})`],
    [
      '--dscp CLASS,...',
      'of the probes: CS0 to CS7, AF11 to AF43, EF, VA, LE, 0 to 63 (CS0,CS1,EF)',
    ],
    ['--interval MS', `between two probes of a class (${INTERVAL_MS_DEFAULT})`],
    ['--load tunnel|underlay', 'what the TCP streams take (tunnel)'],
    ['--json', 'print figures and every probe as JSON'],
    ['--csv FILE', 'write every probe as a line, too'],
    ['--svg FILE', 'draw goodput, round trips, loss and marks on one time axis, too'],
    ['--before FILE', 'an earlier --json, to compare with'],
    ['--port N', `TCP port (${CONTROL_PORT_DEFAULT}); the next three are for data, TCP and UDP`],
  ],
  examples: [
    ['fanway bench --listen', 'first, on the other host'],
    ['fanway latency 250.1.27.1 --svg latency.svg', 'then here'],
    ['fanway latency host-b --net blue', 'the same by a layer-2 network'],
    ['fanway latency 250.1.27.1 --json > before.json', 'keep it, change something, and then'],
    ['fanway latency 250.1.27.1 --before before.json --svg both.svg', 'see both side by side'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      ...{ '--seconds': 'value', '--streams': 'value', '--dscp': 'value', '--interval': 'value' },
      ...{ '--load': 'value', '--json': 'switch', '--csv': 'value', '--svg': 'value' },
      ...{ '--before': 'value', '--port': 'value', '--net': 'value' },
    });
    const [host, ...more] = rest;
    if (host === undefined) {
      throw usageError('usage', 'name the other host, by an address or its name');
    }
    noMore(more, latency);
    const { report, before } = await measure(host, flags, io);
    const [svg, csv] = [flags.get('--svg'), flags.get('--csv')];
    if (svg !== undefined) writeFileSync(svg, latencyDrawing(report, before));
    if (csv !== undefined) writeFileSync(csv, latencyCsv(report));
    if (flags.has('--json')) printJson(io, report);
    else io.out(latencyText(report, before));
    return ExitCode.Ok;
  },
};
