/**
 * `fanway plan`: what `up` would do on this host now, without doing it.
 * @module
 */
import { fansCall } from '../../api/fans.ts';
import { networkSpecsCall } from '../../api/network/requests.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { depthOf, readSnapshot } from '../../control/host/read-snapshot.ts';
import { openHost } from '../../control/host/real-host.ts';
import type { Snapshot } from '../../control/host/snapshot.ts';
import { noteFan } from '../../control/links/beside.ts';
import { keptDatapath } from '../../control/links/datapath/choose.ts';
import { planFan } from '../../control/links/plan.ts';
import { isAnySpec, isNetwork, type NetworkSpec } from '../../control/store/link-spec.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode, FanwayError } from '../../errors.ts';
import { type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { FAN_OPTIONS, type NamedRequest, readRequests } from './fan-requests.ts';
import { planText } from './plan-text.ts';

/** A network of the running router. @throws FanwayError where it is none that this build knows */
function networkOf(spec: object): NetworkSpec {
  if (isAnySpec(spec) && isNetwork(spec)) return spec;
  throw new FanwayError(
    'other-version',
    'the router tells of a layer-2 network in a way that this fanway does not know: it is of another version, see fanway status',
  );
}

/** What the running router has; nothing when there is none, or none that we may ask. */
async function running(run: RunDirectory): Promise<Pick<Snapshot, 'fans' | 'networks'>> {
  try {
    const fans = await ask(run, fansCall);
    const networks = await ask(run, networkSpecsCall);
    return { fans, networks: networks.map((one) => ({ ...one, spec: networkOf(one.spec) })) };
  } catch (error) {
    if (['not-running', 'not-permitted'].includes(codeOf(error))) return { fans: [], networks: [] };
    throw error;
  }
}

/**
 * Prints what `up` would do for each of the fans, each beside those before it.
 * @returns whether one of them was refused.
 */
export async function printPlans(
  requests: readonly NamedRequest[],
  io: Io,
  json: boolean,
): Promise<boolean> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const host = openHost(run);
  let refused = false;
  try {
    const { fans, networks } = await running(run);
    for (const { request, where } of requests) {
      const depth = depthOf(keptDatapath(request, fans));
      const snapshot = await readSnapshot(host, fans, depth, networks);
      const result = planFan(request, snapshot);
      if (result.outcome === 'refused') refused = true;
      if (result.outcome === 'changes') noteFan(fans, request, result);
      if (json) printJson(io, result);
      else io.out(`${where === '' ? '' : `${where}\n`}${planText(result, snapshot.sysctls)}`);
    }
  } finally {
    host.close();
  }
  return refused;
}

export const plan: Verb = {
  name: 'plan',
  summary: 'print every change that up would make, and make none',
  usage: ['plan OVERLAY UNDERLAY [OPTIONS]', 'plan -u UNDERLAY -o OVERLAY [OPTIONS]', 'plan -a'],
  options: [...FAN_OPTIONS, ['--json', 'the plan as JSON']],
  examples: [
    ['fanway plan 250.0.0.0/8 eth0/16', 'what up would do'],
    ['fanway plan 250.0.0.0/8 default --encap fou --json', 'for a program'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '-a': 'switch',
      '--file': 'value',
      '--json': 'switch',
    });
    const requests = readRequests(rest, flags, io);
    const refused = await printPlans(requests, io, flags.has('--json'));
    return refused ? ExitCode.Refused : ExitCode.Ok;
  },
};
