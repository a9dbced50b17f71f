/**
 * Data processes outlive a killed control process, so that traffic goes on; the next control
 * process takes over what they hold, or ends them before it opens the same devices.
 * @module
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readIfThere } from '../store/run-directory.ts';
import { startTimeOf } from './dhcp.ts';

/** How long to wait for a killed process to be gone, ms. */
const GONE_TIMEOUT_MS = 2000;

/** What follows the pid in the name of the socket by which a data process is taken over from. */
const SOCKET_ENDING = '.s';

/** The socket by which a data process is taken over from. */
export function handoverSocket(directory: string, pid: number): string {
  return join(directory, `${pid}${SOCKET_ENDING}`);
}

/** Notes a running data process in `directory`, with its start time: pids are used again. */
export function recordProcess(directory: string, pid: number): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const startTime = startTimeOf(pid);
  if (startTime !== undefined) writeFileSync(join(directory, String(pid)), startTime);
}

/** Forgets a data process that has ended. */
export function forgetProcess(directory: string, pid: number): void {
  rmSync(join(directory, String(pid)), { force: true });
  rmSync(handoverSocket(directory, pid), { force: true });
}

/**
 * True when the process and all its threads have ended. The first thread may be a zombie while
 * others still hold the descriptors; /proc/PID/task then has more than that one.
 */
function isGone(pid: number, recorded: string): boolean {
  if (startTimeOf(pid) === recorded) return false;
  try {
    return readdirSync(`/proc/${pid}/task`).length <= 1;
  } catch {
    return true;
  }
}

/** Whether a recorded data process, or a thread of it, still runs. */
export function isRunning(directory: string, pid: number): boolean {
  const recorded = readIfThere(join(directory, String(pid)));
  return recorded !== undefined && !isGone(pid, recorded);
}

/** The recorded data processes that still run. */
export function runningOrphans(directory: string): number[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return []; // No directory: no control process ran here before.
  }
  return names.map(Number).filter((pid) => {
    if (!Number.isInteger(pid) || pid <= 1) return false;
    try {
      const recorded = readIfThere(join(directory, String(pid)));
      return recorded !== undefined && startTimeOf(pid) === recorded;
    } catch {
      return false; // Not a file, so it stands for no process.
    }
  });
}

/**
 * Ends every recorded data process that still is the one that was recorded, but for those of `ours`;
 * returns how many. Resolves when they are gone and their descriptors closed.
 */
export async function endOrphans(directory: string, ours: readonly number[] = []): Promise<number> {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return 0; // No directory: no control process ran here before.
  }
  let ended = 0;
  for (const name of names) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid <= 1 || ours.includes(pid)) continue;
    const path = join(directory, name);
    let recorded: string | undefined;
    try {
      recorded = readIfThere(path);
    } catch {
      // Not a file: we wrote nothing of the kind, so it stands for no process.
    }
    if (recorded !== undefined && startTimeOf(pid) === recorded) {
      process.kill(pid, 'SIGKILL');
      ended++;
      const deadlineMs = Date.now() + GONE_TIMEOUT_MS;
      while (!isGone(pid, recorded) && Date.now() < deadlineMs) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    rmSync(path, { force: true, recursive: true });
    rmSync(handoverSocket(directory, pid), { force: true });
  }
  return ended;
}
