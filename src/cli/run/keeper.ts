/**
 * `fanway __keeper`: the process inside the network namespace of `fanway run`. Not for people.
 * @module
 */
import { existsSync } from 'node:fs';
import { Keeper } from '../../control/door/keeper.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, messageOf } from '../../errors.ts';
import { createLog } from '../../log.ts';
import { bindMount } from '../../sys/process/mounts.ts';
import { noMore, takeFlags, type Verb } from '../verb/verb.ts';
import { hostsFile, resolversFile } from './files.ts';

export const keeper: Verb = {
  name: '__keeper',
  summary: 'keeps the network namespace of run (started by run)',
  usage: ['__keeper'],
  options: [],
  examples: [['fanway run -- sh', 'starts it']],
  async run(args, io) {
    noMore(takeFlags(args, {}).rest, keeper);
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const log = createLog({ timestamps: true, write: (line) => io.err(line) });
    for (const [file, path] of [
      [hostsFile(run), '/etc/hosts'],
      [resolversFile(run), '/etc/resolv.conf'],
    ] as const) {
      if (!existsSync(file)) continue;
      try {
        bindMount(file, path);
      } catch (error) {
        // Names are a convenience; the network does without.
        log.warn('names', `${path} stays the machine's: ${messageOf(error)}`);
      }
    }
    await (await Keeper.start(run, log)).done;
    return ExitCode.Ok;
  },
};
