/**
 * A latency experiment as one picture: goodput, round trips, loss and marks below each other on one
 * time axis; an earlier one beside it.
 * @module
 */
import { dscpName } from '../../net/dscp.ts';
import { round, svgDocument, text } from '../svg.ts';
import { type LatencyReport, rateText } from './report.ts';
import type { Point, Stream } from './samples.ts';

const PLOT_WIDTH = 640;
const LEFT = 64;
const RIGHT = 16;
const COLUMN_WIDTH = LEFT + PLOT_WIDTH + RIGHT;
const TOP = 64;
const PANEL_HEIGHT = 150;
const PANEL_GAP = 46;
const LEGEND_HEIGHT = 40;
const HEIGHT = TOP + 3 * (PANEL_HEIGHT + PANEL_GAP) + LEGEND_HEIGHT;
const BIN_MS = 500;
const INK = '#1d2330';
const FAINT = '#5b616b';
const GRID = '#dfe2e6';
const UNDERLAY_COLOUR = '#b4b8bf';
/** Told apart by people who cannot tell red from green. */
const CLASS_COLOURS = ['#2f7ed8', '#d9822b', '#7b4fb5', '#5aa02c', '#e377c2', '#17a2b8'];
const UP_COLOUR = '#33475b';
const DOWN_COLOUR = '#9a6700';
const CE_COLOUR = '#1b998b';
const LOSS_COLOUR = '#c2385a';

/** One panel's place and scales. */
type Panel = { top: number; endMs: number; x(ms: number): number; y(value: number): number };

/** Before, where it is given, stands to the left, on the same scales. */
export function latencyDrawing(report: LatencyReport, before?: LatencyReport): string {
  const columns = before === undefined ? [report] : [before, report];
  const scales = scalesOf(columns);
  const parts = columns.map((one, index) => {
    const heading = before === undefined ? '' : index === 0 ? 'before: ' : 'after: ';
    const group = drawColumn(one, heading, scales).join('\n');
    return `<g transform="translate(${index * COLUMN_WIDTH} 0)">\n${group}\n</g>`;
  });
  const title = `fanway latency, ${report.encap}, ${report.near.tunnel} to ${report.far.tunnel}, ${report.date}`;
  return svgDocument(title, { width: COLUMN_WIDTH * columns.length, height: HEIGHT }, parts);
}

type Scales = { endMs: number; bps: number; leastMs: number; mostMs: number };

function scalesOf(reports: readonly LatencyReport[]): Scales {
  const seen = reports.map((report) => report.seen);
  const rates = seen.flatMap(({ rates }) => [...rates.up, ...rates.down].map(([, bps]) => bps));
  const trips = seen.flatMap(({ streams }) =>
    streams.flatMap(({ points }) => points.map(([, us]) => us / 1000).filter((ms) => ms > 0)),
  );
  const bound = (
    values: readonly number[],
    pick: (a: number, b: number) => number,
    none: number,
  ) => (values.length === 0 ? none : values.reduce((a, b) => pick(a, b)));
  return {
    endMs: bound(
      seen.flatMap(({ phases }) => phases.map(({ toMs }) => toMs)),
      Math.max,
      1000,
    ),
    bps: bound(rates, Math.max, 1e6),
    // Whole powers of ten, so that the axis has them at its ends.
    leastMs: 10 ** Math.floor(Math.log10(bound(trips, Math.min, 0.1))),
    mostMs: 10 ** Math.ceil(Math.log10(bound(trips, Math.max, 10))),
  };
}

function panelAt(index: number, endMs: number, scale: (value: number) => number): Panel {
  const top = TOP + index * (PANEL_HEIGHT + PANEL_GAP);
  return {
    top,
    endMs,
    x: (ms) => round(LEFT + (ms / endMs) * PLOT_WIDTH),
    y: (value) => round(top + PANEL_HEIGHT * (1 - Math.min(1, Math.max(0, scale(value))))),
  };
}

function drawColumn(report: LatencyReport, heading: string, scales: Scales): string[] {
  const { endMs, bps, leastMs, mostMs } = scales;
  const decades = Math.log10(mostMs / leastMs) || 1;
  const goodput = panelAt(0, endMs, (value) => value / bps);
  const trips = panelAt(1, endMs, (value) => Math.log10(value / leastMs) / decades);
  const shares = panelAt(2, endMs, (value) => value / 100);
  const rows = Array.from({ length: Math.round(decades) + 1 }, (_, n) => leastMs * 10 ** n);
  return [
    text(LEFT, 24, `${heading}${report.encap}, ${report.date.slice(0, 16).replace('T', ' ')}`, {
      size: 16,
      weight: 600,
    }),
    ...frame(goodput, 'TCP goodput', [0, bps / 2, bps], (value) => rateText(value)),
    ...frame(trips, 'round trip of UDP probes, ms', rows, (value) => String(value)),
    ...frame(shares, 'probes lost and marked (CE), %', [0, 50, 100], (value) => String(value)),
    ...phaseBands(report, [goodput, trips, shares]),
    line(goodput, report.seen.rates.up, UP_COLOUR),
    line(goodput, report.seen.rates.down, DOWN_COLOUR),
    ...drawTrips(trips, report),
    ...drawShares(shares, report),
    ...timeAxis(shares, endMs),
    ...legend(report),
  ];
}

