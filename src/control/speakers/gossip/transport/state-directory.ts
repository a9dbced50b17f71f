/**
 * What a node keeps over restarts: its private key, and its epoch, which goes up by one at each
 * start. Both are written whole and flushed before they are used, since two lives of a node with one epoch
 * would not be told apart.
 * @module
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, ExitCode, FanwayError, messageOf, refusedError } from '../../../../errors.ts';
import { readPrivateFile } from '../../../store/private-file.ts';
import {
  type Lock,
  lockFile,
  readIfThere,
  statOwn,
  writeAtomically,
} from '../../../store/run-directory.ts';

/** As the wire has it (u32). */
const EPOCH_MAX = 2 ** 32 - 1;

/** The keyring in a state directory, unless another file is configured. */
export function keyPathIn(stateDirectory: string): string {
  return join(stateDirectory, 'gossip.key');
}

export class StateDirectory {
  readonly path: string;
  readonly #lock: Lock;

  private constructor(path: string, lock: Lock) {
    this.path = path;
    this.#lock = lock;
  }

  /**
   * Opens the directory for this process alone, and makes it (mode 0700) where it is missing.
   * @throws FanwayError when it belongs to somebody else, others may write to it, or another router
   *   uses it: two nodes with one identity would fight.
   */
  static open(path: string): StateDirectory {
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      const stat = statOwn(path);
      const uid = process.geteuid?.() ?? 0;
      if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o022) !== 0) {
        throw refusedError(
          'state-directory',
          `${path} must be a directory of user ${uid} that nobody else may write to: chmod 700 it, or set FANWAY_STATE_DIR`,
        );
      }
      const lock = lockFile(join(path, 'lock'), { wait: false });
      if (lock !== undefined) return new StateDirectory(path, lock);
    } catch (error) {
      if (error instanceof FanwayError) throw error;
      const denied = codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM';
      throw new FanwayError(
        'state-directory',
        `cannot make ${path} (${messageOf(error)}): run as root, or set FANWAY_STATE_DIR`,
        { exitCode: denied ? ExitCode.NotPermitted : ExitCode.Failed },
      );
    }
    throw refusedError(
      'state-directory',
      `${path} is used by another router: each needs its own (FANWAY_STATE_DIR)`,
    );
  }

  /** The file of the node's private key. */
  get identityPath(): string {
    return join(this.path, 'identity');
  }
  get #epochPath(): string {
    return join(this.path, 'epoch');
  }

  /**
   * The text of the identity file; `make` writes a first one.
   * @throws FanwayError when others may read it.
   */
  identity(make: () => string): string {
    const text = readPrivateFile(this.identityPath);
    if (text !== undefined) return text;
    const fresh = make();
    writeAtomically(this.identityPath, fresh);
    return fresh;
  }

  /** Forgets who this host was: a new one takes part next. The old key is kept as `identity.old`. */
  renew(): void {
    if (existsSync(this.identityPath)) renameSync(this.identityPath, `${this.identityPath}.old`);
    rmSync(this.#epochPath, { force: true });
  }

  /** The epoch for a life that begins now: one more than ever before, and on disk already. */
  nextEpoch(): number {
    const epoch = this.#readEpoch() + 1;
    this.persistEpoch(epoch);
    return epoch;
  }

  /** Puts an epoch on disk, durably, before anybody hears of it. @throws the writing error. */
  persistEpoch(epoch: number): void {
    if (!Number.isInteger(epoch) || epoch < 1 || epoch > EPOCH_MAX) {
      throw new RangeError(`${epoch} is no epoch`);
    }
    writeAtomically(this.#epochPath, `${epoch}\n`);
  }

  /**
   * 0 for a node that never lived, and for one whose file was damaged: it is set aside, and the
   * members, who remember a later epoch, will say so.
   */
  #readEpoch(): number {
    const text = readIfThere(this.#epochPath);
    if (text === undefined) return 0;
    const epoch = /^[1-9][0-9]{0,9}\n$/.test(text) ? Number(text) : Number.NaN;
    if (epoch < EPOCH_MAX) return epoch;
    renameSync(this.#epochPath, `${this.#epochPath}.damaged`);
    return 0;
  }

  close(): void {
    this.#lock.release();
  }
}
