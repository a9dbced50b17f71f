/**
 * What a latency experiment looks like while it goes on: goodput, and the round trips of each class, as lines
 * of a terminal.
 * @module
 */
import { dscpName } from '../../net/dscp.ts';
import { figure } from '../statistics.ts';
import type { LatencyResult } from './experiment.ts';
import { rateText } from './report.ts';
import type { PhaseName, Point, Stream } from './samples.ts';

/** A bar stands for so long, ms; so many are shown. */
const BAR_MS = 500;
const BARS_SHOWN = 30;
const BARS = '▁▂▃▄▅▆▇█';
const LOST = '×';
const NONE = ' ';
/** Figures are those of the last so many ms. */
const NOW_MS = 1000;
/** Bars of round trips are on a scale of tens: the lowest is below this, ms, and two make a factor of ten. */
const LEAST_MS = 0.1;
const WORDS_CHARS = 14;
const FIGURE_CHARS = 10;

function barOf(share: number): string {
  return BARS[Math.max(0, Math.min(BARS.length - 1, Math.floor(share * BARS.length)))] ?? NONE;
}

/** The half seconds that are shown, up to now: for each, the bar of what lies in it. */
function barsOf<T extends readonly [number, ...number[]]>(
  points: readonly T[],
  nowMs: number,
  bar: (inside: readonly T[]) => string,
): string {
  const last = Math.floor(nowMs / BAR_MS);
  const first = Math.max(0, last - BARS_SHOWN + 1);
  const bins: T[][] = Array.from({ length: last - first + 1 }, () => []);
  for (const point of points) bins[Math.floor(point[0] / BAR_MS) - first]?.push(point);
  return bins.map((inside) => (inside.length === 0 ? NONE : bar(inside))).join('');
}

function lineOf(words: string, value: string, bars: string): string {
  return `${words.padEnd(WORDS_CHARS)}${value.padStart(FIGURE_CHARS)}  ${bars}`.trimEnd();
}

function tripsLine(words: string, { points }: Stream, nowMs: number): string {
  const recent = points.filter(([at]) => at >= nowMs - NOW_MS);
  const trips = recent.map(([, us]) => us / 1000).filter((ms) => ms >= 0);
  trips.sort((a, b) => a - b);
  const middle = trips[Math.floor(trips.length / 2)];
  const value = middle === undefined ? (recent.length > 0 ? 'lost' : '-') : `${figure(middle)} ms`;
  const bars = barsOf(points, nowMs, (inside: readonly Point[]) => {
    if (inside.some(([, us]) => us < 0)) return LOST;
    const worst = Math.max(...inside.map(([, us]) => us / 1000));
    return barOf(Math.log10(worst / LEAST_MS) / (BARS.length / 2));
  });
  return lineOf(words, value, bars);
}

/**
 * @param nowMs since the start of the experiment
 * @param leftSeconds of the phase
 * @returns lines of at most some 60 characters: the phase, goodput each way, and a line for each class through the
 * tunnel and for the first beside it. Bars are half seconds: means of goodput, the worst round trips.
 */
export function liveView(
  { streams, rates }: Pick<LatencyResult, 'streams' | 'rates'>,
  phase: PhaseName,
  nowMs: number,
  leftSeconds: number,
): string[] {
  const most = Math.max(1, ...[...rates.up, ...rates.down].map(([, bps]) => bps));
  const goodput = (['up', 'down'] as const).map((direction) => {
    const seen = rates[direction];
    const now = seen.filter(([at]) => at >= nowMs - NOW_MS);
    const mean = (of: readonly (readonly [number, number])[]) =>
      of.reduce((sum, [, bps]) => sum + bps, 0) / of.length;
    const bars = barsOf(seen, nowMs, (inside) => barOf(mean(inside) / most));
    return lineOf(`goodput ${direction}`, now.length === 0 ? '-' : rateText(mean(now)), bars);
  });
  const udp = streams.filter(({ protocol }) => protocol === 'udp');
  const beside = udp.find(({ way }) => way === 'underlay');
  const shown = [
    ...udp.filter(({ way }) => way === 'tunnel'),
    ...(beside === undefined ? [] : [beside]),
  ];
  return [
    `${phase === 'idle' ? 'idle' : `load ${phase}`}, ${Math.max(0, Math.ceil(leftSeconds))} s left`,
    ...goodput,
    ...shown.map((one) => tripsLine(`${one.way} ${dscpName(one.dscp)}`, one, nowMs)),
  ];
}
