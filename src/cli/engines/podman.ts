/**
 * `fanway podman`: a podman network on the fan's bridge, as a file or by a plugin.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { dhcpLeases } from '../../control/host/dhcp.ts';
import {
  AddressBook,
  claimBlock,
  claimedBlock,
  dropClaim,
  stateDirectoryOf,
} from '../../control/store/address-book.ts';
import { RunDirectory, readIfThere } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode, refusedError, usageError } from '../../errors.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { CNI_TYPE, wrapperOf } from '../../plugins/cni/install.ts';
import { type EngineFan, findFan, findPlace } from '../../plugins/fan.ts';
import {
  NETAVARK_DRIVER,
  NETAVARK_OWNER,
  PLUGIN_DIRECTORY,
  PLUGINS_SINCE,
} from '../../plugins/netavark/install.ts';
import {
  isPodmanNetworkName,
  isSince,
  knowsUnmanaged,
  PODMAN_OWNER,
  podmanNetwork,
  readPodmanNetwork,
} from '../../plugins/podman/network.ts';
import { programCommand } from '../../sys/host/paths.ts';
import { type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { claimPart } from './claims.ts';
import { actionOf, putFile, rangeOf } from './engine-words.ts';

const NETWORK_DIRECTORY = '/etc/containers/networks';
const NAME_DEFAULT = 'fan';
const VERSION_MS_MAX = 20_000;

type Flags = ReadonlyMap<string, string>;

/** podman's version, '' where it is not installed or does not say. */
function podmanVersion(): string {
  const { status, stdout } = spawnSync('podman', ['version', '--format', '{{.Client.Version}}'], {
    encoding: 'utf8',
    timeout: VERSION_MS_MAX,
  });
  return status === 0 ? stdout.trim() : '';
}

function nameOf(flags: Flags): string {
  const name = flags.get('--name') ?? NAME_DEFAULT;
  if (isPodmanNetworkName(name)) return name;
  throw usageError(
    'usage',
    `--name ${JSON.stringify(name)}: letters, digits, . _ - and at most 64`,
  );
}

/** Another network of podman's that has the same addresses, '' where there is none. */
function rivalOf(directory: string, name: string, fan: EngineFan): string {
  for (const file of readdirSync(directory)) {
    if (!file.endsWith('.json') || file === `${name}.json`) continue;
    const other = readPodmanNetwork(readIfThere(join(directory, file)) ?? '');
    if (other?.subnets.includes(formatPrefix(fan.network)) === true) return file.slice(0, -5);
  }
  return '';
}

async function enable(io: Io, bridge: string | undefined, flags: Flags): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const fan = await findFan(run, bridge);
  const name = nameOf(flags);
  const directory = flags.get('--network-dir') ?? NETWORK_DIRECTORY;
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${name}.json`);
  const before = readIfThere(path);
  const there = before === undefined ? undefined : readPodmanNetwork(before);
  if (before !== undefined && there?.ours !== true) {
    throw refusedError(
      'podman-network-foreign',
      `${path} was not made by fanway: choose another name with --name, or podman network rm ${name}`,
    );
  }
  const rival = rivalOf(directory, name, fan);
  if (rival !== '') {
    throw refusedError(
      'podman-pool-taken',
      `podman's network ${rival} has ${formatPrefix(fan.network)} already: fanway podman disable --name ${rival}, or podman network rm ${rival}`,
    );
  }
  const block = rangeOf(flags);
  const leases = fan.dhcp ? dhcpLeases(run, fan.bridge, Date.now()) : [];
  const busy = leases.map(({ address }) => address);
  const book = new AddressBook(stateDirectoryOf(io.env), fan.slice);
  const range = book.change((now) => {
    const wish = { owner: PODMAN_OWNER, busy, shared: fan.dhcp };
    // Asked again it keeps what it has, though others have a part by now.
    const kept = block ?? claimedBlock(now, PODMAN_OWNER);
    return claimBlock(now, fan.slice, { ...wish, ...(kept !== undefined && { block: kept }) });
  });
  const version = podmanVersion();
  const created = there?.created || new Date().toISOString();
  const content = podmanNetwork(name, fan, range, { created, unmanaged: knowsUnmanaged(version) });
  putFile(path, `${JSON.stringify(content, null, 2)}\n`, 0o644);
  const done = {
    ...{ made: before === undefined, network: name, file: path, bridge: fan.bridge },
    ...{ range: formatPrefix(range), mtu: fan.mtu, podman: version },
  };
  if (flags.has('--json')) printJson(io, done);
  else {
    const { made, mtu } = done;
    io.out(
      `network ${name} ${made ? 'made' : 'is there, and as it should be'}: bridge ${fan.bridge}, containers ${done.range}, MTU ${mtu} (${path})\nuse it with: podman run --network ${name} ...\n`,
    );
    if (version === '') io.err('fanway: note: podman is not here, or does not say its version\n');
  }
  return ExitCode.Ok;
}

/** Where the plugin lies; podman looks there, or in what `netavark_plugin_dirs` names. */
function pluginOf(flags: Flags): string {
  return join(flags.get('--plugin-dir') ?? PLUGIN_DIRECTORY, NETAVARK_DRIVER);
}

