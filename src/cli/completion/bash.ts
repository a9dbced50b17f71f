/**
 * Completion for bash. What the kernel calls its devices is compared as text and never given to the
 * shell to expand: a device may be named like a command substitution.
 * @module
 */
import type { Command, Source, Value } from './model.ts';

const PROLOGUE = `# bash completion of fanway; made by: fanway completion bash
_fanway_offer() {
  local word
  for word in "$@"; do
    [[ $word == "$cur"* ]] && COMPREPLY+=("$prefix$word")
  done
}
_fanway_find() {
  local path name
  case $1 in
    files | directories)
      local flag=-f
      [ "$1" = directories ] && flag=-d
      while IFS= read -r path; do COMPREPLY+=("$prefix$path"); done < <(compgen "$flag" -- "$cur")
      compopt -o filenames 2>/dev/null
      ;;
    devices | bridges)
      for path in /sys/class/net/*; do
        name=\${path##*/}
        case $name in *[!A-Za-z0-9._@-]*) continue ;; esac
        [ "$1" = devices ] || [ -d "$path/bridge" ] || continue
        _fanway_offer "$name"
      done
      [ "$1" = devices ] && _fanway_offer default
      ;;
    verbs) _fanway_offer "\${verbs[@]}" ;;
  esac
  return 0
}
_fanway() {
  local cur=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]}
  local prefix='' verb=\${COMP_WORDS[1]} action=\${COMP_WORDS[2]-} word
  local -a options=() words=() actions=() given=()
  COMPREPLY=()`;

const VALUES = `  if [ "$COMP_CWORD" -eq 1 ]; then
    _fanway_offer "\${verbs[@]}" --help --version
    return
  fi
  # --name=value comes as three words, or as one where = does not separate words.
  if [ "$cur" = '=' ]; then
    cur=''
  elif [ "$before" = '=' ]; then
    before=\${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $cur == --*=* ]]; then
    before=\${cur%%=*} prefix=\${cur%%=*}=
    cur=\${cur#*=}
  fi`;

const EPILOGUE = `  if [ "$COMP_CWORD" -eq 2 ] && [ \${#actions[@]} -gt 0 ] && [[ $cur != -* ]]; then
    _fanway_offer "\${actions[@]}"
    return
  fi
  if [[ $cur == -* ]]; then
    for word in "\${options[@]}"; do
      case " \${COMP_WORDS[*]:2:COMP_CWORD-2} " in *" $word "*) continue ;; esac
      _fanway_offer "$word"
    done
    return
  fi
  _fanway_offer "\${words[@]}"
  for word in "\${given[@]}"; do _fanway_find "$word"; done
}
complete -F _fanway fanway`;

/** How the value of an option is offered. */
function offer({ choices, source }: Value): string {
  const lines: string[] = [];
  if (choices.length > 0) lines.push(`_fanway_offer ${choices.join(' ')}`);
  if (source !== '') lines.push(`_fanway_find ${source}`);
  return [...lines, 'return'].join('; ');
}

function list(name: string, words: readonly string[]): string[] {
  return words.length > 0 ? [`      ${name}=(${words.join(' ')})`] : [];
}

function givenBy(sources: readonly Source[]): string[] {
  return list('given', sources);
}

function branchOf({ name, actions, options, sources }: Command): string[] {
  const lines = [`    ${name})`];
  const valued = options.flatMap(({ names, words, value }) =>
    value === undefined ? [] : [`        ${[...names, ...words].join(' | ')}) ${offer(value)} ;;`],
  );
  if (valued.length > 0) lines.push('      case $before in', ...valued, '      esac');
  lines.push(
    ...list(
      'options',
      options.flatMap(({ names }) => names),
    ),
  );
  lines.push(
    ...list(
      'words',
      options.flatMap(({ words }) => words),
    ),
  );
  lines.push(
    ...list(
      'actions',
      actions.map(({ name }) => name),
    ),
  );
  lines.push(...givenBy(sources));
  const acting = actions.filter(({ sources }) => sources.length > 0);
  if (acting.length > 0) {
    lines.push('      case $action in');
    for (const { name, sources } of acting) {
      lines.push(`        ${name}) given=(${sources.join(' ')}) ;;`);
    }
    lines.push('      esac');
  }
  return [...lines, '      ;;'];
}

/** The script. */
export function bashCompletion(commands: readonly Command[]): string {
  return `${[
    PROLOGUE,
    `  local -a verbs=(${commands.map(({ name }) => name).join(' ')})`,
    VALUES,
    '  case $verb in',
    ...commands.flatMap(branchOf),
    '  esac',
    EPILOGUE,
  ].join('\n')}\n`;
}
