/**
 * The measurements: each takes an overlay that is up and returns named figures.
 * @module
 */
import { runEcho, runTcpPair, type TrafficPath } from '../src/traffic/run.ts';
import { arpAnswers } from './arp.ts';
import { busy } from './busy.ts';
import { busySeconds, processSeconds, residentBytes } from './machine.ts';
import { overload } from './overload.ts';
import { search } from './search.ts';
import type { Tunnel } from './variants.ts';

/** How long things take. */
export type Effort = {
  tcpSeconds: number;
  udpSeconds: number;
  /** Trials of the search for the highest rate with little loss. */
  searchTrials: number;
  echoSeconds: number;
  idleEchoes: number;
  idleSeconds: number;
};

export const FULL_EFFORT: Effort = {
  tcpSeconds: 2,
  udpSeconds: 0.7,
  searchTrials: 6,
  echoSeconds: 1,
  idleEchoes: 60,
  idleSeconds: 3,
};
export const QUICK_EFFORT: Effort = {
  tcpSeconds: 0.6,
  udpSeconds: 0.25,
  searchTrials: 2,
  echoSeconds: 0.3,
  idleEchoes: 15,
  idleSeconds: 0.6,
};

/** Figures by row key. A row that could not be measured is left out. */
export type Figures = Record<string, number>;

export type Measure = {
  /** For progress and `--only`. */
  key: string;
  /** Also for the variants that show what offloads give. */
  essential: boolean;
  /** Not part of `--quick`. */
  slow: boolean;
  run(tunnel: Tunnel, effort: Effort): Promise<Figures>;
};

const PORT = 5001;
const MANY_FLOWS = 64;
const MOST_FLOWS = 10_000;
const IDLE_INTERVAL_MS = 20;
const SETTLE_MS = 300;

const forward = (tunnel: Tunnel): TrafficPath => ({
  from: tunnel.a,
  to: tunnel.b,
  address: tunnel.addressB,
});
const backward = (tunnel: Tunnel): TrafficPath => ({
  from: tunnel.b,
  to: tunnel.a,
  address: tunnel.addressA,
});

/** Measured on two hosts joined by a wire. */
export const directMeasures: readonly Measure[] = [
  overload,
  busy,
  { key: 'tcp', essential: true, slow: false, run: tcpOneStream },
  {
    key: 'tcp4',
    essential: false,
    slow: false,
    run: async (tunnel, effort) => ({ tcp4: await gbps(forward(tunnel), effort, 4) }),
  },
  {
    key: 'tcpReverse',
    essential: false,
    slow: false,
    run: async (tunnel, effort) => ({ tcpReverse: await gbps(backward(tunnel), effort, 1) }),
  },
  { key: 'tcpContainers', essential: false, slow: false, run: tcpContainers },
  { key: 'containers', essential: false, slow: true, run: containers },
  { key: 'arp', essential: false, slow: true, run: arpAnswers },
  { key: 'udp', essential: true, slow: false, run: udpOneFlow },
  {
    key: 'udpFlows',
    essential: false,
    slow: false,
    run: async (tunnel, effort) => {
      const { best } = await searchRate(forward(tunnel), effort, MANY_FLOWS);
      return { udp64Flows: best };
    },
  },
  {
    key: 'udp10kFlows',
    essential: false,
    slow: true,
    run: async (tunnel, effort) => {
      const { best } = await searchRate(forward(tunnel), effort, MOST_FLOWS);
      return { udp10kFlows: best };
    },
  },
  { key: 'echo', essential: true, slow: false, run: echoFlood },
  { key: 'echoIdle', essential: true, slow: false, run: echoIdle },
  { key: 'echoLoaded', essential: true, slow: true, run: echoLoaded },
  { key: 'idle', essential: false, slow: false, run: idleCost },
];

/** Measured over a hop that cuts super-packets, and over one that loses packets. */
export const hopMeasures: readonly Measure[] = [
  {
    key: 'tcpHop',
    essential: false,
    slow: true,
    run: async (tunnel, effort) => ({ tcpHop: await gbps(forward(tunnel), effort, 1) }),
  },
];
export const lossyMeasures: readonly Measure[] = [
  {
    key: 'tcpLossy',
    essential: false,
    slow: true,
    run: async (tunnel, effort) => ({ tcpLossy: await gbps(forward(tunnel), effort, 1) }),
  },
  { key: 'tcpLossyBbr', essential: false, slow: true, run: tcpLossyBbr },
];

