/**
 * `fanway man`: the manual pages, printed or written where `man` finds them.
 * @module
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { didYouMean } from '../config/closest.ts';
import { ExitCode, FanwayError, messageOf, usageError } from '../errors.ts';
import { overviewPage, verbPage } from './roff.ts';
import { noMore, takeFlags, type Verb, type VerbGroup } from './verb/verb.ts';

/** Every page by its file name. */
export function manualPages(groups: readonly VerbGroup[]): Map<string, string> {
  const pages = new Map([['fanway.8', overviewPage(groups)]]);
  for (const { verbs } of groups) {
    for (const verb of verbs) pages.set(`fanway-${verb.name}.8`, verbPage(verb));
  }
  return pages;
}

/** @throws FanwayError when the directory cannot be written to. */
function writePages(directory: string, pages: ReadonlyMap<string, string>): void {
  try {
    mkdirSync(directory, { recursive: true });
    for (const [name, text] of pages) writeFileSync(join(directory, name), text);
  } catch (error) {
    throw new FanwayError('man', `--out: ${directory} cannot be written to: ${messageOf(error)}`);
  }
}

/** The verb, for a table of verbs that it is part of itself. */
export function manVerb(groups: () => readonly VerbGroup[]): Verb {
  const verb: Verb = {
    name: 'man',
    summary: 'print a manual page, or write all of them',
    usage: ['man [VERB]', 'man --out DIR'],
    options: [['--out DIR', 'write fanway.8 and a page for each verb into this directory']],
    examples: [
      ['fanway man | man -l -', 'read the page of fanway'],
      ['fanway man up | man -l -', 'read the page of fanway up'],
      ['fanway man --out /usr/local/share/man/man8', 'for man fanway and man fanway-up'],
    ],
    async run(args, io) {
      const { flags, rest } = takeFlags(args, { '--out': 'value' });
      const pages = manualPages(groups());
      const directory = flags.get('--out');
      if (directory !== undefined) {
        noMore(rest, verb);
        writePages(directory, pages);
        return ExitCode.Ok;
      }
      const [name, ...more] = rest;
      noMore(more, verb);
      const page = pages.get(name === undefined ? 'fanway.8' : `fanway-${name}.8`);
      if (page === undefined) {
        const names = groups().flatMap(({ verbs }) => verbs.map(({ name }) => name));
        throw usageError('usage', `${name} is no verb${didYouMean(name ?? '', names)}`);
      }
      io.out(page);
      return ExitCode.Ok;
    },
  };
  return verb;
}
