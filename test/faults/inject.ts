/**
 * System calls that fail: strace (if it is there) lets the kernel answer calls of a running process
 * with an error of our choice, and lets go of it again.
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { sleep, until } from '../support/patience.ts';

/** False where strace can follow a process, else the reason for a skip. */
export function skipWithoutStrace(): string | false {
  const { error } = spawnSync('strace', ['-V'], { stdio: 'ignore' });
  if (error !== undefined) return 'needs strace to make system calls fail';
  const child = spawn('sleep', ['5'], { stdio: 'ignore' });
  const probe = spawnSync('strace', ['-qq', '-p', String(child.pid)], {
    timeout: 300,
    encoding: 'utf8',
  });
  child.kill('SIGKILL');
  return probe.status === 1 ? `strace may not follow processes here: ${probe.stderr}` : false;
}

/**
 * Makes calls of `pid`'s main thread fail until the returned function is called.
 * @param calls names as strace knows them, `sendmmsg` or `write,writev`
 * @param error errno name
 * @param when strace's `when`: `1+` all of them, `1+2` every second, `1..50` the first fifty
 */
export async function injectError(
  pid: number,
  calls: string,
  error: string,
  when = '1+',
): Promise<() => Promise<void>> {
  const child: ChildProcess = spawn(
    'strace',
    [
      ...['-qq', '-o', '/dev/null', '-p', String(pid), '-e', `trace=${calls}`],
      ...['-e', `inject=${calls}:error=${error}:when=${when}`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const tracer = () =>
    /^TracerPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  await until('strace follows', 3000, () => tracer() === String(child.pid));
  // From attaching to being in force takes strace a moment.
  await sleep(50);
  return async () => {
    child.kill('SIGTERM');
    await ended;
  };
}
