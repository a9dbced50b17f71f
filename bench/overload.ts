/**
 * More than fanway can do: 64 flows of small datagrams as fast as the sender can, how much of the best
 * rate without loss is left of it, what pings beside it meet, and a TCP stream the other way. Once as the
 * first traffic after the start, and once when the code is warm.
 * @module
 */
import { runTcpPair, runUdpPair, startTraffic } from '../src/traffic/run.ts';
import type { Effort, Figures, Measure } from './measures.ts';
import { search } from './search.ts';
import type { Tunnel } from './variants.ts';

const PORT = 5001;
const TCP_PORT = 5002;
const FLOWS = 64;
const SMALL_BYTES = 64;
const FLOOD_SECONDS = 2;
const PING_INTERVAL_MS = 10;
const PING_TIMEOUT_MS = 2000;
/** The flood begins before TCP does, and ends after it, s. */
const LEAD_SECONDS = 0.5;

type Flood = { pps: number; lossShare: number; pingLossShare: number; pingP99Ms: number };

const datagrams = (seconds: number) => ({
  ...{ port: PORT, rate: 0, seconds, size: SMALL_BYTES, flows: FLOWS },
});

async function flood({ a, b, addressB }: Tunnel): Promise<Flood> {
  const pings = startTraffic(a, 'echo', {
    ...{ targets: addressB, interval: PING_INTERVAL_MS, timeout: PING_TIMEOUT_MS },
    ...{ seconds: FLOOD_SECONDS, count: 1_000_000 },
  });
  try {
    const path = { from: a, to: b, address: addressB };
    const { sent, received } = await runUdpPair(path, datagrams(FLOOD_SECONDS));
    const { targets } = await pings.result;
    const [ping] = targets;
    if (ping === undefined || ping.sent === 0) throw new Error('no ping was sent');
    return {
      pps: received.received / Math.max(sent.seconds, received.seconds),
      lossShare: 1 - received.received / Math.max(sent.sent, 1),
      pingLossShare: 1 - ping.received / ping.sent,
      pingP99Ms: ping.rtt.p99Us / 1000,
    };
  } finally {
    pings.kill();
  }
}

/** A TCP stream against the flood, Gb/s. */
async function tcpBack({ a, b, addressA, addressB }: Tunnel, seconds: number): Promise<number> {
  const back = { from: b, to: a, address: addressA };
  const against = runUdpPair(
    { from: a, to: b, address: addressB },
    datagrams(seconds + 2 * LEAD_SECONDS),
  );
  await new Promise((resolve) => setTimeout(resolve, LEAD_SECONDS * 1000));
  const { received } = await runTcpPair(back, { port: TCP_PORT, seconds });
  await against;
  return received.gbps;
}

async function run(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  const { a, b, addressA, addressB } = tunnel;
  const cold = await flood(tunnel);
  const { best } = await search(
    effort.searchTrials,
    { from: a, to: b, address: addressB },
    {
      ...{ seconds: effort.udpSeconds, flows: FLOWS },
    },
  );
  const warm = await flood(tunnel);
  const back = { from: b, to: a, address: addressA };
  const alone = await runTcpPair(back, { port: TCP_PORT, seconds: effort.tcpSeconds });
  const against = await tcpBack(tunnel, effort.tcpSeconds);
  return {
    floodFirst: cold.pps,
    floodLoss: cold.lossShare * 100,
    floodPingLoss: cold.pingLossShare * 100,
    floodPingP99: cold.pingP99Ms,
    overloadShare: warm.pps / best,
    overloadShareFirst: cold.pps / best,
    overloadPingLoss: warm.pingLossShare * 100,
    overloadPingP99: warm.pingP99Ms,
    overloadTcpBack: against / alone.received.gbps,
  };
}

/** Before all others, because it wants to be the first to send. */
export const overload: Measure = { key: 'overload', essential: false, slow: true, run };
