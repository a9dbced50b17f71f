/**
 * Native code out of the single file. The dynamic linker takes it from a file system only, so it
 * becomes a file for as long as that takes: one without a name where that is possible, else one in a
 * folder that only we may enter.
 * @module
 */
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { messageOf } from '../errors.ts';

/** What O_TMPFILE is beside O_DIRECTORY (asm-generic/fcntl.h). */
const TMPFILE = 0o20_000_000;
const { O_DIRECTORY, O_RDWR } = constants;

/** Memory first; a folder may be missing, read-only, or mounted without programs (noexec). */
function folders(): Set<string> {
  return new Set(['/dev/shm', '/run', tmpdir(), '/var/tmp', dirname(process.execPath)]);
}

let loaded = 0;

function load(path: string): unknown {
  const module = { exports: {} };
  process.dlopen(module, path);
  loaded++;
  return module.exports;
}

function fromNameless(folder: string, bytes: Uint8Array): unknown {
  const fd = openSync(folder, TMPFILE | O_DIRECTORY | O_RDWR, 0o400);
  try {
    writeFileSync(fd, bytes);
    // The linker knows a library by its path, and the next one may get this descriptor's number.
    return load(`/proc/self/fd/${'./'.repeat(loaded)}${fd}`);
  } finally {
    closeSync(fd);
  }
}

function fromFolder(folder: string, bytes: Uint8Array): unknown {
  const place = mkdtempSync(join(folder, 'fanway-'));
  try {
    const path = join(place, 'addon.node');
    writeFileSync(path, bytes, { mode: 0o500, flag: 'wx' });
    return load(path);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Loads a native package. @throws Error that says of each folder why not. */
export function loadAddon(name: string, bytes: Uint8Array): unknown {
  const reasons: string[] = [];
  for (const from of [fromNameless, fromFolder]) {
    for (const folder of folders()) {
      try {
        return from(folder, bytes);
      } catch (error) {
        reasons.push(`${folder}: ${messageOf(error)}`);
      }
    }
  }
  throw new Error(
    `${name} needs a folder that this user may write to and that allows programs (TMPDIR names one): ${reasons.join('; ')}`,
  );
}
