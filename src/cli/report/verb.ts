/**
 * `fanway report`: what whoever helps would ask for first, in one archive, without keys.
 * @module
 */
import { closeSync, fstatSync, openSync, readSync, writeFileSync } from 'node:fs';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode, FanwayError, messageOf, usageError } from '../../errors.ts';
import { VERSION } from '../../version.ts';
import { doctor } from '../doctor/doctor.ts';
import { show } from '../fans/show.ts';
import { bgp } from '../inspect/bgp.ts';
import { counters } from '../inspect/counters.ts';
import { status } from '../inspect/status.ts';
import { table } from '../inspect/table.ts';
import { members } from '../members/members.ts';
import { peers } from '../members/peers.ts';
import { type Io, noMore, runVerb, takeFlags, type Verb } from '../verb/verb.ts';
import { withoutSecrets } from './secrets.ts';
import { type TarFile, tarOf } from './tar.ts';

/** What each verb says goes in as text, and as JSON. */
const ASKED: readonly (readonly [verb: Verb, ...words: string[]])[] = [
  [status],
  [show],
  [counters],
  [doctor],
  [peers],
  [members],
  [table],
  [bgp, 'neighbors'],
];
/** Of the log its end. */
const LOG_BYTES_MAX = 256 * 1024;

/** Output and errors of a verb, with the exit code when it is not 0. */
async function said(verb: Verb, words: string[], env: NodeJS.ProcessEnv): Promise<string> {
  const parts: string[] = [];
  const write = (text: string): void => void parts.push(text);
  const io: Io = { out: write, err: write, outBytes: () => false, env };
  const code = await runVerb(verb, words, io);
  return `${parts.join('')}${code === ExitCode.Ok ? '' : `exit code ${code}\n`}`;
}

/** The end of a file; why not, where it cannot be read. */
function endOf(path: string): string {
  try {
    const file = openSync(path, 'r');
    try {
      const size = fstatSync(file).size;
      const bytes = Buffer.alloc(Math.min(size, LOG_BYTES_MAX));
      const length = readSync(file, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString('utf8', 0, length);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? 'there is none\n' : `${messageOf(error)}\n`;
  }
}

async function collect(io: Io): Promise<TarFile[]> {
  const texts: [name: string, text: string][] = [];
  const { release, versions, arch, platform } = process;
  const versionsText = `fanway ${VERSION}, ${release.name} ${versions.node}, ${platform} ${arch}\n`;
  texts.push(['version.txt', `${versionsText}${endOf('/proc/version')}`]);
  for (const [verb, ...words] of ASKED) {
    const text = await said(verb, words, io.env);
    texts.push([`${verb.name}.txt`, text]);
    // Without a router both say the same.
    if (!text.endsWith(`exit code ${ExitCode.NotRunning}\n`)) {
      texts.push([`${verb.name}.json`, await said(verb, [...words, '--json'], io.env)]);
    }
  }
  const { log } = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  texts.push(['router.log', endOf(log)], ['router.log.old', endOf(`${log}.old`)]);
  return texts.map(([name, text]) => ({
    name: `fanway-report/${name}`,
    bytes: Buffer.from(withoutSecrets(text)),
  }));
}

/** @throws FanwayError when it cannot be written, or is there already. */
function writeNew(path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const message =
      codeOf(error) === 'EEXIST'
        ? `${path} is there already: name another with --out`
        : `${path} cannot be written: ${messageOf(error)}`;
    throw new FanwayError('report', message, { exitCode: ExitCode.Refused });
  }
}

export const report: Verb = {
  name: 'report',
  summary: 'gather status, counters, doctor and log in one archive, without keys',
  details: [
    'The archive has what status, show, counters, doctor, peers, members, table and bgp say, versions,',
    'and the end of the log. Keys are taken out wherever they stand; addresses and names of hosts are',
    'in it. Nothing is sent anywhere.',
  ],
  usage: ['report [--out FILE]'],
  options: [['--out FILE', 'where to, mode 0600; fanway-report.tar when left out, - is stdout']],
  examples: [
    ['fanway report', 'look into it with tar -xf fanway-report.tar'],
    ['fanway report --out - | ssh desk.example tar -t', 'to another machine'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--out': 'value' });
    noMore(rest, report);
    const path = flags.get('--out') ?? 'fanway-report.tar';
    if (path === '-' && process.stdout.isTTY) {
      throw usageError('terminal', 'an archive on a terminal is rubbish: give --out FILE');
    }
    const archive = tarOf(await collect(io), Math.floor(Date.now() / 1000));
    if (path === '-') io.outBytes(archive);
    else {
      writeNew(path, archive);
      io.out(`${path}\n`);
    }
    return ExitCode.Ok;
  },
};
