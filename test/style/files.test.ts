import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findRoot, readSources, type Source } from './sources.ts';

const root = findRoot();
const skip = root === '' && 'the sources are not beside the tests';

/** A file longer than this holds more than one idea. */
const FILE_LINES_MAX = 400;

t.test(`no source file is longer than ${FILE_LINES_MAX} lines`, { skip }, async (t) => {
  for (const { path, text } of readSources(root, 'src')) {
    const lines = text.split('\n').length - 1;
    t.ok(lines <= FILE_LINES_MAX, `${path}: ${lines} lines`);
  }
});

/** A stage of the packet's way does one thing: it is read in one sitting. */
const STAGE_LINES_MAX = 150;
const STAGES = ['src/dataplane/egress/', 'src/dataplane/ingress/', 'src/dataplane/packet/'];

t.test(
  `no stage of egress or ingress is longer than ${STAGE_LINES_MAX} lines`,
  { skip },
  async (t) => {
    const isStage = ({ path }: Source) => STAGES.some((folder) => path.startsWith(folder));
    const stages = readSources(root, 'src').filter(isStage);
    t.ok(stages.length > 40, `${stages.length} stages`);
    for (const { path, text } of stages) {
      const lines = text.split('\n').length - 1;
      t.ok(lines <= STAGE_LINES_MAX, `${path}: ${lines} lines`);
    }
  },
);

t.test('every source file says what it is', { skip }, async (t) => {
  for (const { path, text } of readSources(root, 'src')) {
    t.match(text, /^(#!.*\n)?\/\*\*[\s\S]*?@module\b[\s\S]*?\*\//, path);
  }
});

const BIOME = join(root, 'node_modules/@biomejs/biome/bin/biome');

/** Why biome cannot be asked here, or false. */
function whyNoBiome(): string | false {
  if (skip) return skip;
  if (!existsSync(BIOME)) return 'biome is not installed: npm ci installs it';
  const version = spawnSync(process.execPath, [BIOME, '--version'], { encoding: 'utf8' });
  return version.status !== 0 && `biome does not run on this machine: ${version.stderr.trim()}`;
}

t.test('formatting and lint rules hold', { skip: whyNoBiome() }, async (t) => {
  const run = spawnSync(process.execPath, [BIOME, 'check', '--colors=off', '.'], {
    cwd: root,
    encoding: 'utf8',
  });
  const said = `${run.stdout}${run.stderr}`;
  t.equal(run.status, 0, run.status === 0 ? 'biome check .' : said.slice(0, 4000));
});

/** Names of exported types, and the files that declare each. */
function typeNames(sources: readonly Source[]): Map<string, string[]> {
  const declared = /^export (?:abstract )?(?:type|interface|class) (\w+)/gm;
  const names = new Map<string, string[]>();
  for (const { path, text } of sources) {
    for (const [, name = ''] of text.matchAll(declared)) {
      names.set(name, [...(names.get(name) ?? []), path]);
    }
  }
  return names;
}

t.test('an exported type has a name of its own', { skip }, async (t) => {
  const names = typeNames(readSources(root, 'src'));
  t.ok(names.size > 500, `${names.size} names`);
  const shared = [...names].filter(([, paths]) => paths.length > 1);
  t.same(shared, [], 'rename one of them, or do not export it');
  const source = (path: string, text: string): Source => ({ path, text, room: '', imports: [] });
  const twice = typeNames([
    source('src/a.ts', 'export type Place = number;'),
    source('src/b.ts', 'export class Place {}'),
  ]);
  t.same(twice.get('Place'), ['src/a.ts', 'src/b.ts'], 'the gate sees what it should see');
});
