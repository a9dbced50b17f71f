/**
 * What a latency experiment saw, and the figures that it comes down to.
 * @module
 */
import { dscpName, ecnName } from '../../net/dscp.ts';
import type { ProbeSample } from '../../traffic/base/report.ts';
import type { Way } from '../protocol.ts';

/** What went on: nothing, data to the far end, data from it, both. */
export const PHASES = ['idle', 'up', 'down', 'both'] as const;
export type PhaseName = (typeof PHASES)[number];
export type SampleDirection = 'up' | 'down';
export type Protocol = 'udp' | 'icmp';

export type Phase = { name: PhaseName; fromMs: number; toMs: number };
/** `[ms since the start, bits a second]`. */
export type SampledRates = Record<SampleDirection, [atMs: number, bps: number][]>;
/** `[ms since the start, round trip in µs or -1, TOS there or -1, TOS back or -1]`. */
export type Point = [atMs: number, rttUs: number, tosThere: number, tosBack: number];

/** Probes of one class and protocol on one way. */
export type Stream = { way: Way; dscp: number; protocol: Protocol; points: Point[] };

/** One stream in one phase; times in ms, undefined when nothing came back. */
export type Cell = {
  sent: number;
  lost: number;
  p50?: number | undefined;
  p99?: number | undefined;
  max?: number | undefined;
};

export type StreamFigures = {
  way: Way;
  /** DSCP by name. */
  class: string;
  protocol: Protocol;
  phases: Partial<Record<PhaseName, Cell>>;
  /** Of all probes under load, 0 to 1. */
  loss: number;
  /** Of all answers under load, those that were marked on the way there or back, 0 to 1. */
  ce: number;
  /** DSCP and ECN with which probes arrived there, the most frequent first: `EF ECT(0)`. */
  arrived: string[];
};

const CE = 0b11;

/** The streams of an experiment, in the order of the prober: way, class, UDP before ICMP. */
export function streamsOf(ways: readonly Way[], classes: readonly number[]): Stream[] {
  return ways.flatMap((way) =>
    classes.flatMap((dscp) =>
      (['udp', 'icmp'] as const).map((protocol) => ({ way, dscp, protocol, points: [] })),
    ),
  );
}

/** Puts samples where they belong; `startNs` is the experiment's zero. */
export function addSamples(
  streams: readonly Stream[],
  samples: readonly ProbeSample[],
  startNs: number,
): void {
  for (const [index, sentNs, rttUs, tosThere, tosBack] of samples) {
    const atMs = Math.round((sentNs - startNs) / 1e5) / 10;
    streams[index]?.points.push([atMs, rttUs, tosThere, tosBack]);
  }
}

/** The points of a stream that left while a phase lasted. */
export function during(stream: Stream, phase: Phase): Point[] {
  return stream.points.filter(([atMs]) => atMs >= phase.fromMs && atMs < phase.toMs);
}

function quantile(sorted: readonly number[], fraction: number): number | undefined {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))];
}

function cellOf(points: readonly Point[]): Cell {
  const times = points.map(([, rttUs]) => rttUs / 1000).filter((ms) => ms >= 0);
  times.sort((a, b) => a - b);
  return {
    sent: points.length,
    lost: points.length - times.length,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    max: times.at(-1),
  };
}

/** What a stream comes down to. */
export function figuresOf(stream: Stream, phases: readonly Phase[]): StreamFigures {
  const loaded = phases.filter(({ name }) => name !== 'idle').flatMap((p) => during(stream, p));
  // Without load at all, the idle ones are all there is.
  const points = loaded.length > 0 ? loaded : stream.points;
  const answered = points.filter(([, rttUs]) => rttUs >= 0);
  const marked = answered.filter(
    ([, , there, back]) => (there >= 0 && (there & CE) === CE) || (back & CE) === CE,
  );
  return {
    way: stream.way,
    class: dscpName(stream.dscp),
    protocol: stream.protocol,
    phases: Object.fromEntries(phases.map((phase) => [phase.name, cellOf(during(stream, phase))])),
    loss: points.length === 0 ? 0 : 1 - answered.length / points.length,
    ce: answered.length === 0 ? 0 : marked.length / answered.length,
    arrived: arrivedOf(answered),
  };
}

/** An echo reply only tells how it came back. */
function arrivedOf(points: readonly Point[]): string[] {
  const counts = new Map<string, number>();
  for (const [, , there, back] of points) {
    const tos = there >= 0 ? there : back;
    const name = `${dscpName(tos >>> 2)} ${ecnName(tos)}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
}

/** Mean of a direction's rate in a phase, in bits a second; undefined when nothing moved. */
export function meanRate(
  rates: SampledRates,
  direction: SampleDirection,
  phase: Phase,
): number | undefined {
  const inside = rates[direction].filter(([at]) => at > phase.fromMs && at <= phase.toMs);
  if (inside.length === 0) return undefined;
  return inside.reduce((sum, [, bps]) => sum + bps, 0) / inside.length;
}

/** Round trips a minute, one after the other, under load: by the median of UDP probes of a class. */
export function tripsPerMinute(
  streams: readonly Stream[],
  phases: readonly Phase[],
  way: Way,
): number | undefined {
  const stream = streams.find((one) => one.way === way && one.protocol === 'udp');
  if (stream === undefined) return undefined;
  const loaded = phases.filter(({ name }) => name !== 'idle').flatMap((p) => during(stream, p));
  const { p50 } = cellOf(loaded);
  return p50 === undefined || p50 === 0 ? undefined : Math.round(60_000 / p50);
}
