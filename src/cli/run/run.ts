/**
 * `fanway run`: a command in a network of its own on the overlay, a fan or a layer-2 network, for an
 * ordinary user.
 *
 * Three processes stand behind it: the keeper in the namespace, the router outside with the user's own
 * sockets, its data process. They are there as long as a command is, and go with the last one.
 * @module
 */
import { fansCall, upCall } from '../../api/fans.ts';
import { addNetworkCall } from '../../api/network/requests.ts';
import { networksCall } from '../../api/networks.ts';
import { parseSeed } from '../../config/gossip.ts';
import type { NetworkRequest } from '../../config/network.ts';
import type { FanRequest } from '../../config/request.ts';
import { ValueError } from '../../config/row/setting.ts';
import { parseFanWords } from '../../config/words.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory, userRunDirectory } from '../../control/store/run-directory.ts';
import { ENCAPS } from '../../encap/encap.ts';
import { ExitCode, FanwayError, refusedError, usageError } from '../../errors.ts';
import { hasCapability } from '../../sys/process/capabilities.ts';
import { FAN_OPTIONS } from '../fans/fan-requests.ts';
import { refusalError } from '../fans/plan-text.ts';
import { askToJoin } from '../members/join.ts';
import { ADD_FLAG_SPEC, networkRequestJson, requestOfWords } from '../networks/request.ts';
import { type FlagSpec, type Io, takeFlags, type Verb } from '../verb/verb.ts';
import { runInside } from './command.ts';
import { type HeldNamespace, holdNamespace, leaveNamespace } from './namespace.ts';
import { ensureRouter, Watch } from './watch.ts';

type Wanted = {
  request: FanRequest | undefined;
  /** A network that is to be made; one that is only named is there already. */
  network: NetworkRequest | undefined;
  flags: ReadonlyMap<string, string>;
  command: readonly string[];
};

const OWN_FLAGS: FlagSpec = {
  ...{ '--fan': 'switch', '--join': 'value', '--key': 'value', '--name': 'value' },
  '--no-internet': 'switch',
};
const NET_FLAGS: FlagSpec = { '--net': 'value', ...ADD_FLAG_SPEC };
/** Of the words of `up`, what means nothing in a network of one's own, or has words of `run`. */
const NOT_HERE =
  /^(?:-[aou]|--underlay-mode|--xmit-hash-policy|dhcp|host-reserve|bridge|--device|off|auto|--datapath|--no-masquerade|--file)\b/;

/** What the words ask for. @throws FanwayError (exit code 2) with every problem. */
function readWords(args: readonly string[], env: NodeJS.ProcessEnv): Wanted {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  const given = end < 0 ? [] : args.slice(end + 1);
  if (end >= 0 && given.length === 0) {
    throw usageError('usage', 'name the command after --, or leave both out for a shell');
  }
  const isNet = own.some((word) => word === '--net' || word.startsWith('--net='));
  const { flags, rest } = takeFlags(own, isNet ? { ...OWN_FLAGS, ...NET_FLAGS } : OWN_FLAGS);
  const command = given.length > 0 ? given : [env['SHELL'] ?? '/bin/sh'];
  if (!flags.has('--fan')) {
    const [first] = rest;
    if (first === undefined) {
      return { request: undefined, network: networkOf(flags), flags, command };
    }
    throw usageError(
      'usage',
      `${JSON.stringify(first)}: a command comes after --, a fan after --fan; see fanway run --help`,
    );
  }
  if (isNet) {
    throw usageError('usage', '--fan and --net: one at a time; a further run adds the other one');
  }
  const { request, problems } = parseFanWords(rest, 'overlay-first', Object.keys(OWN_FLAGS));
  if (request === undefined) throw usageError('usage', problems.join('\n'));
  return { request, network: undefined, flags, command };
}

/** The network that is asked for; undefined where there is none, or only its name. */
function networkOf(flags: ReadonlyMap<string, string>): NetworkRequest | undefined {
  const name = flags.get('--net');
  const isNamed = !Object.keys(ADD_FLAG_SPEC).some((flag) => flags.has(flag));
  return name === undefined || isNamed ? undefined : requestOfWords(name, flags);
}

/** What no ordinary user can have. @throws FanwayError (exit code 4). */
function requireAllowed({ encap }: FanRequest): void {
  if (ENCAPS[encap].udp || hasCapability('NET_RAW')) return;
  throw new FanwayError(
    'not-permitted',
    `${encap} needs raw sockets, which only root may open: take --encap fou, on every host`,
    { exitCode: ExitCode.NotPermitted },
  );
}

/** Brings the fan up where it is not, and tells what is worth knowing. */
async function bringUp(run: RunDirectory, request: FanRequest, io: Io): Promise<void> {
  const plan = await ask(run, upCall, { request });
  if (plan.outcome === 'refused') throw refusalError(plan.refusals);
  if (plan.outcome === 'same') return;
  for (const warning of plan.warnings) io.err(`fanway: note: ${warning}\n`);
}

/** Makes the network where it is not there. */
async function addNetwork(run: RunDirectory, request: NetworkRequest, io: Io): Promise<void> {
  const { outcome, messages } = await ask(run, addNetworkCall, {
    request: networkRequestJson(request),
  });
  if (outcome === 'refused') throw refusedError('refused', messages.join('\n'));
  if (outcome === 'same') return;
  for (const message of messages) io.err(`fanway: note: ${message}\n`);
}

