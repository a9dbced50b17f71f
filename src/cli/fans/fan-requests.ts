/**
 * From the words after `up`, `plan` and `down` to the fans that are meant.
 * @module
 */

import { FAN_FILE_DEFAULT, parseFanFile } from '../../config/fan-file.ts';
import { readConfigFile } from '../../config/file.ts';
import { FAN_ROWS } from '../../config/link/fan-rows.ts';
import { type FanRequest, ipv4First } from '../../config/request.ts';
import { helpOf } from '../../config/row/row.ts';
import { parseFanWords } from '../../config/words.ts';
import { ExitCode, FanwayError, usageError } from '../../errors.ts';
import type { Io } from '../verb/verb.ts';

/** A fan and where it was written, '' for the command line. */
export type NamedRequest = { request: FanRequest; where: string };

/** The options that `up` and `plan` share, for their help. */
export const FAN_OPTIONS: [string, string][] = [
  ...helpOf(FAN_ROWS),
  ['auto, --auto', 'down -a takes it down again; fans of -a are all auto'],
  ['-a', 'every fan of /etc/network/fan that is not off'],
  ['--file FILE', 'another file for -a (also FANWAY_FAN_FILE)'],
];

/** Flags of the verbs themselves, for those who mistype them. */
const VERB_FLAGS = ['--file', '--foreground', '--json', '--queues', '--busy-poll'];

/**
 * The fans of one command line: one from its words, or all of a file with -a.
 * @throws FanwayError (exit code 2) with every problem, a line each.
 */
export function readRequests(
  rest: readonly string[],
  flags: ReadonlyMap<string, string>,
  io: Io,
): NamedRequest[] {
  if (!flags.has('-a')) {
    if (flags.has('--file')) throw usageError('usage', '--file belongs to -a');
    const { request, problems } = parseFanWords(rest, 'overlay-first', VERB_FLAGS);
    if (request === undefined) throw usageError('usage', problems.join('\n'));
    return [{ request, where: '' }];
  }
  if (rest.length > 0) throw usageError('usage', `-a takes its fans from a file, not ${rest[0]}`);
  const path = flags.get('--file') ?? io.env['FANWAY_FAN_FILE'] ?? FAN_FILE_DEFAULT;
  const { fans, problems } = parseFanFile(readConfigFile(path));
  if (problems.length > 0) {
    throw new FanwayError(
      'fan-file',
      problems.map(({ line, message }) => `${path}:${line}: ${message}`).join('\n'),
      { exitCode: ExitCode.Usage },
    );
  }
  return ipv4First(fans)
    .filter(({ request }) => !request.off)
    .map(({ line, request }) => ({ request, where: `${path}:${line}: ` }));
}
