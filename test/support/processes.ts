/** Ending processes that tests started. @module */
import { codeOf } from '../../src/errors.ts';

/** Kills one of several processes; one that has ended meanwhile, as others of it ended, is no failure. */
export function killIfThere(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  // 0 would be every process of our own group.
  if (pid <= 0) throw new RangeError(`no process: ${pid}`);
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}
