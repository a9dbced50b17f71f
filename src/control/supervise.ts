/**
 * Starting a router in the background. A few lines of shell restart the control process whenever
 * it is killed; they hold the router lock with it, so the lock tells whether anything of a router
 * is alive, and the kernel frees it when the last of them dies.
 * @module
 */
import { spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
} from 'node:fs';
import { constants as osConstants } from 'node:os';
import { codeOf, FanwayError } from '../errors.ts';
import { programCommand } from '../sys/host/paths.ts';
import { callRouter } from './admin/admin-client.ts';
import { GLIBC_MALLOC } from './store/memory.ts';
import type { Lock, RunDirectory } from './store/run-directory.ts';

/**
 * Constant text: the command comes in as arguments. Exit code 0 (done) and 2 (a configuration
 * that no restart can mend) end it; after anything else it starts the command again, at once when it
 * had run for 5 s, else later and later up to a minute; what was killed (137) says nothing about
 * itself and waits a second at most.
 */
export const SUPERVISE_SCRIPT = `delay=0
while :; do
  started=$(date +%s)
  "$@"
  code=$?
  case $code in 0|2) exit $code ;; esac
  if [ $(($(date +%s) - started)) -ge 5 ]; then delay=0; fi
  if [ $code -eq 137 ] && [ $delay -gt 1 ]; then delay=1; fi
  sleep $delay
  delay=$((delay * 2 + 1))
  if [ $delay -gt 60 ]; then delay=60; fi
done`;

const SHELL = '/bin/sh';
/** A life of this length says that the program as such is sound, s. */
const SOUND_S = 5;
const DELAY_MAX_S = 60;
const KILLED = 137;

/** How long {@link SUPERVISE_SCRIPT} waits after an end, s; undefined: it starts nothing again. */
export function pauseAfter(code: number, livedS: number, delayS: number): number | undefined {
  if (code === 0 || code === 2) return undefined;
  if (livedS >= SOUND_S) return 0;
  return code === KILLED ? Math.min(delayS, 1) : delayS;
}

/**
 * Does what {@link SUPERVISE_SCRIPT} does, where there is no shell that could; resolves with the exit
 * code of the last one.
 */
export async function supervise(command: string, words: readonly string[]): Promise<number> {
  let delayS = 0;
  for (;;) {
    const startedMs = performance.now();
    const code = await new Promise<number>((resolve) => {
      const child = spawn(command, words, { stdio: ['ignore', 'inherit', 'inherit', LOCK_FD] });
      child.once('error', () => resolve(127));
      child.once('exit', (code, signal) => {
        resolve(code ?? 128 + (signal === null ? 0 : osConstants.signals[signal]));
      });
    });
    const pauseS = pauseAfter(code, (performance.now() - startedMs) / 1000, delayS);
    if (pauseS === undefined) return code;
    await new Promise((resolve) => setTimeout(resolve, pauseS * 1000));
    delayS = Math.min(pauseS * 2 + 1, DELAY_MAX_S);
  }
}

/** The command that keeps a router alive. Ours takes some 40 MB, which a shell does not. */
function superviseCommand(router: readonly string[]): [command: string, words: string[]] {
  if (existsSync(SHELL)) return [SHELL, ['-c', SUPERVISE_SCRIPT, 'fanway-supervise', ...router]];
  const [command, ...words] = programCommand('fanway', V8_FLAGS);
  return [command, [...words, '__supervise', ...router]];
}

/** Descriptor number under which the shell and the control process inherit the router lock. */
export const LOCK_FD = 3;
/**
 * Little is made and dropped here: a large young generation would only be filled before it is swept. What a
 * burst of links leaves is collected by hand (memory-tidy.ts).
 */
const V8_FLAGS = ['--max-semi-space-size=1', '--expose-gc'];
/** A machine whose cores others keep busy needs many times what a start takes. */
const READY_MS = 60_000;
const POLL_MS = 25;
const LOG_BYTES_MAX = 1024 * 1024;
const LOG_TAIL_BYTES = 2000;

/** Opens the router's log for appending; one that grew large becomes `router.log.old` first. */
function openLog(run: RunDirectory): number {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
  const fd = openSync(run.log, flags, 0o600);
  if (fstatSync(fd).size < LOG_BYTES_MAX) return fd;
  closeSync(fd);
  renameSync(run.log, `${run.log}.old`);
  return openSync(run.log, flags, 0o600);
}

/**
 * Starts a router that outlives this process, and returns when it answers.
 * @param words further arguments of `fanway __control`, kept for each of its restarts
 * @throws FanwayError `router-start` with the end of its log.
 */
export async function startRouter(
  run: RunDirectory,
  lock: Lock,
  words: readonly string[] = [],
): Promise<void> {
  const log = openLog(run);
  const before = fstatSync(log).size;
  const router = [...programCommand('fanway', V8_FLAGS), '__control', ...words];
  const child = spawn(...superviseCommand(router), {
    stdio: ['ignore', log, log, lock.fd],
    detached: true,
    cwd: '/',
    env: { ...GLIBC_MALLOC, ...process.env, FANWAY_RUN_DIR: run.path },
  });
  closeSync(log);
  let ended: string | undefined;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended = `it ended with ${signal ?? code}`;
  });
  const deadline = Date.now() + READY_MS;
  for (;;) {
    if (ended !== undefined || Date.now() > deadline) {
      if (ended === undefined && child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
      const said = readFileSync(run.log).subarray(before).subarray(-LOG_TAIL_BYTES).toString();
      throw new FanwayError(
        'router-start',
        `the router did not start (${ended ?? 'no answer'}): ${said.trim() || `see ${run.log}`}`,
      );
    }
    if (await isReady(run)) break;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  child.unref();
}

/** Whether a router answers on the socket. */
export async function isReady(run: RunDirectory): Promise<boolean> {
  try {
    await callRouter(run, '/v1/ping');
    return true;
  } catch (error) {
    if (['not-running', 'router-silent'].includes(codeOf(error))) return false;
    throw error;
  }
}

/** Waits for a router that is alive (its lock is held) to answer: it may be restarting. */
export async function waitReady(run: RunDirectory): Promise<void> {
  const deadline = Date.now() + READY_MS;
  while (!(await isReady(run))) {
    if (Date.now() > deadline) {
      throw new FanwayError(
        'router-silent',
        `the router of ${run.path} does not answer; see ${run.log}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
