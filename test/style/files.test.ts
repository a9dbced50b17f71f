import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findRoot, readSources } from './sources.ts';

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
