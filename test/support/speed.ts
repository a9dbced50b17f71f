/**
 * How fast this machine is. A promise of time is made of the machine that docs/performance.md names; one that takes
 * twice as long for everything, as a virtual machine may whose every page fault is its host's work, misses it through
 * no fault of fanway's.
 * @module
 */
import { spawnSync } from 'node:child_process';

const STARTS = 5;
/** What the start of Node takes on the machine of the promises, ms. */
const USUAL_MS = 60;
const SLOWNESS_MAX = 2.5;

let known: number | undefined;

/**
 * How many times as long as on the machine of the promises work takes here, 1 to {@link SLOWNESS_MAX}: judged once
 * by the median of five starts of Node, which are much of what tests time too: page faults, system calls, and code
 * that runs for the first time.
 */
export function slowness(): number {
  if (known !== undefined) return known;
  const tookMs = Array.from({ length: STARTS }, () => {
    const beganMs = performance.now();
    const { status, error } = spawnSync(process.execPath, ['-e', '0'], { stdio: 'ignore' });
    if (status !== 0) throw error ?? new Error(`node -e 0 ended with ${status}`);
    return performance.now() - beganMs;
  }).sort((one, other) => one - other);
  const medianMs = tookMs[Math.floor(STARTS / 2)] ?? USUAL_MS;
  known = Math.min(SLOWNESS_MAX, Math.max(1, medianMs / USUAL_MS));
  return known;
}

/**
 * By how much a promise of time grows here. Most of such a time is waiting for one of two processors that a dozen
 * processes share: where all of them take twice as long, that grows by more than twice.
 */
export function patienceHere(): number {
  return slowness() ** 2;
}
