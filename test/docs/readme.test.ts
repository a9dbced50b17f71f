import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { explain } from '../../src/cli/inspect/explain.ts';
import { ENVIRONMENT, EXIT_CODES } from '../../src/cli/verb/program-text.ts';
import { type Io, runVerb, type Verb } from '../../src/cli/verb/verb.ts';
import { VERB_GROUPS } from '../../src/cli/verbs.ts';
import { SETTINGS } from '../../src/config/schema.ts';
import { SOCKET_COUNTERS } from '../../src/control/speakers/gossip/transport/socket-counters.ts';
import { ENCAPS } from '../../src/encap/encap.ts';
import { GOSSIP_COUNTERS } from '../../src/gossip/base/counters.ts';
import { COUNTERS_PER_LINK, namedCounters } from '../../src/table/counters.ts';
import { DOCUMENTS, inColumn, quoted, read, root, section, skip } from './documents.ts';

const REFERENCE = 'docs/reference.md';
const README_LINES_MAX = 250;

const commands = VERB_GROUPS.flatMap(({ verbs }) => verbs);

/** What a verb prints, run in this process. */
async function printed(verb: Verb, ...args: string[]): Promise<string> {
  let text = '';
  const io: Io = {
    out: (words) => {
      text += words;
    },
    err: () => undefined,
    outBytes: () => false,
    env: {},
  };
  await runVerb(verb, args, io);
  return text;
}

t.test('every verb has its section, and every section its verb', { skip }, async (t) => {
  const sections = [...read(REFERENCE).matchAll(/^### `fanway ([a-z-]+)`$/gm)].map(
    (match) => match[1],
  );
  t.ok(sections.length > 5);
  t.same([...sections].sort(), commands.map(({ name }) => name).sort());
});

t.test('every option of every verb is there', { skip }, async (t) => {
  for (const { name: verb, options: rows } of commands) {
    const options = rows.flatMap(([flag]) => flag.match(/(?<![a-z])--?[a-z-]+/g) ?? []);
    // `plan` takes the words of `up`, and says so.
    const text =
      section(REFERENCE, `\`fanway ${verb}\``) +
      (verb === 'plan' ? section(REFERENCE, '`fanway up`') : '');
    for (const option of options) {
      t.match(text, new RegExp(`${option}(?![a-z-])`), `${verb} ${option}`);
    }
  }
});

t.test('every counter is explained, and no other', { skip }, async (t) => {
  const all = Object.keys(namedCounters(new Float64Array(COUNTERS_PER_LINK)));
  const isCounter = (word: string): boolean =>
    /^(egress|ingress|event|ecn|queue)\.[a-z]/.test(word);
  t.same(quoted(section(REFERENCE, 'Counters')).filter(isCounter).sort(), all.sort());
  t.same(
    DOCUMENTS.flatMap((name) => quoted(read(name))).filter(
      (word) => isCounter(word) && !all.includes(word),
    ),
    [],
  );
});

t.test('every counter of gossip is explained, and no other', { skip }, async (t) => {
  const said = inColumn(section(REFERENCE, "Gossip's counters"), 0);
  t.same([...said].sort(), [...GOSSIP_COUNTERS, ...SOCKET_COUNTERS].sort());
});

t.test('every dependency has its reason, and no other', { skip }, async (t) => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const text = section('docs/architecture.md', 'Dependencies').split('What was not taken')[0] ?? '';
  const names = inColumn(text, 0);
  const { dependencies = {}, devDependencies = {} } = manifest;
  t.same([...names].sort(), [...Object.keys(dependencies), ...Object.keys(devDependencies)].sort());
  const [first = ''] = text.split('To build and test');
  t.same(inColumn(first, 0).sort(), Object.keys(dependencies).sort(), 'at run time');
});

t.test('every setting of the configuration file is there', { skip }, async (t) => {
  const rows = `${section(REFERENCE, 'Configuration file')}\n${read('docs/evpn.md')}`
    .split('\n')
    .filter((line) => /^\| (router|gossip|fan|network|bgp|bgp-neighbor|bgp-network) \|/.test(line))
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
  const rows = section('docs/fan.md', 'Encapsulations and MTU').split('\n');
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
    const text = read('docs/architecture.md');
    const rooms = text.split('## Dependencies')[0] ?? '';
    for (const folder of inColumn(rooms, 0)) t.ok(existsSync(join(root, folder)), folder);
    // `  name: ['a', 'b'],` in the gate, on one line or several; `| \`src/name\` | … | a, b |` here.
    const table = read('test/style/rooms.test.ts').split('MAY_IMPORT')[1]?.split('};')[0] ?? '';
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
  const rows = section('docs/fan.md', 'How the fan counts')
    .split('\n')
    .filter((line) => /^\| \d/.test(line));
  t.ok(rows.length > 4);
  for (const row of rows) {
    const [, overlay = '', underlay = '', host, slice = ''] = row.split('|').map((c) => c.trim());
    const address = slice.split('/')[0] ?? '';
    const said = JSON.parse(await printed(explain, address, overlay, underlay, '--json'));
    t.match(said, { slice, host }, row);
  }
});

/** The anchors that GitHub gives the headings of a text. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  );
}

t.test('links lead somewhere', { skip }, async (t) => {
  for (const name of [...DOCUMENTS, 'CHANGELOG.md']) {
    for (const [, target = ''] of read(name).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? name : join(dirname(name), path);
      t.ok(existsSync(join(root, file)), `${name}: ${target}`);
      if (anchor !== undefined) t.ok(anchorsOf(read(file)).includes(anchor), `${name}: ${target}`);
    }
  }
});

t.test('README is short, and leads to every document', { skip }, async (t) => {
  const lines = read('README.md').split('\n').length - 1;
  t.ok(lines <= README_LINES_MAX, `${lines} lines`);
  const index = section('README.md', 'Documentation');
  for (const name of DOCUMENTS.slice(1)) t.match(index, `](${name})`, name);
});

t.test("README's figures are some of all figures", { skip }, async (t) => {
  const rows = section('README.md', 'Figures').match(/^\| .*$/gm) ?? [];
  const all = read('docs/performance.md').split('\n');
  t.ok(rows.length > 4);
  for (const row of rows) t.ok(all.includes(row), row);
});

t.test('exit codes and environment are those of the help', { skip }, async (t) => {
  const text = section(REFERENCE, 'Commands').split('### ')[0]?.replaceAll('\n', ' ');
  for (const [code, meaning] of EXIT_CODES) t.match(text, `${code} ${meaning.split(';')[0]}`);
  const said = inColumn(section(REFERENCE, 'Files and environment'), 0);
  t.same(
    said.filter((word) => word.startsWith('FANWAY_')),
    ENVIRONMENT.map(([name]) => name),
  );
});

t.test(
  'the changelog knows this version, and the place of the figures is marked',
  {
    skip,
  },
  async (t) => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    t.match(read('CHANGELOG.md'), `## [${version}]`);
    t.match(read('docs/performance.md'), /<!-- figures:begin -->[\s\S]*<!-- figures:end -->/);
  },
);
