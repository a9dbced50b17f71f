/**
 * `fanway check`: whether a configuration file is right, without touching anything.
 * @module
 */
import { exampleConfig } from '../../config/example.ts';
import { readConfigFile } from '../../config/file.ts';
import { type Config, parseConfig } from '../../config/parse.ts';
import { ExitCode, FanwayError, usageError } from '../../errors.ts';
import { counted } from '../verb/quantities.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

/**
 * The configuration in a file.
 * @throws FanwayError (exit code 2) with every problem as `file:line: sentence`.
 */
export function loadConfig(path: string): Config {
  const { config, problems } = parseConfig(readConfigFile(path));
  if (config !== undefined) return config;
  const text = problems.map(({ line, message }) => `${path}:${line}: ${message}`).join('\n');
  throw new FanwayError('config', text, { exitCode: ExitCode.Usage });
}

export const check: Verb = {
  name: 'check',
  summary: 'check a configuration file',
  usage: ['check -c FILE', 'check --example'],
  options: [
    ['-c FILE', 'the file'],
    ['--example', 'print an example that names every setting'],
    ['--json', 'the fans it describes, as JSON'],
  ],
  examples: [
    ['fanway check -c /etc/fanway/fanway.conf', 'all problems at once, with their lines'],
    ['fanway check --example > fanway.conf', 'to begin with'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '-c': 'value',
      '--example': 'switch',
      '--json': 'switch',
    });
    const path = flags.get('-c');
    const [word] = rest;
    if (path === undefined && word !== undefined && !word.startsWith('-')) {
      throw usageError('usage', `name the file with -c: fanway check -c ${word}`);
    }
    noMore(rest, check);
    if (flags.has('--example')) {
      io.out(exampleConfig());
      return ExitCode.Ok;
    }
    if (path === undefined) throw usageError('usage', 'name the file: fanway check -c FILE');
    const config = loadConfig(path);
    if (flags.has('--json')) printJson(io, config);
    else io.out(`${path}: right, ${counted(config.fans.length, 'fan')}\n`);
    return ExitCode.Ok;
  },
};
