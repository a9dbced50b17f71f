/**
 * `fanway explain FROM to TO [PROTOCOL [port N]]`: what becomes of a connection, which rule decides, and what
 * the host that it leaves and the one where it arrives say of it.
 * @module
 */
import { explainFlowCall } from '../../api/network/policy.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, messageOf, usageError } from '../../errors.ts';
import { parseRule, RuleError } from '../../net/policy/rule.ts';
import { type Io, printJson } from '../verb/verb.ts';
import { endsOf, endsText } from './ends-text.ts';

/** Whether these words ask about a connection. */
export function isFlow([, word]: readonly string[]): boolean {
  return word === 'to';
}

/** ICMP where nothing else is said: what a ping is. */
const PROTOCOL_DEFAULT = 1;

/** Exit code: whether it may be opened, by all links that know one of its ends, and gets there. */
export async function explainFlow(
  [from = '', , to = '', ...words]: readonly string[],
  run: RunDirectory,
  { asks, isJson }: { asks: boolean; isJson: boolean },
  io: Io,
): Promise<ExitCode> {
  let protocol = PROTOCOL_DEFAULT;
  let port = 0;
  try {
    // Read as the end of a rule, so that both know the same words.
    const rule = parseRule(['allow', 'from', from, 'to', to, ...words].join(' '));
    protocol = rule.protocol ?? PROTOCOL_DEFAULT;
    port = rule.ports?.first ?? 0;
  } catch (error) {
    if (error instanceof RuleError) throw usageError('usage', messageOf(error));
    throw error;
  }
  const verdicts = await ask(run, explainFlowCall, { from, to, protocol, port });
  const ends = asks ? await endsOf(run, { from, to, protocol, port }) : [];
  const isKnown = verdicts.length + ends.length > 0;
  if (isJson) printJson(io, { verdicts, ends });
  else if (!isKnown) io.out(`no link of this host knows ${from} or ${to}\n`);
  else io.out(`${verdicts.map(({ text }) => `${text}\n`).join('')}${endsText(ends)}`);
  const isAllowed = verdicts.every(({ allowed }) => allowed);
  const isDelivered = ends.every(({ finding }) => finding.dies === '');
  return isKnown && isAllowed && isDelivered ? ExitCode.Ok : ExitCode.Failed;
}
