/**
 * A machine that has other things to do: what is left of a flood, of a ping beside it and of one TCP
 * stream. The flood is the first traffic after the start, so it shows as well how warm that left it.
 * @module
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { runTcpPair, runUdpPair, startTraffic } from '../src/traffic/run.ts';
import type { Effort, Figures, Measure } from './measures.ts';
import type { Tunnel } from './variants.ts';

const PORT = 5001;
const FLOWS = 64;
const SMALL_BYTES = 64;
const FLOOD_SECONDS = 2;
const PING_INTERVAL_MS = 10;
const PING_TIMEOUT_MS = 2000;
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

async function flood({ a, b, addressB }: Tunnel): Promise<Figures> {
  const pings = startTraffic(a, 'echo', {
    targets: addressB,
    interval: PING_INTERVAL_MS,
    timeout: PING_TIMEOUT_MS,
    seconds: FLOOD_SECONDS,
    count: 1_000_000,
  });
  try {
    const options = {
      port: PORT,
      rate: 0,
      seconds: FLOOD_SECONDS,
      size: SMALL_BYTES,
      flows: FLOWS,
    };
    const { sent, received } = await runUdpPair({ from: a, to: b, address: addressB }, options);
    const { targets } = await pings.result;
    const [ping] = targets;
    if (ping === undefined || ping.sent === 0) throw new Error('no ping was sent');
    return {
      floodFirst: received.received / Math.max(sent.seconds, received.seconds),
      floodLoss: (1 - received.received / Math.max(sent.sent, 1)) * 100,
      floodPingLoss: (1 - ping.received / ping.sent) * 100,
      floodPingP99: ping.rtt.p99Us / 1000,
    };
  } finally {
    pings.kill();
  }
}

async function run(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  const { a, b, addressB } = tunnel;
  const flooded = await flood(tunnel);
  const stopLoad = startLoad();
  try {
    const path = { from: a, to: b, address: addressB };
    const { received } = await runTcpPair(path, { port: PORT, seconds: effort.tcpSeconds });
    return { ...flooded, tcpBusy: received.gbps };
  } finally {
    stopLoad();
  }
}

/** Before all others, because it wants to be the first to send. */
export const busy: Measure = { key: 'busy', essential: false, slow: true, run };
