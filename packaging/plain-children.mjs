// Loaded into the test runner (test-run.mjs) and every test file. tap's tracer, which measures coverage,
// adds itself to each child process: a loader with a thread of its own and handlers of signals, and a
// second of a processor for each test file. What a test starts must run as it does for users, and start
// as fast: the tracer is taken out again.
import processOnSpawn from 'process-on-spawn';

const TRACER = /"?--import=\S*\/@tapjs\/processinfo\/[^\s"]*"?\s*/g;

// Listeners run in the order in which they came; the tracer's was first.
processOnSpawn.addListener((child) => {
  const { NODE_OPTIONS: options = '', ...env } = child.env;
  const rest = options.replace(TRACER, '').trim();
  child.env = rest === '' ? env : { ...env, NODE_OPTIONS: rest };
});

// Hundreds of data processes are started, most of them for a few packets: their warm-up would be a
// quarter of all processor time. What promises times runs without this file, and warm.
process.env.FANWAY_WARM_UP ??= '0';
