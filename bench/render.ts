/**
 * Results as text for the terminal, as markdown, and as charts.
 * @module
 */

import { type Chart, renderChart } from '../src/measure/chart.ts';
import { figure, type Spread } from '../src/measure/statistics.ts';
import { type Column, renderMarkdown, renderTable } from '../src/measure/table.ts';
import { cell, compare, judgeBars, type Results } from './results.ts';
import { bars, type Row, rows } from './rows.ts';

const words = { goal: 'reached, and the goal', bar: 'reached', short: 'NOT reached' } as const;

/** Columns beside the yardstick that a terminal has room for. */
const GROUP_COLUMNS = 3;

type Table = (columns: readonly Column[], cells: readonly (readonly string[])[]) => string;

function shownRows(results: Results): Row[] {
  return rows.filter((row) => Object.keys(results.samples[row.key] ?? {}).length > 0);
}

function range({ median, min, max, rounds }: Spread): string {
  return rounds === 1 ? figure(median) : `${figure(median)} (${figure(min)}-${figure(max)})`;
}

/** Figures: a line a row, a column a variant; median (least-most). '' when there are none. */
function figuresTable(results: Results, variants: Results['variants'], table: Table): string {
  const columns: Column[] = [
    { title: 'figure' },
    { title: 'unit' },
    ...variants.map(({ title }): Column => ({ title, align: 'right' })),
  ];
  // A row that only the yardstick has says nothing here.
  const compared = variants.length > 1 ? variants.slice(1) : variants;
  const measured = shownRows(results).filter((row) =>
    compared.some(({ key }) => cell(results, row.key, key) !== undefined),
  );
  const cells = measured.map((row) => [
    row.title,
    row.unit,
    ...variants.map(({ key }) => {
      const spread = cell(results, row.key, key);
      return spread === undefined ? '' : range(spread);
    }),
  ]);
  return cells.length === 0 ? '' : table(columns, cells);
}

/** The variants that have figures, a few at a time, the yardstick always first. */
function columnGroups(results: Results): Results['variants'][] {
  const measured = results.variants.filter(({ key }) =>
    rows.some((row) => cell(results, row.key, key) !== undefined),
  );
  const [yardstick, ...others] = measured;
  if (yardstick === undefined) return [];
  const groups: Results['variants'][] = [];
  for (let at = 0; at < others.length; at += GROUP_COLUMNS) {
    groups.push([yardstick, ...others.slice(at, at + GROUP_COLUMNS)]);
  }
  return groups.length === 0 ? [[yardstick]] : groups;
}

/** Each figure beside its bar. */
function barsTable(results: Results, table: Table): string {
  const columns: Column[] = [
    { title: 'figure' },
    { title: 'of' },
    { title: 'value', align: 'right' },
    { title: 'bar', align: 'right' },
    { title: 'goal', align: 'right' },
    { title: '' },
  ];
  const cells = judgeBars(results).map(({ title, variant, against, value, bar, goal, ...rest }) => {
    const sign = rows.find(({ key }) => key === rest.row)?.better === 'more' ? '>=' : '<=';
    const unit = against === undefined ? ` ${rest.unit}` : '';
    const of =
      against === undefined
        ? variant
        : 'variant' in against
          ? `${variant} / ${against.variant}`
          : `${variant} / its own "${rows.find(({ key }) => key === against.row)?.title}"`;
    return [
      title,
      of,
      `${figure(value)}${unit}`,
      `${sign} ${bar}${unit}`,
      `${sign} ${goal}${unit}`,
      words[rest.verdict],
    ];
  });
  return cells.length === 0 ? '' : table(columns, cells);
}

function heading(results: Results): string {
  const { machine, date, rounds, quick, noisy } = results;
  const memory = Math.round(machine.memoryBytes / 1e9);
  const how = `${rounds} interleaved round${rounds === 1 ? '' : 's'}${quick ? ' (quick)' : ''}`;
  const noise = noisy === 0 ? '' : `; the machine was busy before ${noisy} measurement blocks`;
  return `${date}, Linux ${machine.kernel}, Node ${machine.node}, ${machine.cores} cores of ${machine.cpu}, ${memory} GB; ${how}${noise}`;
}

