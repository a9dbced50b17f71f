/** Ending processes that tests started. @module */
import { codeOf } from '../../src/errors.ts';

/** Kills one of several processes; one that has ended meanwhile, as others of it ended, is no failure. */
export function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}
