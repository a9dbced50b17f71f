/**
 * What every verb of the command line has: its help, and a function that returns an exit code.
 * @module
 */
import { didYouMean } from '../../config/closest.ts';
import { codeOf, ExitCode, FanwayError, messageOf, usageError } from '../../errors.ts';
import { printable } from '../../log.ts';

/** Where a verb writes; tests collect it. */
export type Io = {
  out(text: string): void;
  err(text: string): void;
  /** Binary output; false when nobody reads it any more. */
  outBytes(bytes: Uint8Array): boolean;
  env: NodeJS.ProcessEnv;
};

/** What a verb says of itself: help, shell completion and manual page are made from it. */
export type VerbText = {
  name: string;
  /** One line for `fanway --help`. */
  summary: string;
  /** Lines of more that a user should know; an empty one between paragraphs. */
  details?: readonly string[];
  /** Verb and words: capitals stand for a value, `a|b` for one of several words, `[…]` for what may be left out. */
  usage: string[];
  /** Flag and what it does; names separated by `, `, then its value as in `usage`. */
  options: [flag: string, doc: string][];
  examples: [command: string, doc: string][];
};

export type Verb = VerbText & {
  /**
   * @returns the exit code: an ExitCode, or that of a program that ran.
   * @throws FanwayError with the exit code to end with.
   */
  run(args: string[], io: Io): Promise<number>;
};

/** Verbs that the help shows together. */
export type VerbGroup = { title: string; verbs: readonly VerbText[] };

/** Characters of a line of help. */
const HELP_CHARS_MAX = 100;

/** The help text of one verb. */
export function helpOf(verb: VerbText): string {
  const lines = [`fanway ${verb.name}: ${verb.summary}`, '', 'Usage:'];
  lines.push(...verb.usage.map((usage) => `  fanway ${usage}`));
  if (verb.details !== undefined) lines.push('', ...verb.details);
  if (verb.options.length > 0) lines.push('', 'Options:', ...columns(verb.options, HELP_CHARS_MAX));
  lines.push('', 'Examples:');
  for (const [command, doc] of verb.examples) lines.push(`  # ${doc}`, `  ${command}`);
  return `${lines.join('\n')}\n`;
}

/** Two columns, the left one as wide as it needs to be, the right one wrapped where a line were too long. */
export function columns(
  rows: readonly (readonly [string, string])[],
  charsMax = Number.POSITIVE_INFINITY,
): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.flatMap(([left, right]) => {
    const lines = [''];
    for (const word of right.split(' ')) {
      const line = lines.at(-1) ?? '';
      if (line !== '' && width + 5 + line.length + word.length > charsMax) lines.push(word);
      else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
    }
    return lines.map((line, at) => `  ${(at === 0 ? left : '').padEnd(width)}  ${line}`.trimEnd());
  });
}

export type FlagSpec = Record<string, 'switch' | 'value'>;

/**
 * Takes the given flags out of the arguments (`--file X`, `--file=X`, `--json`); what is left keeps
 * its order. After `--` nothing is a flag.
 * @throws FanwayError (exit code 2) for a flag without its value, or given twice.
 */
export function takeFlags(
  args: readonly string[],
  spec: FlagSpec,
): { flags: Map<string, string>; rest: string[] } {
  const flags = new Map<string, string>();
  const rest: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? '';
    if (word === '--') {
      rest.push(...args.slice(index + 1));
      break;
    }
    const equals = word.indexOf('=');
    const name = word.startsWith('--') && equals > 0 ? word.slice(0, equals) : word;
    const kind = Object.hasOwn(spec, name) ? spec[name] : undefined;
    if (kind === undefined) {
      rest.push(word);
      continue;
    }
    if (flags.has(name)) throw usageError('usage', `${name} is given twice`);
    if (kind === 'switch') {
      if (name !== word) throw usageError('usage', `${name} takes no value`);
      flags.set(name, '');
    } else if (name !== word) {
      flags.set(name, word.slice(equals + 1));
    } else {
      index++;
      const value = args[index];
      if (value === undefined) throw usageError('usage', `${name} needs a value after it`);
      flags.set(name, value);
    }
  }
  return { flags, rest };
}

/** Refuses words that nothing took. @throws FanwayError (exit code 2). */
export function noMore(rest: readonly string[], { name, options }: Verb): void {
  const [first] = rest;
  if (first === undefined) return;
  const flags = options.flatMap(([flag]) => flag.match(/--?[a-z][a-z-]*/g) ?? []);
  throw usageError(
    'usage',
    `${JSON.stringify(first)} ${first.startsWith('-') ? 'is not an option of' : 'is one word too many for'} ${name}; see fanway ${name} --help${didYouMean(first, flags)}`,
  );
}

/** Prints a value as JSON, one line. */
export function printJson(io: Io, value: unknown): void {
  io.out(`${JSON.stringify(value)}\n`);
}

/** Runs a verb and turns whatever it throws into text and an exit code. */
export async function runVerb(verb: Verb, args: string[], io: Io): Promise<number> {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  if (own.includes('--help') || own.includes('-h')) {
    io.out(helpOf(verb));
    return ExitCode.Ok;
  }
  try {
    return await verb.run(args, io);
  } catch (error) {
    const exitCode = exitCodeOf(error);
    const code = codeOf(error) || 'internal';
    if (own.includes('--json')) {
      const answer = error instanceof FanwayError ? error.answer : {};
      printJson(io, { ...answer, error: { code, message: messageOf(error), exitCode } });
    } else {
      const text = error instanceof Error ? error.message : String(error);
      for (const line of text.split('\n')) io.err(`fanway: ${printable(line)}\n`);
      if (!(error instanceof FanwayError) && io.env['FANWAY_DEBUG'] !== undefined) {
        io.err(`${error instanceof Error ? error.stack : ''}\n`);
      }
    }
    return exitCode;
  }
}

function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof FanwayError) return error.exitCode;
  return codeOf(error) === 'EPERM' || codeOf(error) === 'EACCES'
    ? ExitCode.NotPermitted
    : ExitCode.Failed;
}
