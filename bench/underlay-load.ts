/**
 * What goes over several underlays while they are measured: TCP streams from container to container, and
 * flows of probes beside them that tell how long one of them stood still.
 * @module
 */
import { spawnSync } from 'node:child_process';
import type { Lab, LabHost } from '../src/demo/lab.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import { nowNs } from '../src/traffic/base/clock.ts';
import type { ProbeSample } from '../src/traffic/base/report.ts';
import { startTraffic } from '../src/traffic/run.ts';

const PORT = 5001;
const PROGRESS_MS = 50;
/** For the first data to come: programs start slowly on a busy machine, and more so in a guest. */
const MOVING_MS_MAX = 60_000;
/** For what was written to arrive, once nothing more is. */
const DRAIN_MS_MAX = 8000;
/** Flows of probes, told apart by their DSCP: one of UDP for each, and all of ICMP's, which have no ports. */
const PROBE_CLASSES = [0, 8, 16, 24, 32, 40, 46, 48];
const PROBE_FLOWS = 2 * PROBE_CLASSES.length;
const PROBE_MS = 20;
const LONGEST_S = 600;

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

/** TCP streams that go on, and how far they have come. */
export type Load = {
  /** When the first data arrived (CLOCK_MONOTONIC, ns). */
  startNs: number;
  /** What arrived from one time to another, Mb/s. */
  mbits(fromNs: number, toNs: number): number;
  /** Nothing more is written after `seconds` of it; whether all that was written arrived. */
  end(): Promise<boolean>;
  /** Ends it at once. */
  kill(): Promise<void>;
};

/** @throws TrafficError, Error when nothing moves */
export async function startLoad(lab: Lab, streams: number, seconds: number): Promise<Load> {
  const to = lab.container(1);
  const address = formatIpv4(to.address);
  const common = { port: PORT, streams, timeout: LONGEST_S };
  const arrived = { listen: address, progress: PROGRESS_MS, ...common };
  const receiver = startTraffic(to, 'tcp', arrived, LONGEST_S * 1000);
  const seen: { atNs: number; bytes: number }[] = [];
  receiver.onInterim = (report) => {
    if (report.event === 'tcp-progress' && report.bytes > 0) seen.push(report);
  };
  await receiver.ready;
  const sent = { connect: address, seconds, ...common };
  const sender = startTraffic(lab.container(0), 'tcp', sent, LONGEST_S * 1000);
  const both = Promise.all([sender.result, receiver.result]);
  const kill = async (): Promise<void> => {
    // The receiver first: what still stands with the sender is then refused, and not delivered.
    for (const one of [receiver, sender]) {
      one.kill();
      await one.result.catch(() => undefined);
    }
  };
  try {
    const deadlineMs = performance.now() + MOVING_MS_MAX;
    while (seen.length === 0) {
      await Promise.race([sleep(PROGRESS_MS), both]);
      if (performance.now() > deadlineMs) throw new Error('no stream moves');
    }
  } catch (error) {
    await kill();
    throw error;
  }
  return {
    startNs: seen[0]?.atNs ?? 0,
    mbits: (fromNs, toNs) => {
      const part = seen.filter(({ atNs }) => atNs >= fromNs && atNs <= toNs);
      const [first, last] = [part[0], part.at(-1)];
      if (first === undefined || last === undefined || first === last) return 0;
      return ((last.bytes - first.bytes) * 8e3) / (last.atNs - first.atNs);
    },
    end: async () => {
      const left = sleep(seconds * 1000 + DRAIN_MS_MAX - (nowNs() - (seen[0]?.atNs ?? 0)) / 1e6);
      const ends = await Promise.race([both, left]);
      await kill();
      return ends !== undefined && ends[0].bytes === ends[1].bytes;
    },
    kill,
  };
}

/** Probes of several flows from container to container. */
export class Probes {
  readonly #samples: ProbeSample[] = [];
  readonly #reflector: ReturnType<typeof startTraffic<'reflect'>>;
  readonly #prober: ReturnType<typeof startTraffic<'probe'>>;

  private constructor(
    reflector: ReturnType<typeof startTraffic<'reflect'>>,
    prober: ReturnType<typeof startTraffic<'probe'>>,
  ) {
    this.#reflector = reflector;
    this.#prober = prober;
    prober.onInterim = (report) => {
      if (report.event === 'probe-samples') this.#samples.push(...report.samples);
    };
  }

  static async start(lab: Lab): Promise<Probes> {
    const [from, to] = [lab.container(0), lab.container(1)];
    const [listen, peer] = [formatIpv4(to.address), formatIpv4(from.address)];
    const common = { port: PORT + 1, seconds: LONGEST_S };
    const reflector = startTraffic(to, 'reflect', { ...common, listen, peer }, LONGEST_S * 1000);
    await reflector.ready;
    const flows = { targets: listen, dscp: PROBE_CLASSES.join(','), interval: PROBE_MS };
    const prober = startTraffic(from, 'probe', { ...common, ...flows }, LONGEST_S * 1000);
    const probes = new Probes(reflector, prober);
    await prober.ready;
    return probes;
  }

  /** Sends no more, and waits for answers to what is under way. */
  async end(): Promise<void> {
    try {
      await this.#prober.finish();
    } finally {
      this.kill();
    }
  }

  kill(): void {
    this.#prober.kill();
    this.#reflector.kill();
  }

  /** As {@link longestGapMs}. */
  longestGap(fromNs: number, toNs: number): number {
    return longestGapMs(this.#samples, fromNs, toNs);
  }
}

/**
 * How long one flow of probes had no answer at most between two times, ms. Probes must have been sent up to the second.
 * @throws Error when a flow was not answered at all, or probes ended before
 */
export function longestGapMs(
  samples: readonly ProbeSample[],
  fromNs: number,
  toNs: number,
  flows = PROBE_FLOWS,
): number {
  const heard = new Map<number, number[]>();
  let sentNs = 0;
  for (const [flow, atNs, rttUs] of samples) {
    sentNs = Math.max(sentNs, atNs);
    if (rttUs < 0) continue;
    const times = heard.get(flow) ?? [];
    heard.set(flow, times);
    times.push(atNs + rttUs * 1000);
  }
  if (heard.size < flows) throw new Error(`${heard.size} of ${flows} flows were answered`);
  if (sentNs < fromNs + (toNs - fromNs) / 2) throw new Error('probes ended too early');
  // Who was not heard again stood still to the end, which is when the last probe left.
  const endNs = Math.min(toNs, sentNs);
  let longestNs = 0;
  for (const times of heard.values()) {
    times.sort((a, b) => a - b);
    let lastNs = times.findLast((atNs) => atNs <= fromNs) ?? fromNs;
    for (const atNs of [...times.filter((atNs) => atNs > fromNs && atNs < endNs), endNs]) {
      longestNs = Math.max(longestNs, atNs - lastNs);
      lastNs = atNs;
    }
  }
  return longestNs / 1e6;
}

/** What a host has sent by each of its underlays, bytes. */
export function sentBytes(host: LabHost, underlays: number): number[] {
  const { stdout } = host.run(() => spawnSync('ip', ['-s', '-j', 'link'], { encoding: 'utf8' }));
  const links = JSON.parse(stdout) as { ifname: string; stats64?: { tx: { bytes: number } } }[];
  return Array.from({ length: underlays }, (_, i) => {
    const link = links.find(({ ifname }) => ifname === `eth${i}`);
    if (link?.stats64 === undefined) throw new Error(`ip says nothing of eth${i}`);
    return link.stats64.tx.bytes;
  });
}
