/**
 * `fanway join` and `fanway leave`: this host in the gossip of a cluster, and out of it.
 * @module
 */

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type JoinAnswer, joinCall, leaveCall } from '../../api/announce.ts';
import type { GossipStatus } from '../../api/gossip.ts';
import { statusCall } from '../../api/status.ts';
import { formatSeed, type GossipSettings, parseSeed } from '../../config/gossip.ts';
import { ValueError } from '../../config/row/setting.ts';
import { findSetting, parseValue } from '../../config/schema.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { keyPathIn } from '../../control/speakers/gossip/transport/state-directory.ts';
import { stateDirectoryOf } from '../../control/store/address-book.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode, refusedError, usageError } from '../../errors.ts';
import { Keyring } from '../../gossip/base/keyring.ts';
import { SEEDS_MAX } from '../../limits.ts';
import { waitEnd } from '../fans/down.ts';
import { withRouter } from '../fans/with-router.ts';
import { sameNamesText, silentSeedsText } from '../verb/gossip-text.ts';
import { counted } from '../verb/quantities.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { KEY_FILE_DEFAULT, readKeyFile } from './keys.ts';

/** A seed that is there answers within a few round trips. */
const ANSWER_MS = 2000;
const ANSWER_POLL_MS = 50;

/** The settings that have a flag, and the field each is. */
const FLAGS = {
  '--port': 'port',
  '--bind': 'bind',
  '--advertise': 'advertise',
  '--name': 'name',
  '--label': 'label',
} as const;

/** What the words and flags ask for. @throws FanwayError (exit code 2) with every problem. */
function settingsOf(
  words: readonly string[],
  flags: ReadonlyMap<string, string>,
): Partial<GossipSettings> {
  const problems: string[] = [];
  const attempt = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      problems.push(error.message);
      return undefined;
    }
  };
  const settings: Partial<GossipSettings> = {};
  const seeds = words.map((word) => attempt(() => parseSeed(word)));
  if (seeds.length > SEEDS_MAX) problems.push(`at most ${SEEDS_MAX} seeds are taken`);
  settings.seeds = seeds.filter((seed) => seed !== undefined);
  for (const [flag, key] of Object.entries(FLAGS)) {
    const text = flags.get(flag);
    const setting = findSetting('gossip', key);
    if (text === undefined || setting === undefined) continue;
    const value = attempt(() => parseValue(setting, text));
    // The router reads each as its setting has it.
    Object.assign(settings, { [key]: key === 'bind' && Array.isArray(value) ? value[0] : value });
  }
  if (flags.has('--insecure-plaintext')) settings.plaintext = true;
  if (problems.length > 0) throw usageError('usage', problems.join('\n'));
  return settings;
}

/**
 * Asks the router; when it has no key and none was given, takes the file where keygen writes, or
 * makes a key.
 */
export async function askToJoin(
  run: RunDirectory,
  settings: Partial<GossipSettings>,
  file: string | undefined,
  { env, newIdentity = false }: { env: NodeJS.ProcessEnv; newIdentity?: boolean },
): Promise<JoinAnswer & { madeKey: string | undefined }> {
  const join = (keys: string | null): Promise<JoinAnswer> =>
    ask(run, joinCall, { settings, keys, newIdentity });
  try {
    const keys = file === undefined ? null : await readKeyFile(file);
    return { ...(await join(keys)), madeKey: undefined };
  } catch (error) {
    if (file !== undefined || codeOf(error) !== 'no-key') throw error;
  }
  if (existsSync(KEY_FILE_DEFAULT)) {
    return { ...(await join(await readKeyFile(KEY_FILE_DEFAULT))), madeKey: undefined };
  }
  const [seed] = settings.seeds ?? [];
  if (seed !== undefined) {
    throw refusedError(
      'no-key',
      `there is a seed and no key: a key made here would begin another cluster. Copy the one of a member, say: ssh root@${seed.host} cat ${keyPathIn(stateDirectoryOf(env))} | fanway join ${formatSeed(seed)} --key - (where its router has another FANWAY_STATE_DIR, the key is there)`,
    );
  }
  const keys = Keyring.generate(randomBytes).format();
  return { ...(await join(keys)), madeKey: keys };
}

