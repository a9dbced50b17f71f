/**
 * `fanway net allow|deny|revoke|rules|label`: who may open connections to whom on a layer-2 network.
 * @module
 */
import {
  type PolicyJson,
  rulesCall,
  setLabelsCall,
  setRuleCall,
} from '../../api/network/policy.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, usageError } from '../../errors.ts';
import { renderTable } from '../../measure/table.ts';
import { requireNetAdmin } from '../verb/privilege.ts';
import { type Io, printJson } from '../verb/verb.ts';

const COLUMNS = ['rule', 'told by', 'hits'].map((title) => ({ title }));

/** Rules and labels as a table. */
export function policyText({ default: other, rules, labels, problems }: PolicyJson): string {
  const rows = rules.map(({ rule, here, by, vanished, hits }) => {
    const gone = vanished.map((name) => `${name} (vanished)`);
    const tellers = [...(here === '' ? [] : [`here (${here})`]), ...by, ...gone];
    return [rule, tellers.join(', '), String(hits)];
  });
  const table = rows.length === 0 ? 'no rules' : renderTable(COLUMNS, rows);
  return [
    table,
    `what no rule speaks of: ${other.inside} inside the network, ${other.between} to and from other networks and fans of one host`,
    ...labels.map(({ mac, labels: own }) => `${mac} has ${own.map((l) => `label:${l}`).join(' ')}`),
    ...problems.map((problem) => `note: ${problem}`),
    '',
  ].join('\n');
}

/** What these words are, after `net`; undefined when they are none of ours. */
export async function policyAction(
  [action = '', network, ...words]: readonly string[],
  flags: ReadonlyMap<string, string>,
  io: Io,
): Promise<ExitCode | undefined> {
  if (!['allow', 'deny', 'revoke', 'rules', 'label'].includes(action)) return undefined;
  if (network === undefined)
    throw usageError('usage', `name a network: fanway net ${action} NAME …`);
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  if (action === 'rules') {
    if (words.length > 0) throw usageError('usage', 'give the network alone');
    const policy = await ask(run, rulesCall, { network });
    if (flags.has('--json')) printJson(io, policy);
    else io.out(policyText(policy));
    return ExitCode.Ok;
  }
  requireNetAdmin('net');
  if (action === 'label') return label(run, network, words, flags, io);
  const isRevoked = action === 'revoke';
  const rule = isRevoked ? words.join(' ') : [action, ...words].join(' ');
  const answer = await ask(run, setRuleCall, { network, rule, isRevoked });
  if (flags.has('--json')) printJson(io, answer);
  else {
    const what = isRevoked ? 'taken back' : answer.isNew ? 'in force' : 'already there';
    io.out(`${network}: ${answer.rule}: ${what}\n`);
  }
  return ExitCode.Ok;
}

async function label(
  run: RunDirectory,
  network: string,
  [what, ...labels]: readonly string[],
  flags: ReadonlyMap<string, string>,
  io: Io,
): Promise<ExitCode> {
  if (what === undefined) {
    throw usageError('usage', 'name a workload: fanway net label NAME MAC|ADDRESS [LABEL …]');
  }
  const answer = await ask(run, setLabelsCall, { network, what, labels: [...labels] });
  if (flags.has('--json')) printJson(io, answer);
  else io.out(`${network}: ${answer.mac} has ${answer.labels.join(' ') || 'no labels'}\n`);
  return ExitCode.Ok;
}