async function gbps(
  path: TrafficPath,
  effort: Effort,
  streams: number,
  congestion?: string,
): Promise<number> {
  const { received } = await runTcpPair(path, {
    port: PORT,
    seconds: effort.tcpSeconds,
    streams,
    ...(congestion === undefined ? {} : { congestion }),
  });
  return received.gbps;
}

async function tcpOneStream(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  const before = busySeconds();
  const { received } = await runTcpPair(forward(tunnel), {
    port: PORT,
    seconds: effort.tcpSeconds,
  });
  const cpuSeconds = busySeconds() - before;
  return { tcp1: received.gbps, cpuPerGb: cpuSeconds / (received.bytes / 1e9) };
}

const between = ({ containerA, containerB, containerAddressB }: Tunnel): TrafficPath => ({
  from: containerA,
  to: containerB,
  address: containerAddressB,
});

async function tcpContainers(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  const before = busySeconds();
  const { received } = await runTcpPair(between(tunnel), {
    port: PORT,
    seconds: effort.tcpSeconds,
  });
  const cpuSeconds = busySeconds() - before;
  return {
    tcpContainers: received.gbps,
    cpuPerGbContainers: cpuSeconds / (received.bytes / 1e9),
  };
}

/** Small packets and round trips between containers: where a way past the bridges shows. */
async function containers(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  const path = between(tunnel);
  const { best: one } = await searchRate(path, effort, 1);
  const { best: many } = await searchRate(path, effort, MANY_FLOWS);
  const { targets } = await runEcho(path.from, [path.address], {
    count: 1_000_000,
    seconds: effort.echoSeconds,
  });
  const [target] = targets;
  if (target === undefined || target.received === 0) throw new Error('no echo came back');
  return { udpContainers: one, udpContainersFlows: many, echoContainers: target.rtt.avgUs };
}

async function udpOneFlow(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  const { best, overload } = await searchRate(forward(tunnel), effort, 1);
  return { udp1: best, udpOverload: overload };
}

/** The highest rate that arrives, and what came through at overload. */
function searchRate(
  path: TrafficPath,
  effort: Effort,
  flows: number,
): Promise<{ best: number; overload: number }> {
  return search(effort.searchTrials, path, { seconds: effort.udpSeconds, flows });
}

async function echoFlood(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  const { targets } = await runEcho(tunnel.a, [tunnel.addressB], {
    count: 1_000_000,
    seconds: effort.echoSeconds,
  });
  const [target] = targets;
  if (target === undefined || target.received === 0) throw new Error('no echo came back');
  return { echo: target.rtt.avgUs };
}

async function echoIdle(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  const { targets } = await runEcho(tunnel.a, [tunnel.addressB], {
    count: effort.idleEchoes,
    interval: IDLE_INTERVAL_MS,
  });
  const [target] = targets;
  if (target === undefined || target.received === 0) throw new Error('no echo came back');
  return { echoIdle: target.rtt.avgUs };
}

/** Pings while one TCP stream takes all that there is. */
async function echoLoaded(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  const load = gbps(forward(tunnel), effort, 1);
  try {
    const count = Math.max(10, Math.round((effort.tcpSeconds * 1000) / IDLE_INTERVAL_MS));
    const { targets } = await runEcho(tunnel.a, [tunnel.addressB], {
      count,
      interval: IDLE_INTERVAL_MS,
    });
    const [target] = targets;
    if (target === undefined || target.received === 0) throw new Error('no echo came back');
    return { echoLoaded: target.rtt.p99Us };
  } finally {
    await load;
  }
}

async function tcpLossyBbr(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  try {
    return { tcpLossyBbr: await gbps(forward(tunnel), effort, 1, 'bbr') };
  } catch (error) {
    // TCP_CONGESTION answers ENOENT where the kernel has no such module: a row less.
    if (error instanceof Error && error.message.includes('ENOENT')) return {};
    throw error;
  }
}

/** What the processes of one host cost while nothing moves: share of a core, and memory. */
async function idleCost(tunnel: Tunnel, effort: Effort): Promise<Figures> {
  // The generators of the measurement before may still be on their way out.
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const pids = tunnel.pids();
  if (pids.length === 0) return {};
  const spent = () => pids.reduce((sum, pid) => sum + processSeconds(pid), 0);
  const before = spent();
  const started = performance.now();
  await new Promise((resolve) => setTimeout(resolve, effort.idleSeconds * 1000));
  const seconds = (performance.now() - started) / 1000;
  return {
    idleCpu: ((spent() - before) / seconds) * 100,
    memory: pids.reduce((sum, pid) => sum + residentBytes(pid), 0) / 1e6,
  };
}