async function enablePlugin(io: Io, bridge: string | undefined, flags: Flags): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const fan = await findPlace(run, bridge);
  const range = claimPart({ fan, run, flags, io, owner: NETAVARK_OWNER });
  const plugin = pluginOf(flags);
  mkdirSync(dirname(plugin), { recursive: true });
  putFile(plugin, wrapperOf(programCommand(CNI_TYPE), io.env), 0o755);
  const podman = podmanVersion();
  if (flags.has('--json')) {
    printJson(io, { plugin, driver: NETAVARK_DRIVER, bridge: fan.bridge, range, podman });
    return ExitCode.Ok;
  }
  const create = `podman network create --driver ${NETAVARK_DRIVER} -o bridge=${fan.bridge} ${NAME_DEFAULT}`;
  io.out(
    `${plugin}: driver ${NETAVARK_DRIVER}${range === '' ? '' : `, addresses ${range}`}\nuse it with: ${create}\n`,
  );
  if (!isSince(podman, PLUGINS_SINCE)) {
    const [major, minor] = PLUGINS_SINCE;
    io.err(
      `fanway: note: podman ${podman || 'is not here, or does not say its version; it'} runs no plugins before ${major}.${minor}: fanway podman enable without --plugin\n`,
    );
  }
  return ExitCode.Ok;
}

async function disablePlugin(io: Io, bridge: string | undefined, flags: Flags): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const plugin = pluginOf(flags);
  const removed = readIfThere(plugin) !== undefined;
  rmSync(plugin, { force: true });
  const fan = await findPlace(run, bridge);
  const book = new AddressBook(stateDirectoryOf(io.env), fan.slice);
  book.change((now) => dropClaim(now, NETAVARK_OWNER));
  if (flags.has('--json')) printJson(io, { plugin, removed });
  else {
    io.out(
      removed
        ? `${plugin} removed: podman network rm removes its networks\n`
        : `there is no ${plugin}\n`,
    );
  }
  return ExitCode.Ok;
}

async function disable(io: Io, bridge: string | undefined, flags: Flags): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const name = nameOf(flags);
  const path = join(flags.get('--network-dir') ?? NETWORK_DIRECTORY, `${name}.json`);
  const content = readIfThere(path);
  if (content !== undefined && readPodmanNetwork(content)?.ours !== true) {
    throw refusedError(
      'podman-network-foreign',
      `${path} was not made by fanway: podman network rm ${name} removes it`,
    );
  }
  rmSync(path, { force: true });
  // Also without a router: then the file goes, and the book is left as it is.
  const fan = await findFan(run, bridge).catch((error: unknown): EngineFan | undefined => {
    if (codeOf(error) === 'not-running' || codeOf(error) === 'no-fan') return undefined;
    throw error;
  });
  if (fan !== undefined) {
    const book = new AddressBook(stateDirectoryOf(io.env), fan.slice);
    book.change((now) => dropClaim(now, PODMAN_OWNER));
  }
  const removed = content !== undefined;
  if (flags.has('--json')) printJson(io, { network: name, removed });
  else {
    io.out(
      removed
        ? `network ${name} removed; containers that run stay on the bridge\n`
        : `podman has no network ${name}\n`,
    );
  }
  return ExitCode.Ok;
}

export const podman: Verb = {
  name: 'podman',
  summary: "a podman network on this host's fan",
  usage: [
    'podman enable [BRIDGE] [--name NETWORK] [--range PREFIX] [--json]',
    'podman disable [BRIDGE] [--name NETWORK] [--json]',
    'podman enable|disable [BRIDGE] --plugin [--range PREFIX] [--json]',
  ],
  options: [
    ['--name NETWORK', `the network's name in podman (${NAME_DEFAULT})`],
    ['--range PREFIX', 'the part of the slice that podman hands out (all that is free)'],
    ['--network-dir DIRECTORY', `where podman keeps its networks (${NETWORK_DIRECTORY})`],
    ['--plugin', 'a driver for podman network create (4.5), without a range of its own'],
    ['--plugin-dir DIRECTORY', `where podman looks for plugins (${PLUGIN_DIRECTORY})`],
    ['--json', 'what was done, as JSON'],
  ],
  examples: [
    ['fanway podman enable', 'then: podman run --network fan ...'],
    ['fanway podman enable --range 250.0.28.128/25', 'half of the slice; the rest is for others'],
    ['fanway podman enable --plugin', 'then: podman network create --driver fanway fan'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      ...{ '--name': 'value', '--range': 'value', '--network-dir': 'value', '--json': 'switch' },
      ...{ '--plugin': 'switch', '--plugin-dir': 'value' },
    });
    const { action, bridge } = actionOf(rest, ['enable', 'disable']);
    if (flags.has('--plugin')) {
      return action === 'enable'
        ? enablePlugin(io, bridge, flags)
        : disablePlugin(io, bridge, flags);
    }
    return action === 'enable' ? enable(io, bridge, flags) : disable(io, bridge, flags);
  },
};
