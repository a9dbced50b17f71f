/** The built programs where every user may read them. @module */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { distDirectory } from '../../src/sys/host/paths.ts';

let found: string | undefined;

/**
 * `fanway.js` for an ordinary user: the build itself, or, where the checkout lies in a folder that only
 * its owner may enter (as `mktemp -d` makes them), a copy with what it needs, for as long as the test runs.
 */
export function readableProgram(): string {
  found ??= join(othersMayEnter(distDirectory()) ? distDirectory() : copyOfBuild(), 'fanway.js');
  return found;
}

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
