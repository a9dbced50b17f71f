/**
 * A latency experiment as plain data, as tables for the terminal, and as CSV.
 * @module
 */
import { formatIpv4 } from '../../net/ipv4.ts';
import type { Pair } from '../pair.ts';
import type { Way } from '../protocol.ts';
import { figure } from '../statistics.ts';
import { type Column, renderTable } from '../table.ts';
import { type LatencyResult, type LatencySettings, WAYS } from './experiment.ts';
import {
  type Cell,
  figuresOf,
  meanRate,
  type Phase,
  type PhaseName,
  type SampledRates,
  type Stream,
  type StreamFigures,
  tripsPerMinute,
} from './samples.ts';

/** All of an experiment, as `--json` prints it and `--before` reads it. */
export type LatencyReport = {
  version: 1;
  kind: 'latency';
  /** ISO 8601. */
  date: string;
  /** The bridge of the fan or network. */
  fan: string;
  encap: string;
  near: Record<Way, string>;
  far: Record<Way, string>;
  settings: LatencySettings;
  figures: StreamFigures[];
  /** Bits a second, by phase and direction; missing where nothing moved. */
  goodput: { phase: PhaseName; up?: number | undefined; down?: number | undefined }[];
  /** Under load; undefined when nothing came back. */
  roundTripsPerMinute: Partial<Record<Way, number | undefined>>;
  notes: string[];
  /** Everything that was seen; times in ms since the start, round trips in µs. */
  seen: { phases: Phase[]; rates: SampledRates; streams: Stream[] };
};

/** Puts an experiment together; `date` is when it was made. */
export function latencyReport(
  pair: Pair,
  settings: LatencySettings,
  result: LatencyResult,
  date: Date,
): LatencyReport {
  const shown = ({ tunnel, underlay }: Record<Way, number>) => ({
    tunnel: formatIpv4(tunnel),
    underlay: formatIpv4(underlay),
  });
  const { phases, rates, streams, notes } = result;
  return {
    version: 1,
    kind: 'latency',
    date: date.toISOString(),
    fan: pair.link.name,
    encap: pair.link.encap,
    near: shown(pair.near),
    far: shown(pair.far),
    settings,
    figures: streams.map((stream) => figuresOf(stream, phases)),
    goodput: phases.map((phase) => ({
      phase: phase.name,
      up: meanRate(rates, 'up', phase),
      down: meanRate(rates, 'down', phase),
    })),
    roundTripsPerMinute: Object.fromEntries(
      WAYS.map((way) => [way, tripsPerMinute(streams, phases, way)]),
    ),
    notes,
    seen: { phases, rates, streams },
  };
}

/** To the microsecond at most, so that four pairs of them fit a terminal. */
const ms = (value: number | undefined): string => {
  if (value === undefined) return '-';
  return value > 0 && value < 0.1 ? value.toFixed(3) : figure(value);
};
const percent = (share: number): string => (share === 0 ? '0' : figure(share * 100));

const PHASES: readonly PhaseName[] = ['idle', 'up', 'down', 'both'];
const WHO: readonly Column[] = [{ title: 'way' }, { title: 'class' }, { title: 'probe' }];
const right = (title: string): Column => ({ title, align: 'right' });

/** Each table fits a terminal of 80 columns: how long packets took, and what came of them. */
function tablesOf({ figures }: LatencyReport): string[] {
  const pair = (cell: Cell | undefined): string =>
    cell?.p50 === undefined ? '-' : `${ms(cell.p50)}/${ms(cell.p99)}`;
  const who = ({ way, class: name, protocol }: StreamFigures): string[] => [way, name, protocol];
  return [
    renderTable(
      [...WHO, ...PHASES.map(right)],
      figures.map((one) => [...who(one), ...PHASES.map((phase) => pair(one.phases[phase]))]),
    ),
    '',
    renderTable(
      [...WHO, right('loss %'), right('CE %'), { title: 'arrived as' }],
      figures.map((one) => [
        ...who(one),
        percent(one.loss),
        percent(one.ce),
        one.arrived.slice(0, 2).join(', ') || '-',
      ]),
    ),
  ];
}

