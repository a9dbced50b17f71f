/** Processes by the network namespace they live in, from /proc. @module */
import { processesIn } from '../sys/process/namespace-processes.ts';

export { processesIn };

/**
 * Ends every process in the namespace for good, a supervisor that starts its ward anew included:
 * kills until a look finds none, a bounded number of times. A killed process takes a moment to go.
 */
export function killAllIn(namespaceInode: number): void {
  const LOOKS_MAX = 200;
  const PAUSE_MS = 5;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let look = 0; look < LOOKS_MAX; look += 1) {
    const pids = processesIn(namespaceInode);
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // ended by itself
      }
    }
    Atomics.wait(pause, 0, 0, PAUSE_MS);
  }
}
