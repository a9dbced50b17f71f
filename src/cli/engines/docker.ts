/**
 * `fanway docker`: a Docker network on the fan's bridge.
 * @module
 */

import { dhcpLeases } from '../../control/host/dhcp.ts';
import { AddressBook, dropClaim, stateDirectoryOf } from '../../control/store/address-book.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode, usageError } from '../../errors.ts';
import { DockerApi } from '../../plugins/docker/api.ts';
import {
  DOCKER_OWNER,
  disableDocker,
  type Enabled,
  enableDocker,
  isNetworkName,
} from '../../plugins/docker/network.ts';
import { type EngineFan, findFan } from '../../plugins/fan.ts';
import { type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { actionOf, rangeOf } from './engine-words.ts';

type Flags = ReadonlyMap<string, string>;

const NAME_DEFAULT = 'fan';

function enabledText(now: Enabled): string {
  const { network, bridge, range, mtu, server } = now;
  return [
    `network ${network} ${now.made ? 'made' : 'is there already'}: bridge ${bridge}, containers ${range}, MTU ${mtu} (Docker ${server})`,
    `use it with: docker run --network ${network} ...`,
  ].join('\n');
}

async function enable(io: Io, bridge: string | undefined, flags: Flags): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const fan = await findFan(run, bridge);
  const api = await DockerApi.open(io.env);
  const book = new AddressBook(stateDirectoryOf(io.env), fan.slice);
  const now = await enableDocker(api, fan, book, {
    name: nameOf(flags),
    range: rangeOf(flags),
    busy: fan.dhcp ? dhcpLeases(run, fan.bridge, Date.now()).map(({ address }) => address) : [],
  });
  if (flags.has('--json')) printJson(io, now);
  else io.out(`${enabledText(now)}\n`);
  return ExitCode.Ok;
}

async function disable(io: Io, bridge: string | undefined, flags: Flags): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const name = nameOf(flags);
  // Also without a router: then Docker is told, and the book is left as it is.
  const fan = await findFan(run, bridge).catch((error: unknown): EngineFan | undefined => {
    if (codeOf(error) === 'not-running' || codeOf(error) === 'no-fan') return undefined;
    throw error;
  });
  const removed = await disableDocker(await DockerApi.open(io.env), fan?.bridge, name);
  if (fan !== undefined) {
    const book = new AddressBook(stateDirectoryOf(io.env), fan.slice);
    book.change((now) => dropClaim(now, DOCKER_OWNER));
  }
  if (flags.has('--json')) printJson(io, { network: name, removed });
  else io.out(removed ? `network ${name} removed\n` : `Docker has no network ${name}\n`);
  return ExitCode.Ok;
}

function nameOf(flags: Flags): string {
  const name = flags.get('--name') ?? NAME_DEFAULT;
  if (isNetworkName(name)) return name;
  throw usageError(
    'usage',
    `--name ${JSON.stringify(name)}: letters, digits, . _ - and at most 64`,
  );
}

export const docker: Verb = {
  name: 'docker',
  summary: "a Docker network on this host's fan",
  usage: [
    'docker enable [BRIDGE] [--name NETWORK] [--range PREFIX] [--json]',
    'docker disable [BRIDGE] [--name NETWORK] [--json]',
  ],
  options: [
    ['--name NETWORK', `the network's name in Docker (${NAME_DEFAULT})`],
    ['--range PREFIX', 'the part of the slice that Docker hands out (all that is free)'],
    ['--json', 'what was done, as JSON'],
  ],
  examples: [
    ['fanway docker enable', 'then: docker run --network fan ...'],
    ['fanway docker enable --range 250.0.28.128/25', 'half of the slice; the rest is for others'],
    ['DOCKER_HOST=unix:///run/d.sock fanway docker enable', "another daemon's socket"],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      ...{ '--name': 'value', '--range': 'value', '--json': 'switch' },
    });
    const { action, bridge } = actionOf(rest, ['enable', 'disable']);
    return action === 'enable' ? enable(io, bridge, flags) : disable(io, bridge, flags);
  },
};