/** How gossip stands once every seed has answered, or had time to. */
async function seedsAnswered(run: RunDirectory): Promise<GossipStatus | null> {
  const deadline = performance.now() + ANSWER_MS;
  for (;;) {
    const { gossip } = await ask(run, statusCall);
    if (gossip?.seeds.some(({ answered }) => !answered) !== true) return gossip;
    if (performance.now() > deadline) return gossip;
    await new Promise((resolve) => setTimeout(resolve, ANSWER_POLL_MS));
  }
}

function joinedText(answer: JoinAnswer & { madeKey: string | undefined }): string {
  const { status, outcome, madeKey } = answer;
  const lines = [
    outcome === 'extended'
      ? `${status.name}: ${counted(status.seeds.length, 'seed')} now`
      : `${status.name}: joined as ${status.id}, port ${status.port} (UDP and TCP)`,
  ];
  lines.push(...silentSeedsText(status.seeds), ...sameNamesText(status.sameNames));
  if (status.plaintext) lines.push('PLAINTEXT: whoever reaches the port is a member');
  if (madeKey !== undefined) {
    const at = status.endpoints[0]?.replace(/:7946$/, '') ?? 'this host';
    lines.push(
      'a new key was made. On every other host, put this into a file of mode 0600',
      `and give it to: fanway join ${at} --key FILE`,
      '',
      madeKey.trimEnd(),
    );
  }
  return `${lines.join('\n')}\n`;
}

export const join: Verb = {
  name: 'join',
  summary: 'join the gossip of a cluster, or begin one',
  usage: ['join [SEED[:PORT]...] [--key FILE] [OPTIONS]'],
  options: [
    ['--key FILE', `the keys of the cluster (fanway keygen); - is standard input`],
    ['--port N', 'UDP and TCP port, 7946 when left out'],
    ['--bind ADDRESS', 'listen on this address only'],
    ['--advertise ADDRESS,...', "where others reach this host; its fans' underlay addresses"],
    ['--name NAME', "what others call this host; the machine's name"],
    ['--label TEXT', 'which cluster this is, fanway when left out'],
    ['--insecure-plaintext', 'without keys: whoever reaches the port is a member'],
    ['--new-identity', 'as another member than before: for a machine that was cloned'],
    ['--json', 'print what came of it as JSON'],
  ],
  examples: [
    ['fanway join', 'the first host: makes a key, and prints it'],
    ['fanway join 172.30.0.28 --key gossip.key', 'any other: where one member is, and the key'],
    ['fanway join host-a.example host-b.example:7000', 'names are looked up again and again'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '--key': 'value',
      '--port': 'value',
      '--bind': 'value',
      '--advertise': 'value',
      '--name': 'value',
      '--label': 'value',
      '--insecure-plaintext': 'switch',
      '--new-identity': 'switch',
      '--json': 'switch',
    });
    noMore(
      rest.filter((word) => word.startsWith('-')),
      join,
    );
    const settings = settingsOf(rest, flags);
    const file = flags.get('--key');
    if (file !== undefined && settings.plaintext === true) {
      throw usageError('usage', '--key and --insecure-plaintext contradict each other');
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    await withRouter(run, io, 'join', async () => {
      const answer = await askToJoin(run, settings, file, {
        ...{ env: io.env, newIdentity: flags.has('--new-identity') },
      });
      answer.status = (await seedsAnswered(run)) ?? answer.status;
      if (flags.has('--json')) printJson(io, answer);
      else io.out(joinedText(answer));
    });
    return ExitCode.Ok;
  },
};

export const leave: Verb = {
  name: 'leave',
  summary: 'leave the gossip of the cluster; the fans stay',
  usage: ['leave [--json]'],
  options: [['--json', 'print whether there was anything to leave as JSON']],
  examples: [['fanway leave', 'what this host announced is gone everywhere within a second']],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    noMore(rest, leave);
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const answer = await ask(run, leaveCall, {});
    if (answer.ending) await waitEnd(run);
    if (flags.has('--json')) printJson(io, { left: answer.left });
    else io.out(answer.left ? 'left\n' : 'not joined: fanway join begins it\n');
    return answer.left ? ExitCode.Ok : ExitCode.Failed;
  },
};
