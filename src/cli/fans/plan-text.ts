/**
 * Plans and refusals as text.
 * @module
 */
import { describeChange } from '../../control/change/change.ts';
import type { Plan } from '../../control/links/plan.ts';
import { hostsOf } from '../../control/links/underlay/further.ts';
import { overlaysOf, slicesOf } from '../../control/store/link-spec.ts';
import { ExitCode, FanwayError } from '../../errors.ts';
import { counted } from '../verb/quantities.ts';

/** The plan as `fanway plan` prints it; `sysctls` are the values now. */
export function planText(plan: Plan, sysctls: Record<string, string | null>): string {
  if (plan.outcome === 'same') return `${plan.message}\n`;
  if (plan.outcome === 'refused') {
    return plan.refusals.map((refusal) => `refused: ${refusal.message}\n`).join('');
  }
  const { spec, changes, warnings } = plan;
  const lines = [
    `${spec.name}: ${overlaysOf(spec)} over ${hostsOf(spec)}, ${spec.encap}, slice ${slicesOf(spec)}; ${counted(changes.length, 'change')}`,
    ...changes.map((change, index) => {
      const now = change.kind === 'sysctl' ? sysctls[change.key] : undefined;
      return `  ${String(index + 1).padStart(2)}. ${describeChange(change, now)}`;
    }),
    ...warnings.map((warning) => `  note: ${warning}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** A refusal as an error, every reason on its own line after `where`. */
export function refusalError(
  refusals: readonly { code: string; message: string }[],
  where = '',
): FanwayError {
  const text = refusals.map((refusal) => `${where}${refusal.message}`).join('\n');
  return new FanwayError(refusals[0]?.code ?? 'refused', text, { exitCode: ExitCode.Refused });
}
