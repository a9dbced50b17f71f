/** The built programs where every user may read them. @module */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { distDirectory } from '../../src/sys/host/paths.ts';

let found: string | undefined;

/**
 * A built file for an ordinary user: the file itself, or, where the checkout lies in a folder that only
 * its owner may enter (as `mktemp -d` makes them), its copy in a copy of the build, for as long as the
 * test runs. Any other path stays what it is.
 */
export function readable(path: string): string {
  const dist = distDirectory();
  if (!path.startsWith(`${dist}/`)) return path;
  found ??= othersMayEnter(dist) ? dist : copyOfBuild();
  return join(found, relative(dist, path));
}

/** `fanway.js` for an ordinary user, see {@link readable}. */
export const readableProgram = (): string => readable(join(distDirectory(), 'fanway.js'));

function othersMayEnter(folder: string): boolean {
  const isOpen = (statSync(folder).mode & 0o5) === 0o5;
  return isOpen && (folder === dirname(folder) || othersMayEnter(dirname(folder)));
}

function copyOfBuild(): string {
  const from = dirname(distDirectory());
  const to = mkdtempSync(join(tmpdir(), 'fanway-readable-'));
  process.once('exit', () => rmSync(to, { recursive: true, force: true }));
  chmodSync(to, 0o755);
  const copy = (path: string) =>
    cpSync(join(from, path), join(to, path), { recursive: true, dereference: true });
  copy('package.json');
  copy('dist');
  mkdirSync(join(to, 'node_modules'));
  const lock = JSON.parse(readFileSync(join(from, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  for (const [path, { dev }] of Object.entries(lock.packages)) {
    // What was installed for another system or not at all is not there.
    const stat = statSync(join(from, path), { throwIfNoEntry: false });
    if (path !== '' && dev !== true && stat !== undefined) copy(path);
  }
  return join(to, 'dist');
}
