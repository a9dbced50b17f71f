/**
 * Where the demo may run: as root right here, as an ordinary user inside user and network
 * namespaces of its own, or nowhere, with one sentence that says what is missing.
 * @module
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { platform } from 'node:os';
import { join } from 'node:path';
import { codeOf, messageOf } from '../errors.ts';
import { NetworkNamespace } from '../sys/netns.ts';
import { distDirectory } from '../sys/paths.ts';

/** `here`: go on in this process. `done`: a copy of us did it. `unfit`: not on this machine. */
export type Inside =
  | { kind: 'here' }
  | { kind: 'done'; code: number }
  | { kind: 'unfit'; reason: string };

/** Set for the copy inside the user namespace, so that it never starts another one. */
const INSIDE_VARIABLE = 'FANWAY_DEMO_INSIDE';
// util-linux, or busybox: makes the user namespace that a process with threads, as Node is,
// cannot make for itself.
const UNSHARE = ['unshare', '--user', '--map-root-user', '--net'] as const;

/** Finds out which; runs the copy when that is the way. */
export async function runInside(args: readonly string[]): Promise<Inside> {
  if (platform() !== 'linux') {
    return { kind: 'unfit', reason: 'needs Linux: hosts are network namespaces' };
  }
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
  } catch (error) {
    return { kind: 'unfit', reason: tunReason(codeOf(error)) };
  }
  try {
    NetworkNamespace.create().close();
    return { kind: 'here' };
  } catch (error) {
    if (process.env[INSIDE_VARIABLE] !== undefined) {
      return { kind: 'unfit', reason: `cannot make network namespaces: ${messageOf(error)}` };
    }
  }
  return runCopy(args);
}

function tunReason(code: string): string {
  if (code === 'EACCES' || code === 'EPERM') {
    return 'needs root, or access to /dev/net/tun (mode 0666 is safe: making a device takes CAP_NET_ADMIN all the same)';
  }
  return `needs /dev/net/tun (${code}): load the "tun" module, or pass the device into the container`;
}

async function runCopy(args: readonly string[]): Promise<Inside> {
  const [command, ...flags] = UNSHARE;
  const trial = spawnSync(command, [...flags, process.execPath, '-e', '0'], { encoding: 'utf8' });
  if (trial.error !== undefined) {
    const reason = `needs root, or the "unshare" command (util-linux) to make namespaces as user ${process.getuid?.()}`;
    return { kind: 'unfit', reason };
  }
  if (trial.status !== 0) {
    const why = trial.stderr.trim().split('\n')[0] ?? '';
    const reason = `needs root: this system lets no ordinary user make namespaces (${why})`;
    return { kind: 'unfit', reason };
  }
  const program = join(distDirectory(), 'fanway.js');
  const child = spawn(command, [...flags, process.execPath, program, 'demo', ...args], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE_VARIABLE]: '1' },
  });
  // The copy takes everything down itself; we only pass the word on and wait.
  const forward = (signal: NodeJS.Signals) => child.kill(signal);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, forward);
  const code = await new Promise<number>((resolve) => {
    child.on('exit', (status) => resolve(status ?? 1));
    child.on('error', () => resolve(1));
  });
  for (const signal of signals) process.off(signal, forward);
  return { kind: 'done', code };
}
