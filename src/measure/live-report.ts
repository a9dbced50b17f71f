/**
 * A live measurement as a table for the terminal, as plain data, and as a drawing.
 * @module
 */
import { formatIpv4 } from '../net/ipv4.ts';
import { formatPrefix } from '../net/prefix.ts';
import { type Chart, renderCharts } from './chart.ts';
import { type FigureRow, figureRows } from './figures.ts';
import type { LiveResult } from './live.ts';
import type { Pair } from './pair.ts';
import type { Way } from './protocol.ts';
import { figure, type Spread } from './statistics.ts';
import { type Column, renderTable } from './table.ts';

/** All of a measurement, as `--json` prints it. */
export type LiveReport = {
  version: 1;
  /** ISO 8601. */
  date: string;
  /** The bridge of the fan or network, and what people call it. */
  fan: string;
  encap: string;
  overlay: string;
  underlay: string;
  near: Record<Way, string>;
  far: Record<Way, string>;
  rounds: number;
  figures: {
    key: string;
    title: string;
    unit: string;
    better: 'more' | 'less';
    /** Missing where it could not be measured; `notes` has the reason. */
    underlay?: Spread;
    tunnel?: Spread;
    /** Tunnel's median by the underlay's. */
    ratio?: number;
  }[];
  notes: string[];
};

/** Puts a measurement together; `date` is when it was made. */
export function reportOf(pair: Pair, result: LiveResult, rounds: number, date: Date): LiveReport {
  const { link, near, far } = pair;
  const shown = ({ tunnel, underlay }: Record<Way, number>) => ({
    tunnel: formatIpv4(tunnel),
    underlay: formatIpv4(underlay),
  });
  return {
    version: 1,
    date: date.toISOString(),
    fan: link.name,
    encap: link.encap,
    overlay: link.title,
    underlay: formatPrefix(link.underlay),
    near: shown(near),
    far: shown(far),
    rounds,
    figures: figureRows.map((row) => figureOf(row, result)),
    notes: result.notes,
  };
}

function figureOf(row: FigureRow, { samples }: LiveResult): LiveReport['figures'][number] {
  const { key, title, unit, better } = row;
  const underlay = samples.spread(key, 'underlay');
  const tunnel = samples.spread(key, 'tunnel');
  return {
    ...{ key, title, unit, better },
    ...(underlay === undefined ? {} : { underlay }),
    ...(tunnel === undefined ? {} : { tunnel }),
    ...(underlay === undefined || tunnel === undefined || underlay.median === 0
      ? {}
      : { ratio: tunnel.median / underlay.median }),
  };
}

function range(spread: Spread | undefined): string {
  if (spread === undefined) return 'n/a';
  const { median, min, max, rounds } = spread;
  return rounds === 1 || min === max
    ? figure(median)
    : `${figure(median)} (${figure(min)}-${figure(max)})`;
}

/** The table, what it is about above it and what could not be measured below it. */
export function liveText(report: LiveReport): string {
  const columns: Column[] = [
    { title: 'figure' },
    { title: 'unit' },
    { title: 'underlay', align: 'right' },
    { title: 'tunnel', align: 'right' },
    { title: 'ratio', align: 'right' },
  ];
  const rows = report.figures.map(({ title, unit, underlay, tunnel, ratio }) => [
    title,
    unit,
    range(underlay),
    range(tunnel),
    ratio === undefined ? '' : figure(ratio),
  ]);
  const { near, far, rounds } = report;
  const how = rounds === 1 ? 'one round' : `median of ${rounds} rounds, least and most in brackets`;
  return `${[
    `${report.fan}: ${report.encap}, ${report.overlay} over ${report.underlay}`,
    `tunnel   ${near.tunnel} -> ${far.tunnel}`,
    `underlay ${near.underlay} -> ${far.underlay}`,
    `${how}`,
    '',
    renderTable(columns, rows),
    ...(report.notes.length === 0 ? [] : ['', ...report.notes.map((note) => `n/a: ${note}`)]),
  ].join('\n')}\n`;
}

const drawings: readonly { chart: FigureRow['chart']; title: string }[] = [
  { chart: 'throughput', title: 'TCP throughput' },
  { chart: 'packets', title: '64-byte UDP with less than 1 % loss' },
  { chart: 'latency', title: 'Round trip, idle and while one TCP stream sends' },
  { chart: 'mtu', title: 'Largest packet, unfragmented' },
];

/** What a bar is called where the chart's title says the rest. */
const barNames: Readonly<Record<string, string>> = {
  tcp1: '1 stream out',
  tcp4: '4 streams out',
  tcpReverse: '1 stream back',
  idleP50: 'idle, 50 %',
  idleP99: 'idle, 99 %',
  loadedP50: 'loaded, 50 %',
  loadedP99: 'loaded, 99 %',
};

/** All charts as one SVG document. */
export function liveDrawing(report: LiveReport): string {
  const { near, far, encap, rounds, date } = report;
  const how = rounds === 1 ? 'one round' : `median of ${rounds} rounds, whisker least to most`;
  const charts = drawings.flatMap(({ chart, title }): Chart[] => {
    const rows = figureRows.filter((row) => row.chart === chart);
    const bars = rows.flatMap(({ key }) => {
      const found = report.figures.find((figure) => figure.key === key);
      const name = barNames[key];
      return (['underlay', 'tunnel'] as const).flatMap((way) => {
        const value = found?.[way];
        const label = name === undefined ? way : `${name}, ${way}`;
        return value === undefined ? [] : [{ label, value, ours: way === 'tunnel' }];
      });
    });
    const [row] = rows;
    if (row === undefined || bars.length === 0) return [];
    const unit = row.unit === 'us' ? 'µs' : row.unit;
    return [{ title, caption: `${unit}, ${row.better} is better; ${how}`, bars }];
  });
  const title = `fanway ${encap}, ${near.tunnel} to ${far.tunnel}, ${date}`;
  return renderCharts(title, charts);
}
