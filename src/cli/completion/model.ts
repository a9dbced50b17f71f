/**
 * What a shell may offer after each verb, read out of the verb table: its actions, its options with
 * their values, and what its other words stand for.
 * @module
 */
import type { VerbGroup, VerbText } from '../verb/verb.ts';

/** What the shell looks up by itself; the empty one has nothing to offer. */
export type Source = 'files' | 'directories' | 'devices' | 'bridges' | 'verbs' | '';

/** A value: one of some words, or something that the shell finds. */
export type Value = { name: string; choices: readonly string[]; source: Source };

export type Option = {
  /** With dashes, as `-o` and `--overlay`. */
  names: readonly string[];
  /** The same without dashes, in the manner of fanctl, as `dhcp`. */
  words: readonly string[];
  /** Undefined for a switch. */
  value: Value | undefined;
  doc: string;
};

export type Action = { name: string; sources: readonly Source[] };

export type Command = {
  name: string;
  summary: string;
  /** Words that must come first, as `list` of `fanway key list`. */
  actions: readonly Action[];
  options: readonly Option[];
  /** What the words stand for that belong to no option or action. */
  sources: readonly Source[];
};

const SOURCES: Readonly<Record<string, Source>> = {
  FILE: 'files',
  DIR: 'directories',
  UNDERLAY: 'devices',
  WHERE: 'devices',
  BRIDGE: 'bridges',
  VERB: 'verbs',
};

/** A word that is typed as it stands. */
const LITERAL = /^[a-z][a-z0-9+-]*$/;

function parseValue(text: string): Value {
  const sources = text.split('|').map((name) => SOURCES[name] ?? '');
  return {
    name: text,
    choices: text.split('|').filter((word) => LITERAL.test(word)),
    source: sources.find((source) => source !== '') ?? '',
  };
}

function optionOf([flag, doc]: readonly [string, string]): Option {
  const forms = flag.split(', ').map((form) => form.split(' '));
  const names = forms.map(([name = '']) => name);
  const value = forms.map(([, value]) => value).find((value) => value !== undefined);
  return {
    names: names.filter((name) => name.startsWith('-')),
    words: names.filter((name) => LITERAL.test(name)),
    value: value === undefined ? undefined : parseValue(value),
    doc,
  };
}

/** Sources of the words of one line of usage, without its flags and their values. */
function sourcesOf(usage: string): Source[] {
  const words = usage.replace(/\[?--?[a-z][a-z|-]*( [^\s[\]]+)?\]?/g, '').match(/[A-Z]+/g) ?? [];
  return [...new Set(words.map((word) => SOURCES[word] ?? ''))].filter((source) => source !== '');
}

const HELP: Option = { names: ['-h', '--help'], words: [], value: undefined, doc: 'show help' };

function commandOf({ name, summary, usage, options }: VerbText): Command {
  const actions: Action[] = [];
  const sources: Source[] = [];
  for (const line of usage) {
    const [, first = '', ...rest] = line.split(' ');
    const names = first.split('|');
    const found = sourcesOf(rest.join(' '));
    if (names.every((name) => LITERAL.test(name))) {
      actions.push(...names.map((name) => ({ name, sources: found })));
    } else sources.push(...sourcesOf(line));
  }
  return {
    name,
    summary,
    actions,
    // A row that begins with a capital explains a word, not an option.
    options: [...options.filter(([flag]) => !/^[A-Z]/.test(flag)).map(optionOf), HELP],
    sources: [...new Set(sources)],
  };
}

/** `help` and `version` are no verbs of the table, and are typed like ones. */
const EXTRA: readonly VerbText[] = [
  { name: 'help', summary: 'help of a verb', usage: ['help VERB'], options: [], examples: [] },
  {
    name: 'version',
    summary: 'print the version',
    usage: ['version [--json]'],
    options: [['--json', 'with the form that is installed, Node and the machine, as JSON']],
    examples: [],
  },
];

/** Everything that can follow `fanway`. */
export function commandsOf(groups: readonly VerbGroup[]): Command[] {
  return [...groups.flatMap(({ verbs }) => verbs), ...EXTRA].map(commandOf);
}
