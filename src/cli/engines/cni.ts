/**
 * `fanway cni`: puts the CNI plugin and its configuration where container runtimes look.
 * @module
 */
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  mkdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { AddressBook, dropClaim, stateDirectoryOf } from '../../control/store/address-book.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, usageError } from '../../errors.ts';
import {
  CNI_NETWORK,
  CNI_OWNER,
  CNI_TYPE,
  conflistOf,
  wrapperOf,
} from '../../plugins/cni/install.ts';
import { findFan, findPlace } from '../../plugins/fan.ts';
import { subnetEnv } from '../../plugins/snippets.ts';
import { SINGLE } from '../../single-file.ts';
import { programCommand } from '../../sys/host/paths.ts';
import { type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { claimPart } from './claims.ts';
import { actionOf, putFile } from './engine-words.ts';

const BIN_DIRECTORY = '/opt/cni/bin';
const CONF_DIRECTORY = '/etc/cni/net.d';
const CONF_FILE = '10-fanway.conflist';
const SUBNET_FILE = '/run/flannel/subnet.env';

type Flags = ReadonlyMap<string, string>;
/** `root`: where the file system is mounted that they are for, '' for our own. */
type Paths = { root: string; plugin: string; conf: string; bin: string };
/** The program itself on a host that has no other, beside the plugin. */
const PROGRAM = 'fanway';

function pathsOf(flags: Flags): Paths {
  const root = flags.get('--host-root') ?? '';
  const bin = join(root, flags.get('--bin-dir') ?? BIN_DIRECTORY);
  const conf = join(root, flags.get('--conf-dir') ?? CONF_DIRECTORY);
  return { root, bin, plugin: join(bin, CNI_TYPE), conf: join(conf, CONF_FILE) };
}

function hasPortmap(bin: string): boolean {
  try {
    accessSync(join(bin, 'portmap'), constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The command that the plugin's file starts. On a host that sees us only as a container, it is a copy of
 * this program that lies beside it.
 * @throws FanwayError (exit code 2) where this program is more than one file
 */
function commandFor({ root, bin }: Paths, flags: Flags): string[] {
  if (root === '') return programCommand(CNI_TYPE);
  if (SINGLE === undefined) {
    throw usageError(
      'usage',
      '--host-root copies this program to the host, and only the single file (npm run single) is whole without others',
    );
  }
  const path = join(bin, PROGRAM);
  // Whole or not at all, and also while the old one runs.
  copyFileSync(process.execPath, `${path}.new`);
  chmodSync(`${path}.new`, 0o755);
  renameSync(`${path}.new`, path);
  const [, ...words] = programCommand(CNI_TYPE);
  return [join(flags.get('--bin-dir') ?? BIN_DIRECTORY, PROGRAM), ...words];
}

async function install(io: Io, bridge: string | undefined, flags: Flags): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const fan = await findPlace(run, bridge);
  const range = claimPart({ fan, run, flags, io, owner: CNI_OWNER });
  const paths = pathsOf(flags);
  for (const folder of [paths.bin, join(paths.conf, '..')]) mkdirSync(folder, { recursive: true });
  const name = flags.get('--name') ?? CNI_NETWORK;
  const portmap = hasPortmap(paths.bin);
  putFile(paths.plugin, wrapperOf(commandFor(paths, flags), io.env), 0o755);
  putFile(paths.conf, conflistOf({ name, bridge, portmap }), 0o644);
  const done = { plugin: paths.plugin, configuration: paths.conf, network: name, range, portmap };
  if (flags.has('--json')) printJson(io, done);
  else {
    io.out(
      `${paths.plugin} and ${paths.conf}: network ${name}${range === '' ? '' : `, addresses ${range}`}\n`,
    );
    if (!portmap)
      io.err(`fanway: note: no portmap in ${paths.bin}: published ports are not forwarded\n`);
  }
  return ExitCode.Ok;
}

async function remove(io: Io, bridge: string | undefined, flags: Flags): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const paths = pathsOf(flags);
  rmSync(paths.conf, { force: true });
  rmSync(paths.plugin, { force: true });
  if (paths.root !== '') rmSync(join(paths.bin, PROGRAM), { force: true });
  const fan = await findPlace(run, bridge);
  const book = new AddressBook(stateDirectoryOf(io.env), fan.slice);
  book.change((now) => dropClaim(now, CNI_OWNER));
  if (flags.has('--json')) printJson(io, { removed: [paths.plugin, paths.conf] });
  else
    io.out(`${paths.plugin} and ${paths.conf} removed; containers that run keep their addresses\n`);
  return ExitCode.Ok;
}

/** The file that flannel's own agent would write. */
async function writeSubnetEnv(io: Io, bridge: string | undefined, flags: Flags): Promise<ExitCode> {
  const fan = await findFan(new RunDirectory(io.env['FANWAY_RUN_DIR']), bridge);
  const text = subnetEnv(fan);
  const path = flags.get('--file') ?? SUBNET_FILE;
  if (path === '-') {
    io.out(text);
    return ExitCode.Ok;
  }
  mkdirSync(dirname(path), { recursive: true });
  putFile(path, text, 0o644);
  if (flags.has('--json')) printJson(io, { file: path });
  else io.out(`${path} written\n`);
  return ExitCode.Ok;
}

export const cni: Verb = {
  name: 'cni',
  summary: 'the CNI plugin for containerd, CRI-O, podman, nomad and Kubernetes',
  usage: ['cni install|remove [BRIDGE] [OPTIONS]', 'cni subnet-env [BRIDGE] [--file FILE]'],
  options: [
    ['--bin-dir DIRECTORY', `where the runtime looks for plugins (${BIN_DIRECTORY})`],
    ['--conf-dir DIRECTORY', `where it looks for networks (${CONF_DIRECTORY})`],
    [
      '--host-root DIRECTORY',
      'where the file system of the host is, seen from a container; copies fanway',
    ],
    ['--name NETWORK', `the network's name (${CNI_NETWORK})`],
    ['--range PREFIX', 'the part of the slice for CNI alone; beside dhcp, made up if left out'],
    ['--file FILE', `what flannel's plugin reads (${SUBNET_FILE}); - prints it`],
    ['--json', 'what was done, as JSON'],
  ],
  examples: [
    ['fanway cni install', 'for containerd, CRI-O and kubelet'],
    ['fanway cni install --conf-dir /opt/cni/config', 'for nomad'],
    ['fanway cni install --bin-dir /usr/lib/cni', "for Debian's podman"],
    ['fanway cni subnet-env', "a routed fan for flannel's CNI plugin"],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      ...{ '--bin-dir': 'value', '--conf-dir': 'value', '--name': 'value', '--host-root': 'value' },
      ...{ '--range': 'value', '--file': 'value', '--json': 'switch' },
    });
    const { action, bridge } = actionOf(rest, ['install', 'remove', 'subnet-env']);
    if (action === 'subnet-env') return writeSubnetEnv(io, bridge, flags);
    return action === 'install' ? install(io, bridge, flags) : remove(io, bridge, flags);
  },
};
