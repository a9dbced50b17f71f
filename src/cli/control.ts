/**
 * `fanway __control`: the control process in the background, started by `up` through a loop that
 * restarts it; and `fanway __supervise COMMAND`, that loop where there is no shell. Not for people.
 * @module
 */
import { fstatSync } from 'node:fs';
import { openDistantHost } from '../control/door/distant-host.ts';
import { Door } from '../control/door/door.ts';
import { endOrphans } from '../control/host/orphans.ts';
import { ControlService, type ServiceOptions } from '../control/service.ts';
import { Lock, RunDirectory } from '../control/store/run-directory.ts';
import { LOCK_FD, supervise } from '../control/supervise.ts';
import { codeOf, ExitCode, usageError } from '../errors.ts';
import { createLog } from '../log.ts';
import { DATA_FLAGS, DATA_OPTIONS, readDataOptions } from './fans/data-options.ts';
import { noMore, takeFlags, type Verb } from './verb/verb.ts';

/** The router lock that came with us, or a fresh one when started by hand. */
function holdLock(run: RunDirectory): Lock {
  try {
    if (fstatSync(LOCK_FD).isFile()) return new Lock(LOCK_FD);
  } catch {
    // No such descriptor: nobody started us with one.
  }
  const lock = run.lock('router.lock', { wait: false });
  if (lock === undefined) throw usageError('already-running', `a router runs in ${run.path}`);
  return lock;
}

/** The router of a network namespace that is not its own; it ends with that. */
async function serveBehindDoor(options: ServiceOptions): Promise<void> {
  const { run, log } = options;
  let door: Door;
  try {
    door = await Door.open(run);
  } catch (error) {
    if (codeOf(error) !== 'no-namespace') throw error;
    log.info('door', 'the namespace is gone');
    await endOrphans(run.data);
    return;
  }
  const service = await ControlService.start({
    ...options,
    host: openDistantHost(run, door),
    openDevice: door.openDevice,
  });
  void door.gone.then(() => {
    log.info('door', 'the namespace is gone');
    void service.stop();
  });
  await service.done;
}

export const control: Verb = {
  name: '__control',
  summary: 'the control process (started by up)',
  usage: ['__control [OPTIONS]'],
  options: DATA_OPTIONS,
  examples: [['fanway up 250.0.0.0/8 eth0/16', 'starts it']],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { ...DATA_FLAGS, '--door': 'switch' });
    noMore(rest, control);
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    run.create();
    const lock = holdLock(run);
    const log = createLog({ timestamps: true, write: (line) => io.err(line) });
    const options = { run, log, mode: 'background', ...readDataOptions(flags) } as const;
    if (flags.has('--door')) await serveBehindDoor(options);
    else await (await ControlService.start(options)).done;
    lock.release();
    return ExitCode.Ok;
  },
};

export const superviseVerb: Verb = {
  name: '__supervise',
  summary: 'start a command again and again (started by up)',
  usage: ['__supervise COMMAND [WORDS]'],
  options: [],
  examples: [['fanway up 250.0.0.0/8 eth0/16', 'starts it where there is no shell']],
  async run([command, ...words]) {
    if (command === undefined) throw usageError('usage', 'give the command to supervise');
    return (await supervise(command, words)) === 0 ? ExitCode.Ok : ExitCode.Usage;
  },
};
