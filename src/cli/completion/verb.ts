/**
 * `fanway completion SHELL`: prints what a shell reads to complete the words of fanway.
 * @module
 */
import { ExitCode, usageError } from '../../errors.ts';
import { noMore, takeFlags, type Verb, type VerbGroup } from '../verb/verb.ts';
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import { type Command, commandsOf } from './model.ts';
import { zshCompletion } from './zsh.ts';

const SHELLS: Readonly<Record<string, (commands: readonly Command[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** The verb, for a table of verbs that it is part of itself. */
export function completionVerb(groups: () => readonly VerbGroup[]): Verb {
  const verb: Verb = {
    name: 'completion',
    summary: 'print the completion script of a shell',
    details: [
      'Write it where the shell looks for such scripts, and start a new shell; for the running one,',
      'bash and zsh: source <(fanway completion bash), fish: fanway completion fish | source.',
    ],
    usage: ['completion bash|zsh|fish'],
    options: [],
    examples: [
      [
        'fanway completion bash > /usr/local/share/bash-completion/completions/fanway',
        'for all users of bash (needs the package bash-completion)',
      ],
      [
        'fanway completion zsh > /usr/local/share/zsh/site-functions/_fanway',
        'for all users of zsh; any directory of $fpath will do',
      ],
      ['fanway completion fish > ~/.config/fish/completions/fanway.fish', 'for yourself, in fish'],
    ],
    async run(args, io) {
      const { rest } = takeFlags(args, {});
      const [shell = '', ...more] = rest;
      const script = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
      if (script === undefined) {
        throw usageError('usage', `fanway completion ${Object.keys(SHELLS).join('|')}; see --help`);
      }
      noMore(more, verb);
      io.out(script(commandsOf(groups())));
      return ExitCode.Ok;
    },
  };
  return verb;
}
