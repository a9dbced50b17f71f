/**
 * `fanway service-node`: this host copies what is flooded on a network for hosts that hand it over (the
 * replicator of RFC 9574), and how service nodes are.
 * @module
 */
import { type NetworkJson, networksCall } from '../../api/networks.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, refusedError, usageError } from '../../errors.ts';
import { type FlagSpec, type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { addNetwork, NETWORK_FLAGS, removeNetwork } from './net.ts';
import { serviceNodeText } from './network-text.ts';

/** What a service node decides by itself. */
const DECIDED = ['--bum', '--replicator', '--service-node', '--assert-floodless'];
const FLAGS: FlagSpec = Object.fromEntries(
  Object.entries(NETWORK_FLAGS).filter(([flag]) => !DECIDED.includes(flag)),
);

/** One network, as far as service nodes are concerned. */
function text({ network, vni, bridge, reason, serviceNode, drops }: NetworkJson): string {
  const lines = [
    `network ${network}: VNI ${vni} on bridge ${bridge}${reason === '' ? '' : ` (${reason})`}`,
    ...serviceNodeText(serviceNode),
    ...drops
      .filter(({ counter }) => counter.includes('flood'))
      .map(({ counter, count, cause }) => `  last minute: ${counter} ${count}: ${cause}`),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

async function show(name: string | undefined, isJson: boolean, io: Io): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const all = (await ask(run, networksCall)).filter(({ serviceNode }) => serviceNode !== null);
  const networks = all.filter(
    ({ network, bridge }) => name === undefined || network === name || bridge === name,
  );
  if (name !== undefined && networks.length === 0) {
    throw refusedError(
      'no-network',
      `no network ${name} here has to do with service nodes; fanway net show lists all networks`,
    );
  }
  if (isJson) {
    printJson(
      io,
      networks.map(({ network, bridge, vni, reason, serviceNode }) => {
        return { network, bridge, vni, reason, ...serviceNode };
      }),
    );
  } else if (networks.length === 0) {
    io.out('no service nodes: fanway service-node add NAME --vni N makes this host one\n');
  } else io.out(networks.map(text).join(''));
  return ExitCode.Ok;
}

export const serviceNode: Verb = {
  name: 'service-node',
  summary: 'copy the floods of a layer-2 network for hosts that hand them over',
  details: [
    'Hosts hand their floods to a service node by net add --bum service-node --service-node ADDRESS,...',
    'and to the next one of them when it goes. add takes the options of net add beside those. show says',
    'whom this host serves, or who serves it, what was dropped, and who took over when.',
  ],
  usage: [
    'service-node add NAME --vni N [--bridge NAME] [--underlay WHERE] [--json]',
    'service-node rm NAME [--force] [--json]',
    'service-node show [NAME] [--json]',
  ],
  options: [
    ['--vni N', 'VXLAN network identifier, the same on every host'],
    ['--bridge NAME', 'its bridge; one that is there is used (br- and the name)'],
    ['--underlay WHERE', 'address or device (where the fans are)'],
    ['--force', 'remove it although containers are on its bridge'],
    ['--json', 'as JSON'],
  ],
  examples: [
    ['fanway service-node add blue --vni 100', 'this host copies what is flooded on VNI 100'],
    [
      'fanway net add blue --vni 100 --bum service-node --service-node 172.30.0.28,172.30.1.27',
      'on the others: hand floods to the first of these that is there',
    ],
    ['fanway service-node show', 'whom it serves, copies, drops and fail-over'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, FLAGS);
    const [action = 'show', name, ...more] = rest;
    noMore(more, serviceNode);
    if (action === 'show') return show(name, flags.has('--json'), io);
    if (name !== undefined && action === 'add') {
      const role = new Map([...flags, ['--bum', 'service-node'], ['--replicator', '']]);
      return addNetwork(name, role, io);
    }
    if (name !== undefined && action === 'rm') return removeNetwork(name, flags, io);
    throw usageError(
      'usage',
      'give add NAME --vni N, rm NAME, or show; see fanway service-node --help',
    );
  },
};
