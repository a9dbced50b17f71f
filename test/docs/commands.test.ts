import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Command, commandsOf, type Option } from '../../src/cli/completion/model.ts';
import { VERB_GROUPS } from '../../src/cli/verbs.ts';
import { parseFanFile } from '../../src/config/fan-file.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { parseFanWords } from '../../src/config/words.ts';
import { blocks, DOCUMENTS, quoted, read, root, skip } from './documents.ts';

const commands = commandsOf(VERB_GROUPS);

/** A command line of fanway as a document shows it, and where. */
type Shown = { where: string; words: string[] };

/** Whether it is a form of usage rather than something to type. */
const isForm = (words: readonly string[]): boolean =>
  words.some((word) => /^\[|\]$|\.\.\.$|…|^[A-Z][A-Z|:]*$/.test(word));

/** The commands of one line: several of a form, after a prompt, in a pipe, before a remark. */
function commandsIn(line: string): string[][] {
  const text = line.replace(/^\$ /, '').replace(/ # .*$/, '');
  const pieces = text.split(
    / {3,}| && | \| (?=fanway|wireshark|tcpdump|man|source)|[<>]\(|\)$| > /,
  );
  return pieces
    .map((piece) => piece.trim().replace(/^(?:sudo |ip netns exec \S+ )/, ''))
    .filter((piece) => /^fanway [a-z]/.test(piece))
    .map((piece) => piece.split(' ').slice(1));
}

function shownIn(document: string): Shown[] {
  const text = read(document);
  const lines = blocks(text).flatMap(({ language, lines }) => {
    // Output and drawings have no language either: there a prompt marks what is typed.
    const isTyped = language === 'sh' || lines.every((line) => /^fanway |^$/.test(line));
    return language === '' || language === 'sh'
      ? lines.filter((line) => isTyped || line.startsWith('$ '))
      : [];
  });
  // A block may also be indented.
  lines.push(...[...text.matchAll(/^ {4}(fanway .*)$/gm)].map(([, line = '']) => line));
  const inline = quoted(text).filter((words) => words.startsWith('fanway '));
  return [...lines, ...inline].flatMap((line) =>
    commandsIn(line).map((words) => ({ where: `${document}: fanway ${words.join(' ')}`, words })),
  );
}

const known = (command: Command, name: string): Option | undefined =>
  command.options.find(({ names }) => names.includes(name));

/** What is wrong with the options of a command, and the words that are left without them. */
function judge(command: Command, words: readonly string[]): { problems: string[]; rest: string[] } {
  const problems: string[] = [];
  const rest: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = (words[at] ?? '').replace(/^\[|\]$/g, '');
    // What follows is another program's.
    if (word === '--') break;
    if (!/^--?[a-z]/.test(word)) {
      rest.push(word);
      continue;
    }
    for (const name of word.replace(/=.*/, '').split('|')) {
      const option = known(command, name);
      if (option === undefined) problems.push(`${name} is no option of ${command.name}`);
      else if (option.value !== undefined) {
        const value = word.includes('=') ? word.split('=')[1] : words[++at]?.replace(/\]$/, '');
        if (value === undefined) problems.push(`${name} needs a value`);
        const { choices, name: kind } = option.value;
        const isClosed = choices.length > 0 && choices.join('|') === kind;
        if (isClosed && !/^[A-Z]/.test(value ?? '') && !choices.includes(value ?? '')) {
          problems.push(`${name} ${value}`);
        }
      }
    }
  }
  return { problems, rest };
}

/** The flags of `up` and `plan` themselves, which are not words of a fan. */
const VERB_FLAGS = /^(?:-a|--(?:json|foreground|queues|priority|busy-poll|file))$/;

function fanProblems(words: readonly string[]): string[] {
  const own = words.filter(
    (word, at) =>
      !VERB_FLAGS.test(word) && !/^--(?:queues|priority|busy-poll|file)$/.test(words[at - 1] ?? ''),
  );
  // `up` by itself, in a sentence; `-a` takes its fans from a file.
  return own.length === 0 ? [] : parseFanWords(own, 'overlay-first').problems;
}

t.test('every command in the documents is one that fanway takes', { skip }, async (t) => {
  let count = 0;
  for (const { where, words } of DOCUMENTS.flatMap(shownIn)) {
    const [name = '', ...rest] = words;
    for (const each of name.split('|')) {
      const command = commands.find((command) => command.name === each);
      t.ok(command, `${where}: ${each} is a verb`);
      if (command === undefined) continue;
      count += 1;
      const { problems, rest: left } = judge(command, rest);
      t.same(problems, [], where);
      const actions = command.actions.map(({ name }) => name);
      if (actions.length > 0 && left.length > 0) {
        for (const action of (left[0] ?? '').split('|')) {
          t.ok(actions.includes(action), `${where}: ${action}`);
        }
      }
      if ((each === 'up' || each === 'plan') && !isForm(rest)) t.same(fanProblems(rest), [], where);
    }
  }
  t.ok(count > 50, `${count} commands`);
});

t.test('every configuration in the documents is one that fanway takes', { skip }, async (t) => {
  let count = 0;
  for (const document of DOCUMENTS) {
    for (const { language, lines } of blocks(read(document))) {
      if (
        language === 'ini' &&
        /^\[(?:router|gossip|fan|network|bgp|bgp-neighbor|bgp-network)\]$/m.test(lines.join('\n'))
      ) {
        count += 1;
        t.same(parseConfig(`${lines.join('\n')}\n`).problems, [], `${document}: ${lines[0]}`);
      }
      if (language === '' && lines.every((line) => /^[0-9.]+\/\d+ /.test(line))) {
        count += 1;
        t.same(parseFanFile(`${lines.join('\n')}\n`).problems, [], `${document}: ${lines[0]}`);
      }
    }
  }
  t.ok(count > 2, `${count} configurations`);
});

t.test('every script and test that the documents run is there', { skip }, async (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const document of DOCUMENTS) {
    const text = read(document);
    for (const [, script = ''] of text.matchAll(/npm (?:run )?(test|(?<=run )[a-z:]+)/g)) {
      t.ok(script in scripts, `${document}: npm run ${script}`);
    }
    for (const [, path = ''] of text.matchAll(/node \.build\/(test\/\S+?)\.js/g)) {
      t.ok(existsSync(join(root, `${path}.ts`)), `${document}: ${path}`);
    }
  }
});
