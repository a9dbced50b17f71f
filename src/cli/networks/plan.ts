/**
 * `fanway net plan`: what `net add` would do on this host now, without doing it.
 * @module
 */
import { type NetworkPlanJson, planNetworkCall } from '../../api/network/requests.ts';
import type { NetworkRequest } from '../../config/network.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { depthOfNetwork, readSnapshot } from '../../control/host/read-snapshot.ts';
import { openHost } from '../../control/host/real-host.ts';
import { networkPlan } from '../../control/network-plan.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode } from '../../errors.ts';
import { counted } from '../verb/quantities.ts';
import { type Io, printJson } from '../verb/verb.ts';
import { networkRequestJson, requestOfWords } from './request.ts';

/** The plan of a host where nothing runs, or nothing that we may ask. */
async function planAlone(request: NetworkRequest, run: RunDirectory): Promise<NetworkPlanJson> {
  const host = openHost(run);
  try {
    return networkPlan(request, await readSnapshot(host, [], depthOfNetwork(request)), () => []);
  } finally {
    host.close();
  }
}

function planText({ outcome, network, bridge, changes, undone, messages }: NetworkPlanJson) {
  const numbered = (lines: readonly string[]): string[] =>
    lines.map((line, index) => `  ${String(index + 1).padStart(2)}. ${line}`);
  switch (outcome) {
    case 'refused':
      return messages.map((message) => `refused: ${message}`);
    case 'same': {
      const count = `fanway net rm ${network} takes back ${counted(undone.length, 'change')}:`;
      return [...messages, ...(undone.length === 0 ? [] : [count]), ...numbered(undone)];
    }
    case 'changes':
      return [
        `${network} on bridge ${bridge}: ${counted(changes.length, 'change')}, which fanway net rm ${network} takes back`,
        ...numbered(changes),
        ...messages.map((message) => `  note: ${message}`),
      ];
  }
}

/** Prints the plan of a network. @throws FanwayError */
export async function planOfNetwork(
  name: string,
  flags: ReadonlyMap<string, string>,
  io: Io,
): Promise<ExitCode> {
  const request = requestOfWords(name, flags);
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const plan = await ask(run, planNetworkCall, { request: networkRequestJson(request) }).catch(
    (error: unknown) => {
      if (['not-running', 'not-permitted'].includes(codeOf(error))) return planAlone(request, run);
      throw error;
    },
  );
  if (flags.has('--json')) printJson(io, plan);
  else io.out(`${planText(plan).join('\n')}\n`);
  return plan.outcome === 'refused' ? ExitCode.Refused : ExitCode.Ok;
}
