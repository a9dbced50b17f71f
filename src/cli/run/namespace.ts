/**
 * The network namespace of `fanway run`: found or made, held while a command runs in it, entered.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Door } from '../../control/door/door.ts';
import type { DoorState } from '../../control/door/protocol.ts';
import { endOrphans } from '../../control/host/orphans.ts';
import { RecordStore } from '../../control/store/gossip-record.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode, FanwayError } from '../../errors.ts';
import { programCommand } from '../../sys/host/paths.ts';
import { isRoot, rootlessObstacle } from '../../sys/process/rootless.ts';
import { waitEnd } from '../fans/down.ts';
import {
  hostsFile,
  hostsText,
  machineText,
  resolversFile,
  resolversText,
  writeInPlace,
} from './files.ts';
import { endInternet, findWay, startInternet } from './internet.ts';

const START_MS = 15_000;
/** The keeper gives what runs there a second, and as long again. */
const END_MS = 5000;
const POLL_MS = 20;
const LOG_TAIL_BYTES = 1000;

/** A namespace that lives at least as long as its door is open. */
export type HeldNamespace = {
  door: Door;
  state: DoorState;
  /** What of it is not as it could be, as sentences. */
  notes: string[];
};

/** What is asked of a namespace that has to be made. */
export type NamespaceOptions = { internet: boolean };

/** Where the name of the namespace's file is, for programs that take a path. */
export function namespaceLink(run: RunDirectory): string {
  return join(run.path, 'netns');
}

async function doorOf(run: RunDirectory): Promise<Door | undefined> {
  try {
    return await Door.open(run);
  } catch (error) {
    if (codeOf(error) === 'no-namespace') return undefined;
    throw error;
  }
}

/** What a namespace that is gone has left: everything that was made in it went with it. */
async function forgetLast(run: RunDirectory): Promise<void> {
  await endOrphans(run.data);
  await endInternet(run);
  new RecordStore(run).remove();
  for (const name of readdirSync(run.journals)) {
    rmSync(join(run.journals, name), { recursive: true, force: true });
  }
}

/** What `unshare` and `nsenter` are told of the user namespace. Root needs none of its own. */
function userWords(words: readonly string[]): readonly string[] {
  return isRoot() ? [] : words;
}

function startKeeper(run: RunDirectory): ChildProcess {
  const log = openSync(join(run.path, 'keeper.log'), 'w', 0o600);
  const namespaces = [...userWords(['--user', '--map-root-user']), '--net', '--mount'];
  const child = spawn('unshare', [...namespaces, '--', ...programCommand('fanway'), '__keeper'], {
    stdio: ['ignore', log, log],
    detached: true,
    cwd: '/',
    env: { ...process.env, FANWAY_RUN_DIR: run.path },
  });
  closeSync(log);
  return child;
}

/** Waits until the keeper answers. @throws FanwayError `keeper-start` with the end of its log. */
async function keptBy(child: ChildProcess, run: RunDirectory): Promise<Door> {
  let ended = '';
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended = `it ended with ${signal ?? code}`;
  });
  const deadlineMs = performance.now() + START_MS;
  for (;;) {
    const door = await doorOf(run);
    if (door !== undefined) {
      child.unref();
      return door;
    }
    if (ended !== '' || performance.now() > deadlineMs) {
      child.kill('SIGKILL');
      const said = machineText(join(run.path, 'keeper.log')).slice(-LOG_TAIL_BYTES).trim();
      const message = `no network namespace could be made (${ended || 'no answer'}): ${said}`;
      throw new FanwayError('keeper-start', message);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function makeNamespace(run: RunDirectory, options: NamespaceOptions): Promise<HeldNamespace> {
  const obstacle = isRoot() ? undefined : rootlessObstacle();
  if (obstacle !== undefined) {
    throw new FanwayError('not-permitted', `fanway run: ${obstacle.replace(/\.$/, '')}`, {
      exitCode: ExitCode.NotPermitted,
    });
  }
  // The router of the last one may be on its way out.
  await waitEnd(run);
  await forgetLast(run);
  const way = options.internet ? findWay() : undefined;
  writeInPlace(hostsFile(run), hostsText(machineText('/etc/hosts'), []));
  rmSync(resolversFile(run), { force: true });
  if (way !== undefined) {
    writeInPlace(resolversFile(run), resolversText(machineText('/etc/resolv.conf'), way.server));
  }
  const door = await keptBy(startKeeper(run), run);
  const state = await door.hold();
  rmSync(namespaceLink(run), { force: true });
  symlinkSync(`/proc/${state.pid}/ns/net`, namespaceLink(run));
  const notes: string[] = [];
  if (way !== undefined) {
    const refused = await startInternet(run, way, state.pid, !isRoot());
    if (refused !== '') notes.push(`${way.program} gives no way out: ${refused}`);
  } else if (options.internet) {
    notes.push('no pasta and no slirp4netns here: the overlay is reached, and nothing beyond it');
  }
  return { door, state, notes };
}

/**
 * The namespace behind a run directory, made where there is none. The caller holds the lock `lock`.
 * @throws FanwayError (exit code 4) when this machine lets nobody but root have one.
 */
export async function holdNamespace(
  run: RunDirectory,
  options: NamespaceOptions,
): Promise<HeldNamespace> {
  const door = await doorOf(run);
  if (door === undefined) return makeNamespace(run, options);
  try {
    return { door, state: await door.hold(), notes: [] };
  } catch (error) {
    // It was just going.
    if (codeOf(error) !== 'namespace-gone') throw error;
    return makeNamespace(run, options);
  }
}

/**
 * Lets go of it, and waits until all of it is gone where nobody else holds it.
 * @throws FanwayError `router-stays`
 */
export async function leaveNamespace(run: RunDirectory, door: Door): Promise<void> {
  door.close();
  const deadlineMs = performance.now() + END_MS;
  for (;;) {
    const next = await doorOf(run);
    const holders = next === undefined ? 0 : await holdersOf(next);
    next?.close();
    if (holders > 0) return;
    const free = run.lock('router.lock', { wait: false });
    free?.release();
    if (free !== undefined && next === undefined) break;
    if (performance.now() > deadlineMs) return waitEnd(run);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  await forgetLast(run);
  for (const path of [namespaceLink(run), hostsFile(run), resolversFile(run)]) {
    rmSync(path, { force: true });
  }
}

/** How many commands hold it; none when it is just going. */
async function holdersOf(door: Door): Promise<number> {
  try {
    return (await door.state()).holders;
  } catch {
    return 0;
  }
}

/**
 * Constant text: everything else comes in as arguments. The command ends with us, also when we are
 * killed: others may keep the namespace.
 */
const ENTER_SCRIPT = `cd -- "$1" 2>/dev/null || cd /
shift
if setpriv --pdeathsig KILL true 2>/dev/null; then exec setpriv --pdeathsig KILL -- "$@"; fi
exec "$@"`;

/** Starts a command in the namespace, on this terminal and in this directory. */
export function enter(
  pid: number,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
): ChildProcess {
  const words = [...userWords(['--user', '--preserve-credentials']), '--net', '--mount'];
  const script = ['/bin/sh', '-c', ENTER_SCRIPT, 'fanway-run', process.cwd(), ...command];
  return spawn('nsenter', ['--target', String(pid), ...words, '--', ...script], {
    stdio: 'inherit',
    env,
  });
}
