/**
 * `fanway explain FROM to TO [PROTOCOL [port N]]`: what becomes of a connection on the layer-2 networks here,
 * and which rule decides.
 * @module
 */
import { explainFlowCall } from '../../api/network/policy.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, messageOf, usageError } from '../../errors.ts';
import { parseRule, RuleError } from '../../net/policy/rule.ts';
import { type Io, printJson } from '../verb/verb.ts';

/** Whether these words ask about a connection. */
export function isFlow([, word]: readonly string[]): boolean {
  return word === 'to';
}

/** ICMP where nothing else is said: what a ping is. */
const PROTOCOL_DEFAULT = 1;

/** Exit code: whether it may be opened, by all networks that know one of its ends. */
export async function explainFlow(
  [from = '', , to = '', ...words]: readonly string[],
  run: RunDirectory,
  isJson: boolean,
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
  if (isJson) printJson(io, verdicts);
  else if (verdicts.length === 0) io.out(`no network of this host knows ${from} or ${to}\n`);
  else for (const { text } of verdicts) io.out(`${text}\n`);
  const isAllowed = verdicts.length > 0 && verdicts.every(({ allowed }) => allowed);
  return isAllowed ? ExitCode.Ok : ExitCode.Failed;
}
