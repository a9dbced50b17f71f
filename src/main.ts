#!/usr/bin/env node
/**
 * The `fanway` command: finds the verb and runs it.
 * @module
 */
import { writeSync } from 'node:fs';
import { announce, withdraw } from './cli/announce.ts';
import { bench } from './cli/bench.ts';
import { bgp } from './cli/bgp.ts';
import { capture } from './cli/capture.ts';
import { check } from './cli/check.ts';
import { control } from './cli/control.ts';
import { counters } from './cli/counters.ts';
import { daemon } from './cli/daemon.ts';
import { doctor } from './cli/doctor.ts';
import { down } from './cli/down.ts';
import { explain } from './cli/explain.ts';
import { join, leave } from './cli/join.ts';
import { key } from './cli/key.ts';
import { keygen } from './cli/keygen.ts';
import { members } from './cli/members.ts';
import { peers } from './cli/peers.ts';
import { plan } from './cli/plan.ts';
import { show } from './cli/show.ts';
import { status } from './cli/status.ts';
import { table } from './cli/table.ts';
import { up } from './cli/up.ts';
import { columns, type Io, runVerb, type Verb } from './cli/verb.ts';
import { didYouMean } from './config/closest.ts';
import { codeOf, ExitCode } from './errors.ts';
import { keepDescriptorsFromChildren } from './sys/descriptors.ts';
import { VERSION } from './version.ts';

/** The verbs as the help shows them; `demo` is a program of its own. */
const GROUPS: readonly (readonly [title: string, verbs: readonly Verb[]])[] = [
  ["This host's fans", [up, down, show, plan, explain]],
  ['How they are', [status, counters, doctor, capture, bench]],
  ['Gossip between hosts', [keygen, join, leave, peers, members, table, announce, withdraw, key]],
  ['Routers of others', [bgp]],
  ['As a service', [daemon, check]],
];
const VERBS: readonly Verb[] = GROUPS.flatMap(([, verbs]) => verbs);
const DEMO = [
  'demo',
  'three hosts and six containers on this machine, real traffic, one table',
] as const;

/** One word that nobody writes to: waiting on it is sleeping. */
const pause = new Int32Array(new SharedArrayBuffer(4));
const PAUSE_MS = 5;

/**
 * Writes all of it before going on, also to a pipe, because a verb may end right after.
 * @returns false when nobody reads any more (`fanway show | head`).
 */
function writeAll(fd: number, bytes: Uint8Array): boolean {
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if (codeOf(error) === 'EPIPE') return false;
      if (codeOf(error) !== 'EAGAIN') throw error;
      Atomics.wait(pause, 0, 0, PAUSE_MS);
    }
  }
  return true;
}

const io: Io = {
  out: (text) => void writeAll(1, Buffer.from(text)),
  err: (text) => void writeAll(2, Buffer.from(text)),
  outBytes: (bytes) => writeAll(1, bytes),
  env: process.env,
};

/** The verbs by group, all in two columns of one width. */
function groupLines(): string[] {
  const lines = columns([...VERBS.map(({ name, summary }) => [name, summary] as const), DEMO]);
  const demo = lines.pop() ?? '';
  return [
    ...GROUPS.flatMap(([title, verbs]) => [`${title}:`, ...lines.splice(0, verbs.length), '']),
    ...['To see it work:', demo, ''],
  ];
}

/** What is said of a word that is no verb. */
function unknownVerb(name: string): ExitCode {
  const known = [...VERBS.map((verb) => verb.name), 'demo', 'help', 'version'];
  const meant = didYouMean(name, known);
  io.err(`fanway: ${JSON.stringify(name)} is no verb; fanway --help lists them${meant}\n`);
  return ExitCode.Usage;
}

function help(): string {
  return `${[
    'fanway: containers on several hosts in one network, by arithmetic on their addresses',
    '',
    'Usage: fanway VERB [ARGUMENTS]      fanway help VERB      fanway version',
    '',
    ...groupLines(),
    'Exit codes: 0 done; 1 failed; 2 wrong command line or configuration; 3 refused because of',
    'what is on this host; 4 not permitted; 5 no router runs.',
    '',
    'Environment: FANWAY_RUN_DIR (/run/fanway), FANWAY_STATE_DIR (/var/lib/fanway),',
    'FANWAY_FAN_FILE (/etc/network/fan), and FANWAY_DEBUG (if set, unexpected errors print where',
    'they came from).',
  ].join('\n')}\n`;
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  // `fanway help VERB` is `fanway VERB --help`.
  if (name === 'help' && rest[0] !== undefined) return main([rest[0], '--help']);
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    (name === undefined ? io.err : io.out)(help());
    return name === undefined ? ExitCode.Usage : ExitCode.Ok;
  }
  if (name === 'version' || name === '--version' || name === '-V') {
    io.out(`fanway ${VERSION}\n`);
    return ExitCode.Ok;
  }
  if (name === 'demo') {
    const { runDemo } = await import('./demo/demo.ts');
    return runDemo(rest);
  }
  const verb = [...VERBS, control].find((verb) => verb.name === name);
  if (verb === undefined) return unknownVerb(name);
  return runVerb(verb, rest, io);
}

keepDescriptorsFromChildren();
process.exit(await main(process.argv.slice(2)));
