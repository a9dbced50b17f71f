import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { commandsOf } from '../../src/cli/completion/model.ts';
import { VERB_GROUPS, VERBS } from '../../src/cli/verbs.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';

const directory = mkdtempSync(join(tmpdir(), 'fanway-completion-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

const program = join(distDirectory(), 'fanway.js');

function fanway(...args: string[]): string {
  const run = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
  t.equal(run.status, 0, `${args.join(' ')}: ${run.stderr}`);
  return run.stdout;
}

/** The script of a shell, in a file. */
function scriptOf(shell: string): string {
  const path = join(directory, `fanway.${shell}`);
  writeFileSync(path, fanway('completion', shell));
  return path;
}

const scripts = { bash: scriptOf('bash'), zsh: scriptOf('zsh'), fish: scriptOf('fish') };
const isMissing = (command: string): boolean =>
  spawnSync(command, ['--version'], { stdio: 'ignore' }).error !== undefined;

const commands = commandsOf(VERB_GROUPS);

t.test('every verb and every option is in every script', async (t) => {
  const bash = readFileSync(scripts.bash, 'utf8');
  const zsh = readFileSync(scripts.zsh, 'utf8');
  const fish = readFileSync(scripts.fish, 'utf8');
  t.ok(commands.length > VERBS.length);
  for (const { name, options } of commands) {
    t.match(bash, new RegExp(`^ {4}${name}\\)$`, 'm'), name);
    t.match(zsh, new RegExp(`^ {4}'${name}:`, 'm'), name);
    t.match(fish, new RegExp(`__fanway_first' -a ${name} -d `), name);
    for (const flag of options.flatMap(({ names }) => names)) {
      t.ok(bash.includes(flag), `bash: ${name} ${flag}`);
      t.match(zsh, new RegExp(`${flag}=?\\[`), `zsh: ${name} ${flag}`);
      const form = flag.startsWith('--') ? `-l ${flag.slice(2)} ` : `-s ${flag.slice(1)} `;
      const lines = fish.split('\n').filter((line) => line.includes(`'__fanway_at ${name}'`));
      t.ok(
        lines.some((line) => line.includes(form)),
        `fish: ${name} ${flag}`,
      );
    }
  }
});

t.test('the model reads the table as the verbs read their words', async (t) => {
  const up = commands.find(({ name }) => name === 'up');
  t.same(up?.sources, ['devices']);
  t.same(up?.options.find(({ names }) => names.includes('--encap'))?.value?.choices, [
    'vxlan',
    'ipip',
    'fou',
  ]);
  t.match(
    up?.options.find(({ words }) => words.includes('host-reserve')),
    { names: ['--host-reserve'], value: { name: 'N', choices: [] } },
  );
  const key = commands.find(({ name }) => name === 'key');
  t.same(key?.actions, [
    { name: 'list', sources: [] },
    { name: 'add', sources: ['files'] },
    { name: 'use', sources: [] },
    { name: 'remove', sources: [] },
  ]);
});

/** Words typed so far, the last one being completed; what must be offered; what must not. */
const CASES: [typed: string[], offered: string[], not: string[]][] = [
  [[''], ['up', 'bgp', 'completion', 'demo', 'help', '--version'], []],
  [['do'], ['down', 'doctor'], ['up']],
  [['help', 'wi'], ['withdraw'], ['up']],
  [['up', '--enc'], ['--encap'], ['--offload']],
  [
    ['up', '--encap', ''],
    ['vxlan', 'ipip', 'fou'],
    ['dhcp', 'lo'],
  ],
  [['up', '--encap', '=', 'f'], ['fou'], ['vxlan']],
  [['up', '--encap', '='], ['fou', 'vxlan'], ['dhcp']],
  [['up', '--encap=f'], ['--encap=fou'], ['fou']],
  [['up', '250', ''], ['lo', 'default', 'dhcp'], ['list']],
  [['up', '--force', '--'], ['--json'], ['--force']],
  [['up', '--port', ''], [], ['dhcp', 'lo']],
  [['show', '-'], ['--json', '--help'], ['--all']],
  [['key', ''], ['list', 'add', 'use', 'remove'], ['--json']],
  [['key', 'add', 'new'], ['new.key', 'new'], ['list']],
  [['key', 'use', ''], [], ['new.key', 'list']],
  [['bgp', 'announce', 'new.'], ['new.key'], []],
  [['table', '--kind', 'ma'], ['mac', 'mac+ip'], ['prefix']],
  [['man', '--out', ''], ['new'], ['new.key']],
  [['man', 'pl'], ['plan'], []],
  [['demo', '--'], ['--encap', '--json'], []],
  [['nonsense', ''], [], ['up']],
];

t.test('bash completes what is typed', { skip: isMissing('bash') && 'no bash' }, async (t) => {
  writeFileSync(join(directory, 'new.key'), '');
  mkdirSync(join(directory, 'new'));
  const quote = (word: string): string => `'${word}'`;
  const lines = CASES.map(([typed]) =>
    [
      `COMP_WORDS=(fanway ${typed.map(quote).join(' ')}); COMP_CWORD=${typed.length}`,
      `_fanway; printf "%s\\n" "\${COMPREPLY[@]}" ==`,
    ].join('; '),
  );
  const run = spawnSync(
    'bash',
    ['--norc', '-u', '-c', `. '${scripts.bash}'\n${lines.join('\n')}`],
    {
      encoding: 'utf8',
      cwd: directory,
    },
  );
  t.equal(run.stderr, '');
  const answers = run.stdout.split('==\n').map((text) => text.split('\n').filter(Boolean));
  for (const [index, [typed, offered, not]] of CASES.entries()) {
    const answer = answers[index] ?? [];
    const name = `fanway ${typed.join(' ')}`;
    for (const word of offered) t.ok(answer.includes(word), `${name} offers ${word}: ${answer}`);
    for (const word of not) t.notOk(answer.includes(word), `${name} does not offer ${word}`);
    if (offered.length === 0) t.same(answer, [], `${name} offers nothing`);
  }
});

t.test('zsh takes its script', { skip: isMissing('zsh') && 'zsh is not installed' }, async (t) => {
  const run = spawnSync('zsh', ['-f', '-n', scripts.zsh], { encoding: 'utf8' });
  t.match({ status: run.status, stderr: run.stderr }, { status: 0, stderr: /^$/ });
});

t.test('fish completes', { skip: isMissing('fish') && 'fish is not installed' }, async (t) => {
  const ask = (line: string): string[] => {
    const script = `source '${scripts.fish}'; complete -C '${line}'`;
    const run = spawnSync('fish', ['--no-config', '-c', script], { encoding: 'utf8' });
    t.match({ status: run.status, stderr: run.stderr }, { status: 0, stderr: /^$/ }, line);
    return run.stdout.split('\n').map((row) => row.split('\t')[0] ?? '');
  };
  for (const [line, word] of [
    ['fanway do', 'doctor'],
    ['fanway up --encap ', 'vxlan'],
    ['fanway key ', 'remove'],
    ['fanway bgp announce --j', '--json'],
    ['fanway up 250 ', 'lo'],
  ] as const) {
    t.ok(ask(line).includes(word), `${line}${word}`);
  }
});

t.test('no other shell, and no other words', async (t) => {
  for (const words of [[], ['tcsh'], ['bash', 'zsh'], ['toString']]) {
    const run = spawnSync(process.execPath, [program, 'completion', ...words]);
    t.equal(run.status, 2, words.join(' '));
  }
});

t.test('a manual page for each verb, with each of its options', async (t) => {
  const pages = join(directory, 'man8');
  fanway('man', '--out', pages);
  const overview = readFileSync(join(pages, 'fanway.8'), 'utf8');
  t.equal(fanway('man'), overview);
  const verbs = VERB_GROUPS.flatMap(({ verbs }) => verbs);
  for (const { name, options } of verbs) {
    t.match(overview, `\n\\fB${name.replaceAll('-', '\\-')}\\fR\n`, name);
    const page = readFileSync(join(pages, `fanway-${name}.8`), 'utf8').replaceAll('\\-', '-');
    for (const flag of options.flatMap(([flag]) => flag.match(/(?<![a-z])--?[a-z-]+/g) ?? [])) {
      t.ok(page.includes(flag), `${name} ${flag}`);
    }
  }
  t.equal(spawnSync(process.execPath, [program, 'man', 'shwo']).status, 2);
  const blocked = join(directory, 'fanway.bash', 'man8');
  t.equal(spawnSync(process.execPath, [program, 'man', '--out', blocked]).status, 1);

  t.test(
    'groff reads them',
    { skip: isMissing('groff') && 'groff is not installed' },
    async (t) => {
      for (const name of ['fanway', ...verbs.map(({ name }) => `fanway-${name}`)]) {
        const path = join(pages, `${name}.8`);
        const run = spawnSync('groff', ['-ww', '-man', '-Tutf8', '-P-cbou', path], {
          encoding: 'utf8',
        });
        t.match({ status: run.status, stderr: run.stderr }, { status: 0, stderr: /^$/ }, name);
        t.match(run.stdout, /SYNOPSIS/, name);
      }
    },
  );
  t.test('man shows one', { skip: isMissing('man') && 'man is not installed' }, async (t) => {
    const run = spawnSync('man', ['-P', 'cat', '-l', join(pages, 'fanway-up.8')], {
      encoding: 'utf8',
      env: { ...process.env, MANWIDTH: '100', LC_ALL: 'C.UTF-8' },
    });
    t.match({ status: run.status, stderr: run.stderr }, { status: 0, stderr: /^$/ });
    t.match(run.stdout, /--encap vxlan\|ipip\|fou/);
  });
});
