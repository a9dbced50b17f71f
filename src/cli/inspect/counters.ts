/**
 * `fanway counters`: what became of every packet, by reason.
 * @module
 */
import { countersCall } from '../../api/counters.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode } from '../../errors.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

type Counters = Record<string, Record<string, number>>;

/** The counters as text, those at zero left out unless `all`. */
export function countersText(counters: Counters, all: boolean): string {
  const lines: string[] = [];
  for (const [link, values] of Object.entries(counters)) {
    lines.push(link);
    const shown = Object.entries(values).filter(([, value]) => all || value !== 0);
    const width = Math.max(0, ...shown.map(([name]) => name.length));
    for (const [name, value] of shown) lines.push(`  ${name.padEnd(width)}  ${value}`);
  }
  return lines.length === 0
    ? 'no link runs: fanway status tells of those that should, fanway up makes one\n'
    : `${lines.join('\n')}\n`;
}

export const counters: Verb = {
  name: 'counters',
  summary: 'packets and bytes by direction and reason',
  usage: ['counters [--all] [--json]'],
  options: [
    ['--all', 'also those at zero'],
    ['--json', 'all of them as JSON, by link'],
  ],
  examples: [
    ['fanway counters', 'received = delivered + the sum of the drops, each direction'],
    ['fanway counters --all', 'every reason there is; docs/reference.md says what each means'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch', '--all': 'switch' });
    noMore(rest, counters);
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const all = await ask(run, countersCall);
    if (flags.has('--json')) printJson(io, all);
    else io.out(countersText(all, flags.has('--all')));
    return ExitCode.Ok;
  },
};
