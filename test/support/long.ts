/**
 * Tests that `npm test` has no time for: they run where `FANWAY_TEST_LONG=1` is set, as `.ci/run`
 * does, and are skipped with this reason elsewhere.
 * @module
 */

const LONG = process.env['FANWAY_TEST_LONG'];

/** Why a long test is skipped, or false. */
export const skipLong: string | false =
  LONG === 'too late'
    ? 'takes long, and this machine was slow: FANWAY_TEST_LONG_UNTIL was over'
    : LONG !== '1' && 'takes long: FANWAY_TEST_LONG=1 runs it, as CI does';
