/**
 * Reading a configuration file that others might have written to: bounded, no links, no files
 * that somebody else may change.
 * @module
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { ExitCode, FanwayError, messageOf } from '../errors.ts';

/** A file beyond this is not a configuration. */
export const CONFIG_BYTES_MAX = 256 * 1024;

function refuse(path: string, message: string): FanwayError {
  return new FanwayError('config-file', `${path}: ${message}`, { exitCode: ExitCode.Usage });
}

/**
 * The text of a configuration file.
 * @throws FanwayError (exit code 2): not there, a link, no regular file, too large, not UTF-8, or
 *   writable by anyone but its owner, who must be root or the present user.
 */
export function readConfigFile(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ELOOP') throw refuse(path, 'is a symbolic link: name the file itself');
    if (code === 'ENOENT') throw refuse(path, 'is not there: write it first, or name another');
    throw refuse(path, `cannot be read (${messageOf(error)})`);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw refuse(path, 'is not a regular file');
    if ((stat.mode & 0o022) !== 0) {
      throw refuse(path, 'may be written by others: chmod go-w it, because it configures root');
    }
    const uid = process.getuid?.() ?? 0;
    if (stat.uid !== 0 && stat.uid !== uid) {
      throw refuse(path, `belongs to user ${stat.uid}: it must belong to root or to user ${uid}`);
    }
    if (stat.size > CONFIG_BYTES_MAX) {
      throw refuse(path, `has ${stat.size} bytes; at most ${CONFIG_BYTES_MAX} are read`);
    }
    const buffer = Buffer.alloc(CONFIG_BYTES_MAX + 1);
    let length = 0;
    for (;;) {
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      if (count === 0) break;
      length += count;
      if (length > CONFIG_BYTES_MAX) throw refuse(path, 'grew while it was read');
    }
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length));
    } catch {
      throw refuse(path, 'is not UTF-8 text');
    }
  } finally {
    closeSync(fd);
  }
}
