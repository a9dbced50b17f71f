/**
 * `fanway daemon`: several links from one configuration file, in the foreground.
 * @module
 */
import { statusCall } from '../api/status.ts';
import { ask } from '../control/admin/admin-client.ts';
import { runDaemon } from '../control/daemon.ts';
import { requireOwnNamespace } from '../control/store/namespace.ts';
import { RunDirectory } from '../control/store/run-directory.ts';
import { ExitCode, refusedError, usageError } from '../errors.ts';
import { createLog, type LogLevel } from '../log.ts';
import { loadConfig } from './fans/check.ts';
import { whatEnds } from './fans/stays.ts';
import { requireNetAdmin } from './verb/privilege.ts';
import { noMore, takeFlags, type Verb } from './verb/verb.ts';

export const daemon: Verb = {
  name: 'daemon',
  summary: 'run the links of a configuration file until SIGTERM',
  usage: ['daemon -c FILE'],
  options: [
    ['-c FILE', 'the configuration; SIGHUP reads it again, and a wrong one changes nothing'],
  ],
  examples: [
    ['fanway daemon -c /etc/fanway/fanway.conf', 'as the systemd unit does'],
    ['fanway check --example', 'what can stand in the file'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '-c': 'value' });
    noMore(rest, daemon);
    const path = flags.get('-c');
    if (path === undefined) throw usageError('usage', 'name the file: fanway daemon -c FILE');
    // One that only speaks BGP or gossip changes nothing on this host.
    if (loadConfig(path).fans.some(({ off }) => !off)) requireNetAdmin('daemon');
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    run.create();
    const lock = run.lock('router.lock', { wait: false });
    if (lock === undefined) {
      const status = await ask(run, statusCall).catch(() => undefined);
      const how =
        status === undefined
          ? ', and does not answer now: fanway status says what it is once it does'
          : ` (${status.mode}, pid ${status.pid}): ${whatEnds(status)}`;
      throw refusedError('already-running', `a router runs in ${run.path}${how}`);
    }
    requireOwnNamespace(run);
    let level: LogLevel = 'info';
    const log = createLog({ level: () => level, write: (line) => io.err(line) });
    await runDaemon({
      run,
      log,
      load: () => loadConfig(path),
      setLogLevel: (next) => {
        level = next;
      },
    });
    lock.release();
    return ExitCode.Ok;
  },
};
