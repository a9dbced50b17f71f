// Loaded into every test file by the test runner (test-run.mjs): a file that begins after FANWAY_TEST_LONG_UNTIL
// (seconds since 1970) leaves out what takes long, and says so. So a run ends in time on a machine that has a third of
// the usual speed.
const until = Number(process.env.FANWAY_TEST_LONG_UNTIL) || Number.POSITIVE_INFINITY;
if (Date.now() / 1000 > until && process.env.FANWAY_TEST_LONG === '1') {
  process.env.FANWAY_TEST_LONG = 'too late';
  delete process.env.FANWAY_GOSSIP_FUZZ_RUNS;
  delete process.env.FANWAY_BGP_FUZZ_RUNS;
}
