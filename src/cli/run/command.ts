/**
 * One command in the namespace: its signals, its end, and what becomes of it when the network goes.
 * @module
 */
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import { FanwayError } from '../../errors.ts';
import { enter, type HeldNamespace } from './namespace.ts';

/** A shell's way to say that a signal ended a program. */
const SIGNAL_BASE = 128;
/** How long a command without a network has to end by itself, ms. */
const GRACE_MS = 2000;
const PASSED = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;
/** Typed at a terminal they reach the command by themselves, and must not come twice. */
const TYPED = ['SIGINT', 'SIGQUIT'] as const;

/**
 * Runs it to its end.
 * @returns its exit code, or 128 and the number of the signal that ended it.
 * @throws FanwayError `no-nsenter`; `namespace-gone` when the namespace went before it.
 */
export async function runInside(
  { state, door }: HeldNamespace,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const child = enter(state.pid, command, env);
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  const typed = isatty(0) ? (): void => undefined : pass;
  for (const signal of PASSED) process.on(signal, pass);
  for (const signal of TYPED) process.on(signal, typed);
  let isOver = false;
  let lost = false;
  void door.gone.then(() => {
    if (isOver) return;
    lost = true;
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), GRACE_MS).unref();
  });
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', (error) => {
        const text = `nsenter (package util-linux) cannot be run: ${error.message}`;
        reject(new FanwayError('no-nsenter', text, { cause: error }));
      });
      child.once('exit', (code, signal) => {
        resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal]));
      });
    });
    if (!lost) return code;
    throw new FanwayError(
      'namespace-gone',
      'somebody ended the keeper of this network: the command was ended with it',
    );
  } finally {
    isOver = true;
    for (const signal of PASSED) process.off(signal, pass);
    for (const signal of TYPED) process.off(signal, typed);
  }
}
