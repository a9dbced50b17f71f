/**
 * Kernel settings below /proc/sys. Keys are written with slashes (`net/ipv4/conf/eth0.7/rp_filter`),
 * since interface names may hold dots. `net/` keys belong to the namespace of the thread that opens
 * the file: everything here is synchronous, so that it works inside `NetworkNamespace.run`.
 * @module
 */
import { closeSync, constants, openSync, readFileSync, writeFileSync } from 'node:fs';

/** A setting that could not be written. `code` is the errno name, `key` the setting. */
export class SysctlError extends Error {
  readonly code: string;
  readonly key: string;

  constructor(key: string, code: string, hint: string) {
    super(`cannot set ${key.replaceAll('/', '.')}: ${code}${hint}`);
    this.name = 'SysctlError';
    this.code = code;
    this.key = key;
  }
}

function pathOf(key: string): string {
  const parts = key.split('/');
  if (parts.length < 2 || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new Error(`'${key}' is not a sysctl key`);
  }
  return `/proc/sys/${key}`;
}

function errnoCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'EIO';
}

/** The value without its line end; null where the key does not exist or is not readable. */
export function readSysctl(key: string): string | null {
  try {
    return readFileSync(pathOf(key), 'utf8').trimEnd();
  } catch (error) {
    if (['ENOENT', 'EACCES', 'ENOTDIR'].includes(errnoCode(error))) return null;
    throw error;
  }
}

/**
 * Sets a value.
 * @throws SysctlError ENOENT (no such key or interface), EROFS (containers mount /proc/sys
 * read-only), EACCES (not root), EINVAL (the kernel refused the value).
 */
export function writeSysctl(key: string, value: string): void {
  const path = pathOf(key);
  try {
    // Some may be written and not read.
    const fd = openSync(path, constants.O_WRONLY);
    try {
      writeFileSync(fd, value);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const code = errnoCode(error);
    const hint = code === 'EROFS' ? ' (/proc/sys is read-only here, as in most containers)' : '';
    throw new SysctlError(key, code, hint);
  }
}
