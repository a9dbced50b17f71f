/**
 * `fanway migrate`: from a fan of fanctl's, LXD's or juju's to one of fanway's, without changing anything:
 * the commands, the steps on this host, and what `up` would do.
 * @module
 */
import { readFileSync } from 'node:fs';
import { FAN_FILE_DEFAULT, parseFanFile } from '../../config/fan-file.ts';
import { readConfigFile } from '../../config/file.ts';
import { parseFanWords } from '../../config/words.ts';
import { ExitCode, FanwayError, refusedError } from '../../errors.ts';
import type { NamedRequest } from '../fans/fan-requests.ts';
import { printPlans } from '../fans/plan.ts';
import { type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { type Found, kindOfSource, readJujuConfig, readLxdNetwork } from './sources.ts';

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

export const migrate: Verb = {
  name: 'migrate',
  summary: "from fanctl's, LXD's or juju's fan to fanway's; changes nothing",
  usage: ['migrate [FILE] [--json]'],
  details: [
    "FILE is fanctl's /etc/network/fan (also when left out), what lxc network show NAME prints, or",
    "juju's fan-config (UNDERLAY=OVERLAY ...); - is standard input. What it is, is seen by its content.",
    'The wire stays the same, so one host after the other can be taken over.',
  ],
  options: [['--json', 'commands, steps and notes as JSON, then each plan']],
  examples: [
    ['fanway migrate', 'the fans of /etc/network/fan'],
    ['lxc network show lxdfan0 | fanway migrate -', "LXD's fan"],
    ['juju model-config fan-config | fanway migrate -', "juju's"],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    const [path = FAN_FILE_DEFAULT, ...more] = rest;
    noMore(path.startsWith('-') && path !== '-' ? rest : more, migrate);
    const migration = migrationOf(path, textOf(path));
    const { requests, ...shown } = migration;
    if (requests.length === 0) throw refusedError('no-fan', `${path} has no fan that is not off`);
    if (flags.has('--json')) printJson(io, shown);
    else print(migration, io);
    return (await printPlans(requests, io, flags.has('--json'))) ? ExitCode.Refused : ExitCode.Ok;
  },
};
