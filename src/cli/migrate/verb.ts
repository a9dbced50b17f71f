/**
 * `fanway migrate`: from a fan of fanctl's, LXD's or juju's to one of fanway's. Without more it changes nothing:
 * the commands, the steps on this host, and what `up` would do. With --take-over it does it, as the fan runs.
 * @module
 */
import { readFileSync } from 'node:fs';
import { FAN_FILE_DEFAULT, parseFanFile } from '../../config/fan-file.ts';
import { readConfigFile } from '../../config/file.ts';
import { parseFanWords } from '../../config/words.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, FanwayError, refusedError } from '../../errors.ts';
import type { NamedRequest } from '../fans/fan-requests.ts';
import { printPlans } from '../fans/plan.ts';
import { requireNetAdmin } from '../verb/privilege.ts';
import { type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { type Found, kindOfSource, readJujuConfig, readLxdNetwork } from './sources.ts';
import { giveBack, takenOver, takeOver } from './takeover.ts';

/** Commands and what goes with them, before the plan of each fan. */
type Migration = {
  source: 'fanctl' | 'lxd' | 'juju';
  commands: string[];
  /** In order, on each host, one host after the other. */
  steps: string[];
  notes: string[];
  requests: NamedRequest[];
};

function textOf(path: string): string {
  return path === '-' ? readFileSync(0, 'utf8') : readConfigFile(path);
}

/** @throws FanwayError (exit code 2) with every problem. */
function fromFile(path: string, text: string): Migration {
  const { fans, problems } = parseFanFile(text);
  if (problems.length > 0) {
    const lines = problems.map(({ line, message }) => `${path}:${line}: ${message}`);
    throw new FanwayError('fan-file', lines.join('\n'), { exitCode: ExitCode.Usage });
  }
  const file = path === FAN_FILE_DEFAULT ? '' : ` --file ${path}`;
  return {
    source: 'fanctl',
    commands: [`fanway up -a${file}`],
    steps: ['fanctl down -a', `fanway up -a${file}`, 'put the containers back on the bridge'],
    notes: ['the file is read as it is, in both of its historical forms'],
    requests: fans
      .filter(({ request }) => !request.off)
      .map(({ line, request }) => ({ request, where: `${path}:${line}: ` })),
  };
}

/** Fans by words, each with the command that makes it. @throws FanwayError (exit code 2). */
function fromWords(source: 'lxd' | 'juju', found: readonly Found[], steps: string[]): Migration {
  const migration: Migration = { source, commands: [], steps: [], notes: [], requests: [] };
  const problems: string[] = [];
  for (const one of found) {
    if ('problem' in one) {
      problems.push(one.problem);
      continue;
    }
    const command = `fanway up ${one.words.join(' ')}`;
    const { request, problems: wrong } = parseFanWords(one.words, 'overlay-first');
    problems.push(...wrong);
    if (request === undefined) continue;
    migration.commands.push(command);
    migration.notes.push(...one.notes);
    migration.requests.push({ request, where: `${command}:` });
  }
  if (problems.length > 0) {
    throw new FanwayError('migrate-source', problems.join('\n'), { exitCode: ExitCode.Usage });
  }
  migration.steps = [...steps, ...migration.commands];
  return migration;
}

function migrationOf(path: string, text: string): Migration {
  switch (kindOfSource(text)) {
    case 'lxd':
      return fromWords(
        'lxd',
        [readLxdNetwork(text)],
        [
          'take its containers off the network (lxc network detach-profile, or stop them)',
          'lxc network delete NAME, which frees UDP port 8472 and the address of the bridge',
        ],
      );
    case 'juju':
      return fromWords('juju', readJujuConfig(text), [
        'juju model-config fan-config="" (juju makes no new fans then)',
        'fanctl down -a, as juju brought its fans up by fanctl',
      ]);
    case 'file':
      return fromFile(path, text);
  }
}

function print(migration: Migration, io: Io): void {
  const { source, commands, steps, notes } = migration;
  io.out(`a fan of ${source}'s, with fanway:\n`);
  for (const command of commands) io.out(`  ${command}\n`);
  io.out('on each host, one after the other; those that are not done yet stay its peers:\n');
  for (const [index, step] of steps.entries()) io.out(`  ${index + 1}. ${step}\n`);
  for (const note of notes) io.out(`note: ${note}\n`);
  io.out('what up would do on this host as it is now:\n');
}

async function takeAll({ source, requests }: Migration, io: Io): Promise<ExitCode> {
  requireNetAdmin('migrate');
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  for (const { request } of requests) {
    const { bridge, tunnel } = await takeOver(run, request, io);
    io.out(`${bridge}: taken over from ${source}; ${tunnel} is down, and its containers stay\n`);
  }
  const atBoot: Record<Migration['source'], string> = {
    fanctl: 'put `off` behind the lines of /etc/network/fan',
    lxd: 'LXD brings its network up again when it starts: delete it before that, once all is well',
    juju: 'juju model-config fan-config="", and `off` behind the lines of /etc/network/fan',
  };
  io.err(
    `fanway: note: for the next boot: ${atBoot[source]}; and fanway.conf has to have the fan\n`,
  );
  return ExitCode.Ok;
}

async function giveAllBack([bridge, ...more]: readonly string[], io: Io): Promise<ExitCode> {
  noMore(bridge?.startsWith('-') === true ? [bridge] : more, migrate);
  requireNetAdmin('migrate');
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const meant = takenOver(io).filter((one) => bridge === undefined || one.bridge === bridge);
  if (meant.length === 0) throw refusedError('not-taken', 'nothing here was taken over');
  for (const taken of meant) {
    await giveBack(run, taken, io);
    io.out(`${taken.bridge}: given back; ${taken.tunnel} is up\n`);
  }
  return ExitCode.Ok;
}

export const migrate: Verb = {
  name: 'migrate',
  summary: "from fanctl's, LXD's or juju's fan to fanway's",
  usage: ['migrate [FILE] [--json]', 'migrate --take-over [FILE]', 'migrate --give-back [BRIDGE]'],
  details: [
    "FILE is fanctl's /etc/network/fan (also when left out), what lxc network show NAME prints, or",
    "juju's fan-config (UNDERLAY=OVERLAY ...); - is standard input. What it is, is seen by its content.",
    'The wire stays the same, so one host after the other can be taken over. --take-over does it on this',
    'one while the fan runs (VXLAN): its bridge stays, with its containers, and the tunnel becomes',
    "fanway's. --give-back undoes it. What starts the old fan at boot is for you to switch off.",
  ],
  options: [
    ['--take-over', 'take the fans of this host over, as they run'],
    ['--give-back', 'put the old tunnel up again, of BRIDGE or of all that were taken over'],
    ['--json', 'commands, steps and notes as JSON, then each plan'],
  ],
  examples: [
    ['fanway migrate', 'the fans of /etc/network/fan'],
    ['lxc network show lxdfan0 | fanway migrate -', "LXD's fan"],
    ['juju model-config fan-config | fanway migrate -', "juju's"],
    ['fanway migrate --take-over', 'this host, now; the others go on'],
    ['fanway migrate --give-back', 'and back'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      ...{ '--json': 'switch', '--take-over': 'switch', '--give-back': 'switch' },
    });
    if (flags.has('--give-back')) return giveAllBack(rest, io);
    const [path = FAN_FILE_DEFAULT, ...more] = rest;
    noMore(path.startsWith('-') && path !== '-' ? rest : more, migrate);
    const migration = migrationOf(path, textOf(path));
    const { requests, ...shown } = migration;
    if (requests.length === 0) throw refusedError('no-fan', `${path} has no fan that is not off`);
    if (flags.has('--take-over')) return takeAll(migration, io);
    if (flags.has('--json')) printJson(io, shown);
    else print(migration, io);
    return (await printPlans(requests, io, flags.has('--json'))) ? ExitCode.Refused : ExitCode.Ok;
  },
};
