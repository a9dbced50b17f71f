/**
 * `fanway fanatic`: the verbs of Ubuntu's fanatic(8), each as what fanway has for it.
 * @module
 */
import { fansCall } from '../../api/fans.ts';
import { parseFanWords } from '../../config/words.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { FanRecord } from '../../control/host/snapshot.ts';
import { overlaysOf } from '../../control/store/link-spec.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode, refusedError, usageError } from '../../errors.ts';
import { hasIpv4 } from '../../net/fan.ts';
import { formatHostPrefix } from '../../net/underlay-address.ts';
import { DockerApi } from '../../plugins/docker/api.ts';
import { networkBridges } from '../../plugins/docker/network.ts';
import { findFan } from '../../plugins/fan.ts';
import { LxdApi } from '../../plugins/lxd/api.ts';
import { profileBridges } from '../../plugins/lxd/profile.ts';
import { down, isMeant } from '../fans/down.ts';
import { up } from '../fans/up.ts';
import { type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { docker } from './docker.ts';
import { testLocalLxd } from './local-lxd.ts';
import { testLocal } from './local-test.ts';
import { lxd } from './lxd.ts';

/** Which of its verbs are another one of ours, and the word that this one begins with. */
const SAME: Readonly<Record<string, { verb: Verb; action: 'enable' | 'disable' }>> = {
  'enable-docker': { verb: docker, action: 'enable' },
  'disable-docker': { verb: docker, action: 'disable' },
  'enable-lxd': { verb: lxd, action: 'enable' },
  'disable-lxd': { verb: lxd, action: 'disable' },
};

async function fansHere(run: RunDirectory): Promise<FanRecord[]> {
  try {
    return (await ask(run, fansCall)).filter(({ spec }) => hasIpv4(spec.overlay));
  } catch (error) {
    if (codeOf(error) === 'not-running') return [];
    throw error;
  }
}

/** The bridge of the fan that `-u` and `-o` mean, or of the only one. @throws FanwayError */
async function bridgeOf(run: RunDirectory, words: readonly string[]): Promise<string> {
  const fans = await fansHere(run);
  if (words.length === 0) {
    const [only, ...more] = fans;
    if (only !== undefined && more.length === 0) return only.spec.name;
    throw usageError('which-fan', 'name the fan: -u UNDERLAY -o OVERLAY');
  }
  const { request, problems } = parseFanWords(words, 'overlay-first');
  if (request === undefined) throw usageError('usage', problems.join('\n'));
  const found = fans.find((fan) => isMeant(fan, request));
  if (found !== undefined) return found.spec.name;
  throw refusedError('not-configured', 'this fan is not up: fanway fanatic enable-fan -u U -o O');
}

type Row = { underlay: string; overlay: string; fan: string; docker: string; lxd: string };

/** Bridges that an engine has something for; none where it does not run. */
async function bridgesOf(ask: () => Promise<string[]>): Promise<Set<string>> {
  // One that does not run, or is not ours to ask, has nothing enabled as far as can be seen.
  return new Set(await ask().catch(() => []));
}

async function rowsOf(run: RunDirectory, env: NodeJS.ProcessEnv): Promise<Row[]> {
  const [docked, profiled] = [
    await bridgesOf(async () => networkBridges(await DockerApi.open(env))),
    await bridgesOf(async () => profileBridges(await LxdApi.open('lxd', env))),
  ];
  const word = (set: Set<string>, name: string): string => (set.has(name) ? 'enabled' : '-');
  return (await fansHere(run)).map(({ spec }) => ({
    underlay: formatHostPrefix({ address: spec.local, length: spec.underlay.length }),
    overlay: overlaysOf(spec),
    fan: 'up',
    docker: word(docked, spec.name),
    lxd: word(profiled, spec.name),
  }));
}

function showText(rows: readonly Row[]): string {
  const cells = (row: Row): string =>
    `${row.underlay.padEnd(19)} ${row.overlay.padEnd(19)} ${row.fan.padEnd(8)} ${row.docker.padEnd(8)} ${row.lxd}`;
  const head = {
    underlay: 'Underlay',
    overlay: 'Overlay',
    fan: 'Fan',
    docker: 'Docker',
    lxd: 'LXD',
  };
  return `${[head, ...rows].map(cells).join('\n')}\n`;
}

async function test(rest: readonly string[], image: string | undefined, io: Io): Promise<ExitCode> {
  const [what, ...words] = rest;
  if (what !== 'local-docker' && what !== 'local-lxd') {
    throw usageError(
      'usage',
      'give test local-docker or test local-lxd; whole paths between hosts are fanway test and fanway ping',
    );
  }
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const bridge = await bridgeOf(run, words);
  const lines =
    what === 'local-docker'
      ? await testLocal(bridge, image, io.env)
      : await testLocalLxd(await findFan(run, bridge), image, io.env);
  for (const { name, problem } of lines) {
    io.out(`${name}: ${problem === '' ? 'PASS' : `FAIL (${problem})`}\n`);
  }
  return lines.every(({ problem }) => problem === '') ? ExitCode.Ok : ExitCode.Failed;
}

export const fanatic: Verb = {
  name: 'fanatic',
  summary: "the verbs of Ubuntu's fanatic, for those who know them",
  usage: [
    'fanatic enable-fan|disable-fan -u UNDERLAY -o OVERLAY [OPTIONS]',
    'fanatic enable-docker|disable-docker|enable-lxd|disable-lxd [-u UNDERLAY -o OVERLAY]',
    'fanatic show [--json]',
    'fanatic test local-docker|local-lxd [-u UNDERLAY -o OVERLAY] [--image IMAGE]',
  ],
  details: [
    'enable-fan is up, disable-fan is down (up and down are taken too), enable-docker is docker enable,',
    'enable-lxd is lxd enable. /etc/network/fan is not written: what shall last is in fanway.conf.',
  ],
  options: [
    ['-u, --underlay WHERE', 'the underlay'],
    ['-o, --overlay NET', 'the overlay'],
    ['--image IMAGE', "of test: an image with /bin/busybox (made of this host's)"],
    ['--json', 'of show: as JSON'],
  ],
  examples: [
    ['fanway fanatic enable-fan -u 172.30.0.28/16 -o 250.0.0.0/8', 'up'],
    ['fanway fanatic enable-docker -u 172.30.0.28/16 -o 250.0.0.0/8', 'and Docker on it'],
    ['fanway fanatic show', 'fans, and who uses them'],
    ['fanway fanatic test local-docker', 'two containers of this host, through the fan'],
    ['fanway fanatic test local-lxd', 'two instances of LXD'],
  ],
  async run([action = '', ...args], io) {
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    if (action === 'enable-fan' || action === 'up') return up.run(args, io);
    if (action === 'disable-fan' || action === 'down') return down.run(args, io);
    const same = SAME[action];
    if (same !== undefined) return same.verb.run([same.action, await bridgeOf(run, args)], io);
    const { flags, rest } = takeFlags(args, { '--image': 'value', '--json': 'switch' });
    if (action === 'test') return test(rest, flags.get('--image'), io);
    if (action === 'show') {
      noMore(rest, fanatic);
      const rows = await rowsOf(run, io.env);
      if (flags.has('--json')) printJson(io, rows);
      else io.out(showText(rows));
      return ExitCode.Ok;
    }
    throw usageError(
      'usage',
      action === 'configure' || action === 'deconfigure'
        ? `${action} asks and answers, which this does not: fanway fanatic enable-fan -u UNDERLAY -o OVERLAY; see fanway fanatic --help`
        : 'give enable-fan, disable-fan, enable-docker, disable-docker, enable-lxd, disable-lxd, show or test; see fanway fanatic --help',
    );
  },
};
