/**
 * A distribution's own kernel for a guest: its image, and its modules as they have to be loaded.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Unpacks what this machine need not have a program for. */
export const BUSYBOX = '/bin/busybox';
const MODULE_BYTES_MAX = 64 << 20;
/** Words that a module has about itself end with a zero byte (section .modinfo). */
const DEPENDS = 'depends=';

export type GuestKernel = {
  image: string;
  /** As `uname -r` has it. */
  release: string;
  /** Files of its modules by name, in which `-` and `_` are one. */
  modules: ReadonlyMap<string, string>;
  /** Names of those that are no files, since they are in the image. */
  builtIn: ReadonlySet<string>;
};

function nameOf(path: string): string {
  return basename(path)
    .replace(/\.ko(\.xz)?$/, '')
    .replaceAll('-', '_');
}

/** One below FANWAY_GUEST_ROOT (an unpacked package) or installed here, undefined where there is none. */
export function findKernel(): GuestKernel | undefined {
  for (const root of [process.env['FANWAY_GUEST_ROOT'], '/']) {
    if (root === undefined || !existsSync(join(root, 'boot'))) continue;
    for (const name of readdirSync(join(root, 'boot'))) {
      if (!name.startsWith('vmlinuz-')) continue;
      const release = name.slice('vmlinuz-'.length);
      const folder = ['lib', 'usr/lib']
        .map((lib) => join(root, lib, 'modules', release))
        .find((one) => existsSync(join(one, 'modules.builtin')));
      if (folder !== undefined) {
        return { image: join(root, 'boot', name), release, ...modulesIn(folder) };
      }
    }
  }
  return undefined;
}

function modulesIn(folder: string): Pick<GuestKernel, 'modules' | 'builtIn'> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const modules = files.filter((file) => /\.ko(\.xz)?$/.test(file));
  const builtIn = readFileSync(join(folder, 'modules.builtin'), 'utf8').split('\n');
  return {
    modules: new Map(modules.map((file) => [nameOf(file), join(folder, file)])),
    builtIn: new Set(builtIn.map(nameOf)),
  };
}

function moduleBytes(path: string): Buffer {
  if (!path.endsWith('.xz')) return readFileSync(path);
  return execFileSync(BUSYBOX, ['unxz', '-c', path], { maxBuffer: MODULE_BYTES_MAX });
}

function needsOf(module: Buffer): string[] {
  const at = module.indexOf(`\0${DEPENDS}`) + 1 + DEPENDS.length;
  return module.toString('latin1', at, module.indexOf(0, at)).split(',').filter(Boolean);
}

/**
 * These modules with all that they need, in the order in which they are to be loaded.
 * @throws Error for one that this kernel has not
 */
export function modulesOf(kernel: GuestKernel, names: readonly string[]): Buffer[] {
  const loaded = new Map<string, Buffer>();
  const load = (name: string): void => {
    const known = name.replaceAll('-', '_');
    if (loaded.has(known) || kernel.builtIn.has(known)) return;
    const path = kernel.modules.get(known);
    if (path === undefined) throw new Error(`the guest's kernel has no module ${name}`);
    const bytes = moduleBytes(path);
    for (const needed of needsOf(bytes)) load(needed);
    loaded.set(known, bytes);
  };
  for (const name of names) load(name);
  return [...loaded.values()];
}
