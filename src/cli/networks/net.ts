/**
 * `fanway net`: layer-2 networks of this host, one VNI each.
 * @module
 */

import { addNetworkCall, removeNetworkCall } from '../../api/network/requests.ts';
import { type NetworkJson, networksCall } from '../../api/networks.ts';
import { NETWORK_ROWS } from '../../config/network/rows.ts';
import { helpOf } from '../../config/row/row.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, refusedError, usageError } from '../../errors.ts';
import { waitEnd } from '../fans/down.ts';
import { withRouter } from '../fans/with-router.ts';
import { requireNetAdmin } from '../verb/privilege.ts';
import { type FlagSpec, type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { floodsText, networkText } from './network-text.ts';
import { planOfNetwork } from './plan.ts';
import { policyAction } from './policy.ts';
import { ADD_FLAG_SPEC, networkRequestJson, requestOfWords } from './request.ts';

/** Every flag of `net`. */
export const NETWORK_FLAGS: FlagSpec = {
  ...ADD_FLAG_SPEC,
  '--force': 'switch',
  '--assert-floodless': 'switch',
  '--json': 'switch',
};

/** Adds a network to this host. @throws FanwayError */
export async function addNetwork(
  name: string,
  flags: ReadonlyMap<string, string>,
  io: Io,
): Promise<ExitCode> {
  const request = requestOfWords(name, flags);
  requireNetAdmin('net');
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const answer = await withRouter(run, io, 'net', () =>
    ask(run, addNetworkCall, { request: networkRequestJson(request) }),
  );
  const { outcome, bridge, messages } = answer;
  if (outcome === 'refused') throw refusedError('refused', messages.join('\n'));
  if (flags.has('--json')) printJson(io, answer);
  else if (outcome === 'same') io.out(`${messages.join('; ')}\n`);
  else {
    for (const message of messages) io.err(`fanway: note: ${message}\n`);
    io.out(`${name}: up on bridge ${bridge}\n`);
  }
  return ExitCode.Ok;
}

/** Takes a network off this host. @throws FanwayError */
export async function removeNetwork(
  name: string,
  flags: ReadonlyMap<string, string>,
  io: Io,
): Promise<ExitCode> {
  requireNetAdmin('net');
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const answer = await ask(run, removeNetworkCall, { network: name, force: flags.has('--force') });
  if (answer.ending) await waitEnd(run);
  if (flags.has('--json')) printJson(io, answer);
  else {
    for (const note of answer.notes) io.err(`fanway: note: ${note}\n`);
    io.out(`${name}: removed\n`);
  }
  return ExitCode.Ok;
}

/** What `--assert-floodless` finds: the networks that flooded something. */
export function flooded(networks: readonly NetworkJson[]): string[] {
  return networks
    .filter(({ floods }) => Object.values(floods).some((count) => count > 0))
    .map(({ network, floods }) => `${network} ${floodsText(floods)}`);
}

async function show(
  name: string | undefined,
  flags: ReadonlyMap<string, string>,
  io: Io,
): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const all = await ask(run, networksCall);
  const networks = all.filter(
    ({ network, bridge }) => name === undefined || network === name || bridge === name,
  );
  if (name !== undefined && networks.length === 0) {
    throw refusedError(
      'no-network',
      `there is no network ${name} here; fanway net show lists them`,
    );
  }
  if (flags.has('--json')) printJson(io, networks);
  else if (networks.length === 0) io.out('no networks: fanway net add NAME --vni N makes one\n');
  else io.out(`${networks.flatMap(networkText).join('\n')}\n`);
  const floods = flags.has('--assert-floodless') ? flooded(networks) : [];
  for (const line of floods) io.err(`fanway: ${line}\n`);
  return floods.length === 0 ? ExitCode.Ok : ExitCode.Failed;
}

/** Words of a fan that people try here. @throws FanwayError (exit code 2) */
function refuseNat(args: readonly string[]): void {
  const word = args.find((arg) => /^--(?:nat|behind-nat|keep-alive)(?:=|$)/.test(arg));
  if (word === undefined) return;
  const message = `${word.split('=')[0]} is for fans: the hosts of a network reach one another at addresses of their own; one that a 1:1 translation gives is told with --outer`;
  throw usageError('usage', message);
}

export const net: Verb = {
  name: 'net',
  summary: 'layer-2 networks: containers of many hosts on one Ethernet',
  usage: [
    'net add NAME --vni N [--bridge NAME] [OPTIONS]',
    'net plan NAME --vni N [OPTIONS] [--json]',
    'net rm NAME [--force]',
    'net show [NAME] [--assert-floodless] [--json]',
    'net allow|deny NAME [from WHO] [to WHO] [PROTOCOL [port N[-M]]] [order N]',
    'net revoke NAME allow|deny …',
    'net rules NAME [--json]',
    'net label NAME MAC|ADDRESS [LABEL …]',
  ],
  options: [
    ...helpOf(NETWORK_ROWS),
    ['--force', 'remove it although containers are on its bridge'],
    ['--assert-floodless', 'fail when any frame was flooded since the network came up'],
    ['--json', 'as JSON'],
  ],
  examples: [
    ['fanway net add blue --vni 100', 'this host takes part in VNI 100, on bridge br-blue'],
    ['fanway net add red --vni 200 --bridge docker0', 'a bridge that is there already'],
    ['fanway net plan blue --vni 100', 'what add would change on this host, and change nothing'],
    ['fanway net show', 'members, MACs, drops, floods by cause'],
    ['fanway net rm blue', 'and everything of it is taken back'],
    ['fanway net deny blue to label:db', 'nobody may open a connection to what has that label'],
    ['fanway net allow blue from label:web to label:db tcp port 5432', 'but these may'],
    ['fanway net allow blue from network:red to 10.1.0.9', 'where one host routes between both'],
    ['fanway net label blue 10.1.0.5 web', 'the workload that has that address now'],
    ['fanway net rules blue', 'in the order in which they are asked, and how often each decided'],
  ],
  async run(args, io) {
    refuseNat(args);
    const { flags, rest } = takeFlags(args, NETWORK_FLAGS);
    const done = await policyAction(rest, flags, io);
    if (done !== undefined) return done;
    const [action, name, ...more] = rest;
    noMore(more, net);
    if (action === 'show') return show(name, flags, io);
    if (name !== undefined && action === 'add') return addNetwork(name, flags, io);
    if (name !== undefined && action === 'plan') return planOfNetwork(name, flags, io);
    if (name !== undefined && action === 'rm') return removeNetwork(name, flags, io);
    throw usageError(
      'usage',
      'give add NAME --vni N, plan NAME --vni N, rm NAME, show, or a rule; see fanway net --help',
    );
  },
};