/** Bits a second for people. */
export function rateText(bps: number | undefined): string {
  if (bps === undefined) return '-';
  return bps >= 1e9 ? `${figure(bps / 1e9)} Gb/s` : `${figure(bps / 1e6)} Mb/s`;
}

function goodputLines({ goodput }: LatencyReport): string[] {
  return goodput.flatMap(({ phase, up, down }) => {
    if (phase === 'idle') return [];
    const words = [
      ...(up === undefined ? [] : [`up ${rateText(up)}`]),
      ...(down === undefined ? [] : [`down ${rateText(down)}`]),
    ];
    return [`goodput, ${phase}: ${words.join(', ') || 'nothing moved'}`];
  });
}

/** What changed against an earlier run, for the classes that both have. */
function beforeLines(report: LatencyReport, before: LatencyReport): string[] {
  const rows = report.figures.flatMap((now) => {
    if (now.way !== 'tunnel' || now.protocol !== 'udp') return [];
    const then = before.figures.find(
      (one) => one.way === now.way && one.protocol === now.protocol && one.class === now.class,
    );
    if (then === undefined) return [];
    const change = (phase: PhaseName): string =>
      `${ms(then.phases[phase]?.p99)} -> ${ms(now.phases[phase]?.p99)}`;
    return [[now.class, ...PHASES.map(change)]];
  });
  const about = `against ${before.date} (${before.encap}), p99 of UDP by the tunnel:`;
  if (rows.length === 0) return ['', `${about} no class in common`];
  return ['', about, renderTable([{ title: 'class' }, ...PHASES.map(right)], rows)];
}

/** The tables, with what they are about above them, and rates and what failed below it. */
export function latencyText(report: LatencyReport, before?: LatencyReport): string {
  const { near, far, settings, roundTripsPerMinute: trips } = report;
  const { streams, seconds, intervalMs, load } = settings;
  const perMinute = WAYS.map((way) => `${way} ${trips[way]?.toLocaleString('en') ?? '-'}`);
  return `${[
    `${report.fan}: ${report.encap}`,
    `tunnel   ${near.tunnel} -> ${far.tunnel}`,
    `underlay ${near.underlay} -> ${far.underlay}`,
    `load: ${streams} TCP ${streams === 1 ? 'stream' : 'streams'} a direction on the ${load}, ${seconds} s each`,
    `a probe every ${intervalMs} ms; round trips in ms, p50/p99`,
    '',
    ...tablesOf(report),
    '',
    ...goodputLines(report),
    `round trips a minute under load: ${perMinute.join(', ')}`,
    ...(before === undefined ? [] : beforeLines(report, before)),
    ...report.notes.map((note) => `n/a: ${note}`),
  ].join('\n')}\n`;
}

/** Every probe as a line: RFC 4180, with a header. */
export function latencyCsv({ figures, seen }: LatencyReport): string {
  const phaseAt = (atMs: number): string =>
    seen.phases.find(({ fromMs, toMs }) => atMs >= fromMs && atMs < toMs)?.name ?? '';
  const lines = seen.streams.flatMap(({ way, protocol, points }, index) =>
    points.map(([atMs, rttUs, there, back]) =>
      [
        ...[atMs.toFixed(1), phaseAt(atMs), way, figures[index]?.class ?? '', protocol],
        rttUs < 0 ? '' : rttUs,
        there < 0 ? '' : there,
        back < 0 ? '' : back,
      ].join(','),
    ),
  );
  return ['ms,phase,way,class,probe,rtt_us,tos_there,tos_back', ...lines, ''].join('\n');
}

/** Reads an earlier `--json`. @throws TypeError when it is none */
export function parseLatencyReport(text: string): LatencyReport {
  const value = JSON.parse(text) as Partial<LatencyReport> | null;
  const isOne =
    typeof value === 'object' &&
    value?.kind === 'latency' &&
    value.version === 1 &&
    Array.isArray(value.figures) &&
    Array.isArray(value.seen?.streams) &&
    Array.isArray(value.seen.phases);
  if (!isOne) throw new TypeError('no output of fanway latency --json');
  return value as LatencyReport;
}
