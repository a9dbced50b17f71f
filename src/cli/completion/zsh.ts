/**
 * Completion for zsh, by its own `_arguments`.
 * @module
 */
import type { Command, Option, Source, Value } from './model.ts';

const PROLOGUE = `#compdef fanway
# zsh completion of fanway; made by: fanway completion zsh
_fanway_devices() {
  local -a names=(/sys/class/net/*(N:t) default)
  compadd -a names
}
_fanway_bridges() {
  local -a names=(/sys/class/net/*/bridge(N:h:t))
  compadd -a names
}`;

/** Single quotes, as zsh reads them back. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Text inside of `[…]` and between colons of a specification. */
function plain(text: string): string {
  return text.replace(/[[\]:\\]/g, '\\$&');
}

function actionOf(source: Source): string {
  if (source === 'files') return '_files';
  if (source === 'directories') return '_files -/';
  return source === '' ? ' ' : `_fanway_${source}`;
}

function valueAction({ choices, source }: Value): string {
  return choices.length > 0 ? `(${choices.join(' ')})` : actionOf(source);
}

function optionLines({ names, value, doc }: Option): string[] {
  const others = names.length > 1 ? `(${names.join(' ')})` : '';
  return names.map((name) => {
    const mark = value === undefined ? '' : name.startsWith('--') ? '=' : '';
    const rest = value === undefined ? '' : `:${plain(value.name)}:${valueAction(value)}`;
    return `        ${quote(`${others}${name}${mark}[${plain(doc)}]${rest}`)}`;
  });
}

/** What stands for the words of a verb; a function of its own. */
function operandFunction({ name, options, actions, sources }: Command): string[] {
  const lines = [`_fanway_words_${name}() {`];
  const words = options.flatMap(({ words }) => words);
  if (words.length > 0) lines.push(`  compadd ${words.join(' ')}`);
  for (const source of sources) lines.push(`  ${actionOf(source)}`);
  const acting = actions.filter(({ sources }) => sources.length > 0);
  if (acting.length > 0) {
    lines.push('  case $words[2] in');
    for (const { name, sources } of acting) {
      lines.push(`    ${name}) ${sources.map(actionOf).join('; ')} ;;`);
    }
    lines.push('  esac');
  }
  if (lines.length === 1) lines.push('  _message word');
  return [...lines, '}'];
}

function branchOf(command: Command): string[] {
  const specs = command.options.flatMap(optionLines);
  if (command.actions.length > 0) {
    specs.push(`        '1:action:(${command.actions.map(({ name }) => name).join(' ')})'`);
  }
  specs.push(`        '*:word:_fanway_words_${command.name}'`);
  return [`    ${command.name})`, '      _arguments \\', specs.join(' \\\n'), '      ;;'];
}

/** The script. */
export function zshCompletion(commands: readonly Command[]): string {
  const verbs = commands.map(({ name, summary }) => `    ${quote(`${name}:${plain(summary)}`)}`);
  return `${[
    PROLOGUE,
    '_fanway_verbs() {',
    '  local -a verbs=(',
    ...verbs,
    '  )',
    "  _describe -t verbs 'verb' verbs",
    '}',
    ...commands.flatMap(operandFunction),
    '_fanway() {',
    '  if (( CURRENT == 2 )); then',
    '    _fanway_verbs',
    '    return',
    '  fi',
    '  shift words',
    '  (( CURRENT-- ))',
    '  case $words[1] in',
    ...commands.flatMap(branchOf),
    '  esac',
    '}',
    // Read by the completion system, or by `source`.
    'if [ "$funcstack[1]" = _fanway ]; then _fanway "$@"; else compdef _fanway fanway; fi',
  ].join('\n')}\n`;
}
