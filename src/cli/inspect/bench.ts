/**
 * `fanway bench HOST`: what the tunnel to another host gives, beside the bare underlay.
 * @module
 */

import { writeFileSync } from 'node:fs';
import { ExitCode, FanwayError, usageError } from '../../errors.ts';
import { FarEnd } from '../../measure/far-end.ts';
import { listen } from '../../measure/listen.ts';
import { FULL_EFFORT, measureLive, QUICK_EFFORT } from '../../measure/live.ts';
import { liveDrawing, liveText, reportOf } from '../../measure/live-report.ts';
import { CONTROL_PORT_DEFAULT } from '../../measure/protocol.ts';
import { type Prefix, parsePrefix } from '../../net/prefix.ts';
import { hasCapability } from '../../sys/process/capabilities.ts';
import { checkWritable, fansUp, parseWith, wholeFlag } from '../paths/measured.ts';
import { networksUp, pairTo } from '../paths/measured-pair.ts';
import { progressTo } from '../verb/progress.ts';
import { type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

const LIFE_SECONDS_DEFAULT = 60;
const LIFE_SECONDS_MAX = 3600;
/** The port after it is for data. */
const PORT_MAX = 65_534;

type Flags = ReadonlyMap<string, string>;

/** Aborts at SIGINT or SIGTERM. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => controller.abort());
  }
  return controller.signal;
}

async function runListener(flags: Flags, port: number, io: Io): Promise<ExitCode> {
  for (const name of ['--json', '--svg', '--quick', '--net']) {
    if (flags.has(name)) throw usageError('usage', `${name} has no meaning with --listen`);
  }
  const life = wholeFlag(flags, '--life', LIFE_SECONDS_MAX, LIFE_SECONDS_DEFAULT);
  const allow = (flags.get('--allow') ?? '')
    .split(',')
    .filter((word) => word !== '')
    .map((word): Prefix => parseWith(parsePrefix, word.includes('/') ? word : `${word}/32`));
  await listen({
    fans: await fansUp(io),
    networks: await networksUp(io),
    allow,
    port,
    lifeMs: life * 1000,
    say: (line) => io.out(`${line}\n`),
    stop: stopSignal(),
  });
  return ExitCode.Ok;
}

async function runMeasurement(host: string, flags: Flags, port: number, io: Io): Promise<ExitCode> {
  for (const name of ['--allow', '--life']) {
    if (flags.has(name)) throw usageError('usage', `${name} goes with --listen`);
  }
  const svg = flags.get('--svg');
  checkWritable('--svg', svg);
  const pair = await pairTo(host, flags.get('--net'), io);
  if (!hasCapability('NET_RAW')) {
    throw new FanwayError('not-permitted', 'bench needs CAP_NET_RAW: run it as root', {
      exitCode: ExitCode.NotPermitted,
    });
  }
  const effort = flags.has('--quick') ? QUICK_EFFORT : FULL_EFFORT;
  const far = await FarEnd.connect(pair.near.underlay, pair.far.underlay, port);
  const { step, end } = progressTo(io);
  try {
    const result = await measureLive({ pair, far, effort, step });
    end();
    const report = reportOf(pair, result, effort.rounds, new Date());
    if (svg !== undefined) writeFileSync(svg, liveDrawing(report));
    if (flags.has('--json')) printJson(io, report);
    else io.out(liveText(report));
    return ExitCode.Ok;
  } catch (error) {
    end();
    throw error;
  } finally {
    far.close();
  }
}

export const bench: Verb = {
  name: 'bench',
  summary: 'measure the tunnel to another host beside the bare underlay',
  usage: [
    'bench HOST [--net NAME] [--quick] [--json] [--svg FILE] [--port N]',
    'bench --listen [--allow PREFIX,...] [--life SECONDS] [--port N]',
  ],
  options: [
    ['HOST', 'any overlay or underlay address of the other host, or its name'],
    ['--net NAME', 'by this layer-2 network, where both hosts have an address of their own'],
    ['--quick', 'one round, about 8 s; otherwise three rounds, about 30 s'],
    ['--json', 'print the figures as JSON'],
    ['--svg FILE', 'draw them, too'],
    ['--listen', 'be the other host: one client at a time'],
    ['--allow PREFIX,...', "who may connect; otherwise the underlays, and fans' overlays"],
    ['--life SECONDS', `how long to wait for clients (${LIFE_SECONDS_DEFAULT})`],
    ['--port N', `TCP port (${CONTROL_PORT_DEFAULT}); the next is for data, TCP and UDP`],
  ],
  examples: [
    ['fanway bench --listen', 'first, on the other host'],
    ['fanway bench 250.1.27.1', 'then here: TCP, packets a second, round trips, packet size'],
    ['fanway bench 172.30.1.27 --svg tunnel.svg', 'the same host by its underlay address'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '--listen': 'switch',
      '--net': 'value',
      '--allow': 'value',
      '--life': 'value',
      '--port': 'value',
      '--quick': 'switch',
      '--json': 'switch',
      '--svg': 'value',
    });
    const port = wholeFlag(flags, '--port', PORT_MAX, CONTROL_PORT_DEFAULT);
    if (flags.has('--listen')) {
      noMore(rest, bench);
      return runListener(flags, port, io);
    }
    const [host, ...more] = rest;
    if (host === undefined) {
      throw usageError(
        'usage',
        'name the other host, by an address or its name, or give --listen to be it',
      );
    }
    noMore(more, bench);
    return runMeasurement(host, flags, port, io);
  },
};
