/**
 * Files that hold a secret: read only when nobody else can read them, written so that nobody else
 * ever could.
 * @module
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { codeOf, ExitCode, FanwayError, messageOf } from '../../errors.ts';
import { syncDirectory } from './run-directory.ts';

/** A keyring of all the keys it may hold takes less than a tenth of it. */
export const PRIVATE_FILE_BYTES_MAX = 16 * 1024;

/** Permission bits of everybody but the owner. */
const MODE_OTHERS = 0o077;

function refuse(path: string, message: string): FanwayError {
  return new FanwayError('private-file', `${path}: ${message}`, { exitCode: ExitCode.Refused });
}

/**
 * The text of a file that only its owner can read, undefined when it is not there.
 * @throws FanwayError saying what to do: a link, no regular file, of another user, open to others,
 *   too large.
 */
export function readPrivateFile(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP') throw refuse(path, 'is a symbolic link: name the file itself');
    throw refuse(path, `cannot be read (${messageOf(error)})`);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw refuse(path, 'is not a regular file');
    const uid = process.geteuid?.() ?? 0;
    if (stat.uid !== 0 && stat.uid !== uid) {
      throw refuse(path, `belongs to user ${stat.uid}: it must belong to root or to user ${uid}`);
    }
    if ((stat.mode & MODE_OTHERS) !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
      throw refuse(
        path,
        `has mode ${mode}, so others may have read it: chmod 600 it, or better make a new one`,
      );
    }
    const bytes = Buffer.alloc(PRIVATE_FILE_BYTES_MAX + 1);
    let length = 0;
    for (;;) {
      const count = readSync(fd, bytes, length, bytes.length - length, null);
      length += count;
      if (count === 0) return bytes.toString('utf8', 0, length);
      if (length > PRIVATE_FILE_BYTES_MAX) {
        throw refuse(path, `is larger than ${PRIVATE_FILE_BYTES_MAX} bytes`);
      }
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes a file of mode 0600, and its directory (0700) where it is missing.
 * @throws FanwayError when something of that name is there already.
 */
export function createPrivateFile(path: string, text: string): void {
  let fd: number;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    fd = openSync(path, 'wx', 0o600);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') {
      throw refuse(path, 'is there already: move it away first, or name another file');
    }
    const denied = codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM';
    throw new FanwayError('private-file', `${path}: cannot be written (${messageOf(error)})`, {
      exitCode: denied ? ExitCode.NotPermitted : ExitCode.Failed,
    });
  }
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  syncDirectory(dirname(path));
}
