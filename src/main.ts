#!/usr/bin/env node
/**
 * The `fanway` command: finds the verb and runs it.
 * @module
 */
import { writeSync } from 'node:fs';
import { control, superviseVerb } from './cli/control.ts';
import { probe } from './cli/paths/probe.ts';
import { keeper } from './cli/run/keeper.ts';
import { ENVIRONMENT, EXIT_CODES, TITLE } from './cli/verb/program-text.ts';
import { columns, type Io, runVerb } from './cli/verb/verb.ts';
import { VERB_GROUPS, VERBS } from './cli/verbs.ts';
import { didYouMean } from './config/closest.ts';
import { codeOf, ExitCode } from './errors.ts';
import { SINGLE } from './single-file.ts';
import { keepDescriptorsFromChildren } from './sys/process/descriptors.ts';
import { VERSION } from './version.ts';

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
  const all = VERB_GROUPS.flatMap(({ verbs }) => verbs);
  const lines = columns(all.map(({ name, summary }) => [name, summary] as const));
  return VERB_GROUPS.flatMap(({ title, verbs }) => [
    `${title}:`,
    ...lines.splice(0, verbs.length),
    '',
  ]);
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
    `fanway: ${TITLE}`,
    '',
    'Usage: fanway VERB [ARGUMENTS]      fanway help VERB      fanway version [--json]',
    '',
    ...groupLines(),
    'Exit codes:',
    ...columns(EXIT_CODES.map(([code, meaning]) => [String(code), meaning] as const)),
    '',
    'Environment:',
    ...columns(ENVIRONMENT),
  ].join('\n')}\n`;
}

/** `fanway version [--json]`: what to name in a report of a fault. */
function version(words: readonly string[]): ExitCode {
  const [word, ...more] = words;
  if (more.length > 0 || (word !== undefined && word !== '--json')) {
    io.err('fanway: version takes no word but --json\n');
    return ExitCode.Usage;
  }
  if (word === undefined) io.out(`fanway ${VERSION}\n`);
  else {
    const { arch, platform, versions } = process;
    const form = SINGLE === undefined ? 'files' : 'single';
    io.out(`${JSON.stringify({ version: VERSION, form, node: versions.node, platform, arch })}\n`);
  }
  return ExitCode.Ok;
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
    return version(rest);
  }
  if (name === 'demo') {
    const { runDemo } = await import('./demo/demo.ts');
    return runDemo(rest);
  }
  const verb = [...VERBS, control, superviseVerb, keeper, probe].find((verb) => verb.name === name);
  if (verb === undefined) return unknownVerb(name);
  return runVerb(verb, rest, io);
}

keepDescriptorsFromChildren();
void main(process.argv.slice(2)).then((code) => process.exit(code));
