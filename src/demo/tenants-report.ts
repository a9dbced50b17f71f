/**
 * What the demo of layer-2 networks found: the verdict and the closing table.
 * @module
 */
import { type Column, renderTable } from '../measure/table.ts';

export type TenantResult = {
  network: string;
  pairs: number;
  answered: number;
  sent: number;
  received: number;
  rttAvgUs: number;
};

export type TenantsReport = {
  seconds: number;
  tenants: TenantResult[];
  move?: {
    from: string;
    to: string;
    sent: number;
    received: number;
    /** For how long it was not reached, in the steps of the requests. */
    awayMs: number;
    /** It answers where it went. */
    isThere: boolean;
  };
  /** Who flooded what, as sentences; nobody should. */
  flooded: string[];
  problems: string[];
};

/** What did not go as it should, as sentences. */
export function judgeTenants({ tenants, move, flooded }: TenantsReport): string[] {
  const problems = tenants
    .filter(({ answered, pairs }) => answered < pairs)
    .map(
      ({ network, answered, pairs }) =>
        `${network}: ${pairs - answered} of ${pairs} pairs got no answer`,
    );
  if (move?.isThere === false) problems.push(`the container is not reached on ${move.to}`);
  return [...problems, ...flooded];
}

const columns: Column[] = [
  { title: 'network' },
  { title: 'pairs', align: 'right' },
  { title: 'echo loss', align: 'right' },
  { title: 'RTT avg', align: 'right' },
];

/** The closing table, the move, and the problems. */
export function renderTenants(report: TenantsReport): string {
  const { tenants, move, flooded, problems, seconds } = report;
  const rows = tenants.map(({ network, pairs, answered, sent, received, rttAvgUs }) => [
    network,
    `${answered}/${pairs}`,
    `${sent === 0 ? 0 : ((100 * (sent - received)) / sent).toFixed(1)} %`,
    `${Math.round(rttAvgUs)} us`,
  ]);
  const parts = rows.length > 0 ? [renderTable(columns, rows), ''] : [];
  if (move !== undefined) {
    const { from, to, sent, received, awayMs } = move;
    parts.push(
      `A container moved from ${from} to ${to} with its MAC and its address while it was asked: ${sent - received} of ${sent} requests got no answer (about ${awayMs} ms).`,
    );
    if (flooded.length === 0) parts.push('No frame was flooded, on no host.');
  }
  if (problems.length === 0) {
    parts.push(`Everything arrived; everything was taken down (${seconds.toFixed(0)} s).`);
  } else parts.push('NOT as it should be:', ...problems.map((problem) => `  ${problem}`));
  return parts.join('\n');
}