/** That there is something to run on, and what is wrong with a network that was just named. */
async function requireLink(run: RunDirectory, { flags }: Wanted, io: Io): Promise<void> {
  const networks = await ask(run, networksCall);
  const name = flags.get('--net');
  const named = networks.find(({ network }) => network === name);
  if (name !== undefined && named === undefined) {
    throw usageError(
      'usage',
      `there is no network ${name} here yet: fanway run --net ${name} --vni N --address ADDRESS/WIDTH -- COMMAND`,
    );
  }
  if (named !== undefined && named.reason !== '')
    io.err(`fanway: note: ${name}: ${named.reason}\n`);
  if (networks.length > 0 || (await ask(run, fansCall)).length > 0) return;
  throw usageError(
    'usage',
    'name the fan: fanway run --fan 250.0.0.0/8 eth0/16 -- COMMAND; later ones in the same network need none',
  );
}

async function join(
  run: RunDirectory,
  flags: ReadonlyMap<string, string>,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const text = flags.get('--join');
  if (text === undefined) {
    const alone = ['--key', '--name'].find((flag) => flags.has(flag));
    if (alone !== undefined) throw usageError('usage', `${alone} belongs to --join`);
    return;
  }
  let settings: Parameters<typeof askToJoin>[1];
  try {
    settings = { seeds: [parseSeed(text)] };
  } catch (error) {
    if (error instanceof ValueError) throw usageError('usage', error.message);
    throw error;
  }
  const name = flags.get('--name');
  const own = { ...settings, ...(name !== undefined && { name }) };
  await askToJoin(run, own, flags.get('--key'), { env });
}

async function prepare(run: RunDirectory, wanted: Wanted, io: Io): Promise<HeldNamespace> {
  const { request, network, flags } = wanted;
  const held = await holdNamespace(run, { internet: !flags.has('--no-internet') });
  try {
    for (const note of held.notes) io.err(`fanway: note: ${note}\n`);
    await ensureRouter(run);
    if (request !== undefined) await bringUp(run, request, io);
    if (network !== undefined) await addNetwork(run, network, io);
    await join(run, flags, io.env);
    await requireLink(run, wanted, io);
    return held;
  } catch (error) {
    await leaveNamespace(run, held.door);
    throw error;
  }
}

export const run: Verb = {
  name: 'run',
  summary: 'run a command on the overlay, as an ordinary user',
  details: [
    'COMMAND gets a network of its own, as root in it and as nobody else outside: the first address of',
    "this host's slice, every host of the overlay, and by pasta or slirp4netns, where one of them is",
    'installed, name servers and the Internet. Without COMMAND it is a shell. Further runs of the same',
    'user share the network; with the last of them it goes, and whatever still runs in it.',
    'Its file, for programs that take one, is netns in the run directory ($XDG_RUNTIME_DIR/fanway).',
  ],
  usage: [
    'run --fan OVERLAY UNDERLAY [OPTIONS] [-- COMMAND...]',
    'run --net NAME --vni N --address ADDRESS/N [OPTIONS] [-- COMMAND...]',
    'run [-- COMMAND...]',
  ],
  options: [
    ['--fan', 'the fan, in the words of up: OVERLAY UNDERLAY and the options below'],
    ['--net NAME', 'a layer-2 network, in the words of net add'],
    ['--vni N', 'its VXLAN network identifier (default of a fan: overlay address >> 8)'],
    ['--address ADDRESS/N,...', 'the addresses that COMMAND has in it'],
    ['--join HOST[:PORT]', 'join the gossip of a cluster there: its hosts get names'],
    ['--key FILE', 'the keys of the cluster; - is standard input'],
    ['--name NAME', 'what others call this host'],
    ['--no-internet', 'the overlay and nothing else'],
    ...FAN_OPTIONS.filter(([flag]) => !NOT_HERE.test(flag) && flag !== '--vni N'),
  ],
  examples: [
    ['fanway run --fan 250.0.0.0/8 eth0/16 -- python3 -m http.server', 'on one host ...'],
    ['fanway run --fan 250.0.0.0/8 eth0/16 -- curl 250.0.28.1:8000', '... and on another'],
    [
      'fanway run --net blue --vni 100 --address 10.9.0.2/24 --join host-a --key gossip.key',
      'a member of a layer-2 network',
    ],
    ['fanway run', 'a shell in the network that is there'],
    ['fanway run --fan 250.0.0.0/8 eth0/16 --join host-a --key gossip.key', 'with names of hosts'],
  ],
  async run(args, io) {
    const wanted = readWords(args, io.env);
    if (wanted.request !== undefined) requireAllowed(wanted.request);
    const run = new RunDirectory(userRunDirectory(io.env));
    run.create();
    const lock = run.lock('lock', { wait: true });
    let held: HeldNamespace;
    try {
      held = await prepare(run, wanted, io);
    } finally {
      lock?.release();
    }
    const watch = new Watch(run, (text) => io.err(`fanway: ${text}\n`));
    try {
      await watch.start();
      return await runInside(held, wanted.command, io.env);
    } finally {
      watch.stop();
      await leaveNamespace(run, held.door);
    }
  },
};
