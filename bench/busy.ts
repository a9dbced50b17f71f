/**
 * A machine that has other things to do: what is left of one TCP stream.
 * @module
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { runTcpPair } from '../src/traffic/run.ts';
import type { Effort, Figures, Measure } from './measures.ts';
import type { Tunnel } from './variants.ts';

const PORT = 5001;
/** Busy loops for each core beside the traffic; each in a session of its own, as users' programs are. */
const LOOPS_PER_CORE = 4;
const LOOP_SECONDS_MAX = 60;
const LOOP = `const end = Date.now() + ${LOOP_SECONDS_MAX * 1000}; while (Date.now() < end);`;

/** Starts the other load; returns how to end it. */
function startLoad(): () => void {
  const loops = Array.from({ length: LOOPS_PER_CORE * availableParallelism() }, () =>
    spawn(process.execPath, ['-e', LOOP], { detached: true, stdio: 'ignore' }),
  );
  return () => {
    for (const loop of loops) loop.kill('SIGKILL');
  };
}

async function run(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  const { a, b, addressB } = tunnel;
  const stopLoad = startLoad();
  try {
    const path = { from: a, to: b, address: addressB };
    const { received } = await runTcpPair(path, { port: PORT, seconds: effort.tcpSeconds });
    return { tcpBusy: received.gbps };
  } finally {
    stopLoad();
  }
}

export const busy: Measure = { key: 'busy', essential: false, slow: true, run };