function changes(results: Results, before: Results | undefined): string[] {
  if (before === undefined) return ['No earlier kept result to compare with.'];
  const title = `Against the result of ${before.date}`;
  const moved = compare(before, results);
  const other =
    before.machine.cpu === results.machine.cpu && before.machine.kernel === results.machine.kernel
      ? ''
      : ' (another machine or kernel: read with care)';
  if (moved.length === 0) return [`${title}${other}: nothing moved beyond noise.`];
  return [
    `${title}${other}, moved beyond noise:`,
    ...moved.map(({ row, variant, before: old, now, improved }) => {
      const change = figure((now.median / old.median - 1) * 100);
      return `- ${improved ? 'better' : 'WORSE'}: ${row.title}, ${variant}: ${range(old)} -> ${range(now)} ${row.unit} (${change} %)`;
    }),
  ];
}

function extraTables(results: Results, table: Table): string[] {
  return (results.extras ?? []).flatMap(({ title, note, columns, rows: cells }) => [
    `## ${title}`,
    '',
    ...(note === '' ? [] : [note, '']),
    table(
      columns.map((column) => ({ title: column })),
      cells,
    ),
    '',
  ]);
}

/** A table with what goes above it; nothing when the table is empty. */
function section(table: string, ...above: string[]): string[] {
  return table === '' ? [] : [...above, table, ''];
}

function missing(results: Results): string[] {
  return results.notAvailable.map(({ what, reason }) => `- ${what}: n/a, ${reason}`);
}

/** For the terminal. */
export function renderText(results: Results, before: Results | undefined): string {
  return [
    heading(results),
    '',
    ...columnGroups(results).flatMap((group) => [figuresTable(results, group, renderTable), '']),
    ...section(barsTable(results, renderTable)),
    ...extraTables(results, renderTable),
    ...missing(results),
    ...changes(results, before),
  ].join('\n');
}

/** The same as a markdown page with the charts beside it. */
export function renderPage(
  results: Results,
  before: Results | undefined,
  charts: readonly string[],
): string {
  return [
    '# Benchmark: fanway beside the kernel',
    '',
    heading(results),
    '',
    'Median of the rounds, with least and most in brackets. Two network namespaces joined by a veth',
    '(MTU 1500); every variant is a bridge with the tunnel as its port (vxlan) or behind it (ipip,',
    'fou). Made by `npm run bench`; the method is in its `--help`.',
    '',
    ...section(figuresTable(results, results.variants, renderMarkdown)),
    ...section(barsTable(results, renderMarkdown), '## Bars', ''),
    ...extraTables(results, renderMarkdown),
    '## Changes',
    '',
    ...changes(results, before),
    '',
    ...(results.notAvailable.length === 0 ? [] : ['## Not measured', '', ...missing(results), '']),
    ...charts.map((name) => `![${name.replace('.svg', '')}](${name})`),
    '',
  ].join('\n');
}

/** Charts by file name. */
export function renderCharts(results: Results): Map<string, string> {
  const charts = new Map<string, string>();
  for (const row of shownRows(results).filter(({ chart }) => chart)) {
    const chart: Chart = {
      title: row.title,
      caption: `${row.unit}, ${row.better} is better; ${captionOf(results.rounds)}`,
      bars: results.variants.flatMap(({ key, title, ours }) => {
        const value = cell(results, row.key, key);
        return value === undefined ? [] : [{ label: title, value, ours }];
      }),
      ...markOf(results, row),
    };
    charts.set(`${row.key}.svg`, renderChart(chart));
  }
  return charts;
}

function captionOf(rounds: number): string {
  return rounds === 1 ? 'one round' : `median of ${rounds} rounds, whisker from least to most`;
}

function markOf(results: Results, row: Row): Pick<Chart, 'mark'> {
  const bar = bars.find(({ row: key, variant }) => key === row.key && variant === 'vxlan');
  if (bar === undefined) return {};
  if (bar.against === undefined) return { mark: { value: bar.bar, label: `bar ${bar.bar}` } };
  if (!('variant' in bar.against)) return {};
  const yardstick = cell(results, row.key, bar.against.variant);
  if (yardstick === undefined) return {};
  const label = `bar: ${bar.bar} of the kernel`;
  return { mark: { value: yardstick.median * bar.bar, label } };
}
