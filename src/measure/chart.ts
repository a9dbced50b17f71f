/**
 * Bar charts as SVG, written by hand: one bar a variant, its range as a whisker, its figure at the
 * end. Colours are legible on white and on black.
 * @module
 */
import { figure, type Spread } from './statistics.ts';
import { round, svgDocument, text } from './svg.ts';

export type Bar = { label: string; value: Spread; ours: boolean };
export type Chart = {
  title: string;
  /** What is better, and in which unit: "Gb/s, more is better". */
  caption: string;
  bars: readonly Bar[];
  /** A line across: the bar that ours should reach, with its words. */
  mark?: { value: number; label: string };
};

const WIDTH = 760;
const LABEL_WIDTH = 190;
const FIGURE_WIDTH = 90;
const BAR_HEIGHT = 22;
const BAR_GAP = 10;
const TOP = 56;
const BOTTOM = 30;
const KERNEL_COLOUR = '#8a8f98';
const OURS_COLOUR = '#2f7ed8';
const MARK_COLOUR = '#d9822b';

/** One chart as a complete SVG document. */
export function renderChart(chart: Chart): string {
  return renderCharts(chart.title, [chart]);
}

/** Several charts below each other as one SVG document. */
export function renderCharts(title: string, charts: readonly Chart[]): string {
  let height = 0;
  const groups = charts.map((chart) => {
    const group = `<g transform="translate(0 ${height})">\n${drawChart(chart)}\n</g>`;
    height += heightOf(chart);
    return group;
  });
  return svgDocument(title, { width: WIDTH, height }, groups);
}

function heightOf(chart: Chart): number {
  return TOP + chart.bars.length * (BAR_HEIGHT + BAR_GAP) + BOTTOM;
}

function drawChart(chart: Chart): string {
  const plotWidth = WIDTH - LABEL_WIDTH - FIGURE_WIDTH;
  const most = Math.max(...chart.bars.map((bar) => bar.value.max), chart.mark?.value ?? 0, 1e-9);
  const x = (value: number) => LABEL_WIDTH + (value / most) * plotWidth;
  const parts = [
    text(12, 24, chart.title, { size: 16, weight: 600 }),
    text(12, 43, chart.caption, { size: 12, colour: '#5b616b' }),
  ];
  chart.bars.forEach((bar, index) => {
    const y = TOP + index * (BAR_HEIGHT + BAR_GAP);
    const middle = y + BAR_HEIGHT / 2;
    const { median, min, max } = bar.value;
    const colour = bar.ours ? OURS_COLOUR : KERNEL_COLOUR;
    parts.push(
      text(LABEL_WIDTH - 8, middle + 4, bar.label, { anchor: 'end' }),
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${round(x(median) - LABEL_WIDTH)}" height="${BAR_HEIGHT}" rx="2" fill="${colour}"/>`,
      ...(min === max ? [] : [whisker(x(min), x(max), middle)]),
      text(x(max) + 8, middle + 4, figure(median), { weight: 600 }),
    );
  });
  if (chart.mark !== undefined) {
    const at = round(x(chart.mark.value));
    const bottom = heightOf(chart) - BOTTOM + 4;
    parts.push(
      `<line x1="${at}" y1="${TOP - 4}" x2="${at}" y2="${bottom}" stroke="${MARK_COLOUR}" stroke-width="1.5" stroke-dasharray="4 3"/>`,
      text(at, bottom + 15, chart.mark.label, { anchor: 'middle', size: 11, colour: MARK_COLOUR }),
    );
  }
  return parts.join('\n');
}

function whisker(from: number, to: number, y: number): string {
  const [a, b] = [round(from), round(to)];
  const path = `M${a} ${y - 4}V${y + 4}M${a} ${y}H${b}M${b} ${y - 4}V${y + 4}`;
  return `<path d="${path}" stroke="#1d2330" stroke-width="1" fill="none"/>`;
}
