/**
 * `fanway announce` and `fanway withdraw`: workloads that are not where the arithmetic has them.
 * @module
 */
import { announceCall, type Placed, withdrawCall } from '../../api/announce.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, usageError } from '../../errors.ts';
import { type FlagSpec, printJson, takeFlags, type Verb } from '../verb/verb.ts';

/** Both verbs differ in a word. */
function verb(of: {
  name: 'announce' | 'withdraw';
  summary: string;
  examples: Verb['examples'];
  force?: string;
  text: (placed: Placed) => string;
}): Verb {
  return {
    name: of.name,
    summary: of.summary,
    usage: [`${of.name} ADDRESS|PREFIX... ${of.force === undefined ? '' : '[--force] '}[--json]`],
    options: [
      ...(of.force === undefined ? [] : [['--force', of.force] satisfies [string, string]]),
      ['--json', 'print what was done as JSON'],
    ],
    examples: of.examples,
    async run(args, io) {
      const spec: FlagSpec = { '--json': 'switch' };
      if (of.force !== undefined) spec['--force'] = 'switch';
      const { flags, rest } = takeFlags(args, spec);
      if (rest.length === 0) {
        throw usageError('usage', `name an address or a prefix: fanway ${of.name} 250.1.27.10`);
      }
      const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
      const body = { prefixes: rest, force: flags.has('--force') };
      const done = await ask(run, of.name === 'announce' ? announceCall : withdrawCall, body);
      if (flags.has('--json')) printJson(io, done);
      else for (const placed of done) io.out(`${of.text(placed)}\n`);
      return ExitCode.Ok;
    },
  };
}

export const announce: Verb = verb({
  name: 'announce',
  summary: 'tell all hosts that an overlay address is here now',
  examples: [
    ['fanway announce 250.1.27.10', 'a workload that moved here, with its address'],
    ['fanway announce fd00:fa:1b::10', 'the same for IPv6'],
    ['fanway announce 250.1.27.64/26', 'all of a prefix; the longest match wins'],
  ],
  force: 'although it is a slice, a part of one or a gateway of a host that lives',
  text: ({ prefix, link, from }) =>
    `${prefix}: announced in ${link}${from === '' ? '' : `; taken from ${from}`}`,
});

export const withdraw: Verb = verb({
  name: 'withdraw',
  summary: 'take back what announce told',
  examples: [['fanway withdraw 250.1.27.10', 'it is again where the arithmetic has it']],
  text: ({ prefix }) => `${prefix}: withdrawn`,
});
