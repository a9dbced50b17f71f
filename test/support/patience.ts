/**
 * How long a test waits. A limit of time is a promise about fanway on a machine that has time for
 * it; under a whole test suite on two cores it says as much about the machine. So limits are five
 * times the promise, and exact where somebody asks for that: `FANWAY_TEST_EXACT_TIMES=1`.
 * @module
 */

const POLL_MS = 20;

/** What every limit of time is multiplied by. */
export const PATIENCE = process.env['FANWAY_TEST_EXACT_TIMES'] === '1' ? 1 : 5;

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Waits until `look` gives something true, and returns that.
 * @param ms Limit in milliseconds, before {@link PATIENCE}.
 * @throws Error with `what` when it takes longer.
 */
export async function until<T>(
  what: string,
  ms: number,
  look: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const limitMs = ms * PATIENCE;
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadlineMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(POLL_MS);
  }
}
