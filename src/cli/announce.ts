/**
 * `fanway announce` and `fanway withdraw`: workloads that are not where the arithmetic has them.
 * @module
 */
import { callRouter } from '../control/admin-client.ts';
import { RunDirectory } from '../control/run-directory.ts';
import { ExitCode, usageError } from '../errors.ts';
import { printJson, takeFlags, type Verb } from './verb.ts';

/** Both verbs differ in a word. */
function verb(of: {
  name: 'announce' | 'withdraw';
  summary: string;
  examples: Verb['examples'];
  text: (prefix: string, link: string) => string;
}): Verb {
  return {
    name: of.name,
    summary: of.summary,
    usage: [`${of.name} ADDRESS|PREFIX... [--json]`],
    options: [['--json', 'print what was done as JSON']],
    examples: of.examples,
    async run(args, io) {
      const { flags, rest } = takeFlags(args, { '--json': 'switch' });
      if (rest.length === 0) {
        throw usageError('usage', `name an address or a prefix: fanway ${of.name} 250.1.27.10`);
      }
      const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
      const done = (await callRouter(run, `/v1/gossip/${of.name}`, { prefixes: rest })) as {
        prefix: string;
        link: string;
      }[];
      if (flags.has('--json')) printJson(io, done);
      else for (const { prefix, link } of done) io.out(`${of.text(prefix, link)}\n`);
      return ExitCode.Ok;
    },
  };
}

export const announce: Verb = verb({
  name: 'announce',
  summary: 'tell all hosts that an overlay address is here now',
  examples: [
    ['fanway announce 250.1.27.10', 'a workload that moved here, with its address'],
    ['fanway announce 250.1.27.64/26', 'all of a prefix; the longest match wins'],
  ],
  text: (prefix, link) => `${prefix}: announced in ${link}`,
});

export const withdraw: Verb = verb({
  name: 'withdraw',
  summary: 'take back what announce told',
  examples: [['fanway withdraw 250.1.27.10', 'it is again where the arithmetic has it']],
  text: (prefix) => `${prefix}: withdrawn`,
});