function frame(
  panel: Panel,
  title: string,
  rows: readonly number[],
  name: (value: number) => string,
): string[] {
  const right = LEFT + PLOT_WIDTH;
  return [
    text(LEFT, panel.top - 8, title, { size: 12, colour: FAINT }),
    ...rows.flatMap((value) => [
      `<path d="M${LEFT} ${panel.y(value)}H${right}" stroke="${GRID}"/>`,
      text(LEFT - 6, panel.y(value) + 4, name(value), { anchor: 'end', size: 10, colour: FAINT }),
    ]),
  ];
}

function phaseBands({ seen }: LatencyReport, panels: readonly Panel[]): string[] {
  return seen.phases.flatMap(({ name, fromMs, toMs }) =>
    panels.flatMap((panel, index) => {
      const [from, to] = [panel.x(fromMs), panel.x(toMs)];
      const place = `x="${from}" y="${panel.top}" width="${round(to - from)}"`;
      const band = `<rect ${place} height="${PANEL_HEIGHT}" fill="${INK}" fill-opacity="${name === 'idle' ? 0 : 0.04}"/>`;
      const label = name === 'idle' ? 'idle' : `load ${name}`;
      const middle = { anchor: 'middle', size: 11, colour: FAINT };
      return index > 0 ? [band] : [band, text((from + to) / 2, panel.top + 14, label, middle)];
    }),
  );
}

/** Gaps of more than a second are gaps. */
function line(panel: Panel, points: readonly [number, number][], colour: string): string {
  let last = Number.NEGATIVE_INFINITY;
  const shown = points.filter(([at]) => at <= panel.endMs);
  const path = shown.map(([at, value]) => {
    const word = at - last > 1000 ? 'M' : 'L';
    last = at;
    return `${word}${panel.x(at)} ${panel.y(value)}`;
  });
  return `<path d="${path.join('')}" stroke="${colour}" stroke-width="1.5" fill="none"/>`;
}

function colourOf(report: LatencyReport, { way, dscp }: Stream): string {
  if (way === 'underlay') return UNDERLAY_COLOUR;
  const index = report.settings.classes.indexOf(dscp);
  return CLASS_COLOURS[index % CLASS_COLOURS.length] ?? INK;
}

/** A dot a probe; the underlay's first, so that the tunnel's stand before them. */
function drawTrips(panel: Panel, report: LatencyReport): string[] {
  const udp = report.seen.streams.filter(({ protocol }) => protocol === 'udp');
  const order = [...udp].sort((a, b) => Number(a.way === 'tunnel') - Number(b.way === 'tunnel'));
  return order.map((stream) => {
    const dots = stream.points
      .filter(([at, us]) => us >= 0 && at <= panel.endMs)
      .map(([at, us]) => `M${panel.x(at)} ${panel.y(us / 1000)}h0`);
    return `<path d="${dots.join('')}" stroke="${colourOf(report, stream)}" stroke-width="2.4" stroke-linecap="round" stroke-opacity="0.7" fill="none"/>`;
  });
}

/** Shares of all probes through the tunnel, by half seconds. */
function drawShares(panel: Panel, report: LatencyReport): string[] {
  const points = report.seen.streams
    .filter(({ way, protocol }) => way === 'tunnel' && protocol === 'udp')
    .flatMap((stream) => stream.points);
  const bins = new Map<number, Point[]>();
  for (const point of points) {
    const bin = Math.floor(point[0] / BIN_MS);
    bins.set(bin, [...(bins.get(bin) ?? []), point]);
  }
  const share = (of: (point: Point) => boolean): [number, number][] =>
    [...bins]
      .sort(([a], [b]) => a - b)
      .map(([bin, inside]) => [
        (bin + 0.5) * BIN_MS,
        (inside.filter(of).length / inside.length) * 100,
      ]);
  const isMarked = (tos: number) => tos >= 0 && (tos & 0b11) === 0b11;
  return [
    line(
      panel,
      share(([, us]) => us < 0),
      LOSS_COLOUR,
    ),
    line(
      panel,
      share(([, , there, back]) => isMarked(there) || isMarked(back)),
      CE_COLOUR,
    ),
  ];
}

function timeAxis(panel: Panel, endMs: number): string[] {
  const step = endMs > 20_000 ? 5000 : endMs > 8000 ? 2000 : 1000;
  const ticks = Array.from({ length: Math.floor(endMs / step) + 1 }, (_, n) => n * step);
  const y = panel.top + PANEL_HEIGHT + 16;
  return ticks.map((at) =>
    text(panel.x(at), y, `${at / 1000} s`, { anchor: 'middle', size: 10, colour: FAINT }),
  );
}

function legend(report: LatencyReport): string[] {
  const entries: [string, string][] = [
    ['goodput up', UP_COLOUR],
    ['down', DOWN_COLOUR],
    ...report.settings.classes.map((dscp, index): [string, string] => [
      `tunnel ${dscpName(dscp)}`,
      CLASS_COLOURS[index % CLASS_COLOURS.length] ?? INK,
    ]),
    ['underlay', UNDERLAY_COLOUR],
    ['lost', LOSS_COLOUR],
    ['CE', CE_COLOUR],
  ];
  const y = HEIGHT - 14;
  let x = LEFT;
  return entries.flatMap(([label, colour]) => {
    const at = x;
    x += 26 + label.length * 7;
    const dot = `<circle cx="${at + 4}" cy="${y - 4}" r="4" fill="${colour}"/>`;
    return [dot, text(at + 12, y, label, { size: 11 })];
  });
}
