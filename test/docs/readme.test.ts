import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { SETTINGS } from '../../src/config/schema.ts';
import { SOCKET_COUNTERS } from '../../src/control/gossip/socket-counters.ts';
import { ENCAPS } from '../../src/encap/encap.ts';
import { GOSSIP_COUNTERS } from '../../src/gossip/counters.ts';
import { distDirectory } from '../../src/sys/paths.ts';
import { COUNTERS_PER_LINK, namedCounters } from '../../src/table/counters.ts';
import { findRoot } from '../style/sources.ts';

const root = findRoot();
const skip = root === '' && 'the documents are not beside the tests';
const read = (name: string): string => (skip ? '' : readFileSync(join(root, name), 'utf8'));
const readme = read('README.md');
const DOCUMENTS = ['README.md', 'CHANGELOG.md'];

/** The text under a heading, up to the next heading of its level or a higher one. */
function section(title: string): string {
  const lines = readme.split('\n');
  const start = lines.findIndex((line) => line.replace(/^#+ /, '') === title && /^#/.test(line));
  if (start < 0) return '';
  const level = /^#+/.exec(lines[start] ?? '')?.[0].length ?? 0;
  let end = start + 1;
  let inCode = false;
  for (; end < lines.length; end++) {
    const line = lines[end] ?? '';
    if (line.startsWith('```')) inCode = !inCode;
    const heading = inCode ? undefined : /^(#+) /.exec(line)?.[1];
    if (heading !== undefined && heading.length <= level) break;
  }
  return lines.slice(start + 1, end).join('\n');
}

/** What stands between backticks. */
function quoted(text: string): string[] {
  return [...text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/`([^`\n]+)`/g)].map(
    (match) => match[1] ?? '',
  );
}

/** Backticked words in one column (from 0) of the tables of a text. */
function inColumn(text: string, column: number): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .flatMap((line) => quoted(line.split('|')[column + 1] ?? ''));
}

function fanway(...args: string[]): string {
  const program = join(distDirectory(), 'fanway.js');
  return spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' }).stdout;
}

/** The indented list of `fanway --help`. */
function verbs(): string[] {
  return [...fanway('--help').matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map((match) => match[1] ?? '');
}

t.test('every verb has its section, and every section its verb', { skip }, async (t) => {
  const sections = [...readme.matchAll(/^### `fanway ([a-z]+)`$/gm)].map((match) => match[1]);
  t.ok(sections.length > 5);
  t.same([...sections].sort(), verbs().sort());
});

t.test('every option of every verb is there', { skip }, async (t) => {
  for (const verb of verbs()) {
    const help = fanway(verb, '--help');
    const list = /^Options:\n([\s\S]*?)\n\n/m.exec(`${help}\n\n`)?.[1] ?? '';
    const options = list
      .split('\n')
      .flatMap((line) => line.slice(0, 36).match(/(?<![a-z])--?[a-z-]+/g) ?? []);
    // `plan` takes the words of `up`, and says so.
    const text = section(`\`fanway ${verb}\``) + (verb === 'plan' ? section('`fanway up`') : '');
    for (const option of options) {
      t.match(text, new RegExp(`${option}(?![a-z-])`), `${verb} ${option}`);
    }
  }
});

t.test('every counter is explained, and no other', { skip }, async (t) => {
  const all = Object.keys(namedCounters(new Float64Array(COUNTERS_PER_LINK)));
  const isCounter = (word: string): boolean => /^(egress|ingress|event|ecn)\.[a-z]/.test(word);
  t.same(quoted(section('Counters')).filter(isCounter).sort(), all.sort());
  t.same(
    quoted(readme).filter((word) => isCounter(word) && !all.includes(word)),
    [],
  );
});

t.test('every counter of gossip is explained, and no other', { skip }, async (t) => {
  const said = inColumn(section("Gossip's counters"), 0);
  t.same([...said].sort(), [...GOSSIP_COUNTERS, ...SOCKET_COUNTERS].sort());
});

