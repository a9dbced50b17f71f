/**
 * What the demo found: the verdict and the closing table.
 * @module
 */

import { type Column, grouped, renderTable } from '../measure/table.ts';
import type { SixResult } from './dual-stack.ts';
import { type OverlayResult, UDP_LOSS_MAX } from './measure.ts';
import type { RouterCounters } from './router.ts';

/** Packets that one host's router counted; for the kernel, its device's counters. */
export type CountedHost = { host: string } & RouterCounters;

export type OverlayReport = {
  overlay: string;
  by: 'fanway' | 'kernel';
  /** Why it was not measured. */
  skipped?: string;
  /** From the command to all hosts being up, in ms. */
  upMs?: number;
  result?: OverlayResult;
  counted?: CountedHost[];
  /** What went by IPv6, where the fan has both. */
  six?: SixResult;
};

export type DemoReport = {
  seconds: number;
  overlays: OverlayReport[];
  problems: string[];
};

/** What did not arrive as it should, as sentences; fanway only, the kernel is a yardstick. */
export function judge(report: DemoReport): string[] {
  const problems: string[] = [];
  for (const { overlay, by, result, counted = [], six } of report.overlays) {
    if (by === 'kernel' || result === undefined) continue;
    const { echo, tcp, udp } = result;
    if (echo.answered < echo.pairs) {
      problems.push(
        `${overlay}: ${echo.pairs - echo.answered} of ${echo.pairs} pairs got no answer`,
      );
    }
    if (six?.equal === false) problems.push(`${overlay}: IPv6 data arrived changed or incomplete`);
    if (!tcp.equal) problems.push(`${overlay}: TCP data arrived changed or incomplete`);
    for (const { sent, lost } of udp) {
      if (lost > sent * UDP_LOSS_MAX) problems.push(`${overlay}: UDP lost ${lost} of ${sent}`);
    }
    for (const { host, unaccounted } of counted) {
      // Packets on their way while the counters are read are accounted a moment later.
      if (unaccounted !== 0) {
        problems.push(`${overlay}: ${host} cannot account for ${unaccounted} packets`);
      }
    }
    if (counted.every((host) => host.ingressDelivered === 0)) {
      problems.push(`${overlay}: no router counted a packet`);
    }
  }
  return problems;
}

const columns: Column[] = [
  { title: 'overlay' },
  { title: 'pairs', align: 'right' },
  { title: 'echo loss', align: 'right' },
  { title: 'RTT avg / p99', align: 'right' },
  { title: '256 MB, SHA-256' },
  { title: 'TCP Gb/s', align: 'right' },
  { title: 'UDP -> lost', align: 'right' },
  { title: 'UDP <- lost', align: 'right' },
];

/** The closing table, then the routers' own counts and the problems. */
export function renderReport(report: DemoReport): string {
  const rows = report.overlays.map((overlay) => {
    const name = overlay.by === 'kernel' ? 'kernel VXLAN' : `fanway ${overlay.overlay}`;
    const { result } = overlay;
    if (result === undefined) return [name, `skipped: ${overlay.skipped ?? 'unknown'}`];
    const { echo, tcp, udp } = result;
    return [
      name,
      `${echo.answered}/${echo.pairs}`,
      percent(echo.sent - echo.received, echo.sent),
      `${Math.round(echo.rttAvgUs)} / ${Math.round(echo.rttP99Us)} us`,
      tcp.equal ? `equal ${tcp.sha256.slice(0, 8)}` : 'DIFFERENT',
      result.gbps.toFixed(2),
      ...udp.map(({ sent, lost }) => `${percent(lost, sent)} of ${grouped(sent)}`),
    ];
  });
  const parts =
    rows.length > 0
      ? [renderTable(columns, rows), '', ...renderSix(report), ...renderCounts(report)]
      : [];
  if (report.problems.length === 0) {
    parts.push(`Everything arrived; everything was taken down (${report.seconds.toFixed(0)} s).`);
  } else {
    parts.push('NOT as it should be:', ...report.problems.map((problem) => `  ${problem}`));
  }
  return parts.join('\n');
}

function renderSix({ overlays }: DemoReport): string[] {
  const lines = overlays.flatMap(({ overlay, six }) => {
    if (six === undefined) return [];
    const { from, to, bytes, sha256, equal } = six;
    const verdict = equal ? `SHA-256 equal ${sha256.slice(0, 8)}` : 'DIFFERENT';
    return [`IPv6 on the same ${overlay} fan: ${bytes >>> 20} MB ${from} -> ${to}, ${verdict}`];
  });
  return lines.length === 0 ? [] : [...lines, ''];
}

function renderCounts({ overlays }: DemoReport): string[] {
  const hosts = overlays.find((overlay) => overlay.counted !== undefined)?.counted ?? [];
  if (hosts.length === 0) return [];
  const heads: Column[] = [
    { title: 'packets counted by' },
    ...hosts.flatMap(({ host }): Column[] => [
      { title: `${host} out`, align: 'right' },
      { title: 'in', align: 'right' },
    ]),
    { title: 'dropped, by reason' },
  ];
  const rows = overlays
    .filter((overlay) => overlay.counted !== undefined)
    .map(({ overlay, by, counted = [] }) => [
      by === 'kernel' ? 'its kernel device' : `its fanway (${overlay})`,
      ...counted.flatMap(({ egressDelivered, ingressDelivered }) => [
        grouped(egressDelivered),
        grouped(ingressDelivered),
      ]),
      describeDrops(counted),
    ]);
  const note = overlays.some(({ by, counted }) => by === 'kernel' && counted !== undefined)
    ? ['(The kernel counts a TCP super-packet of up to 64 KB as one, fanway each of its segments.)']
    : [];
  return [renderTable(heads, rows), ...note, ''];
}

function describeDrops(counted: readonly CountedHost[]): string {
  const total = new Map<string, number>();
  for (const { drops } of counted) {
    for (const [name, value] of Object.entries(drops)) {
      const reason = name.replace('.drop.', ' ');
      total.set(reason, (total.get(reason) ?? 0) + value);
    }
  }
  if (total.size === 0) return '0';
  return [...total].map(([reason, value]) => `${reason} ${grouped(value)}`).join(', ');
}

function percent(part: number, whole: number): string {
  if (part === 0) return '0 %';
  return `${((part / Math.max(whole, 1)) * 100).toFixed(2)} %`;
}
