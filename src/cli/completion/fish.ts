/**
 * Completion for fish.
 * @module
 */
import type { Command, Option, Source, Value } from './model.ts';

const PROLOGUE = `# fish completion of fanway; made by: fanway completion fish
function __fanway_words
    commandline -opc
end
# Whether the verb is the first argument; with a second one, whether that action follows it.
function __fanway_at
    set -l words (__fanway_words)
    test (count $words) -gt (count $argv); or return 1
    test "$words[2]" = "$argv[1]"; or return 1
    test (count $argv) -eq 1; or test "$words[3]" = "$argv[2]"
end
function __fanway_first
    test (count (__fanway_words)) -eq 1
end
function __fanway_second
    set -l words (__fanway_words)
    test (count $words) -eq 2; and test "$words[2]" = "$argv[1]"
end
function __fanway_devices
    for path in /sys/class/net/*
        string replace -r '.*/' '' $path
    end
    echo default
end
function __fanway_bridges
    for path in /sys/class/net/*/bridge
        string replace -r '.*/([^/]*)/bridge' '$1' $path
    end
end
complete -c fanway -f`;

/** Single quotes, as fish reads them back. */
function quote(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

/** The part of a `complete` line that names what may stand there. */
function offered(source: Source): string {
  if (source === 'files') return '-F';
  if (source === 'directories') return "-a '(__fish_complete_directories)'";
  return source === '' ? '' : `-a '(__fanway_${source})'`;
}

function valueFlags({ choices, source }: Value): string {
  if (choices.length > 0) return `-x -a ${quote(choices.join(' '))}`;
  if (source === 'files') return '-r -F';
  return `-x ${offered(source)}`.trim();
}

function optionLine(name: string, { names, value, doc }: Option): string {
  const flags = names.map((flag) => {
    if (flag.startsWith('--')) return `-l ${flag.slice(2)}`;
    return `-s ${flag.slice(1)}`;
  });
  const rest = value === undefined ? [] : [valueFlags(value)];
  const at = `-n '__fanway_at ${name}'`;
  return ['complete -c fanway', at, ...flags, ...rest, `-d ${quote(doc)}`].join(' ');
}

function linesOf({ name, summary, actions, options, sources }: Command): string[] {
  const at = (condition: string): string => `complete -c fanway -n '${condition}'`;
  const lines = [`${at('__fanway_first')} -a ${name} -d ${quote(summary)}`];
  for (const action of actions) {
    lines.push(`${at(`__fanway_second ${name}`)} -a ${action.name}`);
    for (const source of action.sources) {
      lines.push(`${at(`__fanway_at ${name} ${action.name}`)} ${offered(source)}`);
    }
  }
  for (const option of options) {
    if (option.names.length > 0) lines.push(optionLine(name, option));
    for (const word of option.words) {
      lines.push(`${at(`__fanway_at ${name}`)} -a ${word} -d ${quote(option.doc)}`);
    }
  }
  for (const source of sources) lines.push(`${at(`__fanway_at ${name}`)} ${offered(source)}`);
  return lines;
}

/** The script. */
export function fishCompletion(commands: readonly Command[]): string {
  return `${[
    PROLOGUE,
    'function __fanway_verbs',
    ...commands.map(({ name }) => `    echo ${name}`),
    'end',
    ...commands.flatMap(linesOf),
  ].join('\n')}\n`;
}
