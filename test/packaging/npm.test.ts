import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { findRoot } from '../style/sources.ts';
import { skipLong } from '../support/long.ts';

const root = findRoot();
const skip = skipLong || (root === '' && 'needs the sources');

type Manifest = { version: string; dependencies: Record<string, string>; man: string[] };

/** What npm would install beside it: dependencies and theirs, of those that are here. */
function closure(names: readonly string[], found = new Set<string>()): Set<string> {
  for (const name of names) {
    const folder = join(root, 'node_modules', name);
    if (found.has(name) || !readdirSync(join(folder, '..')).includes(name.replace(/.*\//, ''))) {
      continue;
    }
    found.add(name);
    const text = readFileSync(join(folder, 'package.json'), 'utf8');
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(text) as {
      dependencies?: object;
      optionalDependencies?: object;
    };
    closure([...Object.keys(dependencies), ...Object.keys(optionalDependencies)], found);
  }
  return found;
}

t.test('the npm package has all that it needs, and no more', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-npm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [archive = ''] = readdirSync(folder);
  const modules = join(folder, 'app/node_modules');
  mkdirSync(join(modules, 'fanway'), { recursive: true });
  const words = ['-xzf', join(folder, archive), '-C', join(modules, 'fanway')];
  execFileSync('tar', [...words, '--strip-components=1']);
  const text = readFileSync(join(modules, 'fanway/package.json'), 'utf8');
  const { version, dependencies, man } = JSON.parse(text) as Manifest;
  for (const name of closure(Object.keys(dependencies))) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(modules, 'fanway/dist/fanway.js'), ...args], {
      encoding: 'utf8',
      cwd: join(folder, 'app'),
    });
  t.equal(run('--version').stdout, `fanway ${version}\n`);
  t.match(run('doctor').stdout, /Node\.js/);
  t.match(run('check', '--example').stdout, /fanway\.conf/);
  for (const page of man)
    t.ok(readdirSync(join(modules, 'fanway/dist/man')).includes(page.slice(9)));
  t.notOk(/\b(bench|micro|sim)\.js/.test(readdirSync(join(modules, 'fanway/dist')).join(' ')));
});
