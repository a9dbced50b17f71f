/**
 * How long a test waits, and how a promise of time is checked.
 *
 * Under a whole test suite two cores measure themselves: how long something took there says as much
 * about the machine as about fanway. So a test waits until it is sure that what it waits for never
 * comes, and what a promise says of time counts only where somebody asks for it, on a machine that
 * does nothing else: `FANWAY_TEST_EXACT_TIMES=1`, as `.ci/run` does once at its end. There, too, a machine that is
 * slower than the one of the promises gets longer (speed.ts).
 * @module
 */
import type { Test } from 'tap';
import { patienceHere, slowness } from './speed.ts';

const POLL_MS = 20;
/** Whether promises of time are taken at their word. */
export const EXACT = process.env['FANWAY_TEST_EXACT_TIMES'] === '1';
/** What has not come after this long, ms, never does, however busy the machine. */
const NEVER_MS = 120_000;

/** Why a test that promises no time is skipped where times are all that is asked for, or false. */
export const skipExact: string | false = EXACT && 'promises no time';

/** What every limit of time is multiplied by. */
export const PATIENCE = EXACT ? 1 : 5;

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Waits until `look` gives something true, and returns that.
 * @param ms Limit in milliseconds where times are exact; elsewhere it is waited for much longer.
 * @throws Error with `what` when it takes longer.
 */
export async function until<T>(
  what: string,
  ms: number,
  look: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const limitMs = EXACT ? ms * patienceHere() : Math.max(ms * PATIENCE, NEVER_MS);
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadlineMs)
      throw new Error(`not within ${Math.round(limitMs)} ms: ${what}`);
    await sleep(POLL_MS);
  }
}

/**
 * Something that was to take at most `promisedMs` took `tookMs`: true where times are exact. Elsewhere
 * it only has to have come at all, and how long it took is a comment.
 */
export function promised(t: Test, what: string, tookMs: number, promisedMs: number): void {
  const text = `${what}: ${Math.round(tookMs)} ms (promised: ${promisedMs})`;
  const here =
    EXACT && slowness() > 1 ? `, on a machine of 1/${slowness().toFixed(1)} the speed` : '';
  t.comment(`${text}${here}`);
  t.ok(tookMs <= (EXACT ? promisedMs * patienceHere() : NEVER_MS), `${text}${here}`);
}