t.test('every dependency has its reason, and no other', { skip }, async (t) => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const text = section('Dependencies').split('What was not taken')[0] ?? '';
  const names = inColumn(text, 0);
  const { dependencies = {}, devDependencies = {} } = manifest;
  t.same([...names].sort(), [...Object.keys(dependencies), ...Object.keys(devDependencies)].sort());
  const [first = ''] = text.split('To build and test');
  t.same(inColumn(first, 0).sort(), Object.keys(dependencies).sort(), 'at run time');
});

t.test('every setting of the configuration file is there', { skip }, async (t) => {
  const rows = `${section('Configuration file')}\n${read('docs/evpn.md')}`
    .split('\n')
    .filter((line) => /^\| (router|gossip|fan|bgp|bgp-neighbor) \|/.test(line))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  t.same(
    rows.map((cells) => `${cells[1]} ${cells[2]?.replaceAll('`', '')}`).sort(),
    SETTINGS.map(({ section, key }) => `${section} ${key}`).sort(),
  );
  for (const setting of SETTINGS) {
    const cells =
      rows.find((cells) => cells[1] === setting.section && cells[2] === `\`${setting.key}\``) ?? [];
    if (setting.default !== '') t.equal(cells[4], setting.default, `default of ${setting.key}`);
    for (const choice of setting.choices ?? []) t.match(cells[3], choice, setting.key);
  }
});

t.test('overheads and MTUs are those of the code', { skip }, async (t) => {
  const rows = section('Encapsulations and MTU').split('\n');
  for (const { name, overheadBytes } of Object.values(ENCAPS)) {
    const row = rows.find((line) => line.startsWith(`| \`${name}\``));
    t.match(row, `| ${overheadBytes} bytes | ${1500 - overheadBytes} | ${9000 - overheadBytes} |`);
  }
});

t.test(
  'the rooms are those of the source, and may import what the gate allows',
  {
    skip,
  },
  async (t) => {
    const text = section('How it is built');
    for (const folder of inColumn(text, 0)) t.ok(existsSync(join(root, folder)), folder);
    // `  name: ['a', 'b'],` in the gate; `| \`src/name\` | … | a, b |` here.
    const table =
      /MAY_IMPORT[^{]*\{([\s\S]*?)\n\};/.exec(read('test/style/rooms.test.ts'))?.[1] ?? '';
    const gate = [...table.matchAll(/^ {2}([a-z]+): \[([^\]]*)\],$/gm)].map(
      ([, room, names = '']) => `${room}: ${(names.match(/[a-z]+/g) ?? []).join(', ')}`,
    );
    const said = [...text.matchAll(/^\| `src\/([a-z]+)` \|.*\| ([^|]*) \|$/gm)].map(
      ([, room, names]) => `${room}: ${names === 'nothing' ? '' : names}`,
    );
    t.ok(gate.length > 5);
    t.same(said.sort(), gate.sort());
  },
);

t.test('the sums of the fan are right', { skip }, async (t) => {
  const rows = section('How the fan counts')
    .split('\n')
    .filter((line) => /^\| \d/.test(line));
  t.ok(rows.length > 4);
  for (const row of rows) {
    const [, overlay = '', underlay = '', host, slice = ''] = row.split('|').map((c) => c.trim());
    const address = slice.split('/')[0] ?? '';
    const said = JSON.parse(fanway('explain', address, overlay, underlay, '--json'));
    t.match(said, { slice, host }, row);
  }
});

t.test('links lead somewhere', { skip }, async (t) => {
  for (const name of DOCUMENTS) {
    const text = read(name);
    const anchors = [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
      (match[1] ?? '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N} -]/gu, '')
        .replaceAll(' ', '-'),
    );
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      if (path !== '') t.ok(existsSync(join(root, path)), `${name}: ${target}`);
      else t.ok(anchors.includes(anchor ?? ''), `${name}: ${target}`);
    }
  }
});

t.test(
  'the changelog knows this version, and the place of the figures is marked',
  {
    skip,
  },
  async (t) => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    t.match(read('CHANGELOG.md'), `## [${version}]`);
    t.match(readme, /<!-- figures:begin -->[\s\S]*<!-- figures:end -->/);
  },
);
